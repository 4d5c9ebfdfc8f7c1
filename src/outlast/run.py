"""Handles on runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from outlast.addressing import Target, path_of, plain_context
from outlast.core.codec import UnknownEventError
from outlast.core.commands import AwaitResume
from outlast.core.public import public_seq
from outlast.core.state import JournalMismatchError, RunState
from outlast.core.status import RunStatus
from outlast.core.target import TargetUnclearError, choose_suspensions
from outlast.core.view import fold_view
from outlast.core.why import explain
from outlast.engines.base import Engine, History, StartRequest
from outlast.errors import (
    ResumeConflictError,
    ResumeTargetError,
    RunNotFoundError,
    RunStateError,
    UnreadableRunError,
)
from outlast.failures import failure_from_json
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.function import Function
from outlast.graph.nodes import StepNode, WaitNode
from outlast.graph.schema import JSON, Schema
from outlast.instant import from_ms
from outlast.mark import Mark
from outlast.results import CancelOutcome, HookDelivery, RunResult, fold_history, read_result
from outlast.starting import Idempotency, encode_value, make_request
from outlast.stream import RunStream, View, show_run
from outlast.values import JsonValue, decode, encode

__all__ = ["OutputOptions", "Run", "RunHandle", "StartedRun"]

In = TypeVar("In")
Out_co = TypeVar("Out_co", covariant=True)


_JsonObject: TypeAlias = "dict[str, JsonValue]"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What the results of a run show; kept with the run."""

    include_state: bool = False
    """Whether `RunResult.state` is there."""


