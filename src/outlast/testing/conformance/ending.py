"""The store contract: the end of a run that nobody owns."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast.core.status import RunStatus
from outlast.errors import StoreUnavailableError
from outlast.storage.base import Ending, RunKey, RunRow, Store
from outlast.testing.conformance.scenario import (
    LEASE,
    NOW,
    OVER,
    StoreScenario,
    append,
    find,
    hold,
    insert,
    new_run,
    records,
)
from outlast.testing.faults import KillAt

__all__ = ["EndingContract", "LateStartContract"]


def ending(row: RunRow, **changes: Any) -> Ending:  # noqa: ANN401
    """Make the end of a run as it was read: two events."""
    fields: dict[str, Any] = {
        "run": row.key,
        "epoch": row.epoch,
        "head": row.head,
        "records": records(row.head + 1, 2),
        "status": RunStatus.CANCELED,
    }
    return Ending(**(fields | changes))


async def pending(store: Store, run_id: str = "run") -> RunRow:
    """Record a run that nobody owns."""
    graph = await store.ensure_graph("orders", "v1", b"{}")
    await insert(store, new_run(graph, run_id))
    return await find(store, run_id)


class EndingContract(StoreScenario):
    """`RunStore.end_run` and `RunStore.list_requests`."""

    async def test_run_that_nobody_owns_is_ended(self) -> None:
        """True: the events are recorded, and nobody may claim the run any more."""
        async with self.process() as store, self.process() as other:
            row = await pending(store)
            worker = await other.register_worker(workflows=["orders"], lease=LEASE)

            assert await store.end_run(ending(row))

            after = await find(other)
            assert (after.status, after.head, after.owner, after.ready_at_ms) == (RunStatus.CANCELED, 3, None, None)
            assert await other.load_records(row.key) == records(1, 3)
            assert await other.next_ready_at([row.graph]) is None
            assert await other.claim(worker, graphs=[row.graph], now_ms=NOW + 1, limit=9) == []

    async def test_run_with_an_owner_is_left_alone(self) -> None:
        """False, and nothing is changed: the run has an owner, whose life may be over."""
        async with self.process() as store:
            held = await hold(store)
            store.renew_lease(held.worker, OVER)
            before = await find(store)

            assert not await store.end_run(ending(before))

            assert await find(store) == before
            assert await store.load_records(held.key) == records(1, 1)

    @pytest.mark.parametrize("changes", [{"epoch": 7}, {"head": 7, "records": records(8, 1)}, {"run": RunKey(987_654)}])
    async def test_run_that_is_not_as_it_was_read_is_left_alone(self, changes: dict[str, Any]) -> None:
        """False, and nothing is changed: epoch or head are not as named, or there is no such run."""
        async with self.process() as store:
            before = await pending(store)

            assert not await store.end_run(ending(before, **changes))

            assert await find(store) == before
            assert await store.load_records(before.key) == records(1, 1)

    async def test_worker_that_claimed_and_released_wins(self) -> None:
        """False: the run has no owner again, but its epoch is another one although no event was added."""
        async with self.process() as store:
            held = await hold(store)
            await append(store, held.write(count=0, status=RunStatus.WAITING, is_released=True, ready_at_ms=NOW))
            row = await find(store)
            (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
            write = held.write(count=0, epoch=claimed.epoch, status=RunStatus.WAITING, is_released=True)
            await append(store, write)

            assert not await store.end_run(ending(row))

            assert (await find(store)).status is RunStatus.WAITING

    async def test_race_with_claims_has_one_winner(self) -> None:
        """False also when it races with a worker that claims the run: either it has ended, or it is claimed."""
        async with self.process() as one, self.process() as two:
            worker = await two.register_worker(workflows=["orders"], lease=LEASE)
            rows = [await pending(one, f"run-{number}") for number in range(20)]

            ending_all = asyncio.gather(*(one.end_run(ending(row)) for row in rows))
            claims = [two.claim(worker, graphs=[row.graph], now_ms=NOW, limit=1) for row in rows]
            claimed_all = await asyncio.gather(*claims)
            ended = await ending_all

            claimed = {run.run_id for runs in claimed_all for run in runs}
            assert {row.run_id for row, is_ended in zip(rows, ended, strict=True) if not is_ended} == claimed
            for row in rows:
                after = await find(one, row.run_id)
                assert (after.owner, after.head) == ((worker, 1) if row.run_id in claimed else (None, 3))

    async def test_race_of_two_has_one_winner(self) -> None:
        """False also when it races with another such write."""
        async with self.process() as one, self.process() as two:
            rows = [await pending(one, f"run-{number}") for number in range(10)]

            answers = await asyncio.gather(*(store.end_run(ending(row)) for row in rows for store in (one, two)))

            assert [sum(answers[n : n + 2]) for n in range(0, 20, 2)] == [1] * 10
            assert all([(await find(two, row.run_id)).head == 3 for row in rows])

    async def test_requests_of_a_run_are_listed_whoever_owns_it(self) -> None:
        """Return the inbox rows of a run, not taken yet, oldest first, whoever owns it."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            free = await pending(store, "free")
            for run_id, topic in [("run", "b"), ("free", "a"), ("run", "a"), ("run", "c")]:
                await store.post(run_id, kind="resume", topic=topic, at_ms=NOW, body=b"{}")
            first = (await store.list_inbox(held.worker))[0]
            await append(store, held.write(inbox_taken=[first.key]))

            assert [row.topic for row in await other.list_requests(held.key)] == ["a", "c"]
            assert [(row.topic, row.run) for row in await other.list_requests(free.key)] == [("a", free.key)]
            assert await other.list_requests(RunKey(987_654)) == []

    async def test_requests_are_taken_with_the_end(self) -> None:
        """The inbox rows are marked taken; none of them if the run is left alone."""
        async with self.process() as store:
            row = await pending(store)
            for topic in "ab":
                await store.post("run", kind="cancel", topic=topic, at_ms=NOW, body=b"{}")
            requests = await store.list_requests(row.key)
            taken = [request.key for request in requests]

            assert not await store.end_run(ending(row, epoch=7, inbox_taken=taken))
            assert await store.list_requests(row.key) == requests
            assert await store.end_run(ending(row, inbox_taken=taken))
            assert await store.list_requests(row.key) == []

    @pytest.mark.parametrize("mode", ["before", "after"])
    async def test_end_is_written_whole_or_not_at_all(self, mode: Any) -> None:  # noqa: ANN401
        """Every write is atomic, whenever the process dies."""
        async with self.process() as store:
            row = await pending(store)
            await store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")
            (request,) = await store.list_requests(row.key)
        async with self.process(KillAt(1, mode)) as dying:
            with pytest.raises(StoreUnavailableError):
                await dying.end_run(ending(row, inbox_taken=[request.key]))

        async with self.process() as store:
            found = (await find(store)).head, len(await store.load_records(row.key)), await store.list_requests(row.key)
            assert found == ((1, 1, [request]) if mode == "before" else (3, 3, []))

    async def test_lost_answer_to_the_end_is_found_out(self) -> None:
        """Settles truthfully when the answer of the commit is lost."""
        async with self.process() as store:
            row = await pending(store)
        async with self.process(KillAt(1, "lost")) as store:
            assert await store.end_run(ending(row))
            assert not await store.end_run(ending(row))


