"""The app: the workflows of a program, the store that remembers their runs, and a worker that drives them."""

from __future__ import annotations

import copy
import logging
import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import Token
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from outlast.beginning import Run
from outlast.declared import Declared
from outlast.declaring import ScheduleDeclarer
from outlast.elsewhere import point_elsewhere
from outlast.engines.base import CreateRequest, Engine, EngineChoice
from outlast.engines.clock import WALL_CLOCK, Clock
from outlast.engines.options import DriveOptions
from outlast.errors import (
    ConfigurationError,
    ForkedAppError,
    InputError,
    Problem,
    UnattachedWorkflowError,
)
from outlast.finding import Findable
from outlast.firing import FIRING
from outlast.graph.committed import CommittedWorkflow, Host, current_host, open_hosts
from outlast.graph.schema import JSON
from outlast.ids import run_ids
from outlast.keys import Keyring
from outlast.known import known_workflow, known_workflows
from outlast.location import MakeStore, occupy, refuse_local_options, store_maker, vacate
from outlast.loops import Loop, own_loop, refuse_other_loop
from outlast.mark import Mark
from outlast.run import RunHandle
from outlast.scheduler import Scheduler
from outlast.schedules import Schedules
from outlast.sealing import disclosed
from outlast.sensitivity import sealers_of
from outlast.starting import check_run_id, check_text, make_requests, start_within_ms, unstored_keys
from outlast.storage.base import Store
from outlast.telemetry.choice import TracingChoice, find_tracer
from outlast.telemetry.metering import Metering, MetricsChoice

if TYPE_CHECKING:
    from outlast.telemetry.prometheus import Exposition

__all__ = ["Outlast"]

In = TypeVar("In")
Out = TypeVar("Out")

_log = logging.getLogger("outlast")
_apps: weakref.WeakSet[Outlast] = weakref.WeakSet()