class RunHandle(Generic[Out_co]):
    """A handle on a known run, from any process that has the store. Making one does no I/O."""

    def __init__(
        self,
        engine: Engine,
        run_id: str,
        output: Schema[Any],
        functions: Mapping[str, Function],
        *,
        after: int = 0,
        resumed: frozenset[tuple[str, int]] = frozenset(),
        skipped: Sequence[str] = (),
    ) -> None:
        self._engine = engine
        self._after = after
        """A rest of the run counts only if the journal has grown beyond this event."""
        self._resumed = resumed
        """Suspensions that were resumed through this handle: a rest before they are gone does not count."""
        self._skipped = tuple(skipped)
        """Suspended items that somebody else had resumed when the others were resumed through this handle."""
        self._output = output
        self._functions = functions
        self.run_id = run_id
        """Id of the run."""

    @property
    def mark(self) -> Mark:
        """Up to where this handle knows the run; `app.run(run_id, mark=...)` makes one that waits for the same."""
        return Mark(after=self._after, resumed=self._resumed)

    async def result(
        self,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - part of the contract (rule 3.2)
        until: Literal["rest", "end"] = "rest",
    ) -> RunResult[Out_co]:
        """Wait until the run ends, is suspended or paused, and return what is known of it then.

        Args:
            timeout: Seconds to wait at most; None for ever.
            until: With `end`, wait through suspensions until the run has ended.

        Raises:
            TimeoutError: It took longer. The run is not affected.
            RunNotFoundError: No kept run has this id.
            UnreadableRunError: A newer version of Outlast wrote a part of it.
        """
        return await self._wait(timeout, until=until, after=self._after)

    async def resume(
        self,
        resume_data: object = None,
        *,
        step: Target | None = None,
        label: str | None = None,
        index: int | None = None,
        request_context: Mapping[str, JsonValue] | None = None,
    ) -> RunResult[Out_co]:
        """Resume a suspension, and wait until the run ends or rests again; see `resume_async`.

        Raises:
            InputError: The data does not fit the declared `resume` type; names each path. Nothing was recorded.
            ResumeTargetError: It is not clear which suspension is meant; the message lists them.
            ResumeConflictError: Somebody else resumed it first.
            RunStateError: Nothing of the run is suspended.
            RunNotFoundError: No kept run has this id.
            UnreadableRunError: A newer version of Outlast wrote a part of it.
        """
        await self._resume(resume_data, step, label, index, request_context)
        result = await self.result()
        return replace(result, skipped=self._skipped) if self._skipped else result

    async def resume_async(
        self,
        resume_data: object = None,
        *,
        step: Target | None = None,
        label: str | None = None,
        index: int | None = None,
        request_context: Mapping[str, JsonValue] | None = None,
    ) -> StartedRun[Out_co]:
        """Resume a suspension and return at once (rule 7.4).

        When it returns, the resume data is durable and the run will go on as soon as a worker lives. One suspension is
        resumed once. Without a target it is the only suspended node, or all suspended items of the only such foreach.
        Items that a racing call took are left out, and `StartedRun.skipped` names them.

        Args:
            resume_data: What the step or wait gets; checked against its declared `resume` type.
            step: The suspended node: a step, its id, its path (`child.approve`), or the parts of the path.
            label: The label that it gave itself.
            index: Of a foreach, only this item.
            request_context: Entries that win over those given before.

        Raises:
            InputError: The data does not fit the declared `resume` type; names each path. Nothing was recorded.
            ResumeTargetError: It is not clear which suspension is meant; the message lists them.
            ResumeConflictError: Somebody else resumed it first.
            RunStateError: Nothing of the run is suspended.
            RunNotFoundError: No kept run has this id.
            UnreadableRunError: A newer version of Outlast wrote a part of it.
        """
        await self._resume(resume_data, step, label, index, request_context)
        return StartedRun(
            self._engine,
            self.run_id,
            self._output,
            self._functions,
            after=self._after,
            resumed=self._resumed,
            skipped=self._skipped,
        )

    def resume_stream(
        self,
        resume_data: object = None,
        *,
        step: Target | None = None,
        label: str | None = None,
        index: int | None = None,
        request_context: Mapping[str, JsonValue] | None = None,
    ) -> RunStream[Out_co]:
        """Resume a suspension when the first event is asked for, and show what the run does from then on.

        Takes what `resume_async` takes, and raises the same, with the first event.
        """

        async def begin() -> View[Out_co]:
            await self._resume(resume_data, step, label, index, request_context)
            return View(self, public_seq(self._after + 1, 0) - 1)

        return RunStream(self._engine, self.run_id, begin)

    def observe_stream(self, *, after: int = 0, follow: bool = False) -> RunStream[Out_co]:
        """Show what happened to the run and what happens to it, from any process, during the run or after it.

        The stream ends at the first `workflow-finish` after its beginning: the run has ended, is suspended or paused. A
        reader that was cut off goes on with the `seq` of the last event that it has, and gets each of the others once.

        Args:
            after: `seq` of the event after which it begins; 0 for the first.
            follow: Go on after a `workflow-finish`, for ever: until whoever reads goes away.

        Raises:
            InputError: `after` is no such number.
            RunNotFoundError: No kept run has this id; raised with the first event.
            UnreadableRunError: A newer version of Outlast wrote a part of it.
        """
        return show_run(self._engine, self, after=after, follow=follow)

    def events(self, *, after: int = 0) -> RunStream[Out_co]:
        """Show what is recorded of the run so far, without waiting for more; else as `observe_stream`."""
        return show_run(self._engine, self, after=after, is_waiting=False)

    async def cancel(self, reason: str | None = None) -> CancelOutcome:
        """Ask for the run to end `canceled`; durable when it returns, whoever drives the run (rule 10).

        Nothing new starts from then on. Bodies in flight see `ctx.canceled`; after a grace period async ones get a
        `CancelledError`, and the late result of a thread is refused. Canceling twice is fine.

        Raises:
            RunNotFoundError: No kept run has this id.
            StoreUnavailableError: Nothing was recorded; try again.
        """
        history = await self._history()
        if history.status.is_terminal:
            return CancelOutcome.ALREADY_FINISHED
        body = encode_value(JSON, {"reason": reason}, "reason of the cancel")
        await self._engine.post(self.run_id, kind="cancel", topic=f"cancel:{history.execution}", body=body)
        self._after = history.head
        return CancelOutcome.REQUESTED

    async def snapshot(self) -> RunResult[Out_co]:
        """Return what is known of the run now, without waiting.

        Raises:
            RunNotFoundError: No kept run has this id.
            UnreadableRunError: A newer version of Outlast wrote a part of it. `status()` and `why()` say what they can.
        """
        return read_result(await self._history(), self._output)

    async def status(self) -> RunStatus:
        """Return what the run is doing, or how it ended.

        Raises:
            RunNotFoundError: No kept run has this id.
        """
        summary = await self._engine.summarize_run(self.run_id)
        if summary is None:
            raise RunNotFoundError(self.run_id)
        return summary.status

    async def deliveries(self) -> list[HookDelivery]:
        """Return the calls of `on_finish` and `on_error` that have not succeeded, in their order (rule 13).

        Those that are due are still to be made, by whatever worker knows the workflow. Those that were given up failed
        five times; they are kept as long as the run.

        Raises:
            RunNotFoundError: No kept run has this id.
        """
        return [
            HookDelivery(
                hook=each.kind,
                execution=each.execution,
                tries=each.tries,
                due_at=None if each.due_at_ms is None else from_ms(each.due_at_ms),
                error=None if each.failure is None else failure_from_json(cast("_JsonObject", decode(each.failure))),
            )
            for each in await self._engine.list_deliveries(self.run_id)
        ]

    async def why(self) -> str:
        """Say in words what the run does or waits for, since when, and who works on it.

        Raises:
            RunNotFoundError: No kept run has this id.
        """
        try:
            history = await self._history()
            standing = await self._engine.load_standing(self.run_id)
            view = fold_view(history.graph, history.records)
        except (UnknownEventError, JournalMismatchError) as error:
            return UnreadableRunError(self.run_id, str(error)).message
        except UnreadableRunError as error:
            return error.message
        story = explain(
            view,
            status=history.status,
            workflow_id=history.workflow_id,
            owner=standing.owner,
            candidates=standing.candidates,
            missing=standing.missing,
            requests=standing.requests,
            starts_at_ms=standing.starts_at_ms,
        )
        hooks = await self.deliveries() if history.graph.hooks is not None else []
        return "; ".join([story, *map(str, hooks)])

    async def _wait(
        self,
        timeout: float | timedelta | None,  # noqa: ASYNC109 - part of the contract (rule 3.2)
        *,
        until: Literal["rest", "end"],
        after: int,
    ) -> RunResult[Out_co]:
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        async with asyncio.timeout(seconds):
            history = await self._engine.wait_for_rest(self.run_id, after=after)
            while not history.status.is_terminal and (until == "end" or self._is_resuming(history)):
                history = await self._engine.wait_for_rest(self.run_id, after=history.head)
        return read_result(history, self._output)

    def _is_resuming(self, history: History) -> bool:
        if not self._resumed:
            return False
        suspended = fold_history(history).suspensions()
        return any((each.path, each.number) in self._resumed for each in suspended)

    async def _resume(
        self,
        data: object,
        step: Target | None,
        label: str | None,
        index: int | None,
        request_context: Mapping[str, JsonValue] | None,
    ) -> None:
        """Post the resumption; the next rest of the run is one that comes after it."""
        history = await self._history()
        state = fold_history(history)
        if not state.suspensions():
            raise RunStateError(self.run_id, "resume", history.status.value)
        try:
            chosen = choose_suspensions(state, path=path_of(step), label=label, index=index)
        except TargetUnclearError as error:
            raise ResumeTargetError(self.run_id, str(error), error.is_ambiguous) from None
        context = plain_context(request_context)
        raw = {each.path: encode_value(self._resume_type(state, each.path), data, "resume_data") for each in chosen}
        is_taken = [await self._post_resume(history, each, raw[each.path], context) for each in chosen]
        if not any(is_taken):
            raise ResumeConflictError(self.run_id, chosen[0].path)
        self._after = history.head
        self._resumed = frozenset((each.path, each.number) for each in chosen)
        self._skipped = tuple(each.path for each, is_mine in zip(chosen, is_taken, strict=True) if not is_mine)

    async def _post_resume(
        self, history: History, suspension: AwaitResume, raw: bytes, context: dict[str, JsonValue]
    ) -> bool:
        body = encode(
            {
                "path": suspension.path,
                "number": suspension.number,
                "data": decode(raw),
                "request_context": context,
            }
        )
        topic = f"resume:{history.execution}:{suspension.path}:{suspension.number}"
        return await self._engine.post(self.run_id, kind="resume", topic=topic, body=body)

    def _resume_type(self, state: RunState, path: str) -> Schema[Any]:
        """Return the declared type of resume data; JSON if this process does not know the workflow."""
        node = state.frame(path).node
        function = self._functions.get(node.function) if isinstance(node, StepNode | WaitNode) else None
        return JSON if function is None else function.resume

    async def _history(self) -> History:
        history = await self._engine.load_history(self.run_id)
        if history is None:
            raise RunNotFoundError(self.run_id)
        return history

    def __repr__(self) -> str:
        """Show the id."""
        return f"{type(self).__name__}({self.run_id!r})"