class LateStartContract(StoreScenario):
    """`RunStore.next_start_by` and `RunStore.list_late_starts`."""

    async def test_runs_that_nobody_began_are_listed_from_their_time_on(self) -> None:
        """Return ids of runs that nobody owns, whose `start_by_ms` is over and whose journal has not grown since."""
        async with self.process() as store, self.process() as other:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            for run_id, start_by_ms in [("b", NOW + 20), ("a", NOW + 10), ("whenever", None)]:
                await insert(store, new_run(graph, run_id)._replace(start_by_ms=start_by_ms))

            assert await other.next_start_by() == NOW + 10
            assert await other.list_late_starts(now_ms=NOW + 9, limit=9) == []
            assert await other.list_late_starts(now_ms=NOW + 10, limit=9) == ["a"]
            assert await other.list_late_starts(now_ms=NOW + 99, limit=9) == ["a", "b"]
            assert await other.list_late_starts(now_ms=NOW + 99, limit=1) == ["a"]

    async def test_run_whose_journal_has_grown_is_passed_over(self) -> None:
        """From then on `next_start_by` passes over the runs whose `start_by_ms` is over and whose journal has grown."""
        async with self.process() as store:
            held = await hold(store)
            await insert(store, new_run(held.graph)._replace(run_id="begun", start_by_ms=NOW + 10))
            await insert(store, new_run(held.graph)._replace(run_id="ended", start_by_ms=NOW + 10))
            (claimed, _) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=9)
            begun = append(store, held.write(run=claimed.key, epoch=claimed.epoch, is_released=True))
            await begun
            await store.retire_worker(held.worker)
            await store.end_run(ending(await find(store, "ended")))

            assert await store.list_late_starts(now_ms=NOW + 10, limit=9) == []
            assert await store.next_start_by() is None

    async def test_deleted_run_is_forgotten(self) -> None:
        """Of the runs that may still be late: a deleted one is not."""
        async with self.process() as store:
            held = await hold(store)
            for run_id in ("deleted", "swept"):
                await insert(store, new_run(held.graph, run_id)._replace(start_by_ms=NOW + 10_000))
                await store.end_run(ending(await find(store, run_id)))

            await store.delete_run("deleted", now_ms=NOW)
            assert await store.next_start_by() == NOW + 10_000
            await store.sweep(ended_before_ms=NOW + 9_000, deleted_before_ms=0, now_ms=NOW)
            assert await store.next_start_by() is None

    async def test_run_with_an_owner_is_not_listed_but_stays_known(self) -> None:
        """Runs that nobody owns: an owner may be about to begin it, and may also give it back."""
        async with self.process() as store:
            held = await hold(store)
            owned = new_run(held.graph, "owned", owner=held.worker)._replace(start_by_ms=NOW + 10)
            await insert(store, owned)

            assert await store.list_late_starts(now_ms=NOW + 10, limit=9) == []
            assert await store.next_start_by() == NOW + 10
            await store.retire_worker(held.worker)
            assert await store.list_late_starts(now_ms=NOW + 10, limit=9) == ["owned"]
