"""Runs of a server that may be started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from outlast.addressing import Target
from outlast.beginning import OutputOptions, Run
from outlast.client.encode import AnyWorkflow, start_body, travel_body
from outlast.client.handle import RemoteStartedRun, segment
from outlast.client.stream import RemoteStream, RemoteView
from outlast.client.transport import Transport
from outlast.errors import InputError, Problem, RunExistsError
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import JSON
from outlast.results import RunResult
from outlast.signature import Options, parameters_of
from outlast.starting import Idempotency, misplaced_input
from outlast.tracing import TracingOptions
from outlast.values import JsonValue

__all__ = ["RemoteRun"]

In = TypeVar("In")
Out_co = TypeVar("Out_co", covariant=True)


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
    ) -> RemoteStartedRun[Out_co]:
        """Start the run and return once it is durable, without waiting for any step.

        If an answer is lost, the request is repeated where that cannot start a second run or hide who started the
        first: with an idempotency key, or if this client made the run id.

        Args:
            misplaced: Nothing: the input is given by name, and whoever forgot that is told so.
            input_data: The input; validated against the workflow's declared type.
            initial_state: The state to begin with.
            request_context: What all steps can read: an object of JSON, or of the workflow's declared type.
            output_options: What results of this run show.
            tags: Words to find the run by.
            delay: How long it waits before it starts, as a timedelta or in seconds; it is `pending` until then.
            start_at: When it starts, an aware datetime; one in the past means at once.
            start_within: How long it may take until a worker begins it, as a timedelta or in seconds.
            priority: From -100 to 100; of the runs that wait, those with a higher one begin first.
            tracing_options: The trace that it joins, and what its spans show.
            idempotency_key: A key that stands for one run: a second start under it gives the first one, by its id.
            per_step: Pause after each node of the workflow; `step` lets it go on.

        Raises:
            InputError: Something that was handed over does not fit; names each path. Nothing was recorded.
            RunExistsError: This run id was started before; the first one is untouched.
            IdempotencyConflictError: The key stands for a run with other input.
            ServerUnavailableError: The server did not answer; it is not known whether the run was started.
        """
        if misplaced is not None:
            raise misplaced_input("start_async")
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
            priority=priority,
            tracing_options=tracing_options,
            idempotency=key,
            per_step=per_step,
        )
        return self._started(await self._start(body, key))

    @parameters_of(start_async)
    async def start(self, misplaced: None = None, /, **options: Options) -> RunResult[Out_co]:
        """Start the run and wait until it ends, is suspended or paused. Every outcome is a value; see `RunResult`.

        Takes what `start_async` takes, and raises as it does.
        """
        if misplaced is not None:
            raise misplaced_input("start")
        started = await self.start_async(**options)
        return await started.result()

    @parameters_of(start_async)
    def stream(self, misplaced: None = None, /, **options: Options) -> RemoteStream[Out_co]:
        """Start the run when the first event is asked for, and show what it does.

        Takes what `start_async` takes, and raises the same, with the first event.
        """
        if misplaced is not None:
            raise misplaced_input("stream")

        async def begin() -> RemoteView[Out_co]:
            started = await self.start_async(**options)
            return RemoteView(started, 0)

        return RemoteStream(self._transport, self.run_id, begin)

    @parameters_of(Run[Any, Any].time_travel_async)
    async def time_travel(self, step: Target, **options: Options) -> RunResult[Out_co]:
        """Begin the run at a node instead of its start, and wait until it ends or rests; see `time_travel_async`."""
        started = await self.time_travel_async(step, **options)
        return await started.result()

    @parameters_of(Run[Any, Any].time_travel_async)
    async def time_travel_async(self, step: Target, **options: Options) -> RemoteStartedRun[Out_co]:
        """Begin the run at a node instead of its start, and return once that is durable; see `Run`.

        Raises:
            InputError: There is no such node, its input is not known, or something that was given does not fit.
            RunStateError: The run was started before and is active.
            RunExistsError: A run of another workflow has this id.
            ServerUnavailableError: The server did not answer; the status of the run tells.
        """
        body = travel_body(step, **options)  # what cannot be meant is refused before anything is recorded
        await self.record()
        return await self._started(self.run_id).ask("/time-travel", body)

    @parameters_of(Run[Any, Any].time_travel_async)
    def time_travel_stream(self, step: Target, **options: Options) -> RemoteStream[Out_co]:
        """Begin the run at a node when the first event is asked for, and show what it does.

        Takes what `time_travel_async` takes, and raises the same, with the first event.
        """

        async def begin() -> RemoteView[Out_co]:
            started = await self.time_travel_async(step, **options)
            return RemoteView(started, started.mark.last_event)

        return RemoteStream(self._transport, self.run_id, begin)

    async def record(self) -> None:
        """Record the run as `pending`, to be started by anybody; nothing changes if it is recorded already."""
        body: dict[str, JsonValue] = {} if self.resource_id is None else {"resourceId": self.resource_id}
        await self._transport.request(
            "POST",
            f"/workflows/{segment(self._workflow_id)}/create-run",
            query={"runId": self.run_id},
            body=body,
            is_repeatable=True,
        )

    @property
    def _workflow_id(self) -> str:
        return self._workflow if isinstance(self._workflow, str) else self._workflow.id

    def _started(self, run_id: str) -> RemoteStartedRun[Out_co]:
        known = self._workflow if isinstance(self._workflow, CommittedWorkflow) else None
        return RemoteStartedRun(self._transport, run_id, known.output if known else JSON)

    async def _start(self, body: dict[str, JsonValue], key: Idempotency | None) -> str:
        headers = {} if key is None else {"idempotency-key": _header(key.key)}
        try:
            answer = await self._transport.request(
                "POST",
                f"/workflows/{segment(self._workflow_id)}/start",
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
        return f"{type(self).__name__}({self._workflow_id!r}, {self.run_id!r})"


def _header(key: str) -> str:
    """Return a key as a header can have it."""
    if not key.isascii():
        reason = "over HTTP a key has ASCII characters only"
        raise InputError("idempotency_key", (Problem("", reason),))
    return key
