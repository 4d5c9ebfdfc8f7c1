"""What the routes ask for: the app's verbs on behalf of somebody, who sees and touches only what is theirs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from outlast.app import Outlast
from outlast.engines.base import History
from outlast.errors import InputError, RunExistsError, RunNotFoundError, RunStateError
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import Schema
from outlast.results import CancelOutcome
from outlast.run import Run, RunHandle
from outlast.server.auth import Principal
from outlast.server.problem import Refusal
from outlast.server.wire.body import ResumeBody, StartBody
from outlast.values import InvalidValueError, JsonValue, encode

__all__ = ["Service"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take."""

    answer: timedelta = timedelta(seconds=180)
    """A request that waits for a run."""
    poll: timedelta = timedelta(seconds=60)
    """A request that says itself how long it waits."""
    start: timedelta = timedelta(days=1)
    """Until a run that was created is started."""


class Service:
    """Does what requests ask for. One for each server app."""

    def __init__(self, outlast: Outlast, *, patience: Patience | None = None) -> None:
        self.outlast = outlast
        """The app."""
        self.patience = patience or Patience()
        """How long things may take."""
        self.stopping = asyncio.Event()
        """Set when the server is to stop: what waits answers, streams end."""

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

    async def history(self, run_id: str, principal: Principal, *, workflow_id: str | None = None) -> History:
        """Return what is recorded of a run that somebody may see.

        Raises:
            Refusal: There is no such run (of this workflow), or it is somebody else's.
        """
        if workflow_id is not None:
            self.workflow(workflow_id)
        history = await self.outlast.engine.load_history(run_id)
        if history is None or (workflow_id is not None and history.workflow_id != workflow_id):
            raise RunNotFoundError(run_id)
        if principal.resource_id is not None and history.resource_id not in (None, principal.resource_id):
            text = "Access denied: workflow run belongs to a different resource"
            raise Refusal(403, text, code="foreign-run")
        return history

    async def create(
        self, workflow_id: str, principal: Principal, *, run_id: str | None, resource_id: str | None
    ) -> str:
        """Record a run that somebody starts later; the same id again changes nothing."""
        workflow = self.workflow(workflow_id)
        try:
            run = await self.outlast.record_run(
                workflow,
                run_id=run_id,
                resource_id=principal.resource_id or resource_id,
                start_within=self.patience.start,
            )
        except RunExistsError as error:
            history = await self.history(error.run_id, principal)
            if history.workflow_id != workflow_id:
                raise
            return error.run_id
        return run.run_id

    async def start(
        self, workflow_id: str, principal: Principal, body: StartBody, *, run_id: str | None, is_new: bool
    ) -> str:
        """Start a run and return its id once it is durable.

        Args:
            workflow_id: What to run.
            principal: Who asks.
            body: What it is started with.
            run_id: Its id; a new run gets one if there is none.
            is_new: Whether a run with an unknown id is made; else it must have been created.
        """
        workflow = self.workflow(workflow_id)
        resource_id = principal.resource_id or body.resource_id
        if run_id is not None and not is_new:
            history = await self.history(run_id, principal, workflow_id=workflow_id)
            resource_id = history.resource_id if principal.resource_id is not None else resource_id
        run: Run[Any, Any] = await self.outlast.create_run(workflow, run_id=run_id, resource_id=resource_id)
        await run.start_async(
            input_data=_typed(workflow.input, body.input_data, "input_data"),
            initial_state=body.initial_state,
            request_context=body.request_context,
        )
        return run.run_id

    async def start_and_wait(
        self, workflow_id: str, principal: Principal, body: StartBody, *, run_id: str | None
    ) -> History:
        """Start a run and wait until it rests; one in flight is waited for, so that a repeated request is safe."""
        try:
            run_id = await self.start(workflow_id, principal, body, run_id=run_id, is_new=True)
        except RunExistsError as error:
            run_id = error.run_id
            history = await self.history(run_id, principal, workflow_id=workflow_id)
            if history.status.is_terminal:
                raise self.finished(history) from None
        return await self.rest(self.outlast.run(run_id), principal)

    async def resume(
        self, workflow_id: str | None, run_id: str, principal: Principal, body: ResumeBody
    ) -> RunHandle[Any]:
        """Resume a suspension and return a handle that waits for what comes of it."""
        await self.history(run_id, principal, workflow_id=workflow_id)
        return await self.outlast.run(run_id).resume_async(
            body.resume_data,
            step=body.step,
            label=body.label,
            index=body.for_each_index,
            request_context=body.request_context,
        )

    async def cancel(self, workflow_id: str | None, run_id: str, principal: Principal, reason: str | None) -> None:
        """Ask for a run to end `canceled`.

        Raises:
            Refusal: It has ended.
        """
        history = await self.history(run_id, principal, workflow_id=workflow_id)
        if await self.outlast.run(run_id).cancel(reason) is CancelOutcome.ALREADY_FINISHED:
            raise self.finished(await self.history(run_id, principal, workflow_id=history.workflow_id), "cancel")

    async def rest(self, handle: RunHandle[Any], principal: Principal) -> History:
        """Wait until a run rests, and return what is recorded then.

        Raises:
            Refusal: It takes longer than a request may, or the server stops. The run is not affected.
        """
        if not await self.until(handle.result(), self.patience.answer):
            hint = f"the run goes on; ask for it with GET /runs/{handle.run_id}/result?wait=30"
            raise Refusal(504, "Gateway Timeout: the run goes on", code="still-running", hint=hint)
        return await self.history(handle.run_id, principal)

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

    def finished(self, history: History, verb: str = "start") -> Refusal:
        """Return the refusal of what only a run can do that has not ended."""
        error = RunStateError(history.run_id, verb, history.status.value)
        text = f'Workflow run {history.run_id} already finished with status "{history.status}"'
        hint = "read its result, or start another run"
        return Refusal(409, text, code="run-state", hint=hint, details=list(error.args))


def _typed(schema: Schema[T], value: JsonValue, subject: str) -> object:
    """Read a value as JSON of a declared type: there a text can be a date, which it cannot be in Python."""
    if schema.is_json:
        return value
    try:
        return schema.decode(encode(value))
    except InvalidValueError as error:
        raise InputError(subject, error.problems) from None
