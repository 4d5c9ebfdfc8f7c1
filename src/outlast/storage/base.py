"""What every store guarantees: the written contract that `outlast.testing.conformance` checks.

A store remembers and never decides. It keeps five things in step, in one transaction each time: the journals of runs,
who owns which run, what outsiders ask of a run (its inbox), what must be delivered because of it (its outbox, see
`outbox.py`), and which workers are alive.

Words. A run is *owned* while a worker's key stands in its row; only the owner appends to its journal. Each change of
owner raises the run's *epoch*; a write that names an old epoch or owner is refused. A run without owner is *claimable*
from `ready_at_ms` on: that one column is at once the queue of new runs, the due time of the next timer, and the wake-up
of a run whose owner died. `None` there means that only its inbox can wake it.

Times are milliseconds since 1970 in UTC and come from the caller. Leases are the store's own business, because they
must follow a clock that nobody sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from outlast.core.record import Record
from outlast.immutable import immutable
from outlast.storage.flow import Flow, Limit, Wait
from outlast.storage.identity import Admission, Identity
from outlast.storage.keeping import RunKeeper
from outlast.storage.listing import RunIndex
from outlast.storage.outbox import OutboxStore
from outlast.storage.rows import (
    Append,
    ClaimedRun,
    Ending,
    GraphKey,
    GraphRow,
    Head,
    InboxKey,
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
from outlast.storage.scheduling import ScheduleStore

__all__ = [
    "Append",
    "ClaimedRun",
    "CommitSeam",
    "Durability",
    "Ending",
    "GraphKey",
    "GraphRow",
    "Head",
    "InboxKey",
    "InboxRow",
    "NewRun",
    "Receipt",
    "Reopening",
    "RunKey",
    "RunRow",
    "RunStore",
    "Settle",
    "Store",
    "WorkerKey",
    "WorkerRow",
    "WorkerStore",
]


@immutable
class Durability:
    """What a commit waits for."""

    survives_power_loss: bool
    """Whether a committed write is still there after the machine lost power; if not, a killed process is survived."""


class CommitSeam(Protocol):
    """Where tests reach into a store: called around every transaction that writes, on whatever thread commits.

    An ordinary exception stands for a commit that failed, or whose answer was lost: the store then finds out what was
    recorded and settles truthfully. Any other `BaseException` stands for the death of the process: nothing more is
    written, the locks are let go as the kernel would, and every later call fails with `StoreUnavailableError`.
    """

    def before_commit(self) -> None:
        """Called when the transaction is complete but not committed. Raise to have it rolled back."""
        ...

    def after_commit(self) -> None:
        """Called when the transaction is durable. Raise to lose the answer."""
        ...


class RunStore(Protocol):
    """Journals and the rows of their runs.

    Guarantees, for all methods:
        Every write is atomic: all its parts are recorded or none. Writes settle in the order in which they were handed
        over, for one run as well as between runs. A reader sees a write whole or not at all, and sees every write that
        settled before the reader asked.
    """

    def insert(self, run: NewRun, settle: Settle) -> None:
        """Record a new run together with the beginning of its journal.

        Guarantees:
            The second insert of a run id settles with `RunExistsError` and changes nothing, also when two processes
            race. With an owner that is alive, the run belongs to it from the first moment, with epoch 1; if the owner's
            life is over, the run is recorded without owner, claimable at once, and the receipt says so. Without an
            owner its epoch is 0 and it is claimable from its `ready_at_ms` on, at once if that is None. A run with a
            `flow` begins without owner, whomever it names.
        """
        ...

    async def insert_once(self, run: NewRun, identity: Identity) -> Admission:
        """Record a new run, without owner, unless its key stands for another one; `identity.judge` decides.

        Guarantees:
            The decision and what follows from it are one transaction: of any number of processes that race for one key,
            one records a run, and the others get that run or its refusal. A run that is replaced has a request to
            cancel it in its inbox from the same commit on. Durable when it returns.

        Raises:
            IdempotencyConflictError: The key is held for something else. Nothing was changed.
            RunExistsError: The run that holds the key is not to be handed out, or was deleted; or the id of the new run
                is taken. Nothing was changed.
            StoreUnavailableError: It is not known to be recorded; the same call again is safe.
        """
        ...

    def append(self, write: Append, settle: Settle) -> None:
        """Add events to the journal of an owned run, and optionally give the run up.

        Guarantees:
            If run, owner and epoch do not all match the row, it settles with `StaleRunError` and changes nothing; other
            writes of the same commit are not affected. Records whose first `seq` does not follow the head are refused
            the same way. Inbox rows named in `inbox_taken` are marked taken by the same commit, and deliveries named in
            `outbox` are recorded by it, in their order. A write that releases the run while its inbox holds rows
            neither taken nor named in `inbox_seen` leaves it claimable at once. A run under flow control that is
            released in another status than `running` holds its gates no longer.
        """
        ...

    async def find_run(self, run_id: str) -> RunRow | None:
        """Return the row of a run, or None if the id is not known."""
        ...

    async def find_hold(self, run: RunKey) -> str | None:
        """Return why nothing is done about a run for now, if whoever drove it last said so.

        Guarantees:
            The latest `hold` that a write named, as long as the run's journal has not grown since and nobody took the
            run since; else None. Keeping it costs only the writes that name one.
        """
        ...

    async def load_records(
        self,
        run: RunKey,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        most_bytes: int | None = None,
    ) -> list[Record]:
        """Return the events of both classes with `seq` over `after`, in order; empty if there are none.

        Args:
            run: The run.
            after: `seq` of the last event that is left out.
            until: `seq` of the last event that is wanted; None for all.
            limit: How many at most.
            most_bytes: Stop after the event with which the bodies and payloads reach this size.
        """
        ...

    async def load_facts(
        self,
        run: RunKey,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        most_bytes: int | None = None,
    ) -> list[Record]:
        """As `load_records`, the facts only.

        Guarantees:
            What bodies said in between costs nothing, however much it is.
        """
        ...

    async def load_heads(self, runs: Sequence[RunKey]) -> dict[RunKey, Head]:
        """Return how far the journals of several runs go, in one read; an unknown run is left out."""
        ...

    async def load_journals(self, runs: Sequence[RunKey]) -> dict[RunKey, list[Record]]:
        """Return all facts of several runs in one read.

        Guarantees:
            Each run that was asked for is in the answer, with its facts in order; an unknown one with an empty list.
        """
        ...

    async def ensure_graph(self, workflow_id: str, fingerprint: str, document: bytes) -> GraphKey:
        """Store a graph document once per workflow and fingerprint and return its number.

        Guarantees:
            Idempotent, also when processes race: the same fingerprint gives the same number for ever.
        """
        ...

    async def load_graph(self, key: GraphKey) -> bytes:
        """Return a graph document.

        Raises:
            StoreError: There is none with this number; the file was tampered with.
        """
        ...

    async def list_graphs(self, *, after: GraphKey | None = None) -> list[GraphRow]:
        """Return the graphs with a number over `after`, in order of their numbers."""
        ...

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

        Guarantees:
            Returns True for the first request per run and topic, False (and changes nothing) for every later one, also
            when processes race and after the first was taken. Durable when it returns. With a `flow`, a run that was
            not under flow control is from then on. With an `execution`, False as well (and nothing is changed) if
            another one is the run's latest at the commit: who asks something of one must learn that it is over.

        Raises:
            RunNotFoundError: No run has this id.
            StoreUnavailableError: Nothing was recorded; try again.
        """
        ...

    async def list_requests(self, run: RunKey) -> list[InboxRow]:
        """Return the inbox rows of a run, not taken yet, oldest first, whoever owns it."""
        ...

    async def list_left_cancels(self) -> list[str]:
        """Return the ids of the runs that nobody owns and that somebody asked to cancel, without an answer so far."""
        ...

    async def end_run(self, ending: Ending) -> bool:
        """Write the end of a run that nobody owns. Durable when it returns True.

        Guarantees:
            True only if, at the commit, the run had no owner and both its epoch and its head were as named: then the
            events and deliveries are recorded, the inbox rows are marked taken, and nobody may claim the run any more.
            Else False, and nothing is changed; also when it races with a worker that claims the run, or with another
            such write.
        """
        ...

    async def reopen_run(self, reopening: Reopening) -> bool:
        """Open the next execution of a run that nobody owns. Durable when it returns True.

        Guarantees:
            True only if, at the commit, the run had no owner, its head was as named, and its inbox held no row that was
            not taken: then the events are recorded, the run is `pending` and in the execution of the last of them, and
            it may be claimed from that event's time on. Else False, and nothing is changed; so of several that race,
            also with a resumption or with a worker that claims the run, one wins.
        """
        ...


