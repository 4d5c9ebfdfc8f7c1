"""The store in an SQLite file: one machine, any number of processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import uuid4

from outlast.core.record import Record
from outlast.errors import OutlastError, RunNotFoundError, StoreError
from outlast.storage.base import (
    Append,
    ClaimedRun,
    Ending,
    GraphKey,
    GraphRow,
    Head,
    InboxRow,
    NewRun,
    Reopening,
    RunKey,
    RunRow,
    Settle,
    WorkerKey,
    WorkerRow,
)
from outlast.storage.flow import Flow, Limit, Wait, gates_from_text
from outlast.storage.identity import Admission, Identity
from outlast.storage.keeping import Sweep
from outlast.storage.keys import DeliveryKey
from outlast.storage.listing import QueueLength, RunCount, RunListing, RunQuery, RunSummary
from outlast.storage.outbox import Delivery, DeliveryRow
from outlast.storage.sqlite import listing
from outlast.storage.sqlite.access import StoreAccess
from outlast.storage.sqlite.closing import End, ListLateStarts
from outlast.storage.sqlite.flow import read_next_ready, read_wait
from outlast.storage.sqlite.insertion import InsertOnce
from outlast.storage.sqlite.keeping import DeleteRun, Scan
from outlast.storage.sqlite.limits import DeclareLimits
from outlast.storage.sqlite.locks import LifeLock
from outlast.storage.sqlite.operation import EnsureGraph, Post
from outlast.storage.sqlite.outbox import ClaimDeliveries, EndDelivery, delivery_row
from outlast.storage.sqlite.readers import graph_row, inbox_row, read_events, read_heads, read_journals, run_row
from outlast.storage.sqlite.renewer import nanoseconds
from outlast.storage.sqlite.reopening import Reopen
from outlast.storage.sqlite.scheduling import SqliteSchedules
from outlast.storage.sqlite.workers import (
    Bury,
    Claim,
    Register,
    Retire,
    life_path,
    read_dead,
    read_workers,
    remove_lives,
)

__all__ = ["SqliteStore"]

_LARGEST: Final = 2**63 - 1


class SqliteStore(StoreAccess):
    """Implements `outlast.storage.base.Store`; the guarantees are written there.

    Durability `full` survives a power loss: a commit waits for the disk, and all commits that wait share one wait.
    `normal` survives a killed process. Both may be used on one file at the same time.

    No new run is recorded while less than `least_free` bytes are free on the disk, so that those under way can end.
    """

    @property
    def schedules(self) -> SqliteSchedules:
        """What starts workflows by itself."""
        return SqliteSchedules(perform=self._perform, read=self._read, refuse_runs=self._room.refusal)

    # ---- RunStore

    def insert(self, run: NewRun, settle: Settle) -> None:
        """Record a new run together with the beginning of its journal."""
        refusal = self._room.refusal()
        if refusal is not None and self._refusal is None:
            asyncio.get_running_loop().call_soon(settle, refusal)
        else:
            self._submit(run, settle)

    async def insert_once(self, run: NewRun, identity: Identity) -> Admission:
        """Record a new run, without owner, unless its key stands for another one.

        Raises:
            IdempotencyConflictError: The key is held for something else. Nothing was changed.
            RunExistsError: The run of the key is not to be handed out, or the id of the new run is taken.
            StoreUnavailableError: It is not known to be recorded; the same call again is safe.
        """
        refusal = self._room.refusal()
        if refusal is not None:
            raise refusal
        admission = await self._perform(InsertOnce(run, identity))
        if isinstance(admission, OutlastError):
            raise admission
        return admission

    def append(self, write: Append, settle: Settle) -> None:
        """Add events to the journal of an owned run, and optionally give the run up."""
        self._submit(write, settle)

    async def find_run(self, run_id: str) -> RunRow | None:
        """Return the row of a run, or None if the id is not known."""
        row = await self._read_one("find_run", run_id)
        return None if row is None else run_row(row)

    async def find_hold(self, run: RunKey) -> str | None:
        """Return why nothing is done about a run for now, if whoever drove it last said so."""
        row = await self._read_one("find_hold", run)
        return None if row is None else str(row[0])

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
        return await self._load("load_records", run, after, until, limit, most_bytes)

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
        return await self._load("load_facts", run, after, until, limit, most_bytes)

    async def _load(
        self, name: str, run: RunKey, after: int, until: int | None, limit: int | None, most_bytes: int | None
    ) -> list[Record]:
        place, cut = (run, after, _LARGEST if until is None else until), (-1 if limit is None else limit, most_bytes)
        return await self._usable().readers.read(lambda connection: read_events(connection, name, place, *cut))

    async def load_heads(self, runs: Sequence[RunKey]) -> dict[RunKey, Head]:
        """Return how far the journals of several runs go; an unknown one is left out."""
        return await self._usable().readers.read(lambda connection: read_heads(connection, runs))

    async def load_journals(self, runs: Sequence[RunKey]) -> dict[RunKey, list[Record]]:
        """Return all facts of several runs in one read; an unknown run has none."""
        return await self._usable().readers.read(lambda connection: read_journals(connection, runs))

    async def ensure_graph(self, workflow_id: str, fingerprint: str, document: bytes) -> GraphKey:
        """Store a graph document once per workflow and fingerprint and return its number."""
        row = await self._read_one("find_graph", workflow_id, fingerprint)
        if row is not None:
            return GraphKey(row[0])
        return await self._perform(EnsureGraph(workflow_id, fingerprint, document))

    async def load_graph(self, key: GraphKey) -> bytes:
        """Return a graph document.

        Raises:
            StoreError: There is none with this number; the file was tampered with.
        """
        row = await self._read_one("load_graph", key)
        if row is None:
            raise StoreError(f"{self._path} has no graph number {key}; the file was tampered with")
        return bytes(row[0])

    async def list_graphs(self, *, after: GraphKey | None = None) -> list[GraphRow]:
        """Return the graphs with a number over `after`, in order of their numbers."""
        rows = await self._read_all("list_graphs", 0 if after is None else after)
        return [graph_row(row) for row in rows]

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
        is_first = await self._perform(
            Post(run_id, kind=kind, topic=topic, at_ms=at_ms, body=body, flow=flow, execution=execution)
        )
        if is_first is None:
            raise RunNotFoundError(run_id)
        return is_first

    async def list_requests(self, run: RunKey) -> list[InboxRow]:
        """Return the inbox rows of a run, not taken yet, oldest first, whoever owns it."""
        return [inbox_row(row) for row in await self._read_all("list_requests", run)]

    async def list_left_cancels(self) -> list[str]:
        """Return the ids of the runs that nobody owns and that somebody asked to cancel, without an answer so far."""
        return [run_id for (run_id,) in await self._read_all("list_left_cancels")]

    async def end_run(self, ending: Ending) -> bool:
        """Write the end of a run that nobody owns; False if it is not as it was read, or somebody owns it."""
        return await self._perform(End(ending))

    async def next_start_by(self) -> int | None:
        """Return the earliest `start_by_ms` of the runs that may still be late; None if there is none."""
        row = await self._read_one("next_start_by")
        due_at_ms: int | None = None if row is None else row[0]
        return due_at_ms

    async def list_late_starts(self, *, now_ms: int, limit: int) -> list[str]:
        """Return ids of runs that had to begin until now and that nobody has begun; forget the deadlines of others."""
        due_at_ms = await self.next_start_by()
        if due_at_ms is None or due_at_ms > now_ms:
            return []
        return await self._perform(ListLateStarts(now_ms, limit))

    async def reopen_run(self, reopening: Reopening) -> bool:
        """Open the next execution of a run that nobody owns; False if it does not rest as it was read."""
        return await self._perform(Reopen(reopening))

    async def next_ready_at(self, graphs: Sequence[GraphKey]) -> int | None:
        """Return the earliest `ready_at_ms` among the runs of these graphs without owner; None if there is none."""
        if not graphs:
            return None
        return await self._usable().readers.read(lambda connection: read_next_ready(connection, graphs))

    async def declare_limits(self, limits: Sequence[Limit]) -> None:
        """Make limits what an app says they are, for all processes and for the runs that wait already."""
        if limits:
            await self._perform(DeclareLimits(limits))

    async def find_flow(self, run: RunKey) -> Flow | None:
        """Return what a run is subject to; None if it is not under flow control."""
        row = await self._read_one("find_flow", run)
        return None if row is None else Flow(row[0], gates_from_text(row[1]))

    async def find_wait(self, run: RunKey) -> Wait | None:
        """Return what a run waits for under its limits; None if it does not."""
        return await self._usable().readers.read(lambda connection: read_wait(connection, run))

    async def list_runs(self, query: RunQuery) -> RunListing:
        """Return the runs that match, those recorded last first.

        Raises:
            InputError: `after` was not told by this store.
        """
        return await self._usable().readers.read(lambda connection: listing.list_runs(connection, query))

    async def summarize_run(self, run_id: str) -> RunSummary | None:
        """Return what lists show of one run, or None if its id is not known."""
        return await self._usable().readers.read(lambda connection: listing.summarize_run(connection, run_id))

    async def count_runs(self, workflow_id: str | None = None) -> list[RunCount]:
        """Return how many runs there are, by workflow and status."""
        return await self._usable().readers.read(lambda connection: listing.count_runs(connection, workflow_id))

    async def delete_run(self, run_id: str, *, now_ms: int) -> None:
        """Delete a run that has ended: its journal, inbox and tags. Durable when it returns.

        Raises:
            RunNotFoundError: No run has this id.
            RunStateError: The run has not ended, something is asked of it, or its outbox is not empty.
            StoreUnavailableError: Nothing was changed, or it is not known; try again.
        """
        refusal = await self._perform(DeleteRun(run_id, now_ms=now_ms))
        if refusal is not None:
            raise refusal

    async def sweep(
        self,
        *,
        ended_before_ms: int | None,
        deleted_before_ms: int,
        said_before_ms: int | None = None,
        now_ms: int,
    ) -> Sweep | None:
        """Do one small step of what is left to do: delete old runs, forget ids, drop what was said, give room back."""
        scan = Scan(0, ended_before_ms, deleted_before_ms, said_before_ms, now_ms)
        return await self._usable().sweeper.step(scan, self._perform)

    async def count_in_flight(self) -> dict[GraphKey, int]:
        """Return how many runs have not ended, by graph."""
        return {GraphKey(graph): count for graph, count in await self._read_all("count_in_flight")}

    async def measure_queue(self, now_ms: int) -> list[QueueLength]:
        """Return how many runs wait for a worker or for their limits, by workflow."""
        return await self._usable().readers.read(lambda connection: listing.measure_queue(connection, now_ms))

    # ---- WorkerStore

    async def register_worker(
        self, *, workflows: Sequence[str], lease: timedelta, graphs: Sequence[GraphKey] = ()
    ) -> WorkerKey:
        """Begin a life of a worker: it is alive until it retires, its process ends or its lease is over."""
        machinery = self._usable()
        incarnation = uuid4().hex
        # Locked before it can be seen: whoever sees a row without a lock sees a dead worker.
        life = await machinery.readers.call(lambda: LifeLock(life_path(self._path, incarnation)))
        try:
            worker = await self._perform(
                Register(incarnation, workflows=workflows, graphs=graphs, lease_ns=nanoseconds(lease))
            )
        except BaseException:
            life.remove()
            raise
        machinery.lives[worker] = life
        return worker

    def renew_lease(self, worker: WorkerKey, lease: timedelta) -> bool:
        """Prolong the lease from now on; False if this life is over. Blocking; may be called from any thread.

        Raises:
            StoreUnavailableError: It was not renewed; try again before the lease is over.
        """
        return self._usable().renewer.renew(worker, lease)

    async def retire_worker(self, worker: WorkerKey) -> int:
        """End the life in good order: its runs become claimable at once. Return how many there were. Idempotent."""
        freed = await self._perform(Retire(worker))
        life = self._usable().lives.pop(worker, None)
        if life is not None:
            life.remove()
        return freed

    async def bury_dead_workers(self, *, now_ms: int) -> int:
        """End the lives whose process is gone or whose lease is over; their runs become claimable at `now_ms`."""
        path = self._path
        gone = await self._usable().readers.read(lambda connection: read_dead(connection, path))
        if not gone:
            return 0
        bury = Bury(path, gone, now_ms=now_ms)
        freed = await self._perform(bury)
        await self._usable().readers.call(lambda: remove_lives(path, bury.buried))
        return freed

    async def list_workers(self) -> list[WorkerRow]:
        """Return the workers that were registered and not yet retired or buried."""
        return await self._usable().readers.read(lambda connection: read_workers(connection, self._path))

    def try_take_turn(self) -> bool:
        """Take the turn of the suspects, if nobody on this machine has it."""
        return self._usable().turn.try_acquire()

    def give_turn(self) -> None:
        """Give the turn back. Idempotent, and nothing to do once the store is closed or dead."""
        if self._machinery is not None:
            self._machinery.turn.release()

    async def claim(
        self, worker: WorkerKey, *, graphs: Sequence[GraphKey], now_ms: int, limit: int
    ) -> list[ClaimedRun]:
        """Take claimable runs of the given graphs, those that are ready for the longest time first."""
        if not graphs or limit < 1:
            return []
        self._claims += 1
        claim = Claim(worker, graphs=graphs, now_ms=now_ms, limit=limit, is_odd_limited=self._claims % 2 > 0)
        return await self._perform(claim)

    async def list_inbox(self, worker: WorkerKey) -> list[InboxRow]:
        """Return the inbox rows, not taken yet, of the runs that this worker owns, oldest first."""
        return [inbox_row(row) for row in await self._read_all("list_inbox", worker)]

    # ---- OutboxStore

    async def claim_deliveries(
        self, worker: WorkerKey, *, graphs: Sequence[GraphKey], now_ms: int, limit: int
    ) -> list[Delivery]:
        """Take due deliveries of runs of the given graphs that nobody makes now."""
        if not graphs or limit < 1:
            return []
        return await self._perform(ClaimDeliveries(worker, graphs=graphs, now_ms=now_ms, limit=limit))

    async def end_delivery(
        self, worker: WorkerKey, delivery: DeliveryKey, *, failure: bytes | None, due_at_ms: int | None
    ) -> bool:
        """Record what became of a delivery that this worker makes; False if it is not this worker's."""
        return await self._perform(EndDelivery(worker, delivery, failure=failure, due_at_ms=due_at_ms))

    async def next_delivery_at(self, graphs: Sequence[GraphKey]) -> int | None:
        """Return when the earliest delivery of these graphs may be claimed that nobody makes now; None without any."""
        return await self._read_earliest("next_delivery_at", graphs)

    async def list_deliveries(self, run: RunKey) -> list[DeliveryRow]:
        """Return the deliveries of a run that have not succeeded, in the order in which they were recorded."""
        return [delivery_row(row) for row in await self._read_all("list_deliveries", run)]
