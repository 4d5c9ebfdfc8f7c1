"""The store contract: the lives of workers, and what happens to their runs at the end."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from outlast.core.status import RunStatus
from outlast.errors import StaleRunError
from outlast.storage.base import Receipt, Store, WorkerKey
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
    until,
)
from outlast.testing.faults import CountCommits

__all__ = ["BurialContract", "LifeContract"]


async def living(store: Store) -> set[WorkerKey]:
    """Return the numbers of the workers that are alive."""
    return {row.key for row in await store.list_workers() if row.is_alive}


class LifeContract(StoreScenario):
    """Registering, renewing and retiring."""

    async def test_registered_worker_is_listed_and_alive(self) -> None:
        """Begin a life of a worker: from now on it is alive."""
        async with self.process() as store, self.process() as other:
            worker = await store.register_worker(workflows=["orders", "größe"], lease=LEASE)

            (row,) = await other.list_workers()
            assert (row.key, row.pid, row.workflows, row.is_alive) == (worker, os.getpid(), ("orders", "größe"), True)

    async def test_graphs_of_a_worker_are_listed(self) -> None:
        """The graphs of these workflows as its own code makes them."""
        async with self.process() as store, self.process() as other:
            graphs = [await store.ensure_graph("orders", version, b"{}") for version in ("v1", "v2")]
            await store.register_worker(workflows=["orders"], lease=LEASE, graphs=graphs)

            assert [row.graphs for row in await other.list_workers()] == [tuple(graphs)]

    async def test_worker_numbers_are_never_used_twice(self) -> None:
        """The number was never used before: not by a life that is over and forgotten either."""
        async with self.process() as store:
            keys: list[WorkerKey] = []
            for _ in range(3):
                keys.append(await store.register_worker(workflows=[], lease=LEASE))
                await store.retire_worker(keys[-1])
                async with self.process() as other:
                    keys.append(await other.register_worker(workflows=[], lease=LEASE))
                await store.bury_dead_workers(now_ms=NOW)

            assert len(set(keys)) == 6
            assert await store.list_workers() == []

    async def test_siblings_see_the_end_of_a_process_at_once(self) -> None:
        """When the process ends in whatever way, siblings see it at once, without waiting for the lease."""
        async with self.process() as store:
            async with self.process() as other:
                worker = await other.register_worker(workflows=[], lease=LEASE)
                assert await living(store) == {worker}

            assert await living(store) == set()

    async def test_worker_whose_lease_is_over_is_dead(self) -> None:
        """Alive until it retires, its process ends or its lease is over."""
        async with self.process() as store, self.process() as other:
            await store.register_worker(workflows=[], lease=OVER)
            brief = await store.register_worker(workflows=[], lease=LEASE)
            assert await living(other) == {brief}

            assert store.renew_lease(brief, OVER)

            assert await living(other) == set()

    async def test_renewal_prolongs_the_lease_from_now_on(self) -> None:
        """Prolong the lease from now on."""
        brief = timedelta(milliseconds=100)
        async with self.process() as store:
            one = await store.register_worker(workflows=[], lease=LEASE)
            two = await store.register_worker(workflows=[], lease=LEASE)
            assert store.renew_lease(one, brief)
            assert store.renew_lease(two, brief)

            assert store.renew_lease(one, LEASE)

            async def is_over() -> bool:
                return two not in await living(store)

            await until(is_over)
            assert await living(store) == {one}

    async def test_renewal_works_from_any_thread(self) -> None:
        """Blocking; may be called from any thread."""
        async with self.process() as store:
            worker = await store.register_worker(workflows=[], lease=LEASE)

            answers = await asyncio.gather(*(asyncio.to_thread(store.renew_lease, worker, LEASE) for _ in range(8)))

            assert answers == [True] * 8

    async def test_renewal_does_not_wait_for_queued_writes(self) -> None:
        """Never waits behind queued writes: the loop that would settle them stands still here."""
        async with self.process() as store:
            held = await hold(store)
            writes = [append(store, held.write(seq)) for seq in range(2, 300)]

            assert store.renew_lease(held.worker, LEASE)

            assert not any(write.done() for write in writes)
            assert {type(await write) for write in writes} == {Receipt}

    async def test_retired_worker_leaves_its_runs_to_others_at_once(self) -> None:
        """End the life in good order: its runs become claimable at once. Return how many there were."""
        async with self.process() as store, self.process() as other:
            held = await hold(store, "one")
            await hold(store, "two", worker=held.worker)
            resting = await hold(store, "resting", worker=held.worker)
            await resting.release(None)
            foreign = await hold(store, "foreign")
            rival = await other.register_worker(workflows=[], lease=LEASE)

            assert await store.retire_worker(held.worker) == 2

            claimed = await other.claim(rival, graphs=[held.graph], now_ms=NOW, limit=9)
            assert sorted((run.run_id, run.epoch) for run in claimed) == [("one", 2), ("two", 2)]
            assert (await find(other, "foreign")).owner == foreign.worker
            assert {row.key for row in await other.list_workers()} == {foreign.worker, rival}

    async def test_retiring_twice_is_harmless(self) -> None:
        """Idempotent."""
        async with self.process() as store:
            held = await hold(store)

            assert [await store.retire_worker(held.worker) for _ in range(3)] == [1, 0, 0]

    async def test_retired_worker_cannot_write(self) -> None:
        """False means that this life is over, and whatever it writes is refused."""
        async with self.process() as store:
            held = await hold(store)
            await store.retire_worker(held.worker)

            assert not store.renew_lease(held.worker, LEASE)
            assert isinstance(await append(store, held.write()), StaleRunError)
            assert (await find(store)).head == 1
            assert await store.list_inbox(held.worker) == []


class BurialContract(StoreScenario):
    """`WorkerStore.bury_dead_workers`."""

    async def test_runs_of_an_ended_process_become_claimable(self) -> None:
        """End the lives whose process is gone; their runs become claimable at `now_ms`. Returns the number of runs."""
        async with self.process() as store:
            worker = await store.register_worker(workflows=[], lease=LEASE)
            async with self.process() as other:
                held = await hold(other, "one")
                await hold(other, "two", worker=held.worker)

            assert await store.bury_dead_workers(now_ms=NOW + 5) == 2

            assert [row.key for row in await store.list_workers()] == [worker]
            row = await find(store, "one")
            assert (row.owner, row.ready_at_ms, row.status) == (None, NOW + 5, RunStatus.RUNNING)
            assert await store.next_ready_at([held.graph]) == NOW + 5
            assert await store.claim(worker, graphs=[held.graph], now_ms=NOW + 4, limit=9) == []
            claimed = await store.claim(worker, graphs=[held.graph], now_ms=NOW + 5, limit=9)
            assert sorted((run.run_id, run.epoch) for run in claimed) == [("one", 2), ("two", 2)]

    async def test_writes_of_the_buried_are_refused(self) -> None:
        """From the commit on, every write of the buried worker is refused. False means that this life is over."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            store.renew_lease(held.worker, OVER)

            assert await other.bury_dead_workers(now_ms=NOW) == 1

            assert isinstance(await append(store, held.write()), StaleRunError)
            assert not store.renew_lease(held.worker, LEASE)
            assert await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=9) == []
            assert await store.retire_worker(held.worker) == 0
            assert await other.load_records(held.key) == records(1, 1)

    async def test_queued_writes_of_the_buried_are_refused(self) -> None:
        """From the commit on, every write of the buried worker is refused: also one that goes the run's new owner."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            rival = await other.register_worker(workflows=[], lease=LEASE)
            store.renew_lease(held.worker, OVER)
            await other.bury_dead_workers(now_ms=NOW)
            (claimed,) = await other.claim(rival, graphs=[held.graph], now_ms=NOW, limit=9)
            mine = held.write(owner=rival, epoch=claimed.epoch)

            stale, good = append(store, held.write()), append(other, mine)

            assert isinstance(await stale, StaleRunError)
            assert isinstance(await good, Receipt)
            assert await other.load_records(held.key) == records(1, 2)

    async def test_run_inserted_by_the_buried_is_left_to_others(self) -> None:
        """False for a `NewRun` whose owner is no longer alive: the run itself is not lost."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            rival = await other.register_worker(workflows=[], lease=LEASE)
            store.renew_lease(held.worker, OVER)
            await other.bury_dead_workers(now_ms=NOW)

            receipt = await insert(store, new_run(held.graph, "late", owner=held.worker))

            assert isinstance(receipt, Receipt)
            assert not receipt.is_owned
            claimed = await other.claim(rival, graphs=[held.graph], now_ms=NOW, limit=9)
            assert sorted(run.run_id for run in claimed) == ["late", "run"]

    async def test_the_living_are_never_buried(self) -> None:
        """A worker that is alive is never buried."""
        async with self.process() as store, self.process() as other:
            one, two = await hold(store, "one"), await hold(other, "two")
            dead = await hold(store, "dead")
            store.renew_lease(dead.worker, OVER)

            assert await other.bury_dead_workers(now_ms=NOW) == 1
            assert await store.bury_dead_workers(now_ms=NOW) == 0

            assert await living(store) == {one.worker, two.worker}
            assert isinstance(await append(store, one.write()), Receipt)
            assert isinstance(await append(other, two.write()), Receipt)
            assert store.renew_lease(one.worker, LEASE)

    async def test_worker_without_runs_is_buried_too(self) -> None:
        """Return the workers that were registered and not yet retired or buried."""
        async with self.process() as store:
            await store.register_worker(workflows=[], lease=OVER)
            assert len(await store.list_workers()) == 1

            assert await store.bury_dead_workers(now_ms=NOW) == 0

            assert await store.list_workers() == []

    async def test_burial_without_dead_costs_no_write(self) -> None:
        """Costs no write if nobody died."""
        seam = CountCommits()
        async with self.process(seam) as store:
            await hold(store)
            before = seam.commits

            assert await store.bury_dead_workers(now_ms=NOW) == 0

            assert seam.commits == before