class StartedRun(RunHandle[Out_co]):
    """What `start_async` returns: the run is on disk and will be run, whatever happens to this process (rule 3)."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Of a resume: paths of the suspended items that somebody else had resumed meanwhile (rule 7.6)."""
        return self._skipped


class Run(Generic[In, Out_co]):
    """A run that may be started once. Nothing of it is recorded before that."""

    def __init__(
        self, engine: Engine, workflow: CommittedWorkflow[In, Out_co], *, run_id: str, resource_id: str | None
    ) -> None:
        self._engine = engine
        self._workflow = workflow
        self.run_id = run_id
        """Id of the run."""
        self.resource_id = resource_id
        """Whose run it is."""

    async def start_async(  # noqa: PLR0913 - the options of a start, all by name
        self,
        *,
        input_data: In | None = None,
        initial_state: object = None,
        request_context: object = None,
        output_options: OutputOptions | None = None,
        tags: Sequence[str] = (),
        delay: timedelta | float | None = None,
        start_at: datetime | None = None,
        start_within: timedelta | float | None = None,
        idempotency_key: str | Idempotency | None = None,
    ) -> StartedRun[Out_co]:
        """Start the run and return at once, without waiting for any step.

        When it returns, the run is durable at the store's class and will be run as soon as a worker that knows the
        workflow lives, whatever happens to this process.

        Args:
            input_data: The input; validated against the workflow's declared type.
            initial_state: The state to begin with; validated as a whole, with defaults filled in.
            request_context: What all steps can read: an object of JSON, or of the workflow's declared type.
            output_options: What results of this run show.
            tags: Words to find the run by.
            delay: How long it waits before it starts, as a timedelta or in seconds; it is `pending` until then.
            start_at: When it starts, an aware datetime; one in the past means at once.
            start_within: How long it may take until a worker begins it, as a timedelta or in seconds, from when it may
                start. If none does, it ends `failed` with `StartDeadlineError`, and no step of it is called.
            idempotency_key: A key that stands for one run: a second start under it gives the first one, by its id. A
                text, or an `Idempotency` with a scope, a time and policies.

        Raises:
            InputError: The input, state, context or another option does not fit; names each path. Nothing was recorded.
            RunExistsError: This run id was started before, or a policy of the key rejects the start; the first one is
                untouched.
            IdempotencyConflictError: The key stands for a run with other input.
            StoreUnavailableError: It is not known to be recorded. Starting the same run id again is safe.
            ForkedAppError: The app was opened in the parent of this process; open one here.
        """
        request = self._request(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            output_options=output_options,
            tags=tags,
            delay=delay,
            start_at=start_at,
            start_within=start_within,
            idempotency_key=idempotency_key,
        )
        return await self._start(request)

    async def start(  # noqa: PLR0913 - as for `start_async`
        self,
        *,
        input_data: In | None = None,
        initial_state: object = None,
        request_context: object = None,
        output_options: OutputOptions | None = None,
        tags: Sequence[str] = (),
        delay: timedelta | float | None = None,
        start_at: datetime | None = None,
        start_within: timedelta | float | None = None,
        idempotency_key: str | Idempotency | None = None,
    ) -> RunResult[Out_co]:
        """Start the run and wait until it ends, is suspended or paused. Every outcome is a value; see `RunResult`.

        Takes what `start_async` takes.

        Raises:
            InputError: Something that was handed over does not fit; names each path. Nothing was recorded.
            RunExistsError: This run id was started before; the first one is untouched.
            StoreUnavailableError: It is not known to be recorded. Starting the same run id again is safe.
        """
        started = await self.start_async(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            output_options=output_options,
            tags=tags,
            delay=delay,
            start_at=start_at,
            start_within=start_within,
            idempotency_key=idempotency_key,
        )
        return await started.result()

    def stream(  # noqa: PLR0913 - as for `start_async`
        self,
        *,
        input_data: In | None = None,
        initial_state: object = None,
        request_context: object = None,
        output_options: OutputOptions | None = None,
        tags: Sequence[str] = (),
        delay: timedelta | float | None = None,
        start_at: datetime | None = None,
        start_within: timedelta | float | None = None,
        idempotency_key: str | Idempotency | None = None,
    ) -> RunStream[Out_co]:
        """Start the run when the first event or the result is asked for, and show what it does (rule 14.2).

        Takes what `start_async` takes. `await stream.result()` gives the result.

        Raises:
            InputError: Something that was handed over does not fit; names each path. Nothing was recorded.
            RunExistsError: With the first event: this run id was started before; the first one is untouched.
            StoreUnavailableError: With the first event: it is not known to be recorded; starting it again is safe.
        """
        request = self._request(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            output_options=output_options,
            tags=tags,
            delay=delay,
            start_at=start_at,
            start_within=start_within,
            idempotency_key=idempotency_key,
        )

        async def begin() -> View[Out_co]:
            return View(await self._start(request), 0)

        return RunStream(self._engine, self.run_id, begin)

    def _request(self, *, output_options: OutputOptions | None, **options: Any) -> StartRequest:  # noqa: ANN401 - those of `make_request`
        return make_request(
            self._workflow,
            run_id=self.run_id,
            resource_id=self.resource_id,
            include_state=output_options is not None and output_options.include_state,
            **options,
        )

    async def _start(self, request: StartRequest) -> StartedRun[Out_co]:
        run_id = self.run_id
        if request.identity is None:
            await self._engine.start(request)
        else:
            run_id = await self._engine.start_once(request)
        return StartedRun(self._engine, run_id, self._workflow.output, self._workflow.functions)

    def __repr__(self) -> str:
        """Show the workflow and the id."""
        return f"Run({self._workflow.id!r}, {self.run_id!r})"
