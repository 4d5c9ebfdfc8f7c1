"""Handles on runs of a server, with the same verbs as those in process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote

from outlast.addressing import Target
from outlast.beginning import OutputOptions
from outlast.client.decode import decode_result
from outlast.client.encode import AnyWorkflow, query_of, resume_body, start_body
from outlast.client.transport import Transport
from outlast.core.status import RunStatus
from outlast.errors import InputError, Problem, RunExistsError, RunStateError
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import JSON, Schema
from outlast.mark import Mark
from outlast.results import CancelOutcome, RunResult
from outlast.starting import Idempotency
from outlast.values import JsonValue

__all__ = ["RemoteRun", "RemoteRunHandle", "RemoteStartedRun"]

In = TypeVar("In")
Out_co = TypeVar("Out_co", covariant=True)

_POLL: Final = 30.0
"""Seconds that one request waits; a proxy between would cut longer ones."""


class RemoteRunHandle(Generic[Out_co]):
    """A handle on a known run of a server. Making one does no I/O."""

    def __init__(self, transport: Transport, run_id: str, output: Schema[Any], *, mark: Mark | None = None) -> None:
        self._transport = transport
        self._output = output
        self._mark = mark or Mark()
        self.run_id = run_id
        """Id of the run."""

    @property
    def mark(self) -> Mark:
        """Up to where this handle knows the run; `client.run(run_id, mark=...)` makes one that waits for the same."""
        return self._mark

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
            ServerUnavailableError: The server did not answer. The run is not affected.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        async with asyncio.timeout(seconds):
            while True:
                wait = _POLL if seconds is None else min(_POLL, seconds)
                query = query_of(wait=wait, until=until, mark=self._mark.to_text())
                answer = await self._transport.request(
                    "GET", self._path("/result"), query=query, wait=wait, is_repeatable=True
                )
                if answer["isAtRest"]:
                    return decode_result(answer, self._output)

    async def resume(
        self,
        resume_data: object = None,
        *,
        step: Target | None = None,
        label: str | None = None,
        index: int | None = None,
        request_context: Mapping[str, JsonValue] | None = None,
    ) -> RunResult[Out_co]:
        """Resume a suspension, and wait until the run ends or rests again; raises as `resume_async`."""
        await self._resume(resume_data, step, label, index, request_context)
        return await self.result()

    async def resume_async(
        self,
        resume_data: object = None,
        *,
        step: Target | None = None,
        label: str | None = None,
        index: int | None = None,
        request_context: Mapping[str, JsonValue] | None = None,
    ) -> RemoteStartedRun[Out_co]:
        """Resume a suspension and return once that is durable (rule 7.4).

        It is never asked twice: whoever lost the answer finds out with `why()` or `snapshot()`.

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
            ServerUnavailableError: The server did not answer; it is not known whether it was resumed.
        """
        await self._resume(resume_data, step, label, index, request_context)
        return RemoteStartedRun(self._transport, self.run_id, self._output, mark=self._mark)

    async def cancel(self, reason: str | None = None) -> CancelOutcome:
        """Ask for the run to end `canceled`; durable when it returns (rule 10). Canceling twice is fine.

        Raises:
            RunNotFoundError: No kept run has this id.
            ServerUnavailableError: The server did not answer; cancel again.
        """
        body: dict[str, JsonValue] = {} if reason is None else {"reason": reason}
        try:
            answer = await self._transport.request("POST", self._path("/cancel"), body=body, is_repeatable=True)
        except RunStateError:
            return CancelOutcome.ALREADY_FINISHED
        self._mark = Mark.from_text(str(answer["mark"]))
        return CancelOutcome.REQUESTED

    async def snapshot(self) -> RunResult[Out_co]:
        """Return what is known of the run now, without waiting.

        Raises:
            RunNotFoundError: No kept run has this id.
            ServerUnavailableError: The server did not answer.
        """
        answer = await self._transport.request("GET", self._path(""), is_repeatable=True)
        return decode_result(answer, self._output)

    async def status(self) -> RunStatus:
        """Return what the run is doing, or how it ended; raises as `snapshot`."""
        answer = await self._transport.request("GET", self._path(""), is_repeatable=True)
        return RunStatus(str(answer["status"]))

    async def why(self) -> str:
        """Say in words what the run does or waits for, since when, and who works on it; raises as `snapshot`."""
        answer = await self._transport.request("GET", self._path("/why"), is_repeatable=True)
        return str(answer["why"])

    async def _resume(
        self,
        data: object,
        step: Target | None,
        label: str | None,
        index: int | None,
        request_context: Mapping[str, JsonValue] | None,
    ) -> None:
        body = resume_body(data, step, label, index, request_context)
        answer = await self._transport.request("POST", self._path("/resume"), body=body, is_repeatable=False)
        self._mark = Mark.from_text(str(answer["mark"]))

    def _path(self, rest: str) -> str:
        return f"/runs/{_segment(self.run_id)}{rest}"

    def __repr__(self) -> str:
        """Show the id."""
        return f"{type(self).__name__}({self.run_id!r})"


class RemoteStartedRun(RemoteRunHandle[Out_co]):
    """What `start_async` returns: the run is on the server's disk and will be run (rule 3)."""


