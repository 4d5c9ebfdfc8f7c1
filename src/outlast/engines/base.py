"""What an engine does for the app: it drives runs and reads them. What comes next is decided by the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from outlast.core.events import Fact, RunCreated, RunStarted
from outlast.core.history import History
from outlast.core.record import Record
from outlast.core.standing import Slots, Standing
from outlast.engines.options import DriveOptions
from outlast.engines.scheduling import ScheduleDesk
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.nodes import Graph
from outlast.immutable import immutable
from outlast.loops import Loop
from outlast.sealing import Sealer
from outlast.storage.flow import Flow
from outlast.storage.identity import Identity
from outlast.storage.listing import RunCount, RunListing, RunQuery, RunSummary
from outlast.storage.outbox import DeliveryRow
from outlast.trace import UNTRACED, Tracing
from outlast.values import JsonValue

__all__ = [
    "CreateRequest",
    "Engine",
    "EngineChoice",
    "GraphInFlight",
    "History",
    "Journal",
    "SeededStart",
    "Slots",
    "Standing",
    "StartRequest",
]


@immutable
class StartRequest:
    """A run to be started; everything in it is validated."""

    workflow: CommittedWorkflow[Any, Any]
    """What to run."""
    run_id: str
    """Id of the run."""
    resource_id: str | None
    """Whose run it is."""
    input: bytes
    """The input as JSON."""
    request_context: Mapping[str, JsonValue]
    """What the caller tells all steps."""
    state: Mapping[str, JsonValue]
    """The initial state."""
    include_state: bool
    """Whether results show the state."""
    delay_ms: int | None = None
    """How long it is to wait before it starts."""
    start_at_ms: int | None = None
    """When it is to start; None for at once, or as `delay_ms` says."""
    tags: tuple[str, ...] = ()
    """Words to find it by."""
    start_within_ms: int | None = None
    """How long it may take until a worker begins it, from when it may start; None for as long as it takes."""
    identity: Identity | None = None
    """The idempotency key that it is started under; then it goes through `start_once`."""

    per_step: bool = False
    """Whether it pauses after each node of the workflow."""
    tracing: Tracing = UNTRACED
    """What the caller asked of its trace."""
    flow: Flow | None = None
    """Its priority and limits; None if it has none."""

    def placed(self, around: Tracing | None) -> StartRequest:
        """Return it as a start within a span, unless it names a trace itself or there is no span."""
        if around is None or self.tracing.trace_id is not None:
            return self
        tracing = replace(
            self.tracing,
            trace_id=around.trace_id,
            parent_span_id=around.parent_span_id,
            is_sampled=around.is_sampled and self.tracing.is_sampled,
        )
        return replace(self, tracing=tracing)

    @property
    def is_immediate(self) -> bool:
        """Whether it is to start at once."""
        return self.start_at_ms is None and self.delay_ms is None

    def ready_at_ms(self, now_ms: int) -> int | None:
        """Return when it may start; None for at once."""
        return self.start_at_ms if self.delay_ms is None else now_ms + self.delay_ms

    def to_event(self, now_ms: int) -> RunStarted:
        """Return the first event of the run's journal; its payload is the input."""
        timeout_ms, start_within_ms = self.workflow.graph.root.timeout_ms, self.start_within_ms
        if timeout_ms is None and start_within_ms is None:
            return RunStarted(
                now_ms,
                self.request_context,
                self.state,
                self.include_state,
                None,
                self.per_step,
                None,
                self.tracing,
            )
        starts_at_ms = max(now_ms, self.ready_at_ms(now_ms) or 0)  # both times count from when it may start
        return RunStarted(
            now_ms,
            self.request_context,
            self.state,
            self.include_state,
            deadline_ms=None if timeout_ms is None else starts_at_ms + timeout_ms,
            per_step=self.per_step,
            start_deadline_ms=None if start_within_ms is None else starts_at_ms + start_within_ms,
            tracing=self.tracing,
        )


@immutable(kw_only=True)
class CreateRequest:
    """A run to be recorded, for somebody to start it later."""

    workflow: CommittedWorkflow[Any, Any]
    """What it will run."""
    run_id: str
    """Id of the run."""
    resource_id: str | None
    """Whose run it is."""
    start_within_ms: int
    """How long it may take until somebody starts it."""

    def ready_at_ms(self, now_ms: int) -> int:
        """Return when a worker has to end it, unless somebody starts it before."""
        return now_ms + self.start_within_ms

    def to_event(self, now_ms: int) -> RunCreated:
        """Return the first event of the run's journal."""
        return RunCreated(now_ms, self.ready_at_ms(now_ms))


