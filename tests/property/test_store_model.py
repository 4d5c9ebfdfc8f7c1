"""Random histories of a store, compared with a model that is nothing but dicts.

`OUTLAST_EXAMPLES` sets how many histories are tried for each store.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count, takewhile
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from outlast.core.chunk import removal_of
from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.errors import RunExistsError, RunNotFoundError, RunStateError, StaleRunError
from outlast.storage.base import (
    Append,
    Ending,
    GraphKey,
    InboxKey,
    NewRun,
    Receipt,
    Reopening,
    RunKey,
    Store,
    WorkerKey,
)
from outlast.storage.keys import ScheduleKey
from outlast.storage.listing import RunQuery
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.storage.outbox import NewDelivery
from outlast.storage.scheduling import (
    TAKEN,
    NewSchedule,
    ScheduleChange,
    ScheduleQuery,
    ScheduleRow,
    TriggerQuery,
    TriggerRow,
)
from outlast.storage.sqlite import SqliteStore

T = TypeVar("T")

Words = tuple[str, ...]
EXAMPLES = int(os.environ.get("OUTLAST_EXAMPLES", min(15, settings().max_examples)))
LEASE = timedelta(hours=1)
RUN_IDS = st.sampled_from([f"run-{n}" for n in range(4)])
STORES = st.integers(0, 1)
SOME = st.integers(0, 9)
SCHEDULE_IDS = st.sampled_from(["a", "b", "c"])


@dataclass
class ModelDelivery:
    """What the model knows of a delivery."""

    due_at_ms: int | None
    number: int
    owner: WorkerKey | None = None
    tries: int = 0
    failure: bytes | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the life of a worker ended while it made it, now or in its latest try."""
        return self.failure is None and self.tries > (self.owner is not None)


@dataclass
class ModelRun:
    """What the model knows of a run."""

    key: RunKey
    graph: GraphKey
    journal: list[Record]
    status: RunStatus
    owner: WorkerKey | None = None
    epoch: int = 0
    ready_at_ms: int | None = None
    execution: int = 0
    topics: set[str] = field(default_factory=set)
    inbox: dict[str, bytes] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    told: list[ModelDelivery] = field(default_factory=list)
    hold: tuple[int, int, str] | None = None

    @property
    def head(self) -> int:
        return self.journal[-1].seq

    def silence(self) -> None:
        """Keep the facts, and of what was said a notice in the place of the last."""
        said = [record for record in self.journal if not record.is_fact]
        notices = [removal_of(said[-1])] if said else []
        self.journal = sorted([*(record for record in self.journal if record.is_fact), *notices])

    @property
    def next_told(self) -> ModelDelivery | None:
        """The first delivery that is due, if nobody makes it."""
        first = next((each for each in self.told if each.due_at_ms is not None), None)
        return first if first is not None and first.owner is None else None


@dataclass
class ModelSchedule:
    """What the model knows of a schedule."""

    row: ScheduleRow
    triggers: dict[int, TriggerRow] = field(default_factory=dict)


