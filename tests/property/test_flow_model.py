"""Random histories of runs under limits, compared with a model that is nothing but dicts (rule 19).

`OUTLAST_EXAMPLES` sets how many histories are tried for each store.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.storage.base import Append, Ending, NewRun, Receipt, RunKey, Store, WorkerKey
from outlast.storage.flow import Flow, Gate, Limit
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.storage.sqlite import SqliteStore

T = TypeVar("T")

EXAMPLES = int(os.environ.get("OUTLAST_EXAMPLES", min(15, settings().max_examples)))
LEASE = timedelta(hours=1)
ALL, BY_KEY = "runs of workflow 'w'", "runs of workflow 'w' by key"
KEYS = ("a", "b", "c")
SOME = st.integers(0, 99)


@dataclass
class ModelRun:
    """What the model knows of a run."""

    key: RunKey
    flow: Flow | None
    head: int = 1
    owner: WorkerKey | None = None
    epoch: int = 0
    ready_at_ms: int | None = None
    holds: bool = False

    @property
    def priority(self) -> int:
        return 0 if self.flow is None else self.flow.priority


class FlowMachine(RuleBasedStateMachine):
    """Three processes on one store, which may die, and the model. Time passes by one millisecond for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 1000
        self.runs: dict[str, ModelRun] = {}
        self.limits = {ALL: 4, BY_KEY: 2}
        self.posts = 0

    def make_store(self) -> Store:
        raise NotImplementedError

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        self.now += 1
        return self.loop.run_until_complete(call)

    @initialize()
    def open(self) -> None:
        self.processes: list[tuple[Store, WorkerKey]] = [self.new_process() for _ in range(3)]
        store = self.processes[0][0]
        self.graph = self.do(store.ensure_graph("w", "v", b"{}"))
        self.declare()
        for number in range(8):
            self.insert(number, KEYS[number % 2], 0, 0)

    def new_process(self) -> tuple[Store, WorkerKey]:
        store = self.make_store()
        self.do(store.open())
        return store, self.do(store.register_worker(workflows=["w"], lease=LEASE))

    def teardown(self) -> None:
        for store, _ in self.processes:
            self.do(store.close())
        self.do(self.loop.shutdown_default_executor())
        self.loop.close()

    def declare(self) -> None:
        self.do(self.processes[0][0].declare_limits([Limit(name, most) for name, most in self.limits.items()]))

    @rule(name=st.sampled_from([ALL, BY_KEY]), most=st.integers(1, 5))
    def change_limit(self, name: str, most: int) -> None:
        self.limits[name] = most
        self.declare()

    @rule(
        pick=SOME,
        key=st.none() | st.sampled_from(KEYS),
        priority=st.sampled_from([0, 0, 0, 0, 1, -1]),
        delay=st.sampled_from([0, 0, 0, 20]),
    )
    def insert(self, pick: int, key: str | None, priority: int, delay: int) -> None:
        flow = None if key is None else Flow(priority, (Gate(ALL, None), Gate(BY_KEY, key)))
        run_id = f"run-{len(self.runs)}"
        new = NewRun(
            run_id=run_id,
            workflow_id="w",
            graph=self.graph,
            resource_id=None,
            created_at_ms=self.now,
            status=RunStatus.PENDING,
            owner=None,
            records=[self.record(1)],
            ready_at_ms=self.now + delay,
            flow=flow,
        )
        receipt = self.settle(lambda settle: self.processes[pick % 3][0].insert(new, settle))
        assert isinstance(receipt, Receipt)
        self.runs[run_id] = ModelRun(receipt.run, flow, ready_at_ms=new.ready_at_ms)

    def record(self, seq: int) -> Record:
        return Record(seq, 0, True, "event", 1, self.now, "node", 0, None, b"0")

    def settle(self, hand_over: Any) -> Any:
        async def wait() -> Any:
            answer = self.loop.create_future()
            hand_over(answer.set_result)
            return await answer

        return self.do(wait())

    def held(self, gate: Gate) -> int:
        return sum(run.holds and run.flow is not None and gate in run.flow.gates for run in self.runs.values())

    def may_go_on(self, now: int) -> list[ModelRun]:
        """Return the runs that a claim may give out at this time."""
        ready = [
            run
            for run in self.runs.values()
            if run.owner is None and run.ready_at_ms is not None and run.ready_at_ms <= now
        ]
        return [
            run
            for run in ready
            if run.flow is None
            or run.holds
            or all(self.held(gate) < self.limits[gate.limit] for gate in run.flow.gates)
        ]

    @rule(pick=SOME, limit=st.sampled_from([1, 1, 2, 3, 50]))
    def claim(self, pick: int, limit: int) -> None:
        store, worker = self.processes[pick % 3]
        now = self.now
        due = self.do(store.next_ready_at([self.graph]))
        before = self.may_go_on(now)
        # Whoever may go on is told of: nobody waits for ever behind an open gate.
        assert not before or (due is not None and due <= now)

        claimed = self.do(store.claim(worker, graphs=[self.graph], now_ms=now, limit=limit))

        chosen = [self.runs[each.run_id] for each in claimed]
        for each, run in zip(claimed, chosen, strict=True):
            assert run.owner is None
            assert (each.epoch, each.is_limited) == (run.epoch + 1, run.flow is not None)
            self.check_gates(run)
            run.owner, run.epoch, run.ready_at_ms, run.holds = worker, run.epoch + 1, None, True
        left = self.may_go_on(now)
        assert len(claimed) <= limit
        # Either every place is taken, by those of the highest priorities, or nobody is left who could take one.
        if len(claimed) < limit:
            assert not left
        elif left:
            lowest = min(run.priority for run in chosen)
            assert all(run.priority <= lowest or run in self.without_flow(left) for run in left)

    def without_flow(self, runs: Sequence[ModelRun]) -> list[ModelRun]:
        """Runs that need nothing but a worker: they come with those of priority 0, whatever theirs was."""
        return [run for run in runs if run.flow is None or run.holds]

    def check_gates(self, run: ModelRun) -> None:
        if run.flow is not None and not run.holds:
            for gate in run.flow.gates:
                assert self.held(gate) < self.limits[gate.limit], f"{gate} has more than its limit"

    def owned(self, pick: int) -> str | None:
        owned = [run_id for run_id, run in self.runs.items() if run.owner is not None]
        return owned[pick % len(owned)] if owned else None

    @precondition(lambda self: any(run.owner is not None for run in self.runs.values()))
    @rule(
        pick=SOME,
        status=st.sampled_from([RunStatus.SUCCESS, RunStatus.SUCCESS, RunStatus.RUNNING, RunStatus.SUSPENDED]),
        delay=st.sampled_from([None, 0, 10]),
    )
    def release(self, pick: int, status: RunStatus, delay: int | None) -> None:
        run_id = self.owned(pick)
        assert run_id is not None
        run = self.runs[run_id]
        assert run.owner is not None
        ready_at_ms = None if delay is None or status.is_terminal else self.now + delay
        store = next(store for store, worker in self.processes if worker == run.owner)
        write = Append(
            run=run.key,
            owner=run.owner,
            epoch=run.epoch,
            records=[self.record(run.head + 1)],
            status=status,
            is_released=True,
            ready_at_ms=ready_at_ms,
            inbox_taken=[row.key for row in self.do(store.list_requests(run.key))],
            is_limited=run.flow is not None,
        )
        assert isinstance(self.settle(lambda settle: store.append(write, settle)), Receipt)
        run.owner, run.ready_at_ms, run.head = None, ready_at_ms, run.head + 1
        run.holds = status is RunStatus.RUNNING

    @rule(pick=SOME)
    def die(self, pick: int) -> None:
        """A process is killed; a sibling finds out, and another one comes."""
        store, worker = self.processes.pop(pick % 3)
        self.do(store.close())
        now = self.now
        freed = self.do(self.processes[0][0].bury_dead_workers(now_ms=now))
        owned = [run for run in self.runs.values() if run.owner == worker]
        assert freed == len(owned)
        for run in owned:
            run.owner, run.ready_at_ms = None, now
        self.processes.append(self.new_process())

    @rule(pick=SOME)
    def end_from_outside(self, pick: int) -> None:
        free = [(run_id, run) for run_id, run in self.runs.items() if run.owner is None]
        if not free:
            return
        run_id, run = free[pick % len(free)]
        store = self.processes[pick % 3][0]
        ending = Ending(
            run=run.key,
            epoch=run.epoch,
            head=run.head,
            records=[self.record(run.head + 1)],
            status=RunStatus.CANCELED,
            inbox_taken=[row.key for row in self.do(store.list_requests(run.key))],
            is_limited=run.flow is not None,
        )
        assert self.do(store.end_run(ending)), run_id
        run.head, run.ready_at_ms, run.holds = run.head + 1, None, False

    @rule(pick=SOME)
    def wake(self, pick: int) -> None:
        """Somebody asks something of a run that rests or sleeps."""
        free = [(run_id, run) for run_id, run in self.runs.items() if run.owner is None and run.flow is not None]
        if not free:
            return
        run_id, run = free[pick % len(free)]
        store = self.processes[pick % 3][0]
        row = self.do(store.find_run(run_id))
        assert row is not None
        if row.status.is_terminal:
            return
        self.posts += 1
        now = self.now
        assert self.do(store.post(run_id, kind="resume", topic=f"{self.posts}", at_ms=now, body=b"{}"))
        run.ready_at_ms = now if run.ready_at_ms is None else min(run.ready_at_ms, now)