class WorkerStore(Protocol):
    """Who is alive, and who owns what."""

    async def register_worker(
        self, *, workflows: Sequence[str], lease: timedelta, graphs: Sequence[GraphKey] = ()
    ) -> WorkerKey:
        """Begin a life of a worker: from now on it is alive until it retires, its process ends or its lease is over.

        Guarantees:
            The number was never used before. When the process ends in whatever way, siblings on this machine see it at
            once, without waiting for the lease.
        """
        ...

    def renew_lease(self, worker: WorkerKey, lease: timedelta) -> bool:
        """Prolong the lease from now on. Blocking; may be called from any thread. Never waits behind queued writes.

        Guarantees:
            False means that this life is over: a sibling took its runs, and whatever it writes is refused.
        """
        ...

    async def retire_worker(self, worker: WorkerKey) -> int:
        """End the life in good order: its runs become claimable at once. Return how many there were. Idempotent."""
        ...

    async def bury_dead_workers(self, *, now_ms: int) -> int:
        """End the lives whose process is gone or whose lease is over; their runs become claimable at `now_ms`.

        Guarantees:
            A worker that is alive is never buried. From the commit on, every write of the buried worker is refused.
            Returns the number of runs set free. Costs no write if nobody died.
        """
        ...

    async def list_workers(self) -> list[WorkerRow]:
        """Return the workers that were registered and not yet retired or buried."""
        ...

    async def claim(
        self, worker: WorkerKey, *, graphs: Sequence[GraphKey], now_ms: int, limit: int
    ) -> list[ClaimedRun]:
        """Take claimable runs of the given graphs, those that are ready for the longest time first.

        Guarantees:
            A run is given to one worker only, also when processes race. Its epoch is one higher than before. Durable
            when it returns. An empty list if the worker's life is over. If the call is canceled, whatever it took is
            free again: nobody else would know whose it is.

            A run under flow control is given only while its gates are open, and holds those that count running runs
            from the same commit on: until its owner releases it at rest or somebody ends it, whatever becomes of the
            owner. So a limit of n never has more than n, however many processes claim and die. One that holds its gates
            already, because its owner died or gave it up at work, is given without any more conditions.

            Higher priorities come first. Of one priority, runs with different keys take turns, and so do runs under
            flow control and runs that need nothing but a worker; see `outlast.storage.flow`.
        """
        ...

    def try_take_turn(self) -> bool:
        """Take the turn of the suspects, if nobody on this machine has it: runs whose bodies may have killed a process.

        Guarantees:
            At most one open store on this machine has the turn. Whoever has it keeps it until `give_turn`, and loses it
            at once when its process ends. True also if this store has it already.
        """
        ...

    def give_turn(self) -> None:
        """Give the turn back. Idempotent."""
        ...

    async def list_inbox(self, worker: WorkerKey) -> list[InboxRow]:
        """Return the inbox rows, not taken yet, of the runs that this worker owns, oldest first."""
        ...


