"""What the routes ask for: the app's verbs on behalf of somebody, who sees and touches only what is theirs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from outlast.app import Outlast
from outlast.beginning import OutputOptions, Run
from outlast.core.status import RunStatus
from outlast.core.view import fold_view
from outlast.engines.base import History
from outlast.errors import (
    IdempotencyConflictError,
    InputError,
    Problem,
    RunExistsError,
    RunNotFoundError,
    RunStateError,
)
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import JSON, Schema
from outlast.immutable import immutable
from outlast.mark import Mark
from outlast.results import CancelOutcome, read_result
from outlast.run import RunHandle, StartedRun
from outlast.sealing import disclosing, disclosure_for, opened
from outlast.server.auth import Principal
from outlast.server.metrics import Metrics
from outlast.server.problem import Refusal
from outlast.server.streaming import Streams
from outlast.server.wire.body import IdempotencyBody, ResumeBody, StartBody
from outlast.server.wire.tracing import join_trace
from outlast.starting import Idempotency, check_text, encode_value
from outlast.storage.listing import RunQuery, RunSummary
from outlast.values import InvalidValueError, JsonValue, decode, encode

__all__ = ["Service", "typed"]

T = TypeVar("T")


@immutable(kw_only=True)
class Limits:
    """How long things may take, and how much of them there may be."""

    answer: timedelta = timedelta(seconds=180)
    """A request that waits for a run."""
    poll: timedelta = timedelta(seconds=60)
    """A request that says itself how long it waits."""
    start: timedelta = timedelta(days=1)
    """Until a run that was created is started."""
    most_streams: int = 10_000
    """How many streams may be open."""


class Service:
    """Does what requests ask for. One for each server app."""

    def __init__(self, outlast: Outlast, *, limits: Limits | None = None) -> None:
        self.outlast = outlast
        """The app."""
        self.limits = limits or Limits()
        """How long things may take, and how much of them there may be."""
        self.stopping = asyncio.Event()
        """Set when the server is to stop: what waits answers, streams end."""
        self.streams = Streams(limit=self.limits.most_streams, stopping=self.stopping)
        """The open streams."""
        self.metrics = Metrics(outlast, self.streams)
        """What was answered, and what the app did."""

    def workflow(self, workflow_id: str) -> CommittedWorkflow[Any, Any]:
        """Return a workflow.

        Raises:
            Refusal: There is none with this id.
        """
        workflow = self.outlast.workflows.get(workflow_id)
        if workflow is None:
            known = ", ".join(self.outlast.workflows) or "none"
            raise Refusal(404, "Workflow not found", code="workflow-not-found", hint=f"this app has: {known}")
        return workflow

    async def find(self, run_id: str, principal: Principal, *, workflow_id: str | None = None) -> RunSummary:
        """Return what lists know of a run that somebody may see and touch.

        Raises:
            Refusal: It is somebody else's.
            RunNotFoundError: There is no such run (of this workflow).
        """
        if workflow_id is not None:
            self.workflow(workflow_id)
        found = await self.outlast.engine.summarize_run(run_id)
        if found is None or (workflow_id is not None and found.workflow_id != workflow_id):
            raise RunNotFoundError(run_id)
        check_owner(found, principal)
        return found

    async def history(self, run_id: str, principal: Principal, *, workflow_id: str | None = None) -> History:
        """Return what is recorded of a run that somebody may see; raises as `find`."""
        await self.find(run_id, principal, workflow_id=workflow_id)
        return await self.load(run_id)

    async def load(self, run_id: str) -> History:
        """Return what is recorded of a run.

        Raises:
            RunNotFoundError: It was deleted meanwhile.
        """
        history = await self.outlast.engine.load_history(run_id)
        if history is None:
            raise RunNotFoundError(run_id)
        return history

    async def counts(
        self, principal: Principal, workflow_id: str | None = None
    ) -> Mapping[str, Mapping[RunStatus, int]]:
        """Return how many runs of which workflow have which status; for the owner of a resource, their runs only."""
        if principal.resource_id is None:
            return await self.outlast.counts(workflow_id)
        counts: dict[str, dict[RunStatus, int]] = {}
        for name in [workflow_id] if workflow_id is not None else self.outlast.workflows:
            for status in RunStatus:
                query = RunQuery(workflow_id=name, statuses=[status], resource_id=principal.resource_id, limit=1)
                if total := (await self.outlast.engine.list_runs(query)).total:
                    counts.setdefault(name, {})[status] = total
        return counts

    async def create(
        self, workflow_id: str, principal: Principal, *, run_id: str | None, resource_id: str | None, key: str | None
    ) -> str:
        """Record a run that somebody starts later; the same id or the same key again changes nothing."""
        workflow = self.workflow(workflow_id)
        if run_id is None and key is not None:
            run_id = _id_of_key(workflow_id, principal.owner_of(resource_id), key)
        try:
            run = await self.outlast.record_run(
                workflow,
                run_id=run_id,
                resource_id=principal.owner_of(resource_id),
                start_within=self.limits.start,
            )
        except RunExistsError as error:
            found = await self.find(error.run_id, principal)
            if found.workflow_id != workflow_id:
                raise
            return error.run_id
        return run.run_id

    async def start(
        self,
        workflow_id: str,
        principal: Principal,
        body: StartBody,
        *,
        run_id: str | None,
        is_new: bool,
        key: str | None,
        traceparent: str | None = None,
    ) -> str:
        """Start a run and return its id once it is durable.

        Args:
            workflow_id: What to run.
            principal: Who asks.
            body: What it is started with.
            run_id: Its id; a new run gets one if there is none.
            is_new: Whether a run with an unknown id is made; else it must have been created.
            key: An idempotency key: with it, a repeated request gets the first run.
            traceparent: The trace that the request belongs to.
        """
        workflow = self.workflow(workflow_id)
        resource_id = principal.owner_of(body.resource_id)
        if run_id is not None and not is_new:
            await self.find(run_id, principal, workflow_id=workflow_id)
        elif run_id is not None and principal.resource_id is not None:
            # Perhaps it was created: then starting it is driving it.
            found = await self.outlast.engine.summarize_run(run_id)
            if found is not None:
                check_owner(found, principal)
        run: Run[Any, Any] = await self.outlast.create_run(workflow, run_id=run_id, resource_id=resource_id)
        started = await run.start_async(
            input_data=typed(workflow.input, body.input_data, "input_data"),
            initial_state=body.initial_state,
            request_context=body.request_context,
            output_options=OutputOptions(include_state=body.include_state),
            tags=body.tags,
            delay=_milliseconds(body.delay_ms),
            start_at=body.start_at,
            start_within=_milliseconds(body.start_within_ms),
            priority=body.priority,
            per_step=bool(body.per_step),
            tracing_options=join_trace(body.tracing_options, traceparent),
            idempotency_key=None if key is None else _identity(key, body, principal),
        )
        return started.run_id

    async def start_new(
        self,
        workflow_id: str,
        principal: Principal,
        body: StartBody,
        *,
        run_id: str | None,
        key: str | None,
        traceparent: str | None = None,
    ) -> str:
        """Start a run whose id may be unknown; one that was created under the id is started too.

        Raises:
            RunExistsError: It was started before, and there is no key.
            IdempotencyConflictError: The key, or the id, was used with other input.
        """
        try:
            return await self.start(
                workflow_id, principal, body, run_id=run_id, is_new=True, key=key, traceparent=traceparent
            )
        except RunExistsError:
            if run_id is None or key is None:
                raise
        return await self.start_named(
            workflow_id, principal, body, run_id=run_id, is_new=False, key=key, traceparent=traceparent
        )

    async def start_named(
        self,
        workflow_id: str,
        principal: Principal,
        body: StartBody,
        *,
        run_id: str,
        is_new: bool,
        key: str | None,
        traceparent: str | None = None,
    ) -> str:
        """Start the run with an id. Its id is a key already: with a key, a repeated request is answered as the first.

        Raises:
            RunExistsError: It was started before, and there is no key.
            IdempotencyConflictError: It was started before, with other input.
        """
        try:
            return await self.start(
                workflow_id, principal, body, run_id=run_id, is_new=is_new, key=None, traceparent=traceparent
            )
        except RunExistsError:
            if key is None:
                raise
        history = await self.history(run_id, principal, workflow_id=workflow_id)
        disclosure = disclosure_for(self.outlast.engine.sealers, workflow_id)
        with disclosing(disclosure):
            schema = self.workflow(workflow_id).input
            given = opened(encode_value(schema, typed(schema, body.input_data, "input_data"), "input_data"))
        if read_result(history, JSON, disclosure=disclosure).input != decode(given):
            raise IdempotencyConflictError(run_id, key)
        return run_id

    async def start_or_find(
        self,
        workflow_id: str,
        principal: Principal,
        body: StartBody,
        *,
        run_id: str | None,
        key: str | None = None,
        traceparent: str | None = None,
    ) -> RunHandle[Any]:
        """Start a run, or find the one in flight, so that a repeated request is safe.

        Raises:
            Refusal: It has ended.
        """
        try:
            if run_id is None:
                run_id = await self.start(
                    workflow_id, principal, body, run_id=None, is_new=True, key=key, traceparent=traceparent
                )
            else:
                await self.start_named(
                    workflow_id, principal, body, run_id=run_id, is_new=True, key=key, traceparent=traceparent
                )
        except RunExistsError as error:
            run_id = error.run_id
            found = await self.find(run_id, principal, workflow_id=workflow_id)
            if found.status.is_terminal:
                raise _finished(found, "start") from None
        return self.outlast.run(run_id)

    async def resume(
        self, workflow_id: str | None, run_id: str, principal: Principal, body: ResumeBody
    ) -> StartedRun[Any]:
        """Resume a suspension and return a handle that waits for what comes of it.

        Raises:
            Refusal: The request says that the run goes on step by step, and it does not, or the other way round.
        """
        await self.find(run_id, principal, workflow_id=workflow_id)
        if body.per_step is not None:
            _check_stepping(await self.load(run_id), wanted=body.per_step)
        return await self.outlast.run(run_id).resume_async(
            body.resume_data,
            step=body.step,
            label=body.label,
            index=body.for_each_index,
            request_context=body.request_context,
        )

    async def cancel(self, workflow_id: str | None, run_id: str, principal: Principal, reason: str | None) -> Mark:
        """Ask for a run to end `canceled`, and say from where on its end is to be waited for.

        Raises:
            Refusal: It has ended.
        """
        await self.find(run_id, principal, workflow_id=workflow_id)
        handle = self.outlast.run(run_id)
        if await handle.cancel(reason) is CancelOutcome.ALREADY_FINISHED:
            raise _finished(await self.find(run_id, principal), "cancel")
        return handle.mark

    async def rest(self, handle: RunHandle[Any]) -> History:
        """Wait until a run rests, and return what is recorded then.

        Raises:
            Refusal: It takes longer than a request may, or the server stops. The run is not affected.
        """
        if not await self.until(handle.result(), self.limits.answer):
            hint = f"the run goes on; ask for it with GET /runs/{handle.run_id}/result?wait=30"
            raise Refusal(504, "Gateway Timeout: the run goes on", code="still-running", hint=hint)
        return await self.load(handle.run_id)

    async def until(self, waiting: Any, limit: timedelta) -> bool:  # noqa: ANN401 - whatever can be awaited
        """Wait for something, and say whether it came before the time was over and before the server stops."""
        task = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait((task, stop), timeout=limit.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            for each in (task, stop):
                each.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)


def check_owner(run: RunSummary, principal: Principal) -> None:
    """Make sure that somebody may see and touch a run: who is bound to a resource has only the runs of that one.

    Raises:
        Refusal: It is somebody else's, or nobody's.
    """
    if principal.resource_id is not None and run.resource_id != principal.resource_id:
        text = "Access denied: workflow run belongs to a different resource"
        raise Refusal(403, text, code="foreign-run")


def _check_stepping(history: History, *, wanted: bool) -> None:
    is_stepping = fold_view(history.graph, history.records).state.is_stepping
    if is_stepping is not wanted:
        reason = "the run goes on step by step" if is_stepping else "the run was not started step by step"
        hint = "leave perStep out; POST /runs/{run_id}/step lets a paused run go on to its end" if is_stepping else ""
        issue = Problem("perStep", reason)
        raise Refusal(400, "Invalid request body", code="invalid-request", issues=[issue], hint=hint)


def _milliseconds(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(milliseconds=number)


def _identity(key: str, body: StartBody, principal: Principal) -> Idempotency:
    """Return what a key means; a key of the owner of a resource never finds the run of another one."""
    meant = body.idempotency or IdempotencyBody()
    return Idempotency(
        key=key,
        scope=meant.scope if principal.resource_id is None else "resource",
        keep=timedelta(milliseconds=meant.keep_ms),
        while_running=meant.while_running,
        when_finished=meant.when_finished,
    )


def _id_of_key(workflow_id: str, resource_id: str | None, key: str) -> str:
    """Return the run id that a key stands for: the same for the same key, and not to be guessed from others."""
    check_text(key, "Idempotency-Key")
    digest = hashlib.sha256(encode([workflow_id, resource_id, key])).hexdigest()
    return f"key-{digest[:32]}"


def _finished(run: RunSummary, verb: str) -> Refusal:
    """Return the refusal of what only a run can do that has not ended."""
    hint = "read its result, or start another run"
    error = RunStateError(run.run_id, verb, run.status.value, hint)
    text = f'Workflow run {run.run_id} already finished with status "{run.status}"'
    return Refusal(409, text, code="run-state", hint=hint, details=list(error.args))


def typed(schema: Schema[T], value: JsonValue, subject: str) -> object:
    """Read a value as JSON of a declared type: there a text can be a date, which it cannot be in Python.

    Raises:
        InputError: It is not of that type; names each path.
    """
    if schema.is_json:
        return value
    try:
        return schema.decode(encode(value))
    except InvalidValueError as error:
        raise InputError(subject, error.problems) from None