class MemoryMachine(FlowMachine):
    def __init__(self) -> None:
        super().__init__()
        self.database = MemoryDatabase()

    def make_store(self) -> Store:
        return MemoryStore(self.database)


class SqliteMachine(FlowMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    def make_store(self) -> Store:
        path = Path(self.folder.name) / "store.db"
        return SqliteStore(path, durability="normal", allow_network_filesystem=True)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


@pytest.mark.parametrize(
    "machine",
    [pytest.param(MemoryMachine, id="memory"), pytest.param(SqliteMachine, id="sqlite", marks=pytest.mark.slow)],
)
def test_limits_hold_and_nobody_is_forgotten(machine: type[FlowMachine]):
    """19: never more than the limit, whoever dies; and whoever may go on is given to the next claim."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(steps=st.lists(st.sampled_from([*KEYS, "flood", "claim", "claim", "claim"]), min_size=10, max_size=80))
def test_no_key_is_served_twice_as_often_as_one_that_waits(steps: list[str]):
    """19: between two turns of a key that waits, each other key has two turns at most, however many runs it has."""
    asyncio.run(_serve(steps))


async def _serve(steps: Sequence[str]) -> None:
    store = MemoryStore()
    await store.open()
    graph = await store.ensure_graph("w", "v", b"{}")
    worker = await store.register_worker(workflows=["w"], lease=LEASE)
    waiting: Counter[str] = Counter()
    served_since: dict[str, Counter[str]] = {}
    number = 0
    for now, step in enumerate(steps):
        if step != "claim":
            for _ in range(10 if step == "flood" else 1):
                number += 1
                new = NewRun(
                    run_id=f"{step}-{number}",
                    workflow_id="w",
                    graph=graph,
                    resource_id=None,
                    created_at_ms=now,
                    status=RunStatus.PENDING,
                    owner=None,
                    records=[Record(1, 0, True, "event", 1, now, "", 0, None, None)],
                    flow=Flow(0, (Gate("runs", step),)),
                )
                answer = asyncio.get_running_loop().create_future()
                store.insert(new, answer.set_result)
                assert isinstance(await answer, Receipt)
                waiting[step] += 1
            served_since.setdefault(step, Counter())
            continue
        for run in await store.claim(worker, graphs=[graph], now_ms=now, limit=1):
            key = run.run_id.partition("-")[0]
            waiting[key] -= 1
            for other, served in served_since.items():
                if waiting[other] > 0 and other != key:
                    served[key] += 1
                    assert served[key] <= 2, f"{other} waits, and {key} was served {served[key]} times"
            served_since[key] = Counter()
            if not waiting[key]:
                del served_since[key]
    assert sum(waiting.values()) == 0 or steps
    await store.close()