class RemoteRun(Generic[In, Out_co]):
    """A run that may be started once. Nothing of it is recorded before that, unless `record_run` did."""

    def __init__(
        self, transport: Transport, workflow: AnyWorkflow, *, run_id: str, is_named: bool, resource_id: str | None
    ) -> None:
        self._transport = transport
        self._workflow = workflow
        self._is_named = is_named
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
    ) -> RemoteStartedRun[Out_co]:
        """Start the run and return once it is durable, without waiting for any step.

        If an answer is lost, the request is repeated where that cannot start a second run or hide who started the
        first: with an idempotency key, or if this client made the run id.

        Args:
            input_data: The input; validated against the workflow's declared type.
            initial_state: The state to begin with.
            request_context: What all steps can read: an object of JSON, or of the workflow's declared type.
            output_options: What results of this run show.
            tags: Words to find the run by.
            delay: How long it waits before it starts, as a timedelta or in seconds; it is `pending` until then.
            start_at: When it starts, an aware datetime; one in the past means at once.
            start_within: How long it may take until a worker begins it, as a timedelta or in seconds.
            idempotency_key: A key that stands for one run: a second start under it gives the first one, by its id.

        Raises:
            InputError: Something that was handed over does not fit; names each path. Nothing was recorded.
            RunExistsError: This run id was started before; the first one is untouched.
            IdempotencyConflictError: The key stands for a run with other input.
            ServerUnavailableError: The server did not answer; it is not known whether the run was started.
        """
        key = Idempotency(key=idempotency_key) if isinstance(idempotency_key, str) else idempotency_key
        body = start_body(
            self._workflow,
            resource_id=self.resource_id,
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            output_options=output_options,
            tags=tags,
            delay=delay,
            start_at=start_at,
            start_within=start_within,
            idempotency=key,
        )
        run_id = await self._start(body, key)
        known = self._workflow if isinstance(self._workflow, CommittedWorkflow) else None
        return RemoteStartedRun(self._transport, run_id, known.output if known else JSON)

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

        Takes what `start_async` takes, and raises as it does.
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

    async def _start(self, body: dict[str, JsonValue], key: Idempotency | None) -> str:
        workflow_id = self._workflow if isinstance(self._workflow, str) else self._workflow.id
        headers = {} if key is None else {"idempotency-key": _header(key.key)}
        try:
            answer = await self._transport.request(
                "POST",
                f"/workflows/{_segment(workflow_id)}/start",
                query={"runId": self.run_id, "create": "true"},
                body=body,
                headers=headers,
                is_repeatable=key is not None or not self._is_named,
            )
        except RunExistsError as error:
            # Nobody else knows an id that was made here: the first attempt got through, and only its answer was lost.
            if self._is_named or key is not None or not error.run_id == self.run_id:
                raise
            return self.run_id
        return str(answer["runId"])

    def __repr__(self) -> str:
        """Show the workflow and the id."""
        workflow_id = self._workflow if isinstance(self._workflow, str) else self._workflow.id
        return f"{type(self).__name__}({workflow_id!r}, {self.run_id!r})"


def _segment(text: str) -> str:
    return quote(text, safe="")


def _header(key: str) -> str:
    """Return a key as a header can have it."""
    if not key.isascii():
        reason = "over HTTP a key has ASCII characters only"
        raise InputError("idempotency_key", (Problem("", reason),))
    return key