@immutable(kw_only=True)
class SeededStart:
    """A run to be recorded that begins at another place than the start: a fork, or a time travel in a new run."""

    run_id: str
    """Id of the run."""
    resource_id: str | None
    """Whose run it is."""
    graph: Graph
    """What it runs."""
    facts: Callable[[int], Sequence[Fact]]
    """Makes the first events of its journal, given the time."""
    flow: Flow | None = None
    """Its priority and limits, if it is not like another run."""
    like: str | None = None
    """Id of the run whose priority and limits it has."""


class Journal(Protocol):
    """The journal of one run, for those who read it while it grows. Nothing of the run waits for them."""

    @property
    def run_id(self) -> str:
        """Id of the run."""
        ...

    @property
    def graph(self) -> Graph:
        """The graph that the run is on."""
        ...

    async def load_head(self) -> int:
        """Return the `seq` of the latest event, of either class.

        Raises:
            RunNotFoundError: The run is not kept any more.
        """
        ...

    async def load_records(self, *, after: int, limit: int, most_bytes: int) -> Sequence[Record]:
        """Return durable events of both classes with `seq` over `after`, in order; empty if there are none yet.

        Args:
            after: `seq` of the last event that is left out.
            limit: How many at most.
            most_bytes: Stop after the event with which the bodies and payloads reach this size.
        """
        ...

    async def load_facts(self, *, after: int, until: int, limit: int, most_bytes: int) -> Sequence[Record]:
        """Return the facts among the events with `after < seq <= until`, in order, cut like `load_records`."""
        ...

    async def wait(self, *, after: int, follow: bool) -> bool:
        """Wait until an event with `seq` over `after` is durable, and return True.

        Returns False, without `follow`, if the run has ended and there is none: nothing more comes by itself.

        Raises:
            RunNotFoundError: The run is not kept any more.
        """
        ...


@immutable(kw_only=True)
class GraphInFlight:
    """A graph on which runs are that have not ended."""

    workflow_id: str
    """Id of the workflow."""
    graph: Graph | None
    """The graph; None if a newer version of Outlast wrote it."""
    runs: int
    """How many runs."""


