"""Handles on runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar

from outlast.core.status import RunStatus
from outlast.core.view import fold_view
from outlast.core.why import explain
from outlast.engines.base import Engine, History, StartRequest
from outlast.engines.perform import DEFAULT_PAYLOAD_LIMIT
from outlast.errors import InputError, PayloadTooLargeError, Problem, RunNotFoundError
from outlast.graph.schema import JSON, Schema
from outlast.graph.workflow import CommittedWorkflow
from outlast.results import RunResult, read_result
from outlast.values import InvalidValueError, JsonValue

__all__ = ["Run", "RunHandle", "StartedRun"]

In = TypeVar("In")
Out_co = TypeVar("Out_co", covariant=True)


class RunHandle(Generic[Out_co]):
    """A handle on a known run, from any process that has the store. Making one does no I/O."""

    def __init__(self, engine: Engine, run_id: str, output: Schema[Any]) -> None:
        self._engine = engine
        self._output = output
        self.run_id = run_id
        """Id of the run."""

    async def result(
        self,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - part of the contract (rule 3.2)
    ) -> RunResult[Out_co]:
        """Wait until the run ends, is suspended or paused, and return what is known of it then.

        Args:
            timeout: Seconds to wait at most; None for ever.

        Raises:
            TimeoutError: It took longer. The run is not affected.
            RunNotFoundError: No kept run has this id.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        async with asyncio.timeout(seconds):
            history = await self._engine.wait_for_rest(self.run_id)
        return read_result(history, self._output)

    async def snapshot(self) -> RunResult[Out_co]:
        """Return what is known of the run now, without waiting.

        Raises:
            RunNotFoundError: No kept run has this id.
        """
        return read_result(await self._history(), self._output)

    async def status(self) -> RunStatus:
        """Return what the run is doing, or how it ended.

        Raises:
            RunNotFoundError: No kept run has this id.
        """
        return (await self._history()).status

    async def why(self) -> str:
        """Say in words what the run does or waits for, since when, and who works on it.

        Raises:
            RunNotFoundError: No kept run has this id.
        """
        history = await self._history()
        standing = await self._engine.load_standing(self.run_id)
        return explain(
            fold_view(history.graph, history.records),
            status=history.status,
            workflow_id=history.workflow_id,
            owner=standing.owner,
            candidates=standing.candidates,
        )

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

    async def start_async(
        self, *, input_data: In | None = None, request_context: Mapping[str, JsonValue] | None = None
    ) -> StartedRun[Out_co]:
        """Start the run and return at once, without waiting for any step.

        When it returns, the run is durable at the store's class and will be run as soon as a worker that knows the
        workflow lives, whatever happens to this process.

        Args:
            input_data: The input; validated against the workflow's declared type.
            request_context: JSON that all steps can read.

        Raises:
            InputError: The input or context does not fit; names each path. Nothing was recorded.
            RunExistsError: This run id was started before; the first one is untouched.
            StoreUnavailableError: It is not known to be recorded. Starting the same run id again is safe.
            ForkedAppError: The app was opened in the parent of this process; open one here.
        """
        context = dict(request_context or {})
        _encode(JSON, context, "request_context")
        request = StartRequest(
            workflow=self._workflow,
            run_id=self.run_id,
            resource_id=self.resource_id,
            input=_encode(self._workflow.input, input_data, "input_data", coerce=True),
            request_context=context,
        )
        await self._engine.start(request)
        return StartedRun(self._engine, self.run_id, self._workflow.output)

    async def start(
        self, *, input_data: In | None = None, request_context: Mapping[str, JsonValue] | None = None
    ) -> RunResult[Out_co]:
        """Start the run and wait until it ends, is suspended or paused. Every outcome is a value; see `RunResult`.

        Raises:
            InputError: The input or context does not fit; names each path. Nothing was recorded.
            RunExistsError: This run id was started before; the first one is untouched.
            StoreUnavailableError: It is not known to be recorded. Starting the same run id again is safe.
        """
        started = await self.start_async(input_data=input_data, request_context=request_context)
        return await started.result()

    def __repr__(self) -> str:
        """Show the workflow and the id."""
        return f"Run({self._workflow.id!r}, {self.run_id!r})"


def _encode(schema: Schema[Any], value: object, subject: str, *, coerce: bool = False) -> bytes:
    """Validate a caller's value and return it as JSON, or say what is wrong with it."""
    try:
        raw = schema.encode(value)
        if coerce:
            schema.decode(raw)
    except InvalidValueError as error:
        raise InputError(subject, error.problems) from None
    if len(raw) > DEFAULT_PAYLOAD_LIMIT:
        raise PayloadTooLargeError(subject, len(raw), DEFAULT_PAYLOAD_LIMIT)
    return raw


def check_text(value: object, name: str) -> None:
    """Refuse an id that is not a usable text.

    Raises:
        InputError: It is not a text, is empty, too long, or holds control characters.
    """
    limit = 200
    if not isinstance(value, str) or not value or len(value) > limit or not value.isprintable():
        reason = f"needs 1 to {limit} printable characters, not {value!r:.60}"
        raise InputError(name, (Problem("", reason),))