class StoreMachine(RuleBasedStateMachine):
    """Two processes on one store, and the model. Time passes by one millisecond for each rule."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 1000
        self.runs: dict[str, ModelRun] = {}
        self.numbers = count()
        self.deleted: dict[str, int] = {}
        self.workers: dict[WorkerKey, int] = {}
        self.over: list[WorkerKey] = []
        self.expired: set[WorkerKey] = set()
        self.schedules: dict[str, ModelSchedule] = {}
        self.last_schedule = 0

    def make_stores(self) -> tuple[Store, Store]:
        raise NotImplementedError

    @initialize()
    def open(self) -> None:
        self.stores = self.make_stores()
        for store in self.stores:
            self.do(store.open())
        self.graphs = [self.do(self.stores[0].ensure_graph("w", f"v{n}", b"{}")) for n in range(2)]
        # Without them, most histories would do nothing but knock at empty tables.
        for n in range(2):
            self.register(n)
            self.insert(n, f"run-{n}", n, n, 1, (), 0)

    def teardown(self) -> None:
        for store in self.stores:
            self.do(store.close())
        self.do(self.loop.shutdown_default_executor())
        self.loop.close()

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        self.now += 1
        return self.loop.run_until_complete(call)

    def record(self, seq: int) -> Record:
        return Record(seq, 0, seq % 3 != 0, "event", 1, self.now, "node", 0, None, b"%d" % self.now)

    def worker(self, pick: int) -> WorkerKey | None:
        """Any worker of now or earlier, so that the dead act too."""
        known = [*self.workers, *self.over]
        return known[pick % len(known)] if known else None

    def end(self, worker: WorkerKey, ready_at_ms: int | None) -> int:
        owned = [run for run in self.runs.values() if run.owner == worker]
        for run in owned:
            run.owner = None
            run.ready_at_ms = run.journal[-1].at_ms if ready_at_ms is None else ready_at_ms
        for delivery in self.deliveries_of(worker):
            delivery.owner, delivery.failure = None, None
        del self.workers[worker]
        self.expired.discard(worker)
        self.over.append(worker)
        return len(owned)

    @rule(store=STORES)
    def register(self, store: int) -> None:
        worker = self.do(self.stores[store].register_worker(workflows=["w"], lease=LEASE))

        assert worker not in [*self.workers, *self.over]
        self.workers[worker] = store

    @precondition(lambda self: self.workers or self.over)
    @rule(store=STORES, pick=SOME)
    def retire(self, store: int, pick: int) -> None:
        worker = self.worker(pick)

        freed = self.do(self.stores[store].retire_worker(worker))

        assert freed == (self.end(worker, None) if worker in self.workers else 0)

    @precondition(lambda self: self.workers)
    @rule(pick=SOME)
    def lose_lease(self, pick: int) -> None:
        worker = list(self.workers)[pick % len(self.workers)]

        assert self.stores[self.workers[worker]].renew_lease(worker, timedelta(0))

        self.expired.add(worker)

    @rule(store=STORES)
    def bury(self, store: int) -> None:
        freed = self.do(self.stores[store].bury_dead_workers(now_ms=self.now))

        assert freed == sum(self.end(worker, self.now - 1) for worker in sorted(self.expired))

    @precondition(lambda self: self.over)
    @rule(pick=SOME)
    def renew_what_is_over(self, pick: int) -> None:
        assert not self.stores[0].renew_lease(self.over[pick % len(self.over)], LEASE)

    @rule(
        store=STORES,
        run_id=RUN_IDS,
        graph=STORES,
        pick=st.none() | SOME,
        count=st.integers(1, 3),
        tags=st.sampled_from([(), (), ("red",), ("red", "tall")]),
        delay=st.sampled_from([None, 0, 50]),
    )
    def insert(
        self,
        store: int,
        run_id: str,
        graph: int,
        pick: int | None,
        count: int,
        tags: tuple[str, ...],
        delay: int | None,
    ) -> None:
        owner = None if pick is None else self.worker(pick)
        if owner in self.expired:
            return  # between the end of a lease and the burial either answer is right
        status = RunStatus.PENDING if owner is None else RunStatus.RUNNING
        journal = [self.record(seq) for seq in range(1, count + 1)]
        new = NewRun(
            run_id=run_id,
            workflow_id="w",
            graph=self.graphs[graph],
            resource_id=None,
            created_at_ms=self.now,
            status=status,
            owner=owner,
            records=journal,
            ready_at_ms=None if delay is None else self.now + delay,
            tags=tags,
        )

        outcome = self.settle(lambda settle: self.stores[store].insert(new, settle))

        if run_id in self.runs or run_id in self.deleted:
            assert isinstance(outcome, RunExistsError)
            return
        assert isinstance(outcome, Receipt)
        run = ModelRun(key=outcome.run, graph=self.graphs[graph], journal=journal, status=status, tags=tags)
        if owner in self.workers:
            run.owner, run.epoch = owner, 1
        else:
            run.ready_at_ms = new.created_at_ms if new.ready_at_ms is None else new.ready_at_ms
        self.runs[run_id] = run
        assert outcome == Receipt(run.key, run.epoch, is_owned=run.owner is not None)

    def settle(self, hand_over: Any) -> Any:
        async def wait() -> Any:
            answer = self.loop.create_future()
            hand_over(answer.set_result)
            return await answer

        return self.do(wait())

    @precondition(lambda self: self.runs)
    @rule(
        pick=SOME,
        store=STORES,
        stale=st.sampled_from(["", "", "", "", "owner", "epoch", "seq", "run"]),
        count=st.integers(0, 3),
        release=st.sampled_from([None, None, "never", -5, 0, 50]),
        taking=st.integers(0, 3),
        seeing=st.integers(0, 3),
        telling=st.lists(st.integers(-3, 3), max_size=2),
    )
    def append(
        self,
        pick: int,
        store: int,
        stale: str,
        count: int,
        release: Any,
        taking: int,
        seeing: int,
        telling: list[int],
    ) -> None:
        owned = [run_id for run_id, run in self.runs.items() if run.owner is not None]
        choice = owned if owned and pick else sorted(self.runs)
        run_id = choice[pick % len(choice)]
        run = self.runs[run_id]
        if stale == "seq":
            count = max(count, 1)
        first = run.head + 1 + (pick % 3 - 1 or 2) * (stale == "seq")
        records = [self.record(seq) for seq in range(first, first + count)]
        owner = run.owner if run.owner is not None else self.worker(pick) or WorkerKey(99)
        listed = self.do(self.stores[store].list_inbox(run.owner)) if run.owner is not None else []
        mine = [row for row in listed if row.run == run.key]
        taken, seen = mine[:taking], mine[taking : taking + seeing]
        ready_at_ms = self.now + release if isinstance(release, int) else None
        write = Append(
            run=RunKey(run.key + 1000 * (stale == "run")),
            owner=WorkerKey(owner + 1000 * (stale == "owner")),
            epoch=run.epoch + (stale == "epoch"),
            records=records,
            status=RunStatus.WAITING if release is not None else RunStatus.RUNNING,
            execution=run.execution + pick % 2,
            is_released=release is not None,
            ready_at_ms=ready_at_ms,
            inbox_taken=[InboxKey(row.key) for row in taken],
            inbox_seen=[InboxKey(row.key) for row in seen],
            outbox=[NewDelivery("hook", first, run.execution, self.now + delay) for delay in telling],
            hold=(None, "parked", "put off")[pick % 3],
        )

        outcome = self.settle(lambda settle: self.stores[store].append(write, settle))

        if stale or run.owner is None:
            assert isinstance(outcome, StaleRunError)
            return
        run.journal += records
        run.status, run.execution = write.status, write.execution
        run.told += [ModelDelivery(each.due_at_ms, next(self.numbers)) for each in write.outbox]
        if write.hold is not None:
            run.hold = (run.epoch, run.head, write.hold)
        for row in taken:
            del run.inbox[row.topic]
        if write.is_released:
            run.owner = None
            # Claimable at once: at the latest now. Which time the row shows is the store's business.
            run.ready_at_ms = ready_at_ms
            if set(run.inbox) - {row.topic for row in seen}:
                run.ready_at_ms = self.shown_ready_at(run_id)
                assert run.ready_at_ms <= self.now
        assert outcome == Receipt(run.key, run.epoch, is_owned=run.owner is not None)

    @precondition(lambda self: self.runs)
    @rule(pick=SOME, store=STORES, stale=st.sampled_from(["", "", "", "epoch", "seq"]), count=st.integers(1, 3))
    def end_run(self, pick: int, store: int, stale: str, count: int) -> None:
        free = [run_id for run_id, run in self.runs.items() if run.owner is None]
        choice = free if free and pick else sorted(self.runs)
        run = self.runs[choice[pick % len(choice)]]
        head = run.head - (stale == "seq")
        ending = Ending(
            run=run.key,
            epoch=run.epoch + (stale == "epoch"),
            head=head,
            records=[self.record(seq) for seq in range(head + 1, head + count + 1)],
            status=RunStatus.CANCELED,
            inbox_taken=[row.key for row in self.do(self.stores[store].list_requests(run.key))],
        )

        was_ended = self.do(self.stores[store].end_run(ending))

        assert was_ended == (not stale and run.owner is None)
        if was_ended:
            run.journal += ending.records
            run.status, run.ready_at_ms = ending.status, None
            run.inbox.clear()

    @precondition(lambda self: self.runs)
    @rule(pick=SOME, store=STORES, stale=st.booleans(), count=st.integers(1, 2))
    def reopen_run(self, pick: int, store: int, stale: bool, count: int) -> None:
        free = [run_id for run_id, run in self.runs.items() if run.owner is None]
        choice = free if free and pick else sorted(self.runs)
        run = self.runs[choice[pick % len(choice)]]
        head = run.head - stale
        records = [self.record(seq)._replace(execution=run.execution + 1) for seq in range(head + 1, head + count + 1)]
        reopening = Reopening(run=run.key, head=head, records=records)

        was_reopened = self.do(self.stores[store].reopen_run(reopening))

        assert was_reopened == (not stale and run.owner is None and not run.inbox)
        if was_reopened:
            run.journal += records
            run.status, run.execution, run.ready_at_ms = RunStatus.PENDING, run.execution + 1, records[-1].at_ms

    def shown_ready_at(self, run_id: str) -> int:
        row = self.do(self.stores[0].find_run(run_id))
        assert row is not None
        assert row.ready_at_ms is not None
        return row.ready_at_ms

    @rule(store=STORES, run_id=RUN_IDS, topic=st.sampled_from("abc"), execution=st.sampled_from([None, 0, 1]))
    def post(self, store: int, run_id: str, topic: str, execution: int | None) -> None:
        body = b"%d" % self.now
        call = self.stores[store].post(
            run_id, kind="resume", topic=topic, at_ms=self.now, body=body, execution=execution
        )
        run = self.runs.get(run_id)
        if run is None:
            with pytest.raises(RunNotFoundError):
                self.do(call)
            return

        is_heard = topic not in run.topics and execution in (None, run.execution)

        assert self.do(call) == is_heard

        if not is_heard:
            return
        run.topics.add(topic)
        run.inbox[topic] = body
        if run.owner is None and (run.ready_at_ms is None or run.ready_at_ms >= self.now):
            run.ready_at_ms = self.shown_ready_at(run_id)
            assert run.ready_at_ms <= self.now

    @precondition(lambda self: self.workers or self.over)
    @rule(store=STORES, pick=SOME, which=st.sampled_from([[0, 1], [0], [1], []]), limit=st.integers(0, 3))
    def claim(self, store: int, pick: int, which: list[int], limit: int) -> None:
        worker = self.worker(pick)
        assert worker is not None
        if worker in self.expired:
            return  # as for inserts
        graphs = [self.graphs[place] for place in which]
        now = self.now
        ready = [
            run_id
            for run_id, run in self.runs.items()
            if run.owner is None and run.graph in graphs and run.ready_at_ms is not None and run.ready_at_ms <= now
        ]
        times = sorted(self.runs[run_id].ready_at_ms or 0 for run_id in ready)

        claimed = self.do(self.stores[store].claim(worker, graphs=graphs, now_ms=now, limit=limit))

        expected = times[:limit] if worker in self.workers else []
        assert [self.runs[row.run_id].ready_at_ms for row in claimed] == expected
        assert {row.run_id for row in claimed} <= set(ready)
        for row in claimed:
            run = self.runs[row.run_id]
            run.owner, run.epoch, run.ready_at_ms = worker, run.epoch + 1, None
            assert (row.key, row.graph, row.epoch) == (run.key, run.graph, run.epoch)

    def deliverable(self, worker: WorkerKey, due: list[ModelDelivery]) -> list[ModelDelivery]:
        """Those that a worker may make now: those before a lost one, or a lost one alone."""
        owned = self.deliveries_of(worker)
        if worker not in self.workers or any(each.is_lost for each in owned):
            return []
        due = sorted(due, key=lambda each: (each.due_at_ms, each.number))
        if due and due[0].is_lost:
            return [] if owned else due[:1]
        return list(takewhile(lambda each: not each.is_lost, due))

    def deliveries_of(self, worker: WorkerKey) -> list[ModelDelivery]:
        return [each for run in self.runs.values() for each in run.told if each.owner == worker]

    @precondition(lambda self: self.workers or self.over)
    @rule(store=STORES, pick=SOME, which=st.sampled_from([[0, 1], [0], [1], []]), limit=st.integers(0, 3))
    def claim_deliveries(self, store: int, pick: int, which: list[int], limit: int) -> None:
        worker = self.worker(pick)
        assert worker is not None
        if worker in self.expired:
            return  # as for inserts
        graphs, now = [self.graphs[place] for place in which], self.now
        due = [
            run.next_told
            for run in self.runs.values()
            if run.graph in graphs and run.next_told is not None and (run.next_told.due_at_ms or 0) <= now
        ]
        wanted = self.deliverable(worker, due)[:limit]

        claimed = self.do(self.stores[store].claim_deliveries(worker, graphs=graphs, now_ms=now, limit=limit))

        told = [self.runs[each.run_id].next_told for each in claimed]
        assert told == wanted
        for given, delivery in zip(claimed, told, strict=True):
            assert delivery is not None
            delivery.owner, delivery.tries = worker, delivery.tries + 1
            assert given.tries == delivery.tries

    @precondition(lambda self: any(run.told for run in self.runs.values()))
    @rule(store=STORES, pick=SOME, which=SOME, failure=st.sampled_from([None, b"no"]), delay=st.none() | SOME)
    def end_delivery(self, store: int, pick: int, which: int, failure: bytes | None, delay: int | None) -> None:
        run = [each for each in self.runs.values() if each.told][which % sum(bool(x.told) for x in self.runs.values())]
        place = next((n for n, each in enumerate(run.told) if each.owner is not None), 0)
        delivery, row = run.told[place], self.do(self.stores[store].list_deliveries(run.key))[place]
        worker = delivery.owner if delivery.owner is not None and pick else self.worker(pick) or WorkerKey(99)
        due_at_ms = None if failure is None or delay is None else self.now + delay

        is_done = self.do(self.stores[store].end_delivery(worker, row.key, failure=failure, due_at_ms=due_at_ms))

        assert is_done == (delivery.owner == worker)
        if is_done and failure is None:
            del run.told[place]
        elif is_done:
            delivery.owner, delivery.failure, delivery.due_at_ms = None, failure, due_at_ms

    @invariant()
    def outboxes_agree(self) -> None:
        for run in self.runs.values():
            for store in self.stores:
                rows = self.loop.run_until_complete(store.list_deliveries(run.key))
                assert [(row.due_at_ms, row.owner, row.tries, row.failure) for row in rows] == [
                    (each.due_at_ms, each.owner, each.tries, each.failure) for each in run.told
                ]
        for graph in getattr(self, "graphs", ()):
            told = [run.next_told for run in self.runs.values() if run.graph == graph]
            first = min((each.due_at_ms for each in told if each and each.due_at_ms is not None), default=None)
            assert self.loop.run_until_complete(self.stores[0].next_delivery_at([graph])) == first

    @rule(store=STORES, id=SCHEDULE_IDS, due=st.none() | SOME)
    def add_schedule(self, store: int, id: str, due: int | None) -> None:
        due_at_ms = None if due is None else self.now + due
        new = NewSchedule(id, "w", id == "a", "active", due_at_ms, b"{}", b"1", self.now)

        was_added = self.do(self.stores[store].schedules.insert(new))

        assert was_added == (id not in self.schedules)
        if was_added:
            self.last_schedule += 1
            times = (new.at_ms, new.at_ms)
            self.schedules[id] = ModelSchedule(
                ScheduleRow(
                    ScheduleKey(self.last_schedule),
                    1,
                    id,
                    "w",
                    id == "a",
                    "active",
                    due_at_ms,
                    False,
                    b"{}",
                    b"1",
                    0,
                    *times,
                )
            )

    @rule(store=STORES, id=SCHEDULE_IDS)
    def delete_schedule(self, store: int, id: str) -> None:
        was_there = self.do(self.stores[store].schedules.delete(id))

        assert was_there == (self.schedules.pop(id, None) is not None)

    @precondition(lambda self: self.schedules)
    @rule(store=STORES, pick=SOME, behind=st.sampled_from([0, 0, 0, 1]), run_id=RUN_IDS, due=st.none() | SOME)
    def fire_schedule(self, store: int, pick: int, behind: int, run_id: str, due: int | None) -> None:
        model = list(self.schedules.values())[pick % len(self.schedules)]
        row, number = model.row, model.row.last_number + 1
        is_free = run_id not in self.runs and run_id not in self.deleted
        graph = self.graphs[pick % 2]
        trigger = TriggerRow(number, "schedule", self.now, self.now, 1, self.now, outcome="fired", run_id=run_id)
        run = NewRun(run_id, "w", graph, None, self.now, RunStatus.PENDING, None, [self.first_record()])
        change = ScheduleChange(
            key=row.key,
            version=row.version - behind,
            status="paused" if pick == 0 else "active",
            due_at_ms=None if due is None else self.now + due,
            memory=b"%d" % number,
            at_ms=self.now,
            is_waiting=pick > 6,
            triggers=[trigger],
            runs=[run],
        )

        was_changed = self.do(self.stores[store].schedules.change([change]))

        assert was_changed == [not behind]
        if behind:
            return
        model.row = replace(
            row,
            version=row.version + 1,
            status=change.status,
            due_at_ms=change.due_at_ms,
            memory=change.memory,
            is_waiting=change.is_waiting,
            last_number=number,
        )
        model.triggers[number] = trigger if is_free else replace(trigger, outcome="skipped", reason=TAKEN)
        if is_free:
            key = self.loop.run_until_complete(self.stores[0].find_run(run_id)).key
            self.runs[run_id] = ModelRun(key, graph, list(run.records), run.status, ready_at_ms=run.created_at_ms)

    def first_record(self) -> Record:
        return Record(1, 0, True, "e", 1, self.now, "", 0, None, None)

    @invariant()
    def schedules_agree(self) -> None:
        rows = [model.row for _, model in sorted(self.schedules.items())]
        for store in getattr(self, "stores", ()):
            assert self.loop.run_until_complete(store.schedules.select(ScheduleQuery())) == rows
            due = sorted((row.due_at_ms, row.key) for row in rows if row.due_at_ms is not None)
            upcoming = self.loop.run_until_complete(store.schedules.next_due(["w"]))
            assert upcoming == (due[0][0] if due else None, any(row.is_waiting for row in rows))
            listed = self.loop.run_until_complete(store.schedules.list_due(["w"], now_ms=self.now, limit=9))
            assert [row.key for row in listed] == [key for at_ms, key in due if at_ms <= self.now]
            for model in self.schedules.values():
                triggers = self.loop.run_until_complete(
                    store.schedules.list_triggers(TriggerQuery(model.row.key, limit=99))
                )
                assert triggers == list(reversed(model.triggers.values()))

    @rule(store=STORES, run_id=RUN_IDS)
    def delete(self, store: int, run_id: str) -> None:
        call = self.stores[store].delete_run(run_id, now_ms=self.now)
        run = self.runs.get(run_id)
        if run is None:
            with pytest.raises(RunNotFoundError):
                self.do(call)
        elif not self.may_delete(run):
            with pytest.raises(RunStateError):
                self.do(call)
        else:
            self.do(call)
            self.bury_run(run_id, self.now - 1)

    def may_delete(self, run: ModelRun) -> bool:
        is_idle = run.status.is_terminal and run.owner is None and run.ready_at_ms is None
        return is_idle and all(each.due_at_ms is None for each in run.told)

    def bury_run(self, run_id: str, now: int) -> None:
        del self.runs[run_id]
        self.deleted[run_id] = now

    @rule(old=st.sampled_from([None, 0, 10]), forgotten=st.sampled_from([0, 10]), quiet=st.sampled_from([None, 0, 10]))
    def sweep(self, old: int | None, forgotten: int, quiet: int | None) -> None:
        now = self.now
        ended, deleted, said = (
            None if old is None else now - old,
            now - forgotten,
            None if quiet is None else now - quiet,
        )
        while True:
            call = self.stores[0].sweep(
                ended_before_ms=ended, deleted_before_ms=deleted, said_before_ms=said, now_ms=now
            )
            step = self.loop.run_until_complete(call)
            assert step is not None
            if step.is_done:
                break
        self.deleted = {run_id: at for run_id, at in self.deleted.items() if at >= deleted}
        for run_id, run in list(self.runs.items()):
            if ended is not None and self.may_delete(run) and run.journal[-1].at_ms < ended:
                # What is deleted at `now` is not forgotten before a later sweep.
                self.bury_run(run_id, now)
            elif said is not None and run.owner is None and run.journal[-1].at_ms < said:
                run.silence()

    @invariant()
    def rows_and_journals_agree(self) -> None:
        for run_id, run in self.runs.items():
            for store in self.stores:
                row = self.loop.run_until_complete(store.find_run(run_id))
                assert row is not None
                assert (row.key, row.graph, row.status, row.execution) == (
                    run.key,
                    run.graph,
                    run.status,
                    run.execution,
                )
                assert (row.owner, row.epoch, row.head) == (run.owner, run.epoch, run.journal[-1].seq)
                assert row.updated_at_ms == run.journal[-1].at_ms
                if run.owner is None:
                    assert row.ready_at_ms == run.ready_at_ms
                assert self.loop.run_until_complete(store.load_records(run.key)) == run.journal
                facts = [record for record in run.journal if record.is_fact]
                assert self.loop.run_until_complete(store.load_facts(run.key)) == facts

    @invariant()
    def holds_agree(self) -> None:
        for run in self.runs.values():
            is_held = run.hold is not None and run.hold[:2] == (run.epoch, run.head)
            hold = self.loop.run_until_complete(self.stores[0].find_hold(run.key))
            assert hold == (run.hold[2] if run.hold is not None and is_held else None)

    @invariant()
    def lists_agree(self) -> None:
        newest_first = list(reversed(self.runs.items()))
        for store in getattr(self, "stores", ()):
            listing = self.loop.run_until_complete(store.list_runs(RunQuery()))
            assert [(run.run_id, run.status, run.tags) for run in listing.runs] == [
                (run_id, run.status, run.tags) for run_id, run in newest_first
            ]
            red = self.loop.run_until_complete(store.list_runs(RunQuery(tags=["red"])))
            assert [run.run_id for run in red.runs] == [run_id for run_id, run in newest_first if "red" in run.tags]
            counts = self.loop.run_until_complete(store.count_runs())
            assert {each.status: each.count for each in counts} == Counter(run.status for run in self.runs.values())
            in_flight = self.loop.run_until_complete(store.count_in_flight())
            assert in_flight == Counter(run.graph for run in self.runs.values() if not run.status.is_terminal)

    @invariant()
    def queues_agree(self) -> None:
        for store in getattr(self, "stores", ()):
            for graph in self.graphs:
                times = [run.ready_at_ms for run in self.runs.values() if run.graph == graph and run.owner is None]
                first = min((at for at in times if at is not None), default=None)
                assert self.loop.run_until_complete(store.next_ready_at([graph])) == first
            ready = [run.ready_at_ms for run in self.runs.values() if run.owner is None and run.ready_at_ms is not None]
            for now_ms in {min(ready), max(ready)} if ready else ():
                waits = [at_ms for at_ms in ready if at_ms <= now_ms]
                (length,) = self.loop.run_until_complete(store.measure_queue(now_ms))
                assert (length.runs, length.ready_at_ms) == (len(waits), min(waits))

    @invariant()
    def inboxes_agree(self) -> None:
        for worker in self.workers:
            rows = self.loop.run_until_complete(self.stores[0].list_inbox(worker))
            owned = [run for run in self.runs.values() if run.owner == worker]
            expected = {(run.key, topic, body) for run in owned for topic, body in run.inbox.items()}
            assert {(row.run, row.topic, row.body) for row in rows} == expected
            assert [row.key for row in rows] == sorted(row.key for row in rows)

    @invariant()
    def requests_agree(self) -> None:
        for run in self.runs.values():
            rows = self.loop.run_until_complete(self.stores[1].list_requests(run.key))
            assert {row.topic: row.body for row in rows} == run.inbox
            assert [row.key for row in rows] == sorted(row.key for row in rows)

    @invariant()
    def workers_agree(self) -> None:
        for store in getattr(self, "stores", ()):
            rows = self.loop.run_until_complete(store.list_workers())
            assert {row.key: row.is_alive for row in rows} == {key: key not in self.expired for key in self.workers}


class MemoryMachine(StoreMachine):
    def make_stores(self) -> tuple[Store, Store]:
        database = MemoryDatabase()
        return MemoryStore(database), MemoryStore(database)


class SqliteMachine(StoreMachine):
    def make_stores(self) -> tuple[Store, Store]:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "store.db"
        return tuple(SqliteStore(path, durability="normal", allow_network_filesystem=True) for _ in range(2))

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


@pytest.mark.parametrize(
    "machine",
    [pytest.param(MemoryMachine, id="memory"), pytest.param(SqliteMachine, id="sqlite", marks=pytest.mark.slow)],
)
def test_store_agrees_with_the_model(machine: type[StoreMachine]):
    """Guarantee: whatever happens in whatever order, a store holds what its contract says."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
