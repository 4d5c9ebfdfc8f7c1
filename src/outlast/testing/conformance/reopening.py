"""The store contract: the next execution of a run that nobody owns."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from outlast.core.status import RunStatus
from outlast.errors import StoreUnavailableError
from outlast.storage.base import Reopening, RunKey, RunRow, Store
from outlast.testing.conformance.scenario import (
    LEASE,
    NOW,
    OVER,
    StoreScenario,
    append,
    find,
    hold,
    records,
)
from outlast.testing.faults import KillAt

__all__ = ["ReopeningContract"]

_LATER = NOW + 5


def reopening(row: RunRow, count: int = 1, **changes: Any) -> Reopening:  # noqa: ANN401
    """Make the next execution of a run as it was read."""
    events = [
        record._replace(type="run-rewound", execution=row.execution + 1, at_ms=_LATER)
        for record in records(row.head + 1, count)
    ]
    fields: dict[str, Any] = {"run": row.key, "head": row.head, "records": events}
    return Reopening(**(fields | changes))


async def at_rest(store: Store, run_id: str = "run", status: RunStatus = RunStatus.FAILED) -> RunRow:
    """Record a run that its worker gave up for good, with two events."""
    held = await hold(store, run_id)
    await append(store, held.write(status=status, is_released=True))
    return await find(store, run_id)


class ReopeningContract(StoreScenario):
    """`RunStore.reopen_run`."""

    @pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.SUSPENDED])
    async def test_run_that_rests_is_reopened(self, status: RunStatus) -> None:
        """True: the events are recorded, the run is pending, in the next execution, and may be claimed."""
        async with self.process() as store, self.process() as other:
            row = await at_rest(store, status=status)
            worker = await other.register_worker(workflows=["orders"], lease=LEASE)

            assert await store.reopen_run(reopening(row, 2))

            after = await find(other)
            assert (after.status, after.execution, after.head) == (RunStatus.PENDING, 1, 4)
            assert (after.owner, after.ready_at_ms, after.updated_at_ms) == (None, _LATER, _LATER)
            assert (await other.load_records(row.key))[2:] == list(reopening(row, 2).records)
            assert await other.next_ready_at([row.graph]) == _LATER
            (claimed,) = await other.claim(worker, graphs=[row.graph], now_ms=_LATER, limit=9)
            assert claimed.run_id == "run"

    async def test_run_with_an_owner_is_not_reopened(self) -> None:
        """False, and nothing is changed: the run has an owner, whose life may be over."""
        async with self.process() as store:
            held = await hold(store)
            store.renew_lease(held.worker, OVER)
            before = await find(store)

            assert not await store.reopen_run(reopening(before))

            assert await find(store) == before

    @pytest.mark.parametrize("changes", [{"head": 1, "records": records(2, 1)}, {"run": RunKey(987_654)}])
    async def test_run_that_went_on_since_it_was_read_is_not_reopened(self, changes: dict[str, Any]) -> None:
        """False, and nothing is changed: the head is not as named, or there is no such run."""
        async with self.process() as store:
            before = await at_rest(store)

            assert not await store.reopen_run(reopening(before, **changes))

            assert await find(store) == before
            assert len(await store.load_records(before.key)) == 2

    async def test_what_is_asked_of_an_execution_that_is_over_is_refused(self) -> None:
        """`post` with an execution: False, and nothing is changed, if another one is the latest."""
        async with self.process() as store:
            row = await at_rest(store, status=RunStatus.SUSPENDED)
            await store.reopen_run(reopening(row))
            before = await find(store)

            answers = [
                await store.post("run", kind="resume", topic=f"{execution}", at_ms=NOW, body=b"{}", execution=execution)
                for execution in (0, 2, 1)
            ]

            assert answers == [False, False, True]
            assert [each.topic for each in await store.list_requests(row.key)] == ["1"]
            assert await find(store) == replace(before, ready_at_ms=NOW)

    async def test_run_of_which_something_is_asked_is_not_reopened(self) -> None:
        """False, and nothing is changed: somebody resumed the run before, and no worker has seen it yet."""
        async with self.process() as store:
            before = await at_rest(store, status=RunStatus.SUSPENDED)
            await store.post("run", kind="resume", topic="resume", at_ms=NOW, body=b"{}")

            assert not await store.reopen_run(reopening(before))

            assert (await find(store)).head == before.head
            assert len(await store.list_requests(before.key)) == 1

    async def test_of_several_that_race_one_wins(self) -> None:
        """Of several that race one wins, and only its event is recorded."""
        async with self.process() as one, self.process() as two:
            rows = [await at_rest(one, f"run-{number}") for number in range(10)]

            answers = await asyncio.gather(*(store.reopen_run(reopening(row)) for row in rows for store in (one, two)))

            assert [sum(answers[n : n + 2]) for n in range(0, 20, 2)] == [1] * 10
            assert all([(await find(two, row.run_id)).head == 3 for row in rows])

    @pytest.mark.parametrize("mode", ["before", "after"])
    async def test_reopening_is_written_whole_or_not_at_all(self, mode: Any) -> None:  # noqa: ANN401
        """Every write is atomic, whenever the process dies."""
        async with self.process() as store:
            row = await at_rest(store)
        async with self.process(KillAt(1, mode)) as dying:
            with pytest.raises(StoreUnavailableError):
                await dying.reopen_run(reopening(row))

        async with self.process() as store:
            after = await find(store)
            found = after.head, after.status, after.execution, len(await store.load_records(row.key))
            assert found == ((2, "failed", 0, 2) if mode == "before" else (3, "pending", 1, 3))

    async def test_lost_answer_to_the_reopening_is_found_out(self) -> None:
        """Settles truthfully when the answer of the commit is lost."""
        async with self.process() as store:
            row = await at_rest(store)
        async with self.process(KillAt(1, "lost")) as store:
            assert await store.reopen_run(reopening(row))
            assert not await store.reopen_run(reopening(row))
