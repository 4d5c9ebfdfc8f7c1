"""Handles on runs of a server, with the same verbs as those in process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar, cast
from urllib.parse import quote

from outlast.client.decode import decode_deliveries, decode_result
from outlast.client.encode import query_of, resume_body
from outlast.client.repair import RemoteRepairable
from outlast.client.stream import RemoteStream, RemoteView
from outlast.client.transport import Transport
from outlast.core.status import RunStatus
from outlast.errors import InputError, Problem, RunStateError
from outlast.graph.schema import Schema
from outlast.mark import Mark
from outlast.results import CancelOutcome, HookDelivery, RunResult
from outlast.run import RunHandle
from outlast.signature import Options, parameters_of
from outlast.values import JsonValue
from outlast.waiting import check_execution, check_until, seconds_to_wait

__all__ = ["RemoteRunHandle", "RemoteStartedRun", "segment"]

In = TypeVar("In")
Out_co = TypeVar("Out_co", covariant=True)

_POLL: Final = 30.0
"""Seconds that one request waits; a proxy between would cut longer ones."""


class RemoteRunHandle(RemoteRepairable[Out_co]):
    """A handle on a known run of a server. Making one does no I/O."""

    def __init__(
        self,
        transport: Transport,
        run_id: str,
        output: Schema[Any],
        *,
        mark: Mark | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        self._transport = transport
        self._output = output
        self._mark = mark or Mark()
        self._skipped = tuple(skipped)
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
        execution: int | None = None,
    ) -> RunResult[Out_co]:
        """Wait until the run ends, is suspended or paused, and return what is known of it then.

        Args:
            timeout: Seconds to wait at most; None for ever.
            until: With `end`, wait through suspensions until the run has ended.
            execution: Instead of the latest execution, what an earlier one came to. Returns at once.

        Raises:
            TimeoutError: It took longer. The run is not affected.
            RunNotFoundError: No kept run has this id.
            ServerUnavailableError: The server did not answer. The run is not affected.
            InputError: The run has no such execution, or `until` or `timeout` is something else.
        """
        check_until(until)
        check_execution(execution)
        seconds = seconds_to_wait(timeout)
        async with asyncio.timeout(seconds):
            while True:
                wait = _POLL if seconds is None else min(_POLL, seconds)
                query = query_of(wait=wait, until=until, mark=self._mark.to_text(), execution=execution)
                answer = await self._transport.request(
                    "GET", self.path("/result"), query=query, wait=wait, is_repeatable=True
                )
                if answer["isAtRest"]:
                    return decode_result(answer, self._output)

    @parameters_of(RunHandle[Any].resume_async)
    async def resume(self, resume_data: object = None, **options: Options) -> RunResult[Out_co]:
        """Resume a suspension, and wait until the run ends or rests again; raises as `resume_async`."""
        await self.resume_async(resume_data, **options)
        result = await self.result()
        return replace(result, skipped=self._skipped) if self._skipped else result

    @parameters_of(RunHandle[Any].resume_async)
    async def resume_async(self, resume_data: object = None, **options: Options) -> RemoteStartedRun[Out_co]:
        """Resume a suspension and return once that is durable (rule 7.4).

        It is never asked twice: whoever lost the answer finds out with `why()` or `snapshot()`.

        Takes what `RunHandle.resume_async` takes.

        Raises:
            InputError: The data does not fit the declared `resume` type; names each path. Nothing was recorded.
            ResumeTargetError: It is not clear which suspension is meant; the message lists them.
            ResumeConflictError: Somebody else resumed it first.
            RunStateError: Nothing of the run is suspended.
            RunNotFoundError: No kept run has this id.
            ServerUnavailableError: The server did not answer; it is not known whether it was resumed.
        """
        body = resume_body(resume_data, **options)
        answer = await self._transport.request("POST", self.path("/resume"), body=body, is_repeatable=False)
        self._mark = Mark.from_text(str(answer["mark"]))
        self._skipped = tuple(cast("list[str]", answer["skipped"]))
        return RemoteStartedRun(self._transport, self.run_id, self._output, mark=self._mark, skipped=self._skipped)

    @parameters_of(RunHandle[Any].resume_async)
    def resume_stream(self, resume_data: object = None, **options: Options) -> RemoteStream[Out_co]:
        """Resume a suspension when the first event is asked for, and show what the run does from then on.

        Takes what `resume_async` takes, and raises the same, with the first event.
        """

        async def begin() -> RemoteView[Out_co]:
            await self.resume_async(resume_data, **options)
            return RemoteView(self, self._mark.last_event)

        return RemoteStream(self._transport, self.run_id, begin)

    def observe_stream(self, *, after: int = 0, follow: bool = False) -> RemoteStream[Out_co]:
        """Show what happened to the run and what happens to it, during the run or after it; see `RunHandle`.

        Args:
            after: `seq` of the event after which it begins; 0 for the first.
            follow: Go on after a `workflow-finish`, for ever: until whoever reads goes away.
        """
        return RemoteStream(self._transport, self.run_id, self._from(after), follow=follow)

    def events(self, *, after: int = 0) -> RemoteStream[Out_co]:
        """Show what is recorded of the run so far, without waiting for more; else as `observe_stream`."""
        return RemoteStream(self._transport, self.run_id, self._from(after), is_waiting=False)

    async def cancel(self, reason: str | None = None) -> CancelOutcome:
        """Ask for the run to end `canceled`; durable when it returns (rule 10). Canceling twice is fine.

        Raises:
            RunNotFoundError: No kept run has this id.
            ServerUnavailableError: The server did not answer; cancel again.
        """
        body: dict[str, JsonValue] = {} if reason is None else {"reason": reason}
        try:
            answer = await self._transport.request("POST", self.path("/cancel"), body=body, is_repeatable=True)
        except RunStateError:
            return CancelOutcome.ALREADY_FINISHED
        self._mark = Mark.from_text(str(answer["mark"]))
        return CancelOutcome.REQUESTED

    async def delete(self) -> None:
        """Delete the run, which must have ended: its journal, its tags, everything but its id (rule 17).

        Raises:
            RunNotFoundError: No kept run has this id.
            RunStateError: The run has not ended, so cancel it first; or its hooks are not done, so wait for them.
            ServerUnavailableError: The server did not answer; if it was deleted, deleting again says so.
        """
        await self._transport.request("DELETE", self.path(""), is_repeatable=False)

    async def deliveries(self) -> list[HookDelivery]:
        """Return the calls of `on_finish` and `on_error` that have not succeeded, in their order (rule 13).

        Raises:
            RunNotFoundError: No kept run has this id.
            ServerUnavailableError: The server did not answer.
        """
        return decode_deliveries(await self._transport.request("GET", self.path("/deliveries"), is_repeatable=True))

    def masked(self) -> RemoteRunHandle[Out_co]:
        """Return this handle: what a server answers always shows masks instead of sensitive values."""
        return self

    async def snapshot(self, *, execution: int | None = None) -> RunResult[Out_co]:
        """Return what is known of the run now, without waiting; of an earlier execution, what it came to.

        Raises:
            RunNotFoundError: No kept run has this id.
            InputError: The run has no such execution.
            ServerUnavailableError: The server did not answer.
        """
        check_execution(execution)
        query = query_of(execution=execution)
        answer = await self._transport.request("GET", self.path(""), query=query, is_repeatable=True)
        return decode_result(answer, self._output)

    async def status(self) -> RunStatus:
        """Return what the run is doing, or how it ended; raises as `snapshot`."""
        answer = await self._transport.request("GET", self.path(""), is_repeatable=True)
        return RunStatus(str(answer["status"]))

    async def why(self) -> str:
        """Say in words what the run does or waits for, since when, and who works on it; raises as `snapshot`."""
        answer = await self._transport.request("GET", self.path("/why"), is_repeatable=True)
        return str(answer["why"])

    async def ask(self, path: str, body: dict[str, JsonValue]) -> RemoteStartedRun[Out_co]:
        """Ask something of the run once; see `RemoteRepairable.ask`."""
        answer = await self._transport.request("POST", self.path(path), body=body, is_repeatable=False)
        mark, run_id = Mark.from_text(str(answer["mark"])), str(answer["runId"])
        if run_id == self.run_id:
            self._mark = mark
        return RemoteStartedRun(self._transport, run_id, self._output, mark=mark)

    def _from(self, after: int) -> Callable[[], Awaitable[RemoteView[Out_co]]]:
        if type(after) is not int or after < 0:
            raise InputError("after", (Problem("", f"the seq of an event is needed, or 0, not {after!r:.60}"),))

        async def begin() -> RemoteView[Out_co]:
            return RemoteView(self, after)

        return begin

    def path(self, rest: str) -> str:
        """Return the path of the run on the server, and of what is below it."""
        return f"/runs/{segment(self.run_id)}{rest}"

    def __repr__(self) -> str:
        """Show the id."""
        return f"{type(self).__name__}({self.run_id!r})"


class RemoteStartedRun(RemoteRunHandle[Out_co]):
    """What `start_async` returns: the run is on the server's disk and will be run (rule 3)."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Of a resume: paths of the suspended items that somebody else had resumed meanwhile (rule 7.6)."""
        return self._skipped


def segment(text: str) -> str:
    """Return an id as a part of a path."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")  # a path of dots means another place