class Store(RunStore, RunIndex, RunKeeper, WorkerStore, OutboxStore, Protocol):
    """A whole store, as an engine uses it."""

    @property
    def durability(self) -> Durability:
        """What a commit waits for."""
        ...

    @property
    def path(self) -> str | None:
        """The file in which other processes find the same runs; None if this process alone has them."""
        ...

    @property
    def schedules(self) -> ScheduleStore:
        """What starts workflows by itself: a contract of its own, see `scheduling.py`."""
        ...

    async def open(self) -> None:
        """Make the store ready; creates what is missing and brings an older schema up to date.

        Raises:
            ConfigurationError: The path cannot be used; the message says why and what to do.
            SchemaVersionError: Not an Outlast store, or one written by a newer version. Nothing was changed.
            NetworkFilesystemError: On a network file system. Nothing was changed.
            StoreUnavailableError: It did not answer; try again.
        """
        ...

    async def close(self) -> None:
        """Wait for the writes that were handed over, then let go of everything. Idempotent."""
        ...

    def has_changed(self) -> bool:
        """Say whether another process may have written since the last call. Cheap enough to ask every 20 ms."""
        ...

    async def next_start_by(self) -> int | None:
        """Return the earliest `start_by_ms` of the runs that may still be late; None if there is none."""
        ...

    async def list_late_starts(self, *, now_ms: int, limit: int) -> list[str]:
        """Return ids of runs that nobody owns, whose `start_by_ms` is over and whose journal has not grown since.

        Guarantees:
            At most `limit`, the latest first. From then on `next_start_by` passes over the runs whose `start_by_ms` is
            over and whose journal has grown.
        """
        ...

    async def next_ready_at(self, graphs: Sequence[GraphKey]) -> int | None:
        """Return the earliest `ready_at_ms` among the runs of these graphs without owner; None if there is none.

        Guarantees:
            Of runs that wait behind closed gates: when a rate opens one, and not at all as long as others hold it. For
            runs under flow control it may be too early, until a claim has looked.
        """
        ...

    async def declare_limits(self, limits: Sequence[Limit]) -> None:
        """Make limits what an app says they are, for all processes and for the runs that wait already.

        Guarantees:
            Durable when it returns. A limit that nobody ever declared lets everybody through.
        """
        ...

    async def find_flow(self, run: RunKey) -> Flow | None:
        """Return what a run is subject to; None if it is not under flow control."""
        ...

    async def find_wait(self, run: RunKey) -> Wait | None:
        """Return what a run that nobody owns waits for under its limits; None if it does not wait for its turn."""
        ...
