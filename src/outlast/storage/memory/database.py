"""The data of the memory store, and what each write does to it.

Nothing here waits, and nothing here knows of loops, threads or seams: whoever calls holds the lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import islice

from outlast.core.status import RunStatus
from outlast.errors import OutlastError, RunExistsError, RunNotFoundError, StaleRunError
from outlast.storage.base import (
    Append,
    ClaimedRun,
    Ending,
    GraphKey,
    GraphRow,
    InboxKey,
    InboxRow,
    NewRun,
    Receipt,
    Reopening,
    RunKey,
    WorkerKey,
)
from outlast.storage.flow import Flow
from outlast.storage.identity import Admission, Held, Identity, judge, request_to_cancel
from outlast.storage.keeping import Sweep, refuse_to_delete
from outlast.storage.keys import DeliveryKey
from outlast.storage.memory.late_starts import StartDeadlines
from outlast.storage.memory.outbox import Outbox
from outlast.storage.memory.scheduling import ScheduleTable
from outlast.storage.memory.table import Life, Run
from outlast.storage.memory.waiting import Waiting
from outlast.storage.outbox import Delivery

__all__ = ["MemoryDatabase"]

_SWEPT_AT_ONCE = 200


class MemoryDatabase:
    """What several `MemoryStore` objects share, as several processes share a file. Dropped with its last store."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin without anything. `monotonic` is the clock of the leases, in seconds."""
        self.monotonic = monotonic
        """The clock of the leases."""
        self.lock = threading.Lock()
        """Held for every read and every transaction: stores may live on the loops of several threads."""
        self.commits = 0
        """How many transactions changed something."""
        self.runs: dict[RunKey, Run] = {}
        """All runs by their numbers, in the order in which they were recorded."""
        self.run_ids: dict[str, Run] = {}
        """All runs by their ids."""
        self.graphs: dict[tuple[str, str], GraphRow] = {}
        """All graphs by workflow and fingerprint, in order of their numbers."""
        self.documents: dict[GraphKey, bytes] = {}
        """The graph documents."""
        self.lives: dict[WorkerKey, Life] = {}
        """The workers that neither retired nor were buried."""
        self.turn: object | None = None
        """The store that has the turn of the suspects."""
        self.outbox = Outbox()
        """What must be delivered."""
        self.schedules = ScheduleTable(self.insert, self.run_ids.get, self.post)
        """What starts workflows by itself."""
        self.waiting = Waiting(self.runs)
        """The runs that nobody owns and that may be claimed at some time."""
        self._asked: set[RunKey] = set()
        self._identities: dict[tuple[str, str], tuple[str, bytes, int]] = {}
        self._deleted: dict[str, int] = {}
        self.start_deadlines = StartDeadlines(self.runs)
        """Until when runs have to begin."""
        self.sweeper: object | None = None
        """The store that sweeps."""
        self._last_run = 0
        self._last_worker = 0
        self._last_inbox = 0

    def would_insert(self, new: NewRun) -> bool:
        """Say whether `insert` would change something."""
        return new.run_id not in self.run_ids and new.run_id not in self._deleted

    def insert(self, new: NewRun) -> Receipt | RunExistsError:
        """Record a new run."""
        if not self.would_insert(new):
            return RunExistsError(new.run_id)
        self._last_run += 1
        key = RunKey(self._last_run)
        run = Run(  # by position: a class that is called by name is called through a dict
            key,
            new.run_id,
            new.workflow_id,
            new.graph,
            new.resource_id,
            new.created_at_ms,
            new.status,
            tuple(new.tags),
            new.flow,
            new.flow is None,
        )
        run.add(new.records)
        self.runs[key] = run
        self.run_ids[new.run_id] = run
        if new.start_by_ms is not None:
            self.start_deadlines.add(run, new.start_by_ms)
        life = None if new.owner is None or new.flow is not None else self._find_alive(new.owner)
        if life is None:
            self._set_free(run, new.created_at_ms if new.ready_at_ms is None else new.ready_at_ms)
        else:
            self._give(run, life)
        return run.receipt

    def would_insert_once(self, new: NewRun, identity: Identity) -> bool:
        """Say whether `insert_once` would change something."""
        verdict = judge(self._held(identity), identity, new.created_at_ms)
        return verdict in ("start", "replace") and self.would_insert(new)

    def insert_once(self, new: NewRun, identity: Identity) -> Admission | OutlastError:
        """Record a new run, without owner, unless its key stands for another one."""
        held = self._held(identity)
        verdict = judge(held, identity, new.created_at_ms)
        if isinstance(verdict, OutlastError):
            return verdict
        if held is not None and verdict == "return":
            return Admission(held.run_id, is_new=False)
        receipt = self.insert(new._replace(owner=None))
        if isinstance(receipt, RunExistsError):
            return receipt
        place = (identity.scope, identity.key)
        self._identities[place] = (new.run_id, identity.input_hash, new.created_at_ms + identity.keep_ms)
        if held is None or verdict != "replace":
            return Admission(new.run_id, is_new=True)
        topic, body = request_to_cancel(execution=self.run_ids[held.run_id].execution, run_id=new.run_id)
        self.post(held.run_id, "cancel", topic, new.created_at_ms, body)
        return Admission(new.run_id, is_new=True, replaced=held.run_id)

    def _held(self, identity: Identity) -> Held | None:
        found = self._identities.get((identity.scope, identity.key))
        if found is None:
            return None
        run_id, input_hash, expires_at_ms = found
        run = self.run_ids.get(run_id)
        return Held(run_id, None if run is None else run.status, input_hash, expires_at_ms)

    def would_delete(self, run_id: str, _now_ms: int) -> bool:
        """Say whether `delete` would change something."""
        return self._refuse_to_delete(run_id) is None

    def delete(self, run_id: str, now_ms: int) -> bool | OutlastError:
        """Delete a run that has ended, and keep its id."""
        refusal = self._refuse_to_delete(run_id)
        if refusal is not None:
            return refusal
        run = self.run_ids.pop(run_id)
        del self.runs[run.key]
        self.start_deadlines.forget(run.key)
        self.outbox.forget(run)
        self._deleted[run_id] = now_ms
        return True

    def _refuse_to_delete(self, run_id: str) -> OutlastError | None:
        run = self.run_ids.get(run_id)
        if run is None:
            return refuse_to_delete(run_id, None, is_asked=False, has_outbox=False)
        is_asked = run.owner is not None or run.ready_at_ms is not None
        return refuse_to_delete(run_id, run.status, is_asked=is_asked, has_outbox=self.outbox.has_due(run))

    def would_sweep(
        self, ended_before_ms: int | None, deleted_before_ms: int, said_before_ms: int | None, now_ms: int
    ) -> bool:
        """Say whether `sweep` would change something."""
        is_due = self._old(ended_before_ms, now_ms) or self._forgettable(deleted_before_ms)
        return bool(is_due or self._talkative(said_before_ms))

    def sweep(
        self, ended_before_ms: int | None, deleted_before_ms: int, said_before_ms: int | None, now_ms: int
    ) -> Sweep:
        """Delete old runs, forget ids and remove what was said, a limited number at a time."""
        old = self._old(ended_before_ms, now_ms)
        for run_id in old:
            self.delete(run_id, now_ms)
        gone = self._forgettable(deleted_before_ms)
        for run_id in gone:
            del self._deleted[run_id]
        lost = [place for place, (run_id, _, _) in self._identities.items() if run_id in gone]
        for place in lost:
            del self._identities[place]
        talkative = self._talkative(said_before_ms)
        silenced = sum(run.silence() for run in talkative)
        is_done = not (old or gone or talkative)
        return Sweep(deleted=len(old), forgotten=len(gone), silenced=silenced, is_done=is_done)

    def _talkative(self, said_before_ms: int | None) -> list[Run]:
        if said_before_ms is None:
            return []
        runs = (run for run in self.runs.values() if run.owner is None and run.updated_at_ms < said_before_ms)
        return list(islice((run for run in runs if not run.is_silent), _SWEPT_AT_ONCE))

    def _old(self, ended_before_ms: int | None, now_ms: int) -> list[str]:
        if ended_before_ms is None:
            return []
        held = {run_id for run_id, _, expires_at_ms in self._identities.values() if expires_at_ms > now_ms}
        old = (
            run.run_id
            for run in self.runs.values()
            if run.updated_at_ms < ended_before_ms
            and run.run_id not in held
            and self._refuse_to_delete(run.run_id) is None
        )
        return list(islice(old, _SWEPT_AT_ONCE))

    def _forgettable(self, deleted_before_ms: int) -> set[str]:
        gone = (run_id for run_id, deleted_at_ms in self._deleted.items() if deleted_at_ms < deleted_before_ms)
        return set(islice(gone, _SWEPT_AT_ONCE))

    def would_append(self, write: Append) -> bool:
        """Say whether the write comes from the owner and follows the head of the journal."""
        run = self.runs.get(write.run)
        if run is None or run.owner != write.owner or run.epoch != write.epoch:
            return False
        head, records = run.head, write.records
        return not records or (records[0].seq == head + 1 and records[-1].seq == head + len(records))

    def append(self, write: Append) -> Receipt | StaleRunError:
        """Add events to the journal of an owned run, and give it up if the write says so."""
        if not self.would_append(write):
            return StaleRunError(f"worker {write.owner} at epoch {write.epoch} may not write to run {write.run} now")
        run = self.runs[write.run]
        run.add(write.records)
        run.status = write.status
        run.execution = write.execution
        if write.inbox_taken:
            self._take(run, write.inbox_taken)
        if write.outbox:
            self.outbox.add(run, write.outbox)
        if write.hold is not None:
            run.hold = (run.epoch, run.head, write.hold)
        if write.is_released:
            self._release(run, write.ready_at_ms, write.inbox_seen)
        return run.receipt

    def would_claim(self, worker: WorkerKey, graphs: Sequence[GraphKey], now_ms: int, limit: int) -> bool:
        """Say whether `claim` would take a run."""
        next_at = self.waiting.next_ready_at(graphs)
        return limit > 0 and self._find_alive(worker) is not None and next_at is not None and next_at <= now_ms

    def claim(self, worker: WorkerKey, graphs: Sequence[GraphKey], now_ms: int, limit: int) -> list[ClaimedRun]:
        """Give runs to a worker, those that are ready for the longest time first."""
        life = self._find_alive(worker)
        if life is None or limit < 1:
            return []
        return [self._claim(run, life) for run in self.waiting.choose(graphs, now_ms, limit)]

    def _claim(self, run: Run, life: Life) -> ClaimedRun:
        self._give(run, life)
        claimed = run.to_claimed()
        run.has_crashed = False
        return claimed

    def unclaim(self, worker: WorkerKey, claimed: Sequence[ClaimedRun]) -> None:
        """Set runs free that were claimed for somebody who does not wait for them any more."""
        for each in claimed:
            run = self.runs.get(each.key)
            if run is not None and (run.owner, run.epoch) == (worker, each.epoch):
                run.has_crashed = each.has_crashed
                self.lives[worker].runs.discard(run.key)
                self._set_free(run, run.updated_at_ms)

    def _give(self, run: Run, life: Life) -> None:
        self.waiting.remove(run)
        run.owner = life.key
        run.epoch += 1
        run.renew_receipt()
        life.runs.add(run.key)

    def _release(self, run: Run, ready_at_ms: int | None, seen: Sequence[InboxKey]) -> None:
        if run.owner is not None:
            self.lives[run.owner].runs.discard(run.key)
        if run.flow is not None and run.status is not RunStatus.RUNNING:
            self.waiting.limited.let_go(run)
            run.needs_worker_only = run.status.is_terminal
        # Whoever asked between the owner's last look and this write would otherwise wait for ever.
        asked = [row.at_ms for row in run.inbox.values() if row.key not in seen]
        self._set_free(run, min(asked if ready_at_ms is None else [*asked, ready_at_ms], default=None))

    def _set_free(self, run: Run, ready_at_ms: int | None) -> None:
        run.owner = None
        run.renew_receipt()
        self.waiting.put(run, ready_at_ms)

    def would_post(
        self,
        run_id: str,
        _kind: str,
        topic: str,
        _at_ms: int,
        _body: bytes,
        _flow: Flow | None = None,
        execution: int | None = None,
    ) -> bool:
        """Say whether `post` would change something."""
        run = self.run_ids.get(run_id)
        return run is not None and execution in (None, run.execution) and not run.has_topic(topic)

    def post(
        self,
        run_id: str,
        kind: str,
        topic: str,
        at_ms: int,
        body: bytes,
        flow: Flow | None = None,
        execution: int | None = None,
    ) -> bool | RunNotFoundError:
        """Put a request into the inbox of a run; False if there ever was one on this topic, or its time is over."""
        run = self.run_ids.get(run_id)
        if run is None:
            return RunNotFoundError(run_id)
        if execution not in (None, run.execution) or run.has_topic(topic):
            return False
        self._last_inbox += 1
        key = InboxKey(self._last_inbox)
        run.add_topic(topic)
        run.inbox[key] = InboxRow(key=key, run=run.key, kind=kind, topic=topic, at_ms=at_ms, body=body)
        self._asked.add(run.key)
        is_earlier = run.ready_at_ms is None or run.ready_at_ms > at_ms
        ready_at_ms = at_ms if is_earlier else run.ready_at_ms
        if flow is not None:
            run.flow = flow
        if run.owner is None and (is_earlier or flow is not None):
            run.needs_worker_only = run.needs_worker_only and flow is None
            self._set_free(run, ready_at_ms)
        return True

    def list_requests(self, key: RunKey) -> list[InboxRow]:
        """Return the requests to a run, oldest first."""
        run = self.runs.get(key)
        return [] if run is None else list(run.inbox.values())

    def list_left_cancels(self) -> list[str]:
        """Return the ids of the runs that nobody owns and that somebody asked to cancel."""
        asked = (self.runs[key] for key in self._asked)
        left = (run for run in asked if any(row.kind == "cancel" for row in run.inbox.values()))
        return [run.run_id for run in left if run.owner is None]

    def would_end(self, ending: Ending) -> bool:
        """Say whether nobody owns the run and it is as it was when it was read."""
        run = self.runs.get(ending.run)
        seen = (None, ending.epoch, ending.head)
        return run is not None and (run.owner, run.epoch, run.head) == seen

    def end_run(self, ending: Ending) -> bool:
        """Write the end of a run that nobody owns."""
        if not self.would_end(ending):
            return False
        run = self.runs[ending.run]
        run.add(ending.records)
        run.status = ending.status
        self._take(run, ending.inbox_taken)
        self.outbox.add(run, ending.outbox)
        self._set_free(run, None)
        if run.flow is not None:
            self.waiting.limited.let_go(run)  # it may have held gates for whoever takes it over
            run.needs_worker_only = True
        return True

    def would_reopen(self, reopening: Reopening) -> bool:
        """Say whether the run rests as it was read, and nothing is asked of it."""
        run = self.runs.get(reopening.run)
        return run is not None and run.owner is None and run.head == reopening.head and not run.inbox

    def reopen_run(self, reopening: Reopening) -> bool:
        """Open the next execution of a run that nobody owns."""
        if not self.would_reopen(reopening):
            return False
        run, last = self.runs[reopening.run], reopening.records[-1]
        run.add(reopening.records)
        run.status = RunStatus.PENDING
        run.execution = last.execution
        run.needs_worker_only, run.has_begun = run.flow is None, False
        self._set_free(run, last.at_ms)
        return True

    def list_inbox(self, worker: WorkerKey) -> list[InboxRow]:
        """Return the requests to the runs of a worker, oldest first."""
        life = self.lives.get(worker)
        if life is None:
            return []
        runs = (self.runs[key] for key in life.runs & self._asked)
        return sorted((row for run in runs for row in run.inbox.values()), key=lambda row: row.key)

    def _take(self, run: Run, rows: Iterable[InboxKey]) -> None:
        for row in rows:
            run.inbox.pop(row, None)
        if not run.inbox:
            self._asked.discard(run.key)

    def register(self, workflows: Sequence[str], lease: timedelta, graphs: Sequence[GraphKey]) -> Life:
        """Begin a life of a worker."""
        self._last_worker += 1
        key = WorkerKey(self._last_worker)
        lease_end = self.monotonic() + lease.total_seconds()
        life = Life(key=key, pid=os.getpid(), workflows=tuple(workflows), graphs=tuple(graphs), lease_end=lease_end)
        self.lives[key] = life
        return life

    def would_renew(self, worker: WorkerKey, _lease: timedelta) -> bool:
        """Say whether the life has not ended yet."""
        return worker in self.lives

    def renew(self, worker: WorkerKey, lease: timedelta) -> bool:
        """Prolong a lease; False if the life has ended. One that ran out is prolonged as long as nobody saw it."""
        life = self.lives.get(worker)
        if life is None or not life.is_held:
            return False
        life.lease_end = self.monotonic() + lease.total_seconds()
        return True

    def would_retire(self, worker: WorkerKey) -> bool:
        """Say whether the life has not ended yet."""
        return worker in self.lives

    def retire(self, worker: WorkerKey) -> int:
        """End a life in good order; return how many runs it set free."""
        life = self.lives.pop(worker, None)
        # No time comes with this call. Since the run's latest event, nothing but its owner was in its way.
        return 0 if life is None else self._set_all_free(life, now_ms=None)

    def would_bury(self, _now_ms: int) -> bool:
        """Say whether somebody is dead."""
        now = self.monotonic()
        return not all(life.is_alive(now) for life in self.lives.values())

    def bury(self, now_ms: int) -> int:
        """End the lives of the dead; return how many runs it set free."""
        now = self.monotonic()
        dead = [life for life in self.lives.values() if not life.is_alive(now)]
        for life in dead:
            del self.lives[life.key]
            for key in life.runs:
                self.runs[key].has_crashed = not life.is_held
        return sum(self._set_all_free(life, now_ms=now_ms) for life in dead)

    def _set_all_free(self, life: Life, *, now_ms: int | None) -> int:
        self.outbox.set_free(life.key)
        for key in life.runs:
            run = self.runs[key]
            self._set_free(run, run.updated_at_ms if now_ms is None else now_ms)
        return len(life.runs)

    def would_claim_deliveries(self, worker: WorkerKey, graphs: Sequence[GraphKey], now_ms: int, limit: int) -> bool:
        """Say whether `claim_deliveries` would take one."""
        return self._find_alive(worker) is not None and self.outbox.would_claim(worker, graphs, now_ms, limit)

    def claim_deliveries(
        self, worker: WorkerKey, graphs: Sequence[GraphKey], now_ms: int, limit: int
    ) -> list[Delivery]:
        """Give due deliveries to a worker."""
        return [] if self._find_alive(worker) is None else self.outbox.claim(worker, graphs, now_ms, limit)

    def would_end_delivery(
        self, worker: WorkerKey, delivery: DeliveryKey, _failure: bytes | None, _due_at_ms: int | None
    ) -> bool:
        """Say whether the worker makes this delivery."""
        return self.outbox.is_owned(worker, delivery)

    def end_delivery(
        self, worker: WorkerKey, delivery: DeliveryKey, failure: bytes | None, due_at_ms: int | None
    ) -> bool:
        """Record what became of a delivery; False if it is not this worker's."""
        if not self.outbox.is_owned(worker, delivery):
            return False
        self.outbox.end(delivery, failure=failure, due_at_ms=due_at_ms)
        return True

    def _find_alive(self, worker: WorkerKey) -> Life | None:
        life = self.lives.get(worker)
        return life if life is not None and life.is_alive(self.monotonic()) else None

    def would_add_graph(self, workflow_id: str, fingerprint: str, _document: bytes) -> bool:
        """Say whether the document is new."""
        return (workflow_id, fingerprint) not in self.graphs

    def ensure_graph(self, workflow_id: str, fingerprint: str, document: bytes) -> GraphKey:
        """Store a document unless it is there, and return its number."""
        row = self.graphs.get((workflow_id, fingerprint))
        if row is None:
            key = GraphKey(len(self.graphs) + 1)
            row = GraphRow(key=key, workflow_id=workflow_id, fingerprint=fingerprint)
            self.graphs[workflow_id, fingerprint] = row
            self.documents[key] = document
        return row.key