class Engine(Protocol):
    """Drives runs. An app has one."""

    @property
    def loop(self) -> Loop | None:
        """The event loop on which it was opened, and only there it can be awaited; None before that."""
        ...

    @property
    def sealers(self) -> Mapping[str, Sealer]:
        """What seals the values of the workflows that have sensitive types, by their ids."""
        ...

    @property
    def unstored_context(self) -> frozenset[str]:
        """Keys of request contexts that must not be recorded."""
        ...

    async def open(self) -> None:
        """Make ready for the app's workflows, and take over what dead workers left.

        Raises:
            StoreError: The store cannot be used; the message says what to do.
            ConfigurationError: An option cannot work here.
        """
        ...

    async def close(self) -> int:
        """End in good order and return how many runs are left unfinished that were this engine's."""
        ...

    @property
    def schedules(self) -> ScheduleDesk:
        """What keeps schedules and takes the runs that they start.

        Raises:
            UnsupportedByEngineError: This engine has none.
        """
        ...

    async def until_idle(self) -> None:
        """Wait until nothing that this process could run now is left; at once in a process that is no worker.

        Raises:
            UnsupportedByEngineError: This engine does not know.
        """
        ...

    async def create(self, request: CreateRequest) -> None:
        """Record a run as `pending`, so that any process can start it (rule 2.1).

        Guarantees:
            When it returns, the run is durable at the store's class. If nobody starts it in time, it ends `failed` with
            `NeverStartedError`.

        Raises:
            RunExistsError: A run with this id is recorded already.
            StoreUnavailableError: It is not known to be recorded; creating the same id again is safe.
        """
        ...

    async def start(self, request: StartRequest) -> None:
        """Record a run so that it will be run whatever happens to this process; or start one that `create` recorded.

        Guarantees:
            When it returns, the run is durable at the store's class. It does not wait for any step.

        Raises:
            RunExistsError: A run with this id was started before, or created for another workflow.
            StoreUnavailableError: It is not known to be recorded; starting the same id again is safe.
        """
        ...

    async def start_once(self, request: StartRequest) -> str:
        """Record a run under its idempotency key, or find the run that the key stands for; return its id (rule 2.5).

        Guarantees:
            When it returns, the run is durable. Of any number of processes that race for one key, one records a run.

        Raises:
            IdempotencyConflictError: The key stands for a run with other input.
            RunExistsError: A policy of the key rejects the start, or the run of the key was deleted.
            StoreUnavailableError: It is not known to be recorded; the same start again is safe.
        """
        ...

    async def start_many(self, requests: Sequence[StartRequest], *, named: Sequence[str] = ()) -> list[str]:
        """Record many runs in few transactions and return their ids in order (rule 2.7).

        Args:
            requests: The runs.
            named: Those of their ids that are not new for certain, because a caller chose them.

        Raises:
            RunExistsError: A run with one of the ids was started before. If it was there beforehand, nothing was
                recorded; if somebody took the id in between, the others are.
            IdempotencyConflictError: As for `start_once`; the others are recorded.
            StoreUnavailableError: It is not known which are recorded; starting the same ids again is safe.
        """
        ...

    async def load_history(self, run_id: str) -> History | None:
        """Return what is recorded of a run, or None if its id is not known.

        Raises:
            UnreadableRunError: A newer version of Outlast wrote its graph.
        """
        ...

    async def open_journal(self, run_id: str) -> Journal:
        """Return what reads the journal of a run. There is nothing to close.

        Raises:
            RunNotFoundError: Its id is not known.
        """
        ...

    async def post(self, run_id: str, *, kind: str, topic: str, body: bytes) -> bool:
        """Ask something of a run, durably; its owner sees it at once, or whoever takes the run next.

        Returns False if something was asked under this topic before; then nothing is changed.

        Raises:
            RunNotFoundError: Its id is not known.
            StoreUnavailableError: Nothing was recorded; try again.
        """
        ...

    async def reopen(self, history: History, facts: Callable[[int], Sequence[Fact]], *, execution: int) -> bool:
        """Open the next execution of a run that rests, and let it go on from there.

        Guarantees:
            True if the run rests as `history` says and nothing else is asked of it: then the events are durable, and it
            is `pending` in that execution until a worker drives it. Else False, and nothing is changed. Of several that
            race one gets True.

        Args:
            history: The run as it was read.
            facts: Makes the events that open the execution, given the time.
            execution: The execution that they open.

        Raises:
            StoreUnavailableError: It is not known whether it was opened; reading the run tells.
        """
        ...

    async def start_seeded(self, request: SeededStart) -> None:
        """Record a run that begins at another place than the start; what `start` guarantees holds for it.

        Raises:
            RunExistsError: A run with this id is recorded already.
            StoreUnavailableError: It is not known to be recorded; starting the same id again is safe.
        """
        ...

    async def wait_for_rest(self, run_id: str, *, after: int = 0) -> History:
        """Return the history of a run once nothing happens until somebody from outside acts (rule 2.6).

        Args:
            run_id: Id of the run.
            after: A rest does not count if the journal has no event with a larger `seq`, unless the run has ended.

        Raises:
            RunNotFoundError: Its id is not known.
        """
        ...

    async def delete_run(self, run_id: str) -> None:
        """Delete a run that has ended: everything but its id.

        Raises:
            RunNotFoundError: Its id is not known.
            RunStateError: It has not ended, something is asked of it, or its hooks are not done.
            StoreUnavailableError: Nothing was changed, or it is not known; try again.
        """
        ...

    async def list_runs(self, query: RunQuery) -> RunListing:
        """Return a page of the runs that match, those recorded last first; see `outlast.storage.listing`.

        Raises:
            InputError: `query.after` was not told by an earlier page.
        """
        ...

    async def summarize_run(self, run_id: str) -> RunSummary | None:
        """Return what lists show of one run, or None if its id is not known."""
        ...

    async def count_runs(self, workflow_id: str | None = None) -> Sequence[RunCount]:
        """Return how many runs there are, by workflow and status."""
        ...

    async def list_in_flight(self) -> Sequence[GraphInFlight]:
        """Return the graphs on which runs are that have not ended, with the number of these."""
        ...

    async def list_deliveries(self, run_id: str) -> Sequence[DeliveryRow]:
        """Return the calls of a run's hooks that have not succeeded: those that are due, and those given up.

        Raises:
            RunNotFoundError: Its id is not known.
        """
        ...

    async def load_standing(self, run_id: str) -> Standing:
        """Return who works, or could work, on a run.

        Raises:
            RunNotFoundError: Its id is not known.
        """
        ...


class EngineChoice(Protocol):
    """What an app is given as `engine=`: where its runs are to live."""

    def attach(self, workflows: Sequence[CommittedWorkflow[Any, Any]], options: DriveOptions) -> Engine:
        """Return the engine of one app.

        Raises:
            ConfigurationError: An option cannot work with this engine.
            UnsupportedByEngineError: A workflow needs what this engine lacks.
        """
        ...
