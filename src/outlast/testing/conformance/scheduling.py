"""The store contract: schedules, their triggers, and the runs that are recorded with them."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from outlast.core.status import RunStatus
from outlast.errors import OutlastError, StoreUnavailableError
from outlast.storage.base import Receipt, Store
from outlast.storage.scheduling import (
    KEPT_TRIGGERS,
    TAKEN,
    NewSchedule,
    Outcome,
    ScheduleChange,
    ScheduleQuery,
    ScheduleRow,
    TriggerQuery,
    TriggerRow,
    Upcoming,
)
from outlast.testing.conformance.scenario import NOW, StoreScenario, append, find, hold, insert, new_run
from outlast.testing.faults import FaultMode, KillAt

__all__ = ["ScheduleContract"]

NOBODY = Upcoming(None, is_waiting=False)


def _new(id: str = "nightly", **changes: Any) -> NewSchedule:  # noqa: ANN401
    new = NewSchedule(
        id=id,
        workflow_id="orders",
        is_declared=False,
        status="active",
        due_at_ms=NOW,
        plan=b'{"plan":1}',
        memory=b'{"next":1}',
        at_ms=NOW,
    )
    return replace(new, **changes)


def _change(row: ScheduleRow, **changes: Any) -> ScheduleChange:  # noqa: ANN401
    change = ScheduleChange(
        key=row.key, version=row.version, status="active", due_at_ms=NOW + 1_000, memory=b'{"next":2}', at_ms=NOW
    )
    return replace(change, **changes)


def _trigger(number: int, run_id: str | None = None) -> TriggerRow:
    outcome: Outcome = "skipped" if run_id is None else "fired"
    return TriggerRow(number, "schedule", NOW, NOW, 1, NOW + number, outcome=outcome, run_id=run_id, reason="")


async def _row(store: Store, id: str = "nightly") -> ScheduleRow:
    row = await store.schedules.find(id)
    assert row is not None
    return row


async def _made(store: Store, id: str = "nightly", **changes: Any) -> ScheduleRow:  # noqa: ANN401
    assert await store.schedules.insert(_new(id, **changes))
    return await _row(store, id)


async def _ids(store: Store, **query: Any) -> list[str]:  # noqa: ANN401
    return [row.id for row in await store.schedules.select(ScheduleQuery(**query))]


def _names(rows: Sequence[ScheduleRow]) -> list[str]:
    return [row.id for row in rows]


class ScheduleContract(StoreScenario):
    """`ScheduleStore`."""

    async def test_schedule_is_found_by_every_process(self) -> None:
        """What is written is durable when the call returns; `find` returns a schedule."""
        async with self.process() as one, self.process() as two:
            row = await _made(one)

            assert await two.schedules.find("nightly") == row
            assert (row.version, row.plan, row.memory, row.last_number) == (1, b'{"plan":1}', b'{"next":1}', 0)
            assert await two.schedules.find("another") is None

    async def test_id_of_a_schedule_is_taken_once(self) -> None:
        """`insert` gives False, and nothing is changed, if its id is taken; also in a race."""
        async with self.process() as one, self.process() as two:
            won = await asyncio.gather(
                *(store.schedules.insert(_new(memory=b"%d" % n)) for n, store in enumerate([one, two]))
            )
            row = await _row(one)

            assert sorted(won) == [False, True]
            assert row.memory == b"%d" % won.index(True)

    async def test_schedules_are_listed_by_id_and_condition(self) -> None:
        """`select` returns the schedules that match, in the order of their ids."""
        async with self.process() as store:
            await _made(store, "c")
            await _made(store, "a", is_declared=True)
            await _made(store, "b", workflow_id="bills", status="paused")

            assert await _ids(store) == ["a", "b", "c"]
            assert await _ids(store, limit=2) == ["a", "b"]
            assert await _ids(store, after="a") == ["b", "c"]
            assert await _ids(store, workflow_id="orders") == ["a", "c"]
            assert await _ids(store, status="paused") == ["b"]
            assert await _ids(store, is_declared=True) == ["a"]
            assert await _ids(store, is_declared=False) == ["b", "c"]

    async def test_change_needs_the_latest_version(self) -> None:
        """A schedule is changed only if its version is the one named; then its version is one higher."""
        async with self.process() as store:
            row = await _made(store)

            assert await store.schedules.change([_change(row, triggers=[_trigger(1)])]) == [True]
            assert await store.schedules.change([_change(row, triggers=[_trigger(2)])]) == [False]

            after = await _row(store)
            assert (after.version, after.memory, after.plan) == (2, b'{"next":2}', row.plan)
            assert (after.due_at_ms, after.last_number) == (NOW + 1_000, 1)
            assert len(await store.schedules.list_triggers(TriggerQuery(row.key, limit=10))) == 1

    async def test_one_of_many_that_race_changes_a_schedule(self) -> None:
        """The claim of a firing, its trigger and its run are one transaction, however many schedulers there are."""
        async with self.process() as one, self.process() as two, self.process() as three:
            row = await _made(one)
            graph = await one.ensure_graph("orders", "v1", b"{}")
            change = _change(row, triggers=[_trigger(1, "run")], runs=[new_run(graph)])

            won = await asyncio.gather(*(store.schedules.change([change]) for store in (one, two, three)))

            assert sorted(won) == [[False], [False], [True]]
            assert (await find(two)).status is RunStatus.PENDING
            assert await one.next_ready_at([graph]) == NOW
            (trigger,) = await three.schedules.list_triggers(TriggerQuery(row.key, limit=10))
            assert (trigger.outcome, trigger.run_id) == ("fired", "run")

    async def test_changes_do_not_affect_each_other(self) -> None:
        """Else it is left as it is, and the other changes are not affected."""
        async with self.process() as store:
            a, b = await _made(store, "a"), await _made(store, "b")
            stale = _change(a, version=7, triggers=[_trigger(1)])

            assert await store.schedules.change([stale, _change(b)]) == [False, True]
            versions = [(await _row(store, id)).version for id in ("a", "b")]
            assert versions == [1, 2]

    async def test_edit_tells_when_it_was_and_what_is_said_now(self) -> None:
        """`is_edit`: `updated_at_ms` is the time; a firing leaves it. `plan`: None leaves it as it is."""
        async with self.process() as store:
            row = await _made(store)
            await store.schedules.change([_change(row, at_ms=NOW + 5)])
            fired = await _row(store)
            await store.schedules.change([_change(fired, at_ms=NOW + 9, is_edit=True, plan=b"{}", status="paused")])
            edited = await _row(store)

            assert (fired.updated_at_ms, fired.plan) == (NOW, row.plan)
            assert (edited.updated_at_ms, edited.plan, edited.status) == (NOW + 9, b"{}", "paused")

    async def test_run_whose_id_is_taken_is_skipped(self) -> None:
        """A run whose id is taken is not recorded, and its trigger is `skipped` with the reason `TAKEN`."""
        async with self.process() as store:
            row = await _made(store)
            graph = await store.ensure_graph("orders", "v1", b"{}")
            assert isinstance(await insert(store, new_run(graph)), Receipt)

            runs = [new_run(graph), new_run(graph, "other")]
            change = _change(row, triggers=[_trigger(1, "run"), _trigger(2, "other")], runs=runs)
            assert await store.schedules.change([change]) == [True]

            second, first = await store.schedules.list_triggers(TriggerQuery(row.key, limit=10))
            assert (first.outcome, first.reason) == ("skipped", TAKEN)
            assert second.outcome == "fired"
            assert (await find(store, "other")).epoch == 0

    async def test_runs_are_asked_to_cancel(self) -> None:
        """Requests to cancel are recorded with it; one that has ended or is not kept is passed over."""
        async with self.process() as store:
            held, ended = await hold(store), await hold(store, "ended")
            await append(store, ended.write(status=RunStatus.SUCCESS, is_released=True))
            row = await _made(store)

            change = _change(row, cancels=["run", "ended", "nobody"])
            assert await store.schedules.change([change]) == [True]

            (request,) = await store.list_requests(held.key)
            assert (request.kind, request.topic) == ("cancel", "cancel:0")
            assert await store.list_requests(ended.key) == []

    async def test_deleted_schedule_cannot_be_changed_any_more(self) -> None:
        """`delete` forgets a schedule and its triggers; a number is never used twice; its runs stay."""
        async with self.process() as store:
            old = await _made(store)
            graph = await store.ensure_graph("orders", "v1", b"{}")
            await store.schedules.change([_change(old, triggers=[_trigger(1, "run")], runs=[new_run(graph)])])

            assert await store.schedules.delete("nightly")
            assert not await store.schedules.delete("nightly")
            assert await store.schedules.find("nightly") is None
            assert await store.schedules.list_triggers(TriggerQuery(old.key, limit=10)) == []
            assert (await find(store)).status is RunStatus.PENDING

            new = await _made(store)
            assert new.key > old.key
            assert await store.schedules.change([_change(old)]) == [False]

    async def test_due_schedules_come_in_their_order(self) -> None:
        """`list_due` gives those due for the longest time first; `next_due` the earliest time."""
        async with self.process() as store:
            await _made(store, "late", due_at_ms=NOW + 500)
            await _made(store, "early", due_at_ms=NOW - 500)
            await _made(store, "never", due_at_ms=None)
            await _made(store, "other", workflow_id="bills", due_at_ms=NOW - 900)
            schedules = store.schedules

            assert _names(await schedules.list_due(["orders"], now_ms=NOW, limit=9)) == ["early"]
            assert _names(await schedules.list_due(["orders"], now_ms=NOW + 500, limit=9)) == ["early", "late"]
            assert _names(await schedules.list_due(["orders", "bills"], now_ms=NOW, limit=1)) == ["other"]
            assert await schedules.list_due([], now_ms=NOW, limit=9) == []
            assert await schedules.next_due(["orders"]) == Upcoming(NOW - 500, is_waiting=False)
            assert await schedules.next_due(["nobody"]) == NOBODY
            assert await schedules.next_due([]) == NOBODY

    async def test_waiting_schedules_come_by_key(self) -> None:
        """`list_waiting` gives those that are `is_waiting`, by key."""
        async with self.process() as store:
            for id in ("b", "a", "c"):
                row = await _made(store, id, due_at_ms=None)
                await store.schedules.change([_change(row, is_waiting=id != "c", due_at_ms=None)])
            schedules = store.schedules

            first = await schedules.list_waiting(["orders"], after=None, limit=1)
            assert _names(first) == ["b"]
            assert _names(await schedules.list_waiting(["orders"], after=first[0].key, limit=9)) == ["a"]
            assert await schedules.list_waiting(["bills"], after=None, limit=9) == []
            assert await schedules.list_waiting([], after=None, limit=9) == []
            assert await schedules.next_due(["orders"]) == Upcoming(None, is_waiting=True)

    async def test_triggers_come_latest_first(self) -> None:
        """`list_triggers` returns triggers, the latest first; an earlier one may be written as it is now."""
        async with self.process() as store:
            row = await _made(store)
            await store.schedules.change([_change(row, triggers=[_trigger(n) for n in range(1, 6)])])
            row = await _row(store)
            await store.schedules.change([_change(row, triggers=[replace(_trigger(2), reason="later")])])

            async def numbers(**conditions: Any) -> list[int]:  # noqa: ANN401
                found = await store.schedules.list_triggers(TriggerQuery(row.key, **({"limit": 9} | conditions)))
                return [each.number for each in found]

            assert await numbers() == [5, 4, 3, 2, 1]
            assert await numbers(limit=2) == [5, 4]
            assert await numbers(before=4) == [3, 2, 1]
            assert await numbers(before=0) == []
            assert await numbers(from_ms=NOW + 2, to_ms=NOW + 4) == [4, 3, 2]
            assert (await _row(store)).last_number == max(await numbers())
            assert (await store.schedules.list_triggers(TriggerQuery(row.key, before=3, limit=1)))[0].reason == "later"

    async def test_only_the_latest_triggers_are_kept(self) -> None:
        """Of each schedule the latest `KEPT_TRIGGERS` are kept."""
        async with self.process() as store:
            row, other = await _made(store), await _made(store, "other")
            await store.schedules.change([_change(other, triggers=[_trigger(1)])])
            last = KEPT_TRIGGERS + 3
            await store.schedules.change([_change(row, triggers=[_trigger(n) for n in range(1, last + 1)])])

            kept = await store.schedules.list_triggers(TriggerQuery(row.key, limit=2 * KEPT_TRIGGERS))
            assert [each.number for each in kept] == list(range(last, 3, -1))
            await store.schedules.change([_change(await _row(store), triggers=[_trigger(3), _trigger(4)])])
            assert await store.schedules.list_triggers(TriggerQuery(row.key, limit=2 * KEPT_TRIGGERS)) == kept
            assert len(await store.schedules.list_triggers(TriggerQuery(other.key, limit=9))) == 1

    @pytest.mark.parametrize("mode", ["before", "after", "lost"])
    async def test_firing_is_recorded_as_a_whole_or_not_at_all(self, mode: FaultMode) -> None:
        """The claim of a firing, its trigger and its run are one transaction; the same change again is safe."""
        async with self.process() as sibling:
            graph = await sibling.ensure_graph("orders", "v1", b"{}")
            row = await _made(sibling)
            change = _change(row, triggers=[_trigger(1, "run")], runs=[new_run(graph)])
            async with self.process(KillAt(1, mode)) as store:
                try:
                    answer: object = await store.schedules.change([change])
                except OutlastError as error:
                    answer = error
            triggers = await sibling.schedules.list_triggers(TriggerQuery(row.key, limit=9))
            is_there = (await _row(sibling)).version > row.version

            assert is_there is (mode != "before")
            assert (await sibling.find_run("run") is not None) is is_there
            assert len(triggers) == int(is_there)
            if answer != [True]:
                assert isinstance(answer, StoreUnavailableError)
            assert await sibling.schedules.change([change]) == [not is_there]
            assert len(await sibling.schedules.list_triggers(TriggerQuery(row.key, limit=9))) == 1