class Outlast(Findable):
    """An app, used as `async with Outlast([workflow, ...]) as app:`.

    Inside the block this process is a worker: it drives the runs it starts, those that other processes leave to it, and
    those of workers that died, at once and without any call. Several processes of one machine may open the same file.
    On leaving, bodies in flight may end within `drain`; the other runs go on when a worker starts, here or elsewhere.

    No signal handlers are installed, and no global is changed.
    """

    def __init__(  # noqa: PLR0913 - each option is one word of the user's vocabulary, all but the first by name
        self,
        workflows: Sequence[CommittedWorkflow[Any, Any]],
        *,
        engine: EngineChoice | None = None,
        store: str | os.PathLike[str] | Store | None = None,
        durability: Literal["full", "normal"] | None = None,
        worker: bool = True,
        on_exit: Literal["drain", "finish"] = "drain",
        drain: timedelta = timedelta(seconds=10),
        lease: timedelta = timedelta(seconds=15),
        max_runs: int = 1_000,
        concurrency: int | None = None,
        max_steps: int = 1_000,
        grace: timedelta = timedelta(seconds=5),
        max_recoveries: int = 5,
        max_stream_events: int = 1_000_000,
        hook_timeout: timedelta = timedelta(seconds=30),
        retention: timedelta | None = timedelta(days=30),
        stream_retention: timedelta | None = None,
        identity_ttl: timedelta = timedelta(days=30),
        tracing: TracingChoice = None,
        metrics: MetricsChoice = None,
        clock: Clock = WALL_CLOCK,
        keys: Keyring | None = None,
        unstored_context: Collection[str] = (),
    ) -> None:
        """Describe the app; nothing is opened before it is entered.

        Args:
            workflows: The committed workflows whose runs it starts, drives and reads.
            engine: Where runs live; None for a store on this machine, or a `TemporalEngine`.
            store: A path, `"sqlite:///path"`, `"memory"`, or a store object; `outlast.db` if nothing is given. Not with
                an `engine`.
            durability: For a path: `full` (the default) survives power loss, `normal` a killed process.
            worker: Whether this process drives runs; if not it only starts and reads them.
            on_exit: `drain`: let bodies in flight end and leave the rest to others. `finish`: wait until nothing that
                this process could run is left, or until the store has refused it for longer than `drain`.
            drain: How long bodies in flight may take to end on leaving.
            lease: After how long without a sign of life a worker that holds its lock is taken for dead.
            max_runs: How many runs this process drives at a time; more wait in the store.
            concurrency: How many runs of its workflows go on at a time, in all processes over the store; None for as
                many as workers take. The workflows may have limits of their own.
            max_steps: How many steps run at a time in this process.
            max_recoveries: How often processes may end by themselves (SIGKILL, out of memory) while they call bodies of
                one run before it fails with `PoisonRunError`. From the second time on such runs are driven one at a
                time on a machine.
            hook_timeout: How long one call of `on_finish` or `on_error` may take.
            max_stream_events: How many events the bodies of one run may write with `ctx.write`, `ctx.progress` and
                `ctx.emit`. One more, and the call raises `StreamWriteError`.
            grace: How long a body may go on after its run was canceled, or after it asked to suspend, bail or abort.
            retention: How long runs are kept after they ended; None for ever. Workers delete older ones in the
                background.
            stream_retention: How long what bodies said with `ctx.write`, `ctx.progress` and `ctx.emit` is kept while
                nothing happens to their run; None for as long as the run. A stream tells its readers where some of it
                is missing.
            identity_ttl: How long the id of a deleted run cannot be started again.
            tracing: The OpenTelemetry `TracerProvider` that takes the spans of runs. None: the one that the program has
                configured globally when the app is entered, if any. True: the same, and there must be one. False: none.
            metrics: The same for numbers: the OpenTelemetry `MeterProvider` that takes them.
            clock: What the runs take for the time; for tests, an `outlast.testing.clock.VirtualClock`.
            keys: The keys of sensitive data; those in the environment variable `OUTLAST_KEYS` if none are given. Needed
                if a workflow declares sensitive types.
            unstored_context: Keys of request contexts that are never recorded, as `["authorization"]`: what callers
                give for them is dropped before a start or a resumption is recorded, so that no step sees it.

        Raises:
            DefinitionError: Something in `workflows` is not a committed workflow, or two have the same id.
            ConfigurationError: An option has a value that cannot work.
        """
        self._workflows = known_workflows(workflows)
        options = DriveOptions(
            is_worker=worker,
            on_exit=on_exit,
            drain=drain,
            lease=lease,
            max_runs=max_runs,
            concurrency=concurrency,
            max_steps=max_steps,
            grace=grace,
            max_recoveries=max_recoveries,
            max_stream_events=max_stream_events,
            hook_timeout=hook_timeout,
            retention=retention,
            stream_retention=stream_retention,
            identity_ttl=identity_ttl,
            find_tracer=partial(find_tracer, tracing),
            clock=clock,
            sealers=sealers_of(self._workflows, keys),
            unstored_context=unstored_keys(unstored_context),
            firing=FIRING,
        )
        self._durability: Literal["full", "normal"] = durability or "full"
        if engine is not None:
            refuse_local_options(store, durability, is_clocked=clock is not WALL_CLOCK)
        self._choice, self._metrics = engine, metrics
        place = "outlast.db" if store is None else store
        self._arrange(None if engine is not None else store_maker(place, self._durability), options)
        self._declared = Declared(
            {ref: each for workflow in self._workflows.values() for ref, each in workflow.functions.items()},
            {id: each for workflow in self._workflows.values() for id, each in workflow.composition.types.items()},
        )

    @property
    def workflows(self) -> Mapping[str, CommittedWorkflow[Any, Any]]:
        """The workflows by id."""
        return MappingProxyType(self._workflows)

    @property
    def engine(self) -> Engine:
        """What drives and reads its runs: the port for servers and tools. Programs use handles."""
        return self._engine

    @property
    def location(self) -> str | None:
        """Path of the SQLite file that keeps the runs; None if they are kept elsewhere."""
        return None if self._store is None else self._store.path

    @property
    def is_shared(self) -> bool:
        """Whether other processes can find its runs: not those in a store in memory."""
        return self._store is None or self._store.path is not None

    def with_options(
        self,
        *,
        store: str | os.PathLike[str] | None = None,
        worker: bool | None = None,
        drain: timedelta | None = None,
        max_runs: int | None = None,
        max_steps: int | None = None,
        clock: Clock | None = None,
    ) -> Outlast:
        """Return the same app with some options changed, not entered; None leaves an option as it is.

        So a program declares its app once, and each process that opens it says what it is for.

        Raises:
            ConfigurationError: An option has a value that cannot work, or a store is given to an app with an `engine`.
        """
        if store is not None and self._choice is not None:
            engine = type(self._choice).__name__
            message = f"store={str(store)!r} is for the local engine, and this app has engine={engine}; leave it out"
            raise ConfigurationError(message)
        given: dict[str, Any] = {
            "is_worker": worker,
            "drain": drain,
            "max_runs": max_runs,
            "max_steps": max_steps,
            "clock": clock,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        app = copy.copy(self)
        app._arrange(  # noqa: SLF001 - another object of this class
            self._make_store if store is None else store_maker(store, self._durability),
            replace(self._options, **changes),
        )
        return app

    def _arrange(self, make_store: MakeStore | None, options: DriveOptions) -> None:
        """Become an app that was not entered yet."""
        self._make_store = make_store
        self._store = None if make_store is None else make_store()
        self._metering = Metering(self._metrics)
        self._options = replace(options, find_meter=self._metering.find)
        self._engine = self._make_engine(self._options)
        self._state: Literal["new", "opening", "open", "closing", "closed", "forked"] = "new"
        self._token: Token[tuple[Host, ...]] | None = None
        self._loop: Loop | None = None
        self._scheduler: Scheduler | None = None

    def _make_engine(self, options: DriveOptions) -> Engine:
        known = list(self._workflows.values())
        if self._choice is not None:
            return self._choice.attach(known, options)
        from outlast.engines.local.engine import LocalEngine  # noqa: PLC0415 - other engines do not need it

        return LocalEngine(cast("Store", self._store), known, options)

    @property
    def is_open(self) -> bool:
        """Whether it is entered, in this process, and not left."""
        return self._state == "open"

    def expose_metrics(self) -> Exposition:
        """Keep its numbers in this process from when it is entered, and return what shows them to Prometheus.

        Raises:
            ConfigurationError: It was entered before; it has `metrics=False`; or the extra `prometheus` is missing.
        """
        return self._metering.expose(self._state)

    async def until_idle(self) -> None:
        """Wait until nothing that this process could run now is left: no run of its own, and none in the store.

        It does not wait for runs that sleep or are suspended. In a process that is no worker it returns at once.

        Raises:
            UnattachedWorkflowError: The app is not open.
            ForkedAppError: The app was opened in the parent of this process.
        """
        self._check_open()
        await self._engine.until_idle()

    async def __aenter__(self) -> Self:
        """Open the store, begin to work, and take over what dead workers left.

        Raises:
            ConfigurationError: The path cannot be used; the app was entered before; its store is another app's; or the
                event loop is not that of asyncio.
            StoreError: The store cannot be used; the message says what to do.
        """
        if self._state != "new":
            message = f"this app is {self._state}; an app is entered once, make another one with Outlast([...])"
            raise ConfigurationError(message)
        self._loop = own_loop()
        occupy(self._store)
        self._state = "opening"
        # Before the engine opens: the bodies and hooks that it calls see this app as theirs.
        self._token = current_host.set((*current_host.get(), self))
        try:
            await self._engine.open()
            await self._begin_scheduling()
        except BaseException:
            self._state = "new"
            vacate(self._store)
            _reset(self._token)
            raise
        self._state = "open"
        _apps.add(self)
        open_hosts().append(self)
        return self

    async def _begin_scheduling(self) -> None:
        """Declare the schedules in code if this process is a worker, and fire them unless the engine does."""
        desk = self._engine.schedules
        if not desk.options.is_worker:
            return
        polled = desk.polled
        try:
            if polled is None:
                await ScheduleDeclarer(desk, self._workflows).declare()
                desk.begin()
                return
            scheduler = Scheduler(polled, self._workflows)
            await scheduler.open()
        except BaseException:
            await self._engine.close()
            raise
        self._scheduler = scheduler

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give everything back in good order; see `on_exit` and `drain`."""
        if self._state == "forked":
            return
        self._state = "closing"  # bodies in flight and hooks may still start and read runs
        async with AsyncExitStack() as leaving:  # from the last on; each is done also if one before it is canceled
            leaving.callback(self._note_left)
            leaving.push_async_callback(self._close_engine)
            if self._scheduler is not None:
                leaving.push_async_callback(self._scheduler.close)

    async def _close_engine(self) -> None:
        left = await self._engine.close()
        if left:
            runs = "1 run is not finished; nothing is lost, it goes"
            many = f"{left} runs are not finished; nothing is lost, they go"
            _log.warning("%s on when a worker starts", many if left > 1 else runs)

    def _note_left(self) -> None:
        self._state = "closed"
        vacate(self._store)
        open_hosts().remove(self)
        if self._token is not None:
            _reset(self._token)

    async def create_run(
        self, workflow: CommittedWorkflow[In, Out], *, run_id: str | None = None, resource_id: str | None = None
    ) -> Run[In, Out]:
        """Return a run that may be started. Nothing is recorded yet.

        Raises:
            UnattachedWorkflowError: The app does not know this workflow, or is not open.
            InputError: The run id or resource id is not a usable text.
            ForkedAppError: The app was opened in the parent of this process.
        """
        self._check_open()
        known_workflow(workflow, self._workflows)
        if run_id is not None:
            check_text(run_id, "run_id")
        if resource_id is not None:
            check_text(resource_id, "resource_id")
        return Run(self._engine, workflow, run_id or run_ids.next(), resource_id)

    async def record_run(
        self,
        workflow: CommittedWorkflow[In, Out],
        *,
        run_id: str | None = None,
        resource_id: str | None = None,
        start_within: timedelta = timedelta(days=1),
    ) -> Run[In, Out]:
        """Record a run as `pending` and return it: any process can start it, by its id (rule 2.1).

        Args:
            workflow: What it will run.
            run_id: Its id; a new one if none is given.
            resource_id: Whose run it is.
            start_within: If nobody starts it in this time, it ends `failed` with `NeverStartedError`.

        Raises:
            RunExistsError: A run with this id is recorded already.
            UnattachedWorkflowError: The app does not know this workflow, or is not open.
            InputError: The run id or resource id is not a usable text, or the time is not positive.
            StoreUnavailableError: It is not known to be recorded; recording the same id again is safe.
        """
        run = await self.create_run(workflow, run_id=run_id, resource_id=resource_id)
        within_ms = start_within_ms(start_within)
        await self._engine.create(
            CreateRequest(workflow=workflow, run_id=run.run_id, resource_id=resource_id, start_within_ms=within_ms)
        )
        return run

    async def start_many(
        self, workflow: CommittedWorkflow[Any, Any], items: Sequence[Mapping[str, object]]
    ) -> list[str]:
        """Start many runs in few transactions, and return their ids in the order of the items (rule 2.7).

        All items are checked before anything is recorded.

        Args:
            workflow: What to run.
            items: For each run what `start_async` and `create_run` take, as `dict(input_data=1, tags=["night"])`.

        Raises:
            InputError: Something does not fit; names each item and path. Nothing was recorded.
            RunExistsError: One of the run ids was started before. Nothing was recorded, unless another process took the
                id in this very moment.
            IdempotencyConflictError: A key stands for a run with other input. The other runs are recorded.
            UnattachedWorkflowError: The app does not know this workflow, or is not open.
            StoreUnavailableError: It is not known which are recorded; starting the same run ids again is safe.
        """
        self._check_open()
        known_workflow(workflow, self._workflows)
        sealer, unstored = self._engine.sealers.get(workflow.id), self._engine.unstored_context
        requests = disclosed(sealer, make_requests, workflow, items, new_id=run_ids.next, unstored=unstored)
        named = [request.run_id for request, item in zip(requests, items, strict=True) if item.get("run_id")]
        return await self._engine.start_many(requests, named=named)

    @property
    def schedules(self) -> Schedules:
        """The schedules in the store: those that the workflows declare, and those made at run time.

        Raises:
            UnattachedWorkflowError: The app is not open.
            ForkedAppError: The app was opened in the parent of this process.
        """
        self._check_open()
        return Schedules(self._engine.schedules, self._workflows, self._check_open)

    def run(self, run_id: str, *, mark: Mark | None = None) -> RunHandle[Any]:
        """Return a handle on a known run, without I/O. Its result is decoded as plain JSON.

        Args:
            run_id: Id of the run.
            mark: Where another handle on it was (`RunHandle.mark`): rests that this one had seen do not count.

        Raises:
            InputError: `run_id` is no text, or `mark` no mark.
            ForkedAppError: The app was opened in the parent of this process.
            UnattachedWorkflowError: The app is not open.
        """
        self._check_open()
        check_run_id(run_id)
        if mark is not None and not isinstance(cast("object", mark), Mark):
            raise InputError("mark", (Problem("", f"the mark of a handle is needed, not {mark!r:.60}"),))
        known = mark or Mark()
        return RunHandle(self._engine, run_id, JSON, self._declared, after=known.after, answered=known.answered)

    def _check_open(self) -> None:
        if self._state == "forked":
            message = (
                "this app was opened before the process forked and belongs to the parent; "
                "spawn processes, or fork before opening"
            )
            raise ForkedAppError(message)
        if self._state not in ("open", "closing"):
            message = f"this app is {self._state}, not open; use it inside `async with Outlast([...]) as app:`"
            raise UnattachedWorkflowError(message)
        refuse_other_loop(self._loop)

    def note_fork(self) -> None:
        """Become unusable: this is a forked child, and the app belongs to the parent."""
        self._state = "forked"


point_elsewhere(
    Outlast,
    ["__enter__"],
    "write `async with Outlast([...]) as app:`, or `with outlast.sync.Door(app) as wait:` where no event loop runs",
)


def _reset(token: Token[tuple[Host, ...]]) -> None:
    try:
        current_host.reset(token)
    except (
        ValueError
    ):  # left in another context than entered, as some frameworks do: then there is nothing to take back
        return


def _forked() -> None:
    """Make the parent's apps unusable here; workflows still find them, so that they can say why."""
    for app in _apps:
        app.note_fork()


os.register_at_fork(after_in_child=_forked)
