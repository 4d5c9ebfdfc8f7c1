"""The store contract: taking runs that nobody owns, and noticing that there are some."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

import asyncio

from outlast.storage.base import ClaimedRun, Durability, GraphKey, Store
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
    until,
)

__all__ = ["ClaimContract", "NoticeContract"]


async def insert_sleeping(store: Store, graph: GraphKey, ready_at_ms: dict[str, int]) -> None:
    """Record runs that may be claimed at the given times, in the given order."""
    worker = await store.register_worker(workflows=["orders"], lease=LEASE)
    for run_id, at in ready_at_ms.items():
        held = await hold(store, run_id, worker=worker)
        if held.graph != graph:
            raise AssertionError(held.graph)
        await held.release(at)
    await store.retire_worker(worker)


class ClaimContract(StoreScenario):
    """`WorkerStore.claim`."""

    async def test_claim_gives_the_run_to_the_worker(self) -> None:
        """Take claimable runs. Durable when it returns."""
        async with self.process() as store, self.process() as other:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)
            await insert(store, new_run(graph))

            (claimed,) = await store.claim(worker, graphs=[graph], now_ms=NOW, limit=5)

            row = await find(other)
            assert claimed == ClaimedRun(
                key=row.key, run_id="run", workflow_id="orders", graph=graph, resource_id="customer-1", epoch=1, head=1
            )
            assert (row.owner, row.epoch, row.head) == (worker, 1, 1)
            assert await store.claim(worker, graphs=[graph], now_ms=NOW, limit=5) == []
            assert await other.next_ready_at([graph]) is None

    async def test_runs_of_a_claim_that_is_canceled_are_free_again(self) -> None:
        """If the call is canceled, what it took is free again: before the commit, or with the answer on its way."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            await insert(store, new_run(graph))

            async def is_free() -> bool:
                return await store.next_ready_at([graph]) is not None

            for turns in range(1, 8):
                worker = await store.register_worker(workflows=["orders"], lease=LEASE)
                claiming = asyncio.create_task(store.claim(worker, graphs=[graph], now_ms=NOW, limit=5))
                for _ in range(turns):
                    await asyncio.sleep(0)
                claiming.cancel()
                await asyncio.wait([claiming])
                if claiming.cancelled():
                    await until(is_free)
                await store.retire_worker(worker)

    async def test_those_ready_for_the_longest_time_come_first(self) -> None:
        """Take claimable runs, those that are ready for the longest time first."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            times = {"b": NOW - 20, "d": NOW, "a": NOW - 30, "later": NOW + 1, "c": NOW - 10}
            await insert_sleeping(store, graph, times)
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)

            first = await store.claim(worker, graphs=[graph], now_ms=NOW, limit=3)
            second = await store.claim(worker, graphs=[graph], now_ms=NOW, limit=3)

            assert [run.run_id for run in first] == ["a", "b", "c"]
            assert [run.run_id for run in second] == ["d"]

    async def test_order_holds_between_graphs(self) -> None:
        """Take claimable runs of the given graphs, those that are ready for the longest time first."""
        async with self.process() as store:
            one = await store.ensure_graph("orders", "v1", b"{}")
            two = await store.ensure_graph("orders", "v2", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)
            for number in range(6):
                graph = two if number % 2 else one
                await insert(store, new_run(graph, f"run-{number}", created_at_ms=NOW - 100 + number))

            claimed = await store.claim(worker, graphs=[two, one], now_ms=NOW, limit=5)

            assert len(claimed) == 5
            rows = [await find(store, run.run_id) for run in claimed]
            assert [row.run_id for row in rows] == [f"run-{number}" for number in range(5)]

    async def test_claim_takes_no_more_than_the_limit(self) -> None:
        """Take claimable runs, at most `limit`; the others stay claimable."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)
            for number in range(7):
                await insert(store, new_run(graph, f"run-{number}"))

            counts = [len(await store.claim(worker, graphs=[graph], now_ms=NOW, limit=n)) for n in (0, 3, 3, 3, 3)]

            assert counts == [0, 3, 3, 1, 0]

    async def test_runs_of_other_graphs_are_left_alone(self) -> None:
        """Take claimable runs of the given graphs."""
        async with self.process() as store:
            known = await store.ensure_graph("orders", "v1", b"{}")
            unknown = await store.ensure_graph("orders", "v2", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)
            await insert(store, new_run(unknown, "unknown", created_at_ms=NOW - 99))
            await insert(store, new_run(known, "known"))

            assert await store.claim(worker, graphs=[], now_ms=NOW, limit=9) == []
            claimed = await store.claim(worker, graphs=[known], now_ms=NOW, limit=9)

            assert [run.run_id for run in claimed] == ["known"]
            assert (await find(store, "unknown")).owner is None

    async def test_epoch_grows_with_every_claim(self) -> None:
        """Its epoch is one higher than before."""
        async with self.process() as store:
            held = await hold(store)
            await held.release(NOW)
            for _ in range(5):
                before = (await find(store)).epoch

                (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)

                assert claimed.epoch == before + 1 == (await find(store)).epoch
                write = held.write(count=0, epoch=claimed.epoch, is_released=True, ready_at_ms=NOW)
                await append(store, write)

    async def test_racing_claims_share_the_runs_out(self) -> None:
        """A run is given to one worker only, also when processes race."""
        async with self.process() as one, self.process() as two, self.process() as three:
            stores = (one, two, three)
            graph = await one.ensure_graph("orders", "v1", b"{}")
            workers = [await store.register_worker(workflows=["orders"], lease=LEASE) for store in stores]
            await asyncio.gather(*(insert(one, new_run(graph, f"run-{n}")) for n in range(60)))

            batches = await asyncio.gather(
                *(
                    store.claim(worker, graphs=[graph], now_ms=NOW, limit=4)
                    for _ in range(8)
                    for store, worker in zip(stores, workers, strict=True)
                )
            )

            claimed = [run for batch in batches for run in batch]
            assert sorted(run.run_id for run in claimed) == sorted(f"run-{n}" for n in range(60))
            for place, batch in enumerate(batches):
                for run in batch:
                    row = await find(one, run.run_id)
                    assert (row.owner, row.epoch) == (workers[place % 3], run.epoch) == (workers[place % 3], 1)

    async def test_claims_of_a_life_that_is_over_are_empty(self) -> None:
        """An empty list if the worker's life is over."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            await insert(store, new_run(graph))
            retired = await store.register_worker(workflows=["orders"], lease=LEASE)
            await store.retire_worker(retired)
            expired = await store.register_worker(workflows=["orders"], lease=OVER)

            assert await store.claim(retired, graphs=[graph], now_ms=NOW, limit=1) == []
            assert await store.claim(expired, graphs=[graph], now_ms=NOW, limit=1) == []
            assert (await find(store)).owner is None


class NoticeContract(StoreScenario):
    """`Store.next_ready_at`, `Store.has_changed` and `Store.durability`."""

    async def test_next_ready_at_is_the_earliest_time(self) -> None:
        """Return the earliest `ready_at_ms` among the runs of these graphs without owner; None if there is none."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            empty = await store.ensure_graph("orders", "v2", b"{}")
            assert await store.next_ready_at([graph, empty]) is None
            await insert_sleeping(store, graph, {"b": NOW + 20, "a": NOW + 10, "c": NOW + 30})
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)
            await hold(store, "owned", worker=worker)

            assert await store.next_ready_at([graph, empty]) == NOW + 10
            assert await store.next_ready_at([empty]) is None
            assert await store.next_ready_at([]) is None
            await store.claim(worker, graphs=[graph], now_ms=NOW + 10, limit=1)
            assert await store.next_ready_at([graph]) == NOW + 20

    async def test_has_changed_sees_what_others_write(self) -> None:
        """Say whether another process may have written since the last call."""
        async with self.process() as store, self.process() as other:
            held = await hold(other)

            async def quiet() -> bool:
                return not store.has_changed()

            await until(quiet)
            await insert(other, new_run(held.graph, "second"))
            assert store.has_changed()
            await until(quiet)
            await append(other, held.write())
            assert store.has_changed()
            await until(quiet)
            await other.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")
            assert store.has_changed()
            await until(quiet)
            await held.release(NOW)  # refused: the head moved on
            await append(other, held.write(3, is_released=True, ready_at_ms=NOW))
            assert store.has_changed()

    async def test_durability_is_declared(self) -> None:
        """What a commit waits for."""
        async with self.process() as store:
            assert isinstance(store.durability, Durability)
