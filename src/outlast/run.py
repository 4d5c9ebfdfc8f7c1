"""Handles on runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypeVar, cast

from outlast.addressing import Target, check_target, check_words, path_of, plain_context
from outlast.advice import does_not_fit
from outlast.core.codec import UnknownEventError
from outlast.core.commands import AwaitResume, AwaitStep
from outlast.core.public import public_seq
from outlast.core.state import JournalMismatchError
from outlast.core.status import RunStatus
from outlast.core.target import TargetUnclearError, choose_suspensions
from outlast.core.view import fold_view
from outlast.core.why import explain
from outlast.declared import Declared
from outlast.engines.base import Engine, History
from outlast.errors import (
    ResumeConflictError,
    ResumeTargetError,
    RunNotFoundError,
    UnreadableRunError,
)
from outlast.failures import failure_from_json
from outlast.graph.nodes import Node
from outlast.graph.schema import JSON, Schema
from outlast.instant import from_ms
from outlast.loops import refuse_other_loop
from outlast.mark import Mark
from outlast.repairable import Repairable
from outlast.results import CancelOutcome, HookDelivery, RunResult, at_execution, fold_history, read_result
from outlast.sealing import disclosed, disclosure_for
from outlast.signature import Options, parameters_of
from outlast.starting import encode_value
from outlast.stream import RunStream, View, show_run
from outlast.values import JsonValue, decode, encode
from outlast.waiting import check_until, seconds_to_wait

__all__ = ["RunHandle", "StartedRun"]

In = TypeVar("In")
Out_co = TypeVar("Out_co", covariant=True)


_JsonObject: TypeAlias = "dict[str, JsonValue]"


class RunHandle(Repairable[Out_co]):
    """A handle on a known run, from any process that has the store. Making one does no I/O.

    It is awaited on the event loop of its app: on any other one, every verb raises `UnattachedWorkflowError`.
    """

    def __init__(
        self,
        engine: Engine,
        run_id: str,
        output: Schema[Any],
        declared: Declared,
        *,
        after: int = 0,
        answered: frozenset[tuple[int, str, int]] = frozenset(),
        skipped: Sequence[str] = (),
        is_masked: bool = False,
    ) -> None:
        self._engine = engine
        self._is_masked = is_masked
        """Whether its results show masks instead of sensitive values."""
        self._after = after
        """A rest of the run counts only if the journal has grown beyond this event."""
        self._answered = answered
        """Suspensions and pauses that were ended through this handle, as execution, path and number: a rest before they
        are gone does not count."""
        self._skipped = tuple(skipped)
        """Suspended items that somebody else had resumed when the others were resumed through this handle."""
        self._output = output
        self._declared = declared
        self.run_id = run_id
        """Id of the run."""

    @property
    def mark(self) -> Mark:
        """Up to where this handle knows the run; `app.run(run_id, mark=...)` makes one that waits for the same."""
        return Mark(after=self._after, answered=self._answered)

    async def result(
        self,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - part of the contract (rule 3.2)
        until: Literal["rest", "end"] = "rest",
        execution: int | None = None,
    ) -> RunResult[Out_co]:
        """Wait until the run ends, is suspended or paused, and return what is known of it then.

        Args:
            timeout: Seconds to wait at most; None for ever.
            until: With `end`, wait through suspensions until the run has ended.
            execution: Instead of the latest execution, what an earlier one came to: how it ended, or what it waited for
                when the next one began. Returns at once.

        Raises:
            TimeoutError: It took longer. The run is not affected.
            RunNotFoundError: No kept run has this id.
            UnreadableRunError: A newer version of Outlast wrote a part of it.
            InputError: The run has no such execution, or `until` or `timeout` is something else.
        """
        check_until(until)
        seconds = seconds_to_wait(timeout)
        if execution is not None:
            history = at_execution(await self._load(), execution)
            if not history.is_latest:
                return self._read(history)
        return await self._wait(seconds, until=until, after=self._after)

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
            InputError: The data does not fit the declared `resume` type, or the target is nothing that names one; names
                each path. Nothing was recorded.
            ResumeTargetError: It is not clear which suspension is meant; the message lists them.
            ResumeConflictError: Somebody else resumed it first.
            RunStateError: Nothing of the run is suspended.
            RunNotFoundError: No kept run has this id.
            UnreadableRunError: A newer version of Outlast wrote a part of it.
        """
        await self._resume(resume_data, step, label, index, request_context)
        return self._handle_on(self.run_id)

    @parameters_of(resume_async)
    async def resume(self, resume_data: object = None, **options: Options) -> RunResult[Out_co]:
        """Resume a suspension, and wait until the run ends or rests again; see `resume_async`.

        Raises:
            InputError: The data does not fit the declared `resume` type, or the target is nothing that names one; names
                each path. Nothing was recorded.
            ResumeTargetError: It is not clear which suspension is meant; the message lists them.
            ResumeConflictError: Somebody else resumed it first.
            RunStateError: Nothing of the run is suspended.
            RunNotFoundError: No kept run has this id.
            UnreadableRunError: A newer version of Outlast wrote a part of it.
        """
        await self.resume_async(resume_data, **options)
        result = await self.result()
        return replace(result, skipped=self._skipped) if self._skipped else result

    @parameters_of(resume_async)
    def resume_stream(self, resume_data: object = None, **options: Options) -> RunStream[Out_co]:
        """Resume a suspension when the first event is asked for, and show what the run does from then on.

        Takes what `resume_async` takes, and raises the same, with the first event.
        """

        async def begin() -> View[Out_co]:
            await self.resume_async(resume_data, **options)
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
            InputError: The reason is no text that can be recorded. Nothing was recorded.
            RunNotFoundError: No kept run has this id.
            StoreUnavailableError: Nothing was recorded; try again.
        """
        check_words(reason, "reason of the cancel")
        history = await self._load()
        if history.status.is_terminal:
            return CancelOutcome.ALREADY_FINISHED
        body = encode_value(JSON, {"reason": reason}, "reason of the cancel")
        await self._engine.post(self.run_id, kind="cancel", topic=f"cancel:{history.execution}", body=body)
        self._after = history.head
        return CancelOutcome.REQUESTED

    async def delete(self) -> None:
        """Delete the run, which must have ended: its journal, its tags, everything but its id (rule 17).

        From then on reads do not find it, and the id cannot be started again for the `identity_ttl` of the app.

        Raises:
            RunNotFoundError: No kept run has this id.
            RunStateError: The run has not ended, so cancel it first; or its hooks are not done, so wait for them.
            StoreUnavailableError: The store did not answer; try again.
        """
        refuse_other_loop(self._engine.loop)
        await self._engine.delete_run(self.run_id)

    async def snapshot(self, *, execution: int | None = None) -> RunResult[Out_co]:
        """Return what is known of the run now, without waiting; of an earlier execution, what it came to.

        Raises:
            RunNotFoundError: No kept run has this id.
            UnreadableRunError: A newer version of Outlast wrote a part of it. `status()` and `why()` say what they can.
            InputError: The run has no such execution.
        """
        history = await self._load()
        return self._read(history if execution is None else at_execution(history, execution))

    async def status(self) -> RunStatus:
        """Return what the run is doing, or how it ended.

        Raises:
            RunNotFoundError: No kept run has this id.
        """
        refuse_other_loop(self._engine.loop)
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
        refuse_other_loop(self._engine.loop)
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
            history = await self._load()
            standing = await self._engine.load_standing(self.run_id)
            view = fold_view(history.graph, history.records)
        except (UnknownEventError, JournalMismatchError) as error:
            return UnreadableRunError(self.run_id, str(error)).message
        except UnreadableRunError as error:
            return error.message
        story = explain(view, status=history.status, workflow_id=history.workflow_id, standing=standing)
        hooks = await self.deliveries() if history.graph.hooks is not None else []
        return "; ".join([story, *map(str, hooks)])

    async def _wait(self, seconds: float | None, *, until: Literal["rest", "end"], after: int) -> RunResult[Out_co]:
        refuse_other_loop(self._engine.loop)
        if seconds is None:
            return self._read(await self._rest(until, after))
        async with asyncio.timeout(seconds):
            history = await self._rest(until, after)
        return self._read(history)

    async def _rest(self, until: Literal["rest", "end"], after: int) -> History:
        history = await self._engine.wait_for_rest(self.run_id, after=after)
        while not history.status.is_terminal and (until == "end" or self._is_awaited(history)):
            history = await self._engine.wait_for_rest(self.run_id, after=history.head)
        return history

    def masked(self) -> RunHandle[Out_co]:
        """Return a handle on the same run whose results show masks instead of sensitive values, for people to look at.

        A result that holds sensitive values is plain JSON then, not of its declared type.
        """
        mark = self.mark
        return RunHandle(
            self._engine,
            self.run_id,
            self._output,
            self._declared,
            after=mark.after,
            answered=mark.answered,
            skipped=self._skipped,
            is_masked=True,
        )

    def _read(self, history: History) -> RunResult[Out_co]:
        disclosure = None if self._is_masked else disclosure_for(self._engine.sealers, history.workflow_id)
        return read_result(history, self._output, disclosure=disclosure)

    def _is_awaited(self, history: History) -> bool:
        """Say whether the run still waits for what was asked through this handle."""
        if not self._answered:
            return False
        waits = fold_history(history).open.values()
        return any(
            (history.execution, each.path, each.number) in self._answered
            for each in waits
            if isinstance(each, AwaitResume | AwaitStep)
        )

    def _await_beyond(self, history: History, answered: list[tuple[str, int]]) -> None:
        self._after = history.head
        self._answered = frozenset((history.execution, path, number) for path, number in answered)

    def _handle_on(self, run_id: str) -> StartedRun[Out_co]:
        if run_id != self.run_id:
            return StartedRun(self._engine, run_id, self._output, self._declared)
        return StartedRun(
            self._engine,
            run_id,
            self._output,
            self._declared,
            after=self._after,
            answered=self._answered,
            skipped=self._skipped,
        )

    async def _resume(
        self,
        data: object,
        step: Target | None,
        label: str | None,
        index: int | None,
        request_context: Mapping[str, JsonValue] | None,
    ) -> None:
        """Post the resumption; the next rest of the run is one that comes after it."""
        check_target(label, index)
        history = await self._load()
        state = fold_history(history)
        if not state.suspensions():
            raise does_not_fit(self.run_id, "resume", history.status)
        try:
            chosen = choose_suspensions(state, path=None if step is None else path_of(step), label=label, index=index)
        except TargetUnclearError as error:
            raise ResumeTargetError(self.run_id, str(error), error.is_ambiguous) from None
        self._declared.check_keys(history)
        nodes = {each.path: state.frame(each.path).node for each in chosen}
        sealer = self._engine.sealers.get(history.workflow_id)
        context, raw = disclosed(sealer, self._resumption, history, data, request_context, nodes)
        is_taken = [await self._post_resume(history, each, raw[each.path], context) for each in chosen]
        if not any(is_taken):
            now = await self._load()
            if now.execution != history.execution:  # nobody resumed it: somebody let the run go on from elsewhere
                raise does_not_fit(self.run_id, "resume", now.status)
            raise ResumeConflictError(self.run_id, chosen[0].path)
        self._await_beyond(history, [(each.path, each.number) for each in chosen])
        self._skipped = tuple(each.path for each, is_mine in zip(chosen, is_taken, strict=True) if not is_mine)

    def _resumption(
        self,
        history: History,
        data: object,
        request_context: Mapping[str, JsonValue] | None,
        nodes: Mapping[str, Node],
    ) -> tuple[dict[str, JsonValue], dict[str, bytes]]:
        """Check what a resumer gives; return the request context, and for each node its resume data as JSON."""
        types = self._declared.workflows.get(history.workflow_id)
        is_sensitive = types is not None and types.request_context.is_sensitive
        context = plain_context(request_context, self._engine.unstored_context, is_sensitive=is_sensitive)
        return context, {
            path: encode_value(self._declared.resume_of(node), data, "resume_data") for path, node in nodes.items()
        }

    async def _post_resume(
        self, history: History, suspension: AwaitResume, raw: bytes, context: dict[str, JsonValue]
    ) -> bool:
        body = encode(
            {
                "execution": history.execution,
                "path": suspension.path,
                "number": suspension.number,
                "data": decode(raw),
                "request_context": context,
            }
        )
        topic = f"resume:{history.execution}:{suspension.path}:{suspension.number}"
        return await self._engine.post(self.run_id, kind="resume", topic=topic, body=body)

    def __repr__(self) -> str:
        """Show the id."""
        return f"{type(self).__name__}({self.run_id!r})"


class StartedRun(RunHandle[Out_co]):
    """What `start_async` returns: the run is on disk and will be run, whatever happens to this process (rule 3)."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Of a resume: paths of the suspended items that somebody else had resumed meanwhile (rule 7.6)."""
        return self._skipped
