"""`MemoryStore`: the store contract over data in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar, TypeVarTuple

from outlast.core.record import Record
from outlast.errors import OutlastError, StoreError, StoreUnavailableError
from outlast.storage.base import (
    Append,
    ClaimedRun,
    CommitSeam,
    Durability,
    Ending,
    GraphKey,
    GraphRow,
    Head,
    InboxRow,
    NewRun,
    Receipt,
    Reopening,
    RunKey,
    RunRow,
    Settle,
    WorkerKey,
    WorkerRow,
)
from outlast.storage.flow import Flow, Limit, Wait
from outlast.storage.identity import Admission, Identity
from outlast.storage.keeping import Sweep
from outlast.storage.keys import DeliveryKey
from outlast.storage.listing import QueueLength, RunCount, RunListing, RunQuery, RunSummary
from outlast.storage.memory import listing
from outlast.storage.memory.commit import Committer, QueuedAppend, QueuedWrite, unwrap
from outlast.storage.memory.database import MemoryDatabase
from outlast.storage.memory.scheduling import MemorySchedules
from outlast.storage.memory.table import Life, cut
from outlast.storage.outbox import Delivery, DeliveryRow

__all__ = ["MemoryStore"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class MemoryStore:
    """A `Store` that keeps everything in memory and survives nothing.

    Each object stands for one process; several of them over one `MemoryDatabase` are several processes on one file. A
    worker's life ends when the store that registered it is closed, dies at the seam, or lets the lease run out.
    """

    def __init__(self, database: MemoryDatabase | None = None, *, seam: CommitSeam | None = None) -> None:
        self._database = MemoryDatabase() if database is None else database
        self._committer = Committer(self._database, seam, self._let_go)
        self._lives: list[Life] = []
        self._is_open = False
        self._foreign_commits = 0

    @property
    def durability(self) -> Durability:
        """Nothing survives the loss of power, nor the end of the process."""
        return Durability(survives_power_loss=False)

    @property
    def path(self) -> None:
        """None: there is no file."""

    @property
    def schedules(self) -> MemorySchedules:
        """What starts workflows by itself."""
        return MemorySchedules(self._database.schedules, write=self._write, reading=self._reading)

    @contextmanager
    def _reading(self) -> Generator[None]:
        self._check_open()
        with self._database.lock:
            yield

    async def open(self) -> None:
        """Make the store ready.

        Raises:
            StoreUnavailableError: It died at a commit; make another one.
        """
        if self._committer.is_dead:
            raise StoreUnavailableError("this store died at a commit; open another one")
        self._committer.bind()
        self._is_open = True

    async def close(self) -> None:
        """Wait for the writes that were handed over, then let go of everything. Idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        with suppress(StoreUnavailableError):  # a dead store has no more to wait for
            await self._committer.ask(_never, _nothing)
        with self._database.lock:
            self._let_go()

    def has_changed(self) -> bool:
        """Say whether another store wrote to the database since the last call."""
        self._check_open()
        foreign_commits = self._database.commits - self._committer.own_commits
        has_changed = foreign_commits != self._foreign_commits
        self._foreign_commits = foreign_commits
        return has_changed

    def insert(self, run: NewRun, settle: Settle) -> None:
        """Record a new run together with the beginning of its journal."""
        database = self._database
        self._put(QueuedWrite(database.would_insert, database.insert, settle, run), settle)

    async def insert_once(self, run: NewRun, identity: Identity) -> Admission:
        """Record a new run, without owner, unless its key stands for another one.

        Raises:
            IdempotencyConflictError: The key is held for something else. Nothing was changed.
            RunExistsError: The run of the key is not to be handed out, or the id of the new run is taken.
        """
        database = self._database
        return await self._write(database.would_insert_once, database.insert_once, run, identity)

    def append(self, write: Append, settle: Settle) -> None:
        """Add events to the journal of an owned run, and optionally give the run up."""
        self._put(QueuedAppend(self._database, write, settle), settle)

    async def find_run(self, run_id: str) -> RunRow | None:
        """Return the row of a run, or None if the id is not known."""
        self._check_open()
        with self._database.lock:
            run = self._database.run_ids.get(run_id)
            return None if run is None else run.to_row()

    async def find_hold(self, run: RunKey) -> str | None:
        """Return why nothing is done about a run for now, if whoever drove it last said so."""
        return self._read(lambda db: None if (found := db.runs.get(run)) is None else found.find_hold())

    async def load_records(
        self,
        run: RunKey,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        most_bytes: int | None = None,
    ) -> list[Record]:
        """Return the events of both classes with `after < seq <= until`, in order, at most `limit`."""
        return self._load(run, after, until, limit, most_bytes, facts_only=False)

    async def load_facts(
        self,
        run: RunKey,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        most_bytes: int | None = None,
    ) -> list[Record]:
        """Return the facts with `after < seq <= until`, in order, at most `limit`."""
        return self._load(run, after, until, limit, most_bytes, facts_only=True)

    def _load(
        self,
        run: RunKey,
        after: int,
        until: int | None,
        limit: int | None,
        most_bytes: int | None,
        *,
        facts_only: bool,
    ) -> list[Record]:
        self._check_open()
        with self._database.lock:
            found = self._database.runs.get(run)
            if found is None:
                return []
            records = found.load(after=after, until=until, limit=limit, facts_only=facts_only)
        return records if most_bytes is None else cut(records, most_bytes)

    async def load_heads(self, runs: Sequence[RunKey]) -> dict[RunKey, Head]:
        """Return how far the journals of several runs go; an unknown one is left out."""
        self._check_open()
        with self._database.lock:
            found = [(key, self._database.runs.get(key)) for key in runs]
            return {key: Head(run.head, run.status) for key, run in found if run is not None}

    async def load_journals(self, runs: Sequence[RunKey]) -> dict[RunKey, list[Record]]:
        """Return all facts of several runs in one read; an unknown run has none."""
        return {run: await self.load_facts(run) for run in runs}

    async def ensure_graph(self, workflow_id: str, fingerprint: str, document: bytes) -> GraphKey:
        """Store a graph document once per workflow and fingerprint and return its number."""
        database = self._database
        return await self._write(database.would_add_graph, database.ensure_graph, workflow_id, fingerprint, document)

    async def load_graph(self, key: GraphKey) -> bytes:
        """Return a graph document.

        Raises:
            StoreError: There is none with this number; it comes from another database.
        """
        self._check_open()
        with self._database.lock:
            document = self._database.documents.get(key)
        if document is None:
            raise StoreError(f"there is no graph with number {key} in this database")
        return document

    async def list_graphs(self, *, after: GraphKey | None = None) -> list[GraphRow]:
        """Return the graphs with a number over `after`, in order of their numbers."""
        self._check_open()
        with self._database.lock:
            return [row for row in self._database.graphs.values() if after is None or row.key > after]

    async def post(
        self,
        run_id: str,
        *,
        kind: str,
        topic: str,
        at_ms: int,
        body: bytes,
        flow: Flow | None = None,
        execution: int | None = None,
    ) -> bool:
        """Put a request into the inbox of a run and make the run claimable at once if nobody owns it.

        Raises:
            RunNotFoundError: No run has this id.
            StoreUnavailableError: Nothing was recorded; try again.
        """
        database = self._database
        request = (run_id, kind, topic, at_ms, body, flow, execution)
        return await self._write(database.would_post, database.post, *request)

    async def list_requests(self, run: RunKey) -> list[InboxRow]:
        """Return the inbox rows of a run, not taken yet, oldest first, whoever owns it."""
        return self._read(lambda db: db.list_requests(run))

    async def list_left_cancels(self) -> list[str]:
        """Return the ids of the runs that nobody owns and that somebody asked to cancel, without an answer so far."""
        return self._read(lambda db: db.list_left_cancels())

    async def end_run(self, ending: Ending) -> bool:
        """Write the end of a run that nobody owns; False if it is not as it was read, or somebody owns it."""
        return await self._write(self._database.would_end, self._database.end_run, ending)

    async def reopen_run(self, reopening: Reopening) -> bool:
        """Open the next execution of a run that nobody owns; False if it does not rest as it was read."""
        return await self._write(self._database.would_reopen, self._database.reopen_run, reopening)

    async def list_runs(self, query: RunQuery) -> RunListing:
        """Return the runs that match, those recorded last first.

        Raises:
            InputError: `after` was not told by this store.
        """
        return self._read(lambda db: listing.list_runs(reversed(db.runs.values()), query))

    async def summarize_run(self, run_id: str) -> RunSummary | None:
        """Return what lists show of one run, or None if its id is not known."""
        self._check_open()
        with self._database.lock:
            run = self._database.run_ids.get(run_id)
            return None if run is None else run.to_summary()

    async def count_runs(self, workflow_id: str | None = None) -> list[RunCount]:
        """Return how many runs there are, by workflow and status."""
        return self._read(lambda db: listing.count_runs(db.runs.values(), workflow_id))

    async def count_in_flight(self) -> dict[GraphKey, int]:
        """Return how many runs have not ended, by graph."""
        return self._read(lambda db: listing.count_in_flight(db.runs.values()))

    async def measure_queue(self, now_ms: int) -> list[QueueLength]:
        """Return how many runs wait for a worker or for their limits, by workflow."""
        return self._read(lambda db: listing.measure_queue(db.runs.values(), now_ms))

    async def next_start_by(self) -> int | None:
        """Return the earliest `start_by_ms` of the runs that may still be late; None if there is none."""
        return self._read(lambda db: db.start_deadlines.next())

    async def list_late_starts(self, *, now_ms: int, limit: int) -> list[str]:
        """Return ids of runs that had to begin until now and that nobody has begun; forget the deadlines of others."""
        deadlines = self._database.start_deadlines
        return await self._write(deadlines.would_list, deadlines.list, now_ms, limit)

    async def delete_run(self, run_id: str, *, now_ms: int) -> None:
        """Delete a run that has ended: its journal, inbox and tags.

        Raises:
            RunNotFoundError: No run has this id.
            RunStateError: The run has not ended, or something is asked of it.
        """
        await self._write(self._database.would_delete, self._database.delete, run_id, now_ms)

    async def sweep(
        self,
        *,
        ended_before_ms: int | None,
        deleted_before_ms: int,
        said_before_ms: int | None = None,
        now_ms: int,
    ) -> Sweep | None:
        """Do one small step of what is left to do: delete old runs, forget ids, remove what was said."""
        self._check_open()
        database = self._database
        with database.lock:
            if database.sweeper is None:
                database.sweeper = self
            if database.sweeper is not self:
                return None
        limits = (ended_before_ms, deleted_before_ms, said_before_ms, now_ms)
        return await self._write(database.would_sweep, database.sweep, *limits)

    async def register_worker(
        self, *, workflows: Sequence[str], lease: timedelta, graphs: Sequence[GraphKey] = ()
    ) -> WorkerKey:
        """Begin a life of a worker, which ends with this store at the latest."""
        self._check_open()
        undo = self._database.retire
        return await self._committer.ask(_always, self._register, workflows, lease, graphs, undo=undo)

    def renew_lease(self, worker: WorkerKey, lease: timedelta) -> bool:
        """Prolong the lease from now on; from any thread, ahead of queued writes. False if this life is over."""
        self._check_open()
        answers: list[bool | OutlastError] = []
        database = self._database
        write = QueuedWrite(database.would_renew, database.renew, answers.append, worker, lease)
        self._committer.commit([write])
        write.settle()
        return unwrap(answers[0])

    async def retire_worker(self, worker: WorkerKey) -> int:
        """End the life in good order and return how many runs were set free. Idempotent."""
        database = self._database
        return await self._write(database.would_retire, database.retire, worker)

    async def bury_dead_workers(self, *, now_ms: int) -> int:
        """End the lives whose store is gone or whose lease is over, and return how many runs were set free."""
        database = self._database
        return await self._write(database.would_bury, database.bury, now_ms)

    async def list_workers(self) -> list[WorkerRow]:
        """Return the workers that were registered and not yet retired or buried."""
        self._check_open()
        now = self._database.monotonic()
        with self._database.lock:
            return [
                WorkerRow(
                    key=life.key,
                    pid=life.pid,
                    workflows=life.workflows,
                    graphs=life.graphs,
                    is_alive=life.is_alive(now),
                )
                for life in self._database.lives.values()
            ]

    def try_take_turn(self) -> bool:
        """Take the turn of the suspects, if no other store of this database has it."""
        with self._database.lock:
            if self._database.turn is None and self._is_open:
                self._database.turn = self
            return self._database.turn is self

    def give_turn(self) -> None:
        """Give the turn back. Idempotent."""
        with self._database.lock:
            self._let_turn_go()

    def _let_turn_go(self) -> None:
        if self._database.turn is self:
            self._database.turn = None

    async def claim(
        self, worker: WorkerKey, *, graphs: Sequence[GraphKey], now_ms: int, limit: int
    ) -> list[ClaimedRun]:
        """Take claimable runs of the given graphs, those that are ready for the longest time first."""
        self._check_open()
        database = self._database
        undo = partial(database.unclaim, worker)
        return await self._committer.ask(database.would_claim, database.claim, worker, graphs, now_ms, limit, undo=undo)

    async def next_ready_at(self, graphs: Sequence[GraphKey]) -> int | None:
        """Return the earliest `ready_at_ms` among the runs of these graphs without owner; None if there is none."""
        return self._read(lambda db: db.waiting.next_ready_at(graphs))

    async def declare_limits(self, limits: Sequence[Limit]) -> None:
        """Make limits what an app says they are, for all processes and for the runs that wait already."""
        await self._write(self._database.waiting.limited.would_declare, self._database.waiting.limited.declare, limits)

    async def find_flow(self, run: RunKey) -> Flow | None:
        """Return what a run is subject to; None if it is not under flow control."""
        return self._read(lambda db: None if (found := db.runs.get(run)) is None else found.flow)

    async def find_wait(self, run: RunKey) -> Wait | None:
        """Return what a run waits for under its limits; None if it does not."""
        return self._read(
            lambda db: None if (found := db.runs.get(run)) is None else db.waiting.limited.find_wait(found)
        )

    async def list_inbox(self, worker: WorkerKey) -> list[InboxRow]:
        """Return the inbox rows, not taken yet, of the runs that this worker owns, oldest first."""
        return self._read(lambda db: db.list_inbox(worker))

    async def claim_deliveries(
        self, worker: WorkerKey, *, graphs: Sequence[GraphKey], now_ms: int, limit: int
    ) -> list[Delivery]:
        """Take due deliveries of runs of the given graphs that nobody makes now."""
        self._check_open()
        database, most = self._database, max(0, limit)
        undo = partial(database.outbox.unclaim, worker)
        would, claim = database.would_claim_deliveries, database.claim_deliveries
        return await self._committer.ask(would, claim, worker, graphs, now_ms, most, undo=undo)

    async def end_delivery(
        self, worker: WorkerKey, delivery: DeliveryKey, *, failure: bytes | None, due_at_ms: int | None
    ) -> bool:
        """Record what became of a delivery that this worker makes; False if it is not this worker's."""
        database = self._database
        return await self._write(
            database.would_end_delivery, database.end_delivery, worker, delivery, failure, due_at_ms
        )

    async def next_delivery_at(self, graphs: Sequence[GraphKey]) -> int | None:
        """Return when the earliest delivery of these graphs may be claimed that nobody makes now; None without any."""
        return self._read(lambda db: db.outbox.next_at(graphs))

    async def list_deliveries(self, run: RunKey) -> list[DeliveryRow]:
        """Return the deliveries of a run that have not succeeded, in the order in which they were recorded."""
        self._check_open()
        with self._database.lock:
            found = self._database.runs.get(run)
            return [] if found is None else self._database.outbox.rows_of(found)

    def _read(self, query: Callable[[MemoryDatabase], T]) -> T:
        self._check_open()
        with self._database.lock:
            return query(self._database)

    async def _write(self, changes: Callable[[*Ts], bool], apply: Callable[[*Ts], T | OutlastError], *args: *Ts) -> T:
        self._check_open()
        return await self._committer.ask(changes, apply, *args)

    def _register(self, workflows: Sequence[str], lease: timedelta, graphs: Sequence[GraphKey]) -> WorkerKey:
        life = self._database.register(workflows, lease, graphs)
        self._lives.append(life)
        return life.key

    def _put(self, write: QueuedWrite[Receipt, NewRun] | QueuedAppend, settle: Settle) -> None:
        if not self._is_open or self._committer.is_dead:
            asyncio.get_running_loop().call_soon(settle, _closed())
        else:
            self._committer.put(write)

    def _check_open(self) -> None:
        if not self._is_open or self._committer.is_dead:
            raise _closed()

    def _let_go(self) -> None:
        """End the lives that this store holds, as the kernel frees the locks of a process. The lock is held."""
        for life in self._lives:
            life.is_held = False
        self._lives.clear()
        self._let_turn_go()
        if self._database.sweeper is self:
            self._database.sweeper = None


def _always(*_args: object) -> bool:
    return True


def _never() -> bool:
    return False


def _nothing() -> None:
    pass


def _closed() -> StoreUnavailableError:
    return StoreUnavailableError("this store is not open; open it, or use one that is")
