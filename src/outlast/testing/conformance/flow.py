"""The store contract: limits of how many runs go on at a time."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

import asyncio

from outlast.core.status import RunStatus
from outlast.errors import RunExistsError
from outlast.storage.base import Append, ClaimedRun, Ending, GraphKey, Receipt, Reopening, Store, WorkerKey
from outlast.storage.flow import Flow, Gate, Limit
from outlast.storage.identity import Admission, Identity
from outlast.testing.conformance.scenario import LEASE, NOW, StoreScenario, append, find, insert, new_run, records

__all__ = ["RUNS", "FlowContract", "Shop", "flow"]

RUNS = "runs of workflow 'orders'"
"""Name of a limit."""


def flow(key: str | None = None, *, priority: int = 0, limit: str = RUNS) -> Flow:
    """Make what a run is subject to: one limit, counted by a key."""
    return Flow(priority, (Gate(limit, key),))


class Shop:
    """A store with a graph, a worker, and runs under limits."""

    def __init__(self, store: Store, graph: GraphKey, worker: WorkerKey) -> None:
        self.store = store
        self.graph = graph
        self.worker = worker

    @classmethod
    async def open(cls, store: Store, *limits: Limit) -> Shop:
        """Declare limits and register a worker."""
        await store.declare_limits(limits)
        graph = await store.ensure_graph("orders", "v1", b"{}")
        return cls(store, graph, await store.register_worker(workflows=["orders"], lease=LEASE))

    async def add(self, *run_ids: str, flow: Flow | None = None, at_ms: int = NOW) -> None:
        """Record runs."""
        runs = (new_run(self.graph, each, created_at_ms=at_ms)._replace(flow=flow) for each in run_ids)
        outcomes = await asyncio.gather(*(insert(self.store, run) for run in runs))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)

    async def claim(self, limit: int = 10, *, now_ms: int = NOW) -> list[ClaimedRun]:
        """Take runs."""
        return await self.store.claim(self.worker, graphs=[self.graph], now_ms=now_ms, limit=limit)

    async def take(self, limit: int = 10, *, now_ms: int = NOW) -> list[str]:
        """Take runs and return their ids."""
        return [run.run_id for run in await self.claim(limit, now_ms=now_ms)]

    async def give_up(self, run_id: str, status: RunStatus, ready_at_ms: int | None = None) -> None:
        """Let the owner of a run release it."""
        row = await find(self.store, run_id)
        assert row.owner is not None
        write = Append(
            run=row.key,
            owner=row.owner,
            epoch=row.epoch,
            records=records(row.head + 1, 1),
            status=status,
            is_released=True,
            ready_at_ms=ready_at_ms,
            is_limited=row.is_limited,
        )
        assert isinstance(await append(self.store, write), Receipt)

    async def end(self, *run_ids: str) -> None:
        """Let runs end."""
        for run_id in run_ids:
            await self.give_up(run_id, RunStatus.SUCCESS)

    async def next_ready_at(self) -> int | None:
        """Return when to claim again."""
        return await self.store.next_ready_at([self.graph])


class FlowContract(StoreScenario):
    """Limits of how many runs go on at a time."""

    async def test_a_run_with_a_flow_begins_without_owner(self) -> None:
        """A run with a `flow` begins without owner, whomever it names."""
        async with self.process() as store:
            shop = await Shop.open(store)
            run = new_run(shop.graph, owner=shop.worker)._replace(flow=flow())

            receipt = await insert(store, run)

            assert isinstance(receipt, Receipt)
            assert (receipt.is_owned, receipt.epoch) == (False, 0)
            row = await find(store)
            assert (row.owner, row.is_limited) == (None, True)
            (claimed,) = await shop.claim()
            assert (claimed.is_limited, claimed.epoch) == (True, 1)
            assert await store.find_flow(row.key) == flow()

    async def test_no_more_runs_than_the_limit_are_given(self) -> None:
        """A run under flow control is given only while its gates are open."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 2))
            await shop.add("a", "b", "c", flow=flow())

            assert await shop.take() == ["a", "b"]
            assert await shop.take() == []
            assert await shop.next_ready_at() is None
            await shop.end("a")
            assert (await shop.next_ready_at() or 0) <= NOW
            assert await shop.take() == ["c"]
            assert await shop.next_ready_at() is None

    async def test_keys_are_counted_apart(self) -> None:
        """A gate is a limit for one key."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 2))
            for key in ("1", "2"):
                await shop.add(*(f"{key}-{n}" for n in range(5)), flow=flow(key))

            first = await shop.take()
            await shop.end("2-0")

            assert sorted(first) == ["1-0", "1-1", "2-0", "2-1"]
            assert await shop.take() == ["2-2"]

    async def test_all_gates_of_a_run_must_be_open(self) -> None:
        """A run under flow control is given only while its gates are open."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit("all", 3), Limit(RUNS, 2))
            for key in ("1", "2"):
                both = Flow(0, (Gate("all", None), Gate(RUNS, key)))
                await shop.add(*(f"{key}-{n}" for n in range(5)), flow=both)

            first = await shop.take()
            await shop.end("1-0")
            second = await shop.take()

            assert sorted(first) == ["1-0", "1-1", "2-0"]
            assert len(second) == 1

    async def test_racing_claims_of_several_processes_keep_the_limit(self) -> None:
        """So a limit of n never has more than n, however many processes claim."""
        async with self.process() as one, self.process() as two:
            shops = [await Shop.open(store, Limit(RUNS, 3)) for store in (one, two)]
            await shops[0].add(*(f"run-{n}" for n in range(20)), flow=flow())

            taken = await asyncio.gather(*(shop.take(2) for _ in range(4) for shop in shops))

            assert sum(len(each) for each in taken) == 3

    async def test_a_dead_owner_holds_its_gates(self) -> None:
        """It holds those until its owner releases it at rest or somebody ends it, whatever becomes of the owner."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add("a", "b", flow=flow())
            async with self.process() as other:
                dying = await Shop.open(other)
                assert await dying.take() == ["a"]

            assert await shop.take() == []
            assert await store.bury_dead_workers(now_ms=NOW) == 1
            assert await shop.take() == ["a"]
            assert await shop.take() == []
            await shop.end("a")
            assert await shop.take() == ["b"]

    async def test_a_run_given_up_at_work_holds_its_gates(self) -> None:
        """One that holds its gates already, because its owner gave it up at work, is given without more conditions."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add("a", "b", flow=flow())
            assert await shop.take() == ["a"]

            await shop.give_up("a", RunStatus.RUNNING, NOW)

            (claimed,) = await shop.claim()
            assert (claimed.run_id, claimed.is_limited) == ("a", True)
            await store.retire_worker(shop.worker)
            shop = await Shop.open(store)
            assert await shop.take() == ["a"]

    async def test_a_run_at_rest_holds_nothing_and_needs_its_gates_again(self) -> None:
        """A run under flow control that is released in another status than `running` holds its gates no longer."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add("a", "b", flow=flow())
            assert await shop.take() == ["a"]

            await shop.give_up("a", RunStatus.SUSPENDED)
            assert await shop.take() == ["b"]
            assert await store.post("a", kind="resume", topic="r", at_ms=NOW, body=b"{}")

            assert await shop.take() == []
            await shop.end("b")
            assert await shop.take() == ["a"]

    async def test_a_sleeping_run_comes_back_when_it_is_ready_and_its_gates_are_open(self) -> None:
        """A run under flow control is given only while its gates are open, from its `ready_at_ms` on."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add("a", flow=flow())
            assert await shop.take() == ["a"]

            await shop.give_up("a", RunStatus.WAITING, NOW + 100)

            assert await shop.take(now_ms=NOW + 99) == []
            assert await shop.next_ready_at() == NOW + 100
            await shop.add("b", flow=flow())
            assert await shop.take(now_ms=NOW + 99) == ["b"]
            assert await shop.take(now_ms=NOW + 100) == []
            await shop.end("b")
            assert await shop.take(now_ms=NOW + 100) == ["a"]

    async def test_a_run_that_somebody_ends_holds_nothing(self) -> None:
        """It holds those until its owner releases it at rest or somebody ends it."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add("a", "b", "c", flow=flow())
            assert await shop.take() == ["a"]
            await shop.give_up("a", RunStatus.RUNNING, NOW)

            assert await self._end_from_outside(store, "a")
            assert await self._end_from_outside(store, "b")

            assert await shop.take() == ["c"]

    async def _end_from_outside(self, store: Store, run_id: str) -> bool:
        row = await find(store, run_id)
        ending = Ending(
            run=row.key,
            epoch=row.epoch,
            head=row.head,
            records=records(row.head + 1, 1),
            status=RunStatus.CANCELED,
            is_limited=row.is_limited,
        )
        return await store.end_run(ending)

    async def test_the_next_execution_needs_the_gates_again(self) -> None:
        """A run under flow control is given only while its gates are open."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add("a", "b", flow=flow())
            await shop.take()
            await shop.end("a")
            assert await shop.take() == ["b"]
            row = await find(store, "a")

            reopening = Reopening(run=row.key, head=2, records=records(3, 1), is_limited=row.is_limited)
            assert await store.reopen_run(reopening)

            assert await shop.take() == []
            await shop.end("b")
            assert await shop.take() == ["a"]

    async def test_a_recorded_run_comes_under_flow_control_when_it_is_started(self) -> None:
        """With a `flow`, a run that was not under flow control is from then on."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await insert(store, new_run(shop.graph, "late")._replace(ready_at_ms=NOW + 10_000))
            await shop.add("a", flow=flow())
            assert await shop.take() == ["a"]

            assert await store.post("late", kind="start", topic="start", at_ms=NOW, body=b"{}", flow=flow())

            assert (await find(store, "late")).is_limited
            assert await shop.take() == []
            await shop.end("a")
            assert await shop.take() == ["late"]

    async def test_a_run_under_a_key_is_limited(self) -> None:
        """A run with a `flow` begins without owner; insert it unless its key stands for another."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            identity = Identity(scope="orders", key="k", input_hash=b"h", keep_ms=1000)
            await shop.add("a", flow=flow())
            assert await shop.take() == ["a"]

            admission = await store.insert_once(new_run(shop.graph, "b")._replace(flow=flow()), identity)

            assert admission == Admission("b", is_new=True)
            assert await shop.take() == []
            await shop.end("a")
            assert await shop.take() == ["b"]

    async def test_a_taken_id_leaves_the_lanes_as_they_were(self) -> None:
        """The second insert of a run id settles with `RunExistsError` and changes nothing."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add("a", flow=flow("1"))

            outcome = await insert(store, new_run(shop.graph, "a")._replace(flow=flow("2")))

            assert isinstance(outcome, RunExistsError)
            assert await shop.take() == ["a"]
            assert await shop.take() == []
            assert await shop.next_ready_at() is None

    async def test_a_changed_limit_holds_for_those_who_wait(self) -> None:
        """Make limits what an app says they are, for all processes and for the runs that wait already."""
        async with self.process() as store, self.process() as other:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add(*"abcd", flow=flow("1"))
            assert await shop.take() == ["a"]
            assert await shop.take() == []

            await other.declare_limits([Limit(RUNS, 3)])
            assert await shop.take() == ["b", "c"]

            await other.declare_limits([Limit(RUNS, 1)])
            await shop.end("a", "b")
            assert await shop.take() == []
            await shop.end("c")
            assert await shop.take() == ["d"]

    async def test_a_limit_that_nobody_declared_lets_everybody_through(self) -> None:
        """A limit that nobody ever declared lets everybody through."""
        async with self.process() as store:
            shop = await Shop.open(store)
            await shop.add(*"abcd", flow=flow("1"))

            assert await shop.take() == ["a", "b", "c", "d"]

    async def test_what_a_run_waits_for_is_told(self) -> None:
        """Return what a run that nobody owns waits for under its limits; None if it does not wait for its turn."""
        async with self.process() as store:
            limit = Limit(RUNS, 2)
            shop = await Shop.open(store, limit)
            await shop.add(*"abcd", flow=flow('"x"', priority=7))
            await shop.add("other", flow=flow('"y"'))
            assert sorted(await shop.take(3)) == ["a", "b", "other"]
            await shop.add("another", flow=flow('"y"'))

            wait = await store.find_wait((await find(store, "d")).key)

            assert wait is not None
            (state,) = wait.gates
            assert (state.gate, state.limit) == (Gate(RUNS, '"x"'), limit)
            assert (state.held, state.holders) == (2, ("a", "b"))
            assert (wait.priority, wait.ahead, wait.lanes) == (7, 1, 1)
            assert await store.find_wait((await find(store, "a")).key) is None

    async def test_a_deleted_run_leaves_nothing(self) -> None:
        """Delete a run that has ended: its journal, inbox and tags."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add("a", "b", flow=flow())
            await shop.take()
            await shop.end("a")
            key = (await find(store, "a")).key

            await store.delete_run("a", now_ms=NOW)

            assert await store.find_flow(key) is None
            assert await shop.take() == ["b"]
