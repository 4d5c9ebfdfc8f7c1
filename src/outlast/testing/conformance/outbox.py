"""The store contract: what must be delivered because of a commit."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast.core.status import RunStatus
from outlast.errors import StaleRunError, StoreUnavailableError
from outlast.storage.base import Ending, Receipt, Store, WorkerKey
from outlast.storage.keys import DeliveryKey
from outlast.storage.outbox import Delivery, DeliveryRow, NewDelivery
from outlast.testing.conformance.scenario import (
    LEASE,
    NOW,
    OVER,
    Held,
    StoreScenario,
    append,
    find,
    hold,
    insert,
    new_run,
    records,
    until,
)
from outlast.testing.faults import KillAt

__all__ = ["OutboxContract"]


def told(kind: str = "on_finish", *, seq: int = 2, due_at_ms: int = NOW) -> NewDelivery:
    """Make a delivery that tells of an event."""
    return NewDelivery(kind, seq, 0, due_at_ms)


async def end(held: Held, *outbox: NewDelivery, **changes: Any) -> Any:  # noqa: ANN401
    """Write the last event of a run, and what must be delivered because of it."""
    fields: dict[str, Any] = {"status": RunStatus.SUCCESS, "is_released": True, "outbox": outbox}
    return await append(held.store, held.write(**(fields | changes)))


async def claim(held: Held, *, limit: int = 9, now_ms: int = NOW, store: Store | None = None) -> list[Delivery]:
    """Claim deliveries for the worker that held the run."""
    return await (store or held.store).claim_deliveries(held.worker, graphs=[held.graph], now_ms=now_ms, limit=limit)


def kinds(deliveries: list[Delivery]) -> list[str]:
    """Return what is delivered."""
    return [each.kind for each in deliveries]


class OutboxContract(StoreScenario):
    """`Append.outbox`, `Ending.outbox` and `OutboxStore`."""

    async def test_deliveries_are_recorded_with_the_events(self) -> None:
        """Deliveries named in `outbox` are recorded by the same commit, in their order."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)

            assert isinstance(await end(held, told("b"), told("a", due_at_ms=NOW + 5)), Receipt)

            rows = await other.list_deliveries(held.key)
            assert [(row.kind, row.seq, row.execution, row.due_at_ms) for row in rows] == [
                ("b", 2, 0, NOW),
                ("a", 2, 0, NOW + 5),
            ]
            assert [(row.tries, row.owner, row.failure) for row in rows] == [(0, None, None)] * 2

    async def test_deliveries_of_several_writes_in_one_commit_keep_their_order(self) -> None:
        """Deliveries named in `outbox` are recorded by the same commit, in their order; of one run and of several."""
        async with self.process() as store:
            one = await hold(store, "one")
            two = await hold(store, "two", worker=one.worker)
            writes = [
                one.write(2, status=RunStatus.SUSPENDED, outbox=[told("first")]),
                two.write(2, status=RunStatus.SUSPENDED, outbox=[told("other")]),
                one.write(3, status=RunStatus.SUSPENDED, outbox=[told("second", seq=3)]),
            ]

            await asyncio.gather(*(append(store, write) for write in writes))

            assert [row.kind for row in await store.list_deliveries(one.key)] == ["first", "second"]
            assert [row.kind for row in await store.list_deliveries(two.key)] == ["other"]

    async def test_refused_write_asks_for_nothing(self) -> None:
        """If run, owner and epoch do not all match the row, it settles with `StaleRunError` and changes nothing."""
        async with self.process() as store:
            held = await hold(store)

            assert isinstance(await end(held, told(), epoch=held.epoch + 1), StaleRunError)

            assert await store.list_deliveries(held.key) == []
            assert await store.next_delivery_at([held.graph]) is None

    async def test_end_from_outside_asks_for_deliveries(self) -> None:
        """True: the events and deliveries are recorded."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            await insert(store, new_run(graph))
            row = await find(store)
            fields: dict[str, Any] = {"run": row.key, "status": RunStatus.CANCELED, "records": records(2, 1)}

            assert not await store.end_run(Ending(epoch=row.epoch, head=9, outbox=[told()], **fields))
            assert await store.list_deliveries(row.key) == []
            assert await store.end_run(Ending(epoch=row.epoch, head=row.head, outbox=[told()], **fields))

            assert [each.kind for each in await store.list_deliveries(row.key)] == ["on_finish"]

    async def test_deliveries_of_a_claim_that_is_canceled_are_free_again(self) -> None:
        """So may those that a call took that was canceled: before the commit, and with the answer on its way."""
        async with self.process() as store:
            held = await hold(store)
            await end(held, told())

            async def is_free() -> bool:
                return await store.next_delivery_at([held.graph]) is not None

            for turns in range(1, 8):
                worker = await store.register_worker(workflows=["orders"], lease=LEASE)
                asking = store.claim_deliveries(worker, graphs=[held.graph], now_ms=NOW, limit=5)
                claiming = asyncio.create_task(asking)
                for _ in range(turns):
                    await asyncio.sleep(0)
                claiming.cancel()
                await asyncio.wait([claiming])
                if claiming.cancelled():
                    await until(is_free)
                await store.retire_worker(worker)

    async def test_claim_gives_the_delivery_to_the_worker(self) -> None:
        """Take due deliveries; counts as tried from then on. Durable when it returns."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            await end(held, told())

            (claimed,) = await claim(held)

            (row,) = await other.list_deliveries(held.key)
            assert claimed == Delivery(
                key=row.key,
                run=held.key,
                run_id="run",
                workflow_id="orders",
                graph=held.graph,
                resource_id="customer-1",
                created_at_ms=NOW,
                kind="on_finish",
                seq=2,
                execution=0,
                tries=1,
            )
            assert row == DeliveryRow(row.key, "on_finish", 2, 0, 1, NOW, held.worker, None)
            assert await claim(held, store=other) == []
            assert await other.next_delivery_at([held.graph]) is None

    async def test_those_due_for_the_longest_time_come_first(self) -> None:
        """Take due deliveries, those due for the longest time first; at most `limit`."""
        async with self.process() as store:
            first = await hold(store, "0")
            times = [NOW - 20, NOW, NOW - 30, NOW + 1, NOW - 10]
            for number, at in enumerate(times):
                held = first if number == 0 else await hold(store, str(number), worker=first.worker)
                await end(held, told(due_at_ms=at))

            assert await store.next_delivery_at([first.graph]) == NOW - 30
            assert [each.run_id for each in await claim(first, limit=0)] == []
            assert [each.run_id for each in await claim(first, limit=3)] == ["2", "0", "4"]
            assert [each.run_id for each in await claim(first, limit=3)] == ["1"]
            assert await store.next_delivery_at([first.graph]) == NOW + 1

    async def test_deliveries_of_a_run_are_given_out_one_after_the_other(self) -> None:
        """Of a run only the first one that is due is given out."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            await end(held, told("a"), told("b", due_at_ms=NOW - 9), told("c"))
            seen: list[str] = []

            for _ in range(3):
                (delivery,) = await claim(held)
                assert await claim(held, store=other) == []
                assert await store.next_delivery_at([held.graph]) is None
                assert await store.end_delivery(held.worker, delivery.key, failure=None, due_at_ms=None)
                seen.append(delivery.kind)

            assert seen == ["a", "b", "c"]
            assert await other.list_deliveries(held.key) == []

    async def test_deliveries_of_other_graphs_are_left_alone(self) -> None:
        """Take due deliveries of runs of the given graphs."""
        async with self.process() as store:
            held = await hold(store)
            await end(held, told())
            other = await store.ensure_graph("orders", "v2", b"{}")

            for graphs in ([other], []):
                assert await store.claim_deliveries(held.worker, graphs=graphs, now_ms=NOW, limit=9) == []
                assert await store.next_delivery_at(graphs) is None
            assert kinds(await store.claim_deliveries(held.worker, graphs=[other, held.graph], now_ms=NOW, limit=9))

    async def test_racing_claims_share_the_deliveries_out(self) -> None:
        """A delivery is given to one worker only, also when processes race."""
        async with self.process() as one, self.process() as two:
            first = await hold(one, "0")
            for number in range(20):
                held = first if number == 0 else await hold(one, str(number), worker=first.worker)
                await end(held, told())
            rival = await two.register_worker(workflows=["orders"], lease=LEASE)

            async def take(store: Store, worker: WorkerKey) -> list[Delivery]:
                return await store.claim_deliveries(worker, graphs=[first.graph], now_ms=NOW, limit=3)

            batches = await asyncio.gather(
                *(take(store, worker) for _ in range(6) for store, worker in ((one, first.worker), (two, rival)))
            )

            claimed = [each.run_id for batch in batches for each in batch]
            assert sorted(claimed) == sorted(map(str, range(20)))

    async def test_failed_delivery_is_given_back(self) -> None:
        """With `failure` the row belongs to nobody again and may be claimed from `due_at_ms` on."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            await end(held, told("a"), told("b"))
            (delivery,) = await claim(held)

            assert await store.end_delivery(held.worker, delivery.key, failure=b"{}", due_at_ms=NOW + 10)

            row, _ = await other.list_deliveries(held.key)
            assert (row.due_at_ms, row.owner, row.failure, row.tries) == (NOW + 10, None, b"{}", 1)
            assert await other.next_delivery_at([held.graph]) == NOW + 10
            assert await claim(held, now_ms=NOW + 9) == []
            (again,) = await claim(held, now_ms=NOW + 10)
            assert (again.key, again.tries) == (delivery.key, 2)

    async def test_delivery_that_is_given_up_stays_and_lets_the_next_one_pass(self) -> None:
        """None gives it up, and the row stays. Of a run only the first one that is due is given out."""
        async with self.process() as store:
            held = await hold(store)
            await end(held, told("a"), told("b"))
            (delivery,) = await claim(held)

            assert await store.end_delivery(held.worker, delivery.key, failure=b"{}", due_at_ms=None)

            assert kinds(await claim(held)) == ["b"]
            row, _ = await store.list_deliveries(held.key)
            assert (row.key, row.due_at_ms, row.failure) == (delivery.key, None, b"{}")

    @pytest.mark.parametrize("failure", [None, b"{}"])
    async def test_delivery_of_somebody_else_is_not_ended(self, failure: bytes | None) -> None:
        """False, and nothing is changed, if the delivery is not this worker's (any more)."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            await end(held, told())
            rival = await other.register_worker(workflows=["orders"], lease=LEASE)
            (row,) = await store.list_deliveries(held.key)

            assert not await store.end_delivery(held.worker, row.key, failure=failure, due_at_ms=None)
            (delivery,) = await claim(held)
            before = await store.list_deliveries(held.key)
            assert not await other.end_delivery(rival, delivery.key, failure=failure, due_at_ms=None)
            assert not await other.end_delivery(rival, DeliveryKey(987), failure=failure, due_at_ms=None)

            assert await store.list_deliveries(held.key) == before

    async def test_deliveries_of_a_worker_that_retires_may_be_claimed_at_once(self) -> None:
        """When the life of a worker ends, its deliveries may be claimed at once."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            await end(held, told())
            (delivery,) = await claim(held)
            rival = await other.register_worker(workflows=["orders"], lease=LEASE)

            await store.retire_worker(held.worker)

            assert await other.next_delivery_at([held.graph]) == NOW
            (again,) = await other.claim_deliveries(rival, graphs=[held.graph], now_ms=NOW, limit=9)
            assert (again.key, again.tries) == (delivery.key, 2)
            assert not await store.end_delivery(held.worker, delivery.key, failure=None, due_at_ms=None)

    async def test_deliveries_of_a_dead_worker_may_be_claimed_at_once(self) -> None:
        """When the life of a worker ends, its deliveries may be claimed at once: also when its process is gone."""
        store = await self.open_store()
        async with self.process() as other:
            held = await hold(store)
            await end(held, told())
            await claim(held)
            rival = await other.register_worker(workflows=["orders"], lease=LEASE)

            await store.close()
            await other.bury_dead_workers(now_ms=NOW)

            assert kinds(await other.claim_deliveries(rival, graphs=[held.graph], now_ms=NOW, limit=9)) == ["on_finish"]

    async def test_lost_delivery_is_given_to_a_worker_that_makes_no_other(self) -> None:
        """When the life of a worker ends, its deliveries may be claimed alone: to a worker that makes no other."""
        async with self.process() as store:
            lost, fresh = await hold(store, "lost"), await hold(store, "fresh")
            await end(lost, told())
            await claim(lost)
            await store.retire_worker(lost.worker)
            await end(fresh, told("on_error", due_at_ms=NOW - 1))
            (other,) = await claim(fresh)

            while_busy = await claim(fresh)
            await store.end_delivery(fresh.worker, other.key, failure=None, due_at_ms=None)

            assert (kinds([other]), while_busy) == (["on_error"], [])
            assert kinds(await claim(fresh)) == ["on_finish"]

    async def test_worker_that_makes_a_lost_delivery_gets_no_other(self) -> None:
        """When the life of a worker ends, its deliveries are given out each alone: until it has ended, no other."""
        async with self.process() as store:
            first, second, third = [await hold(store, run_id) for run_id in ("first", "second", "third")]
            await end(first, told(due_at_ms=NOW - 2))
            await end(second, told(due_at_ms=NOW - 1))
            await claim(first, limit=1)
            await claim(second, limit=1)
            await store.retire_worker(first.worker)
            await store.retire_worker(second.worker)
            await end(third, told("on_error"))

            (one,) = await claim(third)
            meanwhile = await claim(third)
            await store.end_delivery(third.worker, one.key, failure=None, due_at_ms=None)
            (two,) = await claim(third)
            await store.end_delivery(third.worker, two.key, failure=b"no", due_at_ms=NOW)

            assert (one.run, meanwhile, two.run) == (first.key, [], second.key)
            assert kinds(await claim(third)) == ["on_finish", "on_error"]  # it failed like any other: it is not lost

    async def test_claims_of_a_life_that_is_over_are_empty(self) -> None:
        """An empty list if the worker's life is over."""
        async with self.process() as store:
            held = await hold(store)
            await end(held, told())
            expired = await store.register_worker(workflows=["orders"], lease=OVER)
            await store.retire_worker(held.worker)

            for worker in (held.worker, expired):
                assert await store.claim_deliveries(worker, graphs=[held.graph], now_ms=NOW, limit=9) == []

    @pytest.mark.parametrize("mode", ["before", "after", "lost"])
    async def test_events_and_deliveries_are_recorded_together_or_not_at_all(self, mode: Any) -> None:  # noqa: ANN401
        """Every write is atomic: all its parts are recorded or none."""
        seam = KillAt(4, mode)  # the graph, the worker and the run come before
        store = await self.open_store(seam)
        held = await hold(store)

        await end(held, told())
        await store.close()

        assert seam.struck
        async with self.process() as other:
            row = await find(other)
            assert (row.status is RunStatus.SUCCESS) == (mode != "before")
            assert len(await other.list_deliveries(row.key)) == (mode != "before")

    async def test_claim_whose_answer_is_lost_is_found_again(self) -> None:
        """A claim that is recorded is answered, so that nothing is given to a worker that does not know it."""
        seam = KillAt(5, "lost")  # the graph, the worker, the run and its end come before
        async with self.process(seam) as store:
            held = await hold(store)
            await end(held, told())

            claimed = await claim(held)

            assert seam.struck
            assert kinds(claimed) == ["on_finish"]

    async def test_end_whose_commit_failed_can_be_repeated(self) -> None:
        """Durable when it returns. If it raises, the same call may be made again."""
        seam = KillAt(6, "lost")
        async with self.process(seam) as store:
            held = await hold(store)
            await end(held, told())
            (delivery,) = await claim(held)

            try:
                await store.end_delivery(held.worker, delivery.key, failure=None, due_at_ms=None)
            except StoreUnavailableError:
                await store.end_delivery(held.worker, delivery.key, failure=None, due_at_ms=None)

            assert seam.struck
            assert await store.list_deliveries(held.key) == []
