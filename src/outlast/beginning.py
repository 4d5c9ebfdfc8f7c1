"""Runs that begin: at their start, or at another place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from outlast.addressing import Target, path_of
from outlast.core.codec import encode_event
from outlast.core.events import Fact, RunStarted
from outlast.core.status import RunStatus
from outlast.declared import Declared
from outlast.elsewhere import point_elsewhere, public_names
from outlast.engines.base import Engine, History, SeededStart, StartRequest
from outlast.errors import RunExistsError
from outlast.graph.committed import CommittedWorkflow
from outlast.immutable import frozen
from outlast.loops import refuse_other_loop
from outlast.repair import Wish, make_draft
from outlast.results import RunResult
from outlast.run import StartedRun
from outlast.sealing import disclosed, keys_of
from outlast.signature import Options, parameters_of
from outlast.starting import (
    Idempotency,
    check_context,
    check_state,
    flow_of,
    make_request,
    misplaced_input,
    shows_state,
)
from outlast.stream import RunStream, View
from outlast.tracing import TracingOptions

__all__ = ["OutputOptions", "Run"]

In = TypeVar("In")
Out_co = TypeVar("Out_co", covariant=True)


@frozen
class OutputOptions:
    """What the results of a run show; kept with the run."""

    include_state: bool = False
    """Whether `RunResult.state` is there."""


class Run(Generic[In, Out_co]):
    """A run that may be started once. Nothing of it is recorded before that.

    It is awaited on the event loop of its app: on any other one, every verb raises `UnattachedWorkflowError`.
    """

    def __init__(
        self, engine: Engine, workflow: CommittedWorkflow[In, Out_co], run_id: str, resource_id: str | None
    ) -> None:
        self._engine = engine
        self._workflow = workflow
        self.run_id = run_id
        """Id of the run."""
        self.resource_id = resource_id
        """Whose run it is."""

    async def start_async(  # noqa: PLR0913 - the options of a start, all by name
        self,
        misplaced: None = None,
        /,
        *,
        input_data: In | None = None,
        initial_state: object = None,
        request_context: object = None,
        output_options: OutputOptions | None = None,
        tags: Sequence[str] = (),
        delay: timedelta | float | None = None,
        start_at: datetime | None = None,
        start_within: timedelta | float | None = None,
        priority: int = 0,
        idempotency_key: str | Idempotency | None = None,
        per_step: bool = False,
        tracing_options: TracingOptions | None = None,
    ) -> StartedRun[Out_co]:
        """Start the run and return at once, without waiting for any step.

        When it returns, the run is durable at the store's class and will be run as soon as a worker that knows the
        workflow lives, whatever happens to this process.

        Args:
            misplaced: Nothing: the input is given by name, and whoever forgot that is told so.
            input_data: The input; validated against the workflow's declared type.
            initial_state: The state to begin with; validated as a whole, with defaults filled in.
            request_context: What all steps can read: an object of JSON, or of the workflow's declared type.
            output_options: What results of this run show.
            tags: Words to find the run by.
            delay: How long it waits before it starts, as a timedelta or in seconds; it is `pending` until then.
            start_at: When it starts, an aware datetime; one in the past means at once.
            start_within: How long it may take until a worker begins it, as a timedelta or in seconds, from when it may
                start. If none does, it ends `failed` with `StartDeadlineError`, and no step of it is called.
            priority: From -100 to 100. Of the runs that wait for a worker, or for a limit of the workflow, those with
                a higher one begin first.
            idempotency_key: A key that stands for one run: a second start under it gives the first one, by its id. A
                text, or an `Idempotency` with a scope, a time and policies.
            per_step: Pause after each node of the workflow; `step` lets it go on.
            tracing_options: The trace that it joins, and what its spans show.

        Raises:
            InputError: The input, state, context or another option does not fit; names each path. Nothing was recorded.
            RunExistsError: This run id was started before, or a policy of the key rejects the start; the first one is
                untouched.
            IdempotencyConflictError: The key stands for a run with other input.
            StoreUnavailableError: It is not known to be recorded. Starting the same run id again is safe.
            ForkedAppError: The app was opened in the parent of this process; open one here.
        """
        if misplaced is not None:
            raise misplaced_input("start_async")
        engine = self._engine
        # Not by `_request`: what is handed on as a dict is packed and unpacked at each call, and starts are many.
        with keys_of(engine.sealers.get(self._workflow.id)):
            request = make_request(
                self._workflow,
                run_id=self.run_id,
                resource_id=self.resource_id,
                include_state=shows_state(output_options),
                unstored=engine.unstored_context,
                input_data=input_data,
                initial_state=initial_state,
                request_context=request_context,
                tags=tags,
                delay=delay,
                start_at=start_at,
                start_within=start_within,
                priority=priority,
                idempotency_key=idempotency_key,
                per_step=per_step,
                tracing_options=tracing_options,
            )
        return await self._start(request)

    @parameters_of(start_async)
    async def start(self, misplaced: None = None, /, **options: Options) -> RunResult[Out_co]:
        """Start the run and wait until it ends, is suspended or paused. Every outcome is a value; see `RunResult`.

        Takes what `start_async` takes.

        Raises:
            InputError: Something that was handed over does not fit; names each path. Nothing was recorded.
            RunExistsError: This run id was started before; the first one is untouched.
            StoreUnavailableError: It is not known to be recorded. Starting the same run id again is safe.
        """
        if misplaced is not None:
            raise misplaced_input("start")
        started = await self.start_async(**options)
        return await started.result()

    @parameters_of(start_async)
    def stream(self, misplaced: None = None, /, **options: Options) -> RunStream[Out_co]:
        """Start the run when the first event or the result is asked for, and show what it does (rule 14.2).

        Takes what `start_async` takes. `await stream.result()` gives the result.

        Raises:
            InputError: Something that was handed over does not fit; names each path. Nothing was recorded.
            RunExistsError: With the first event: this run id was started before; the first one is untouched.
            StoreUnavailableError: With the first event: it is not known to be recorded; starting it again is safe.
        """
        if misplaced is not None:
            raise misplaced_input("stream")
        request = self._request(**options)

        async def begin() -> View[Out_co]:
            return View(await self._start(request), 0)

        return RunStream(self._engine, self.run_id, begin)

    def _request(self, *, output_options: OutputOptions | None = None, **options: Options) -> StartRequest:
        with keys_of(self._engine.sealers.get(self._workflow.id)):
            return make_request(
                self._workflow,
                run_id=self.run_id,
                resource_id=self.resource_id,
                include_state=shows_state(output_options),
                unstored=self._engine.unstored_context,
                **options,
            )

    async def _start(self, request: StartRequest) -> StartedRun[Out_co]:
        refuse_other_loop(self._engine.loop)
        run_id = self.run_id
        if request.identity is None:
            await self._engine.start(request)
        else:
            run_id = await self._engine.start_once(request)
        return self._started(run_id)

    async def time_travel_async(
        self,
        step: Target,
        *,
        input_data: object = None,
        resume_data: object = None,
        initial_state: object = None,
        context: Mapping[str, object] | None = None,
        request_context: object = None,
        per_step: bool = False,
    ) -> StartedRun[Out_co]:
        """Begin the run at a node instead of its start, and return at once; a run that ran goes on from there.

        Takes what `RunHandle.time_travel_async` takes. If the run never ran, it needs the input of the node, or outputs
        of the nodes before it in `context`; nodes without an output are `skipped`.

        Raises:
            InputError: There is no such node, its input is not known, or something that was given does not fit.
            RunStateError: The run was started before and is active.
            RunExistsError: A run of another workflow has this id, or somebody started the run at this moment.
            StoreUnavailableError: It is not known to be recorded; the status of the run tells.
        """
        wish = Wish(
            to=path_of(step),
            input_data=input_data,
            resume_data=resume_data,
            initial_state=initial_state,
            context=context,
            request_context=request_context,
            per_step=per_step,
        )
        if await _begin_elsewhere(self._engine, self._workflow, wish, run_id=self.run_id, resource_id=self.resource_id):
            return self._started()
        return await self._started().rewind("time travel", wish)

    @parameters_of(time_travel_async)
    async def time_travel(self, step: Target, **options: Options) -> RunResult[Out_co]:
        """Begin the run at a node instead of its start, and wait until it ends or rests; see `time_travel_async`.

        Raises:
            InputError: There is no such node, its input is not known, or something that was given does not fit.
            RunStateError: The run was started before and is active.
        """
        started = await self.time_travel_async(step, **options)
        return await started.result()

    @parameters_of(time_travel_async)
    def time_travel_stream(self, step: Target, **options: Options) -> RunStream[Out_co]:
        """Begin the run at a node when the first event is asked for, and show what it does (rule 14.2).

        Takes what `time_travel_async` takes, and raises the same, with the first event. Of a run that ran before, it
        shows the new execution.

        Raises:
            InputError: `step` names no node in any way.
        """
        wish = Wish(to=path_of(step), **options)

        async def begin() -> View[Out_co]:
            if await _begin_elsewhere(
                self._engine, self._workflow, wish, run_id=self.run_id, resource_id=self.resource_id
            ):
                return View(self._started(), 0)
            started = await self._started().rewind("time travel", wish)
            return View(started, started.mark.last_event)

        return RunStream(self._engine, self.run_id, begin)

    def as_started(self) -> StartedRun[Out_co]:
        """Return a handle on this run as one that was started before, without I/O."""
        return self._started()

    def _started(self, run_id: str | None = None) -> StartedRun[Out_co]:
        declared = Declared(self._workflow.functions, self._workflow.composition.types)
        return StartedRun(self._engine, run_id or self.run_id, self._workflow.output, declared)

    def __repr__(self) -> str:
        """Show the workflow and the id."""
        return f"Run({self._workflow.id!r}, {self.run_id!r})"


point_elsewhere(
    Run,
    public_names(StartedRun),
    "what is started has it: started = await run.start_async(...); elsewhere app.run(run_id).{name}",
)


async def _begin_elsewhere(
    engine: Engine, workflow: CommittedWorkflow[Any, Any], wish: Wish, *, run_id: str, resource_id: str | None
) -> bool:
    """Begin a run that never ran at another place than its start. False, and nothing is done, if the run was started.

    Raises:
        InputError: There is no such node, its input is not known, or something that was given does not fit.
        RunExistsError: A run of another workflow has this id, or somebody started the run at this moment.
    """
    refuse_other_loop(engine.loop)
    recorded = await engine.load_history(run_id)
    if recorded is not None and recorded.workflow_id != workflow.id:
        raise RunExistsError(run_id)
    if recorded is not None and [record.type for record in recorded.records] != ["run-created"]:
        return False
    sealer = engine.sealers.get(workflow.id)
    context = disclosed(sealer, check_context, workflow.request_context, wish.request_context, engine.unstored_context)
    state = disclosed(sealer, check_state, workflow.state, None) if wish.initial_state is None else {}
    start = RunStarted(0, context, state)
    earlier = [] if recorded is None else list(recorded.records)
    stand_in = encode_event(start, seq=len(earlier) + 1, execution=0, payload=b"null")
    history = History(
        run_id=run_id,
        workflow_id=workflow.id,
        resource_id=resource_id,
        execution=0,
        status=RunStatus.PENDING,
        created_at_ms=0,
        graph=workflow.graph if recorded is None else recorded.graph,
        head=len(earlier) + 1,
        records=[*earlier, stand_in],
    )
    declared = Declared(workflow.functions, workflow.composition.types)
    bare = replace(wish, request_context=None)
    draft = disclosed(sealer, make_draft, history, bare, declared, is_unstarted=True)

    def facts(now_ms: int) -> list[Fact]:
        return draft.to_first(replace(start, at_ms=now_ms))

    if recorded is None:
        await engine.start_seeded(
            SeededStart(
                run_id=run_id,
                resource_id=resource_id,
                graph=workflow.graph,
                facts=facts,
                flow=flow_of(workflow, None),
            )
        )
    elif not await engine.reopen(recorded, facts, execution=0):
        raise RunExistsError(run_id)
    return True
