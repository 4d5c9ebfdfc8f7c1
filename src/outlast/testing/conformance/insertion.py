"""The store contract: recording new runs, and the order in which writes settle."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
import threading
from functools import partial

from outlast.core.status import RunStatus
from outlast.errors import OutlastError, RunExistsError, StaleRunError, StoreUnavailableError
from outlast.storage.base import Receipt
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

__all__ = ["InsertContract", "SettleContract"]


class InsertContract(StoreScenario):
    """`RunStore.insert`."""

    async def test_insert_records_the_run_and_its_journal(self) -> None:
        """Record a new run together with the beginning of its journal."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")

            receipt = await insert(store, new_run(graph, created_at_ms=NOW - 5, journal=records(1, 3)))

            assert isinstance(receipt, Receipt)
            row = await find(store)
            assert (row.key, row.run_id, row.workflow_id, row.graph) == (receipt.run, "run", "orders", graph)
            assert (row.resource_id, row.status, row.execution, row.head) == ("customer-1", RunStatus.PENDING, 0, 3)
            assert (row.created_at_ms, row.updated_at_ms) == (NOW - 5, NOW)
            assert await store.load_records(receipt.run) == records(1, 3)

    async def test_insert_without_resource_keeps_none(self) -> None:
        """Whose run it is, for filters and access; the caller's word."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")

            await insert(store, new_run(graph)._replace(resource_id=None))

            assert (await find(store)).resource_id is None

    async def test_insert_with_a_later_time_is_claimable_from_then_on(self) -> None:
        """Without an owner it is claimable from its `ready_at_ms` on."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)

            await insert(store, new_run(graph)._replace(ready_at_ms=NOW + 1_000))

            assert await store.next_ready_at([graph]) == NOW + 1_000
            assert await store.claim(worker, graphs=[graph], now_ms=NOW + 999, limit=9) == []
            (claimed,) = await store.claim(worker, graphs=[graph], now_ms=NOW + 1_000, limit=9)
            assert claimed.run_id == "run"

    async def test_second_insert_of_an_id_changes_nothing(self) -> None:
        """The second insert of a run id settles with `RunExistsError` and changes nothing."""
        async with self.process() as store:
            held = await hold(store)
            before = await find(store)

            outcome = await insert(store, new_run(held.graph, journal=records(1, 9)))

            assert isinstance(outcome, RunExistsError)
            assert outcome.run_id == "run"
            assert await find(store) == before
            assert await store.load_records(held.key) == records(1, 1)

    async def test_second_insert_of_an_id_in_the_same_turn_is_refused(self) -> None:
        """The second insert of a run id settles with `RunExistsError`: also if both wait for the same commit."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")

            first = insert(store, new_run(graph, journal=records(1, 2)))
            second = insert(store, new_run(graph, journal=records(1, 9)))
            other = insert(store, new_run(graph, "other"))

            receipt = await first
            assert isinstance(receipt, Receipt)
            assert isinstance(await second, RunExistsError)
            assert isinstance(await other, Receipt)
            assert await store.load_records(receipt.run) == records(1, 2)

    async def test_run_id_stays_taken_after_the_run_has_ended(self) -> None:
        """Id that callers know it by; unique in the store for ever."""
        async with self.process() as store:
            held = await hold(store)
            await append(store, held.write(status=RunStatus.SUCCESS, is_released=True))

            assert isinstance(await insert(store, new_run(held.graph)), RunExistsError)

    async def test_racing_inserts_of_two_processes_have_one_winner(self) -> None:
        """The second insert of a run id settles with `RunExistsError` also when two processes race."""
        async with self.process() as one, self.process() as two:
            graph = await one.ensure_graph("orders", "v1", b"{}")

            ids = [f"run-{n}" for n in range(20)]
            pairs = [(insert(one, new_run(graph, run_id)), insert(two, new_run(graph, run_id))) for run_id in ids]

            for run_id, (first, second) in zip(ids, pairs, strict=True):
                outcomes = [await first, await second]
                (receipt,) = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
                (error,) = [outcome for outcome in outcomes if isinstance(outcome, OutlastError)]
                assert isinstance(error, RunExistsError)
                assert (await find(one, run_id)).key == (await find(two, run_id)).key == receipt.run

    async def test_insert_with_a_living_owner_belongs_to_it(self) -> None:
        """With an owner that is alive, the run belongs to it from the first moment, with epoch 1."""
        async with self.process() as one, self.process() as two:
            graph = await one.ensure_graph("orders", "v1", b"{}")
            owner = await one.register_worker(workflows=["orders"], lease=LEASE)
            rival = await two.register_worker(workflows=["orders"], lease=LEASE)

            receipt = await insert(one, new_run(graph, owner=owner))

            row = await find(two)
            assert receipt == Receipt(row.key, 1, is_owned=True)
            assert (row.owner, row.epoch, row.status) == (owner, 1, RunStatus.RUNNING)
            assert await two.claim(rival, graphs=[graph], now_ms=NOW, limit=9) == []
            assert await two.next_ready_at([graph]) is None

    async def test_insert_with_a_retired_owner_leaves_the_run_to_others(self) -> None:
        """If the owner's life is over, the run is recorded without owner, claimable at once; the receipt says so."""
        async with self.process() as one, self.process() as two:
            graph = await one.ensure_graph("orders", "v1", b"{}")
            owner = await one.register_worker(workflows=["orders"], lease=LEASE)
            rival = await two.register_worker(workflows=["orders"], lease=LEASE)
            await one.retire_worker(owner)

            receipt = await insert(one, new_run(graph, owner=owner))

            assert isinstance(receipt, Receipt)
            assert not receipt.is_owned
            assert (await find(one)).owner is None
            assert await one.load_records(receipt.run) == records(1, 1)
            (claimed,) = await two.claim(rival, graphs=[graph], now_ms=NOW, limit=9)
            assert claimed.key == receipt.run

    async def test_insert_with_an_owner_whose_lease_is_over_leaves_the_run_to_others(self) -> None:
        """From now on it is alive until it retires, its process ends or its lease is over."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            owner = await store.register_worker(workflows=["orders"], lease=OVER)

            receipt = await insert(store, new_run(graph, owner=owner))

            assert isinstance(receipt, Receipt)
            assert not receipt.is_owned
            assert (await find(store)).owner is None

    async def test_insert_after_others_of_an_owner_whose_life_ended_meanwhile_leaves_the_run_to_others(self) -> None:
        """If the owner's life is over, the run is recorded without owner: whatever earlier inserts found."""
        async with self.process() as one, self.process() as two:
            graph = await one.ensure_graph("orders", "v1", b"{}")
            owners = [await one.register_worker(workflows=["orders"], lease=LEASE) for _ in range(3)]
            for n, owner in enumerate(owners):
                receipt = await insert(one, new_run(graph, f"before-{n}", owner=owner))
                assert isinstance(receipt, Receipt)
                assert receipt.is_owned

            await one.retire_worker(owners[0])
            one.renew_lease(owners[1], OVER)
            one.renew_lease(owners[2], OVER)
            first = [await insert(one, new_run(graph, f"first-{n}", owner=owner)) for n, owner in enumerate(owners)]
            await two.bury_dead_workers(now_ms=NOW)
            second = [await insert(one, new_run(graph, f"second-{n}", owner=owner)) for n, owner in enumerate(owners)]

            assert [isinstance(receipt, Receipt) and receipt.is_owned for receipt in first + second] == [False] * 6

    async def test_insert_after_others_of_an_owner_that_renewed_meanwhile_belongs_to_it(self) -> None:
        """With an owner that is alive, the run belongs to it from the first moment: whatever earlier inserts found."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            owner = await store.register_worker(workflows=["orders"], lease=OVER)
            before = await insert(store, new_run(graph, "before", owner=owner))
            assert store.renew_lease(owner, LEASE)

            after = await insert(store, new_run(graph, "after", owner=owner))

            assert [isinstance(receipt, Receipt) and receipt.is_owned for receipt in (before, after)] == [False, True]

    async def test_inserts_of_two_processes_in_turn_have_numbers_of_their_own(self) -> None:
        """The store's own number for a run: also when another process inserted since the last one."""
        async with self.process() as one, self.process() as two:
            graph = await one.ensure_graph("orders", "v1", b"{}")

            receipts = [
                await insert(store, new_run(graph, f"{n}-{turn}"))
                for turn in range(5)
                for n, store in enumerate((one, two))
            ]

            assert len({receipt.run for receipt in receipts if isinstance(receipt, Receipt)}) == len(receipts)

    async def test_insert_without_owner_is_claimable_at_once(self) -> None:
        """Without an owner its epoch is 0 and it is claimable at once."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)

            receipt = await insert(store, new_run(graph))

            row = await find(store)
            assert receipt == Receipt(row.key, 0, is_owned=False)
            assert (row.owner, row.epoch) == (None, 0)
            assert await store.next_ready_at([graph]) is not None
            assert len(await store.claim(worker, graphs=[graph], now_ms=NOW, limit=9)) == 1


def _note(order: list[int], number: int, _: object) -> None:
    order.append(number)


class SettleContract(StoreScenario):
    """How writes settle."""

    async def test_writes_settle_in_the_order_in_which_they_were_handed_over(self) -> None:
        """Writes settle in the order in which they were handed over, for one run as well as between runs."""
        async with self.process() as store:
            one = await hold(store, "one")
            two = await hold(store, "two", worker=one.worker)
            order: list[int] = []
            writes = [
                append(store, one.write(2)),
                insert(store, new_run(one.graph, "three")),
                append(store, two.write(2)),
                append(store, two.write(9)),  # refused: a gap
                insert(store, new_run(one.graph, "one")),  # refused: taken
                append(store, one.write(3)),
            ]
            for number, write in enumerate(writes):
                write.add_done_callback(partial(_note, order, number))

            outcomes = await asyncio.gather(*writes)

            assert order == list(range(6))
            refused = [type(outcome) for outcome in outcomes if isinstance(outcome, OutlastError)]
            assert refused == [StaleRunError, RunExistsError]

    async def test_settle_is_never_called_from_inside_the_call(self) -> None:
        """Called once per write, on the event loop, never from inside the call that hands the write over."""
        async with self.process() as store:
            held = await hold(store)
            threads: list[int] = []
            done = asyncio.get_running_loop().create_future()

            def settle(_: Receipt | OutlastError) -> None:
                threads.append(threading.get_ident())
                if len(threads) == 3:  # noqa: PLR2004
                    done.set_result(None)

            store.insert(new_run(held.graph, "other"), settle)
            store.append(held.write(), settle)
            store.append(held.write(99), settle)

            assert not threads
            await done
            await store.find_run("run")
            assert threads == [threading.get_ident()] * 3

    async def test_a_write_handed_over_by_a_settle_is_recorded(self) -> None:
        """Called on the event loop after the commit is durable or refused: whoever is called may write again."""
        async with self.process() as store:
            held = await hold(store)
            done: asyncio.Future[Receipt | OutlastError] = asyncio.get_running_loop().create_future()

            def write_again(_: Receipt | OutlastError) -> None:
                store.append(held.write(3), done.set_result)

            store.append(held.write(2), write_again)

            assert isinstance(await done, Receipt)
            assert (await find(store)).head == 3  # noqa: PLR2004

    async def test_close_waits_for_the_writes_that_were_handed_over(self) -> None:
        """Wait for the writes that were handed over, then let go of everything. Idempotent."""
        async with self.process() as other:
            store = await self.open_store()
            held = await hold(store)
            writes = [append(store, held.write(seq)) for seq in range(2, 50)]

            await store.close()
            await store.close()

            assert all(write.done() and isinstance(write.result(), Receipt) for write in writes)
            assert (await find(other)).head == 49  # noqa: PLR2004

    async def test_write_to_a_closed_store_settles_with_an_error(self) -> None:
        """Never from inside the call that hands the write over, which does not raise: `StoreUnavailableError`."""
        async with self.process() as other:
            store = await self.open_store()
            held = await hold(store)
            await store.close()

            answers = [append(store, held.write()), insert(store, new_run(held.graph, "late"))]

            assert not any(answer.done() for answer in answers)
            assert [type(await answer) for answer in answers] == [StoreUnavailableError] * 2
            assert (await find(other)).head == 1
            assert await other.find_run("late") is None

    async def test_what_is_recorded_is_there_for_the_next_process(self) -> None:
        """A write is durable at the store's class."""
        store = await self.open_store()
        held = await hold(store)
        await append(store, held.write(2))
        async with self.process() as other:
            await store.close()

            assert await other.load_records(held.key) == records(1, 2)
            assert await other.load_graph(held.graph) == b"{}"
