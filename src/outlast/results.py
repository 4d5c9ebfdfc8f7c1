"""What callers learn of a run: truthful at the moment of reading, and plain data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Generic, TypeVar, cast

from outlast.advice import does_not_fit
from outlast.core.codec import UnknownEventError, decode_event
from outlast.core.events import RunFinished, RunStarted
from outlast.core.history import History
from outlast.core.record import Record
from outlast.core.ref import Ref, Resolver
from outlast.core.state import JournalMismatchError, RunState
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import RunView, StepView, fold_state, fold_view
from outlast.errors import (
    InputError,
    NeverStartedError,
    PoisonRunError,
    Problem,
    RunCanceledError,
    RunError,
    RunSuspendedError,
    RunTimedOutError,
    StartDeadlineError,
    StepFailedError,
    UnreadableRunError,
)
from outlast.failures import FailureInfo, failure_to_json
from outlast.graph.locate import metadata_in
from outlast.graph.schema import Schema
from outlast.immutable import frozen, new_dict
from outlast.instant import from_ms, render_ms, to_ms
from outlast.sealing import IN_CLEAR, Disclosure, disclosing, masked
from outlast.trace import UNTRACED, Tracing, run_trace
from outlast.values import InvalidValueError, JsonValue, decode, encode

__all__ = ["CancelOutcome", "HookDelivery", "RunResult", "StepResult", "at_execution", "fold_history", "read_result"]

Out = TypeVar("Out")
Out_co = TypeVar("Out_co", covariant=True)


@frozen
class StepResult:
    """What is recorded of one step, map, foreach or nested workflow."""

    status: StepStatus
    """Its status."""
    payload: JsonValue
    """What it received."""
    output: JsonValue = None
    """What it gave; None while it has not."""
    error: FailureInfo | None = None
    """Why it failed, or why its latest attempt did while another one is due."""
    started_at: datetime
    """When it began (aware, UTC)."""
    ended_at: datetime | None = None
    """When it ended (aware, UTC); None while it has not."""
    attempts: int = 1
    """How many attempts were begun; what a crash repeated is not counted."""
    suspend_payload: JsonValue = None
    """What it told when it was suspended last."""
    suspended_at: datetime | None = None
    """When that was (aware, UTC)."""
    resume_payload: JsonValue = None
    """What it was resumed with last."""
    resumed_at: datetime | None = None
    """When that was (aware, UTC)."""
    metadata: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """What the author said of it with `metadata=`, in the graph that the run is on."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the wire form: JSON with camelCase keys and times in milliseconds since 1970."""
        wire: dict[str, JsonValue] = {
            "status": self.status.value,
            "payload": self.payload,
            "startedAt": to_ms(self.started_at),
            "attempts": self.attempts,
        }
        if self.status in (StepStatus.SUCCESS, StepStatus.BAILED):
            wire["output"] = self.output
        if self.suspended_at is not None:
            wire |= {"suspendPayload": self.suspend_payload, "suspendedAt": to_ms(self.suspended_at)}
        if self.resumed_at is not None:
            wire |= {"resumePayload": self.resume_payload, "resumedAt": to_ms(self.resumed_at)}
        if self.error is not None:
            wire["error"] = failure_to_json(self.error)
        if self.ended_at is not None:
            wire["endedAt"] = to_ms(self.ended_at)
        if self.metadata:
            wire["metadata"] = dict(self.metadata)
        return wire


@frozen
class RunResult(Generic[Out_co]):
    """What is known of a run at one moment: every outcome is a value, also `failed`."""

    run_id: str
    """Id of the run."""
    workflow_id: str
    """Id of its workflow."""
    resource_id: str | None
    """Whose run it is."""
    execution: int
    """Which execution of the run this is: 0 for the first."""
    status: RunStatus
    """What the run is doing, or how it ended."""
    input: JsonValue
    """The validated input."""
    steps: Mapping[str, StepResult]
    """Everything that has begun, by path (`fetch`, `child.fetch`, `each[3]`), in the order in which it began."""
    result: Out_co | None = None
    """With status `success`: what the workflow gave, decoded as its declared type."""
    error: FailureInfo | None = None
    """With status `failed`: why."""
    error_path: str = field(default="")
    """With status `failed`: the path of the node whose failure it is; empty if it is the run's own."""
    suspended: Sequence[str] = field(default_factory=list[str])
    """Paths of the nodes that wait to be resumed."""
    suspend_payload: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """What these tell those who ask, by path."""
    state: Mapping[str, JsonValue] | None = None
    """The state of the run, if `output_options` asked for it."""
    cancel_reason: str | None = None
    """With status `canceled`: the words of who canceled it, if there are any."""
    skipped: Sequence[str] = ()
    """Of a `resume`: paths of the suspended items that somebody else had resumed meanwhile."""
    tracing: Tracing = field(default=UNTRACED, repr=False, compare=False)
    """What the caller of the start asked of its trace."""

    @property
    def trace_id(self) -> str:
        """Id of the trace that the run belongs to, 32 hex digits; the same whether its spans are exported or not."""
        return run_trace(self.run_id, self.execution, self.tracing).trace_id

    @property
    def span_id(self) -> str:
        """Id of the span of this execution of the run, 16 hex digits."""
        return run_trace(self.run_id, self.execution, self.tracing).span_id

    def unwrap(self) -> Out_co:
        """Return the result.

        Raises:
            StepFailedError: The run failed; `error` has the whole story.
            RunCanceledError: The run was canceled.
            RunTimedOutError: The run did not end in time.
            NeverStartedError: Nobody started it in time.
            StartDeadlineError: No worker began it in time.
            PoisonRunError: It was ended because it killed too many processes.
            RunSuspendedError: The run waits to be resumed.
            RunStateError: It has not ended; wait for it with `await run.result()`.
        """
        if self.status is RunStatus.SUCCESS:
            return cast("Out_co", self.result)
        if self.error is not None and self.error.type in _ENDINGS and not self.error.bases:
            raise _ENDINGS[self.error.type](self.run_id, self.error.message)
        if self.error is not None:
            raise StepFailedError(self.run_id, self.error_path, self.error.type, self.error.message)
        if self.status is RunStatus.CANCELED:
            raise RunCanceledError(self.run_id, self.cancel_reason or "")
        if self.status is RunStatus.SUSPENDED:
            raise RunSuspendedError(self.run_id, ", ".join(self.suspended))
        raise does_not_fit(self.run_id, "unwrap the result", self.status)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the wire form: JSON with camelCase keys. `result` is as it is recorded."""
        wire: dict[str, JsonValue] = {
            "runId": self.run_id,
            "workflowId": self.workflow_id,
            "resourceId": self.resource_id,
            "execution": self.execution,
            "status": self.status.value,
            "input": self.input,
            "steps": {path: step.to_dict() for path, step in self.steps.items()},
            "traceId": self.trace_id,
            "spanId": self.span_id,
        }
        if self.status is RunStatus.SUCCESS:
            with disclosing(IN_CLEAR):
                wire["result"] = decode(Schema.of(type(self.result)).encode(self.result))
        if self.error is not None:
            wire |= {"error": failure_to_json(self.error), "errorPath": self.error_path}
        if self.cancel_reason is not None:
            wire["cancelReason"] = self.cancel_reason
        if self.state is not None:
            wire["state"] = dict(self.state)
        if self.suspended:
            wire |= {"suspended": list(self.suspended), "suspendPayload": dict(self.suspend_payload)}
        if self.skipped:
            wire["skipped"] = list(self.skipped)
        return wire


_ENDINGS: Final[Mapping[str, Callable[[str, str], RunError]]] = {
    "NeverStartedError": NeverStartedError,
    "StartDeadlineError": StartDeadlineError,
    "RunTimedOutError": RunTimedOutError,
    "PoisonRunError": PoisonRunError,
}
"""Failures of the run as a whole, recorded by the core; a class of that name in user code has bases."""


@frozen
class HookDelivery:
    """A call of a lifecycle hook that has not succeeded: it is due, or was given up."""

    hook: str
    """The hook: `on_finish` or `on_error`."""
    execution: int
    """Which execution of the run it tells of."""
    tries: int
    """How often it was called; a process that ended meanwhile counts."""
    due_at: datetime | None
    """When it may be called (aware, UTC); None if it was given up."""
    error: FailureInfo | None
    """Why the latest call failed; None if none has."""

    def __str__(self) -> str:
        """Say in words what is due, or what was given up."""
        error = f"; the last call failed with {self.error.type}: {self.error.message}" if self.error else ""
        if self.due_at is None:
            return f"hook '{self.hook}' was given up after {self.tries} tries{error}"
        return f"hook '{self.hook}' is due at {render_ms(to_ms(self.due_at))} ({self.tries} tries so far{error})"


class CancelOutcome(StrEnum):
    """What became of a wish to cancel a run."""

    REQUESTED = "requested"
    """It is recorded; the run ends `canceled` as soon as its worker has seen it, or has ended if it had none."""
    ALREADY_FINISHED = "already-finished"
    """The run had ended; nothing was changed."""


def fold_history(history: History) -> RunState:
    """Return the state of a run as a history records it.

    Raises:
        UnreadableRunError: A newer version of Outlast wrote a part of it.
    """
    try:
        return fold_state(history.graph, history.records)
    except (UnknownEventError, JournalMismatchError) as error:
        raise UnreadableRunError(history.run_id, str(error)) from error


def at_execution(history: History, execution: int) -> History:
    """Return a run as it was when an earlier execution of it was the latest, for the last time.

    Raises:
        InputError: The run has no such execution.
        UnreadableRunError: A newer version of Outlast wrote a part of it.
    """
    if type(execution) is not int or not 0 <= execution <= history.execution:
        reason = f"the run has the executions 0 to {history.execution}, not {execution!r:.20}"
        raise InputError("execution", (Problem("", reason),))
    if execution == history.execution:
        return history
    records = [record for record in history.records if record.execution <= execution]
    earlier = replace(history, execution=execution, head=records[-1].seq, records=records, is_latest=False)
    return replace(earlier, status=fold_history(earlier).status())


def read_result(
    history: History, output: Schema[Any], *, with_state: bool = False, disclosure: Disclosure | None = None
) -> RunResult[Any]:
    """Return what a recorded history says. The steps are read when somebody looks at them.

    Args:
        history: The run.
        output: Declared type of its result.
        with_state: Whether to show the state also if the run was not started so.
        disclosure: Opens sensitive values; without it they are masked, and the result is not decoded as its type.

    Raises:
        SealError: A sensitive value cannot be opened with the keys at hand.
        UnreadableRunError: A newer version of Outlast wrote a part of it, or the recorded result is not of the declared
            type any more.
    """
    try:
        return _read(_Reading(history, disclosure), output, with_state=with_state)
    except (UnknownEventError, JournalMismatchError) as error:
        raise UnreadableRunError(history.run_id, str(error)) from error
    except InvalidValueError as error:
        reason = "its result is not of the declared type any more: "
        raise UnreadableRunError(history.run_id, reason + "; ".join(map(str, error.problems))) from error


def _read(reading: _Reading, output: Schema[Any], *, with_state: bool) -> RunResult[Any]:
    history = reading.history
    ends = None if with_state else _ends_of(history)
    if ends is None:
        return _read_by_fold(reading, output, with_state=with_state)
    started, ended = ends
    is_success = ended.status is RunStatus.SUCCESS
    return RunResult(
        run_id=history.run_id,
        workflow_id=history.workflow_id,
        resource_id=history.resource_id,
        execution=history.execution,
        status=history.status,
        input=decode(reading.shown(_start_of(history).payload or b"null")),
        steps=_Steps(reading),
        result=reading.result(reading.payload(ended.output_seq), output) if is_success and ended.output_seq else None,
        error=ended.failure,
        error_path=ended.cause or "",
        tracing=started.tracing,
    )


def _ends_of(history: History) -> tuple[RunStarted, RunFinished] | None:
    """Return the start and the end if they alone tell how the run ended; what else there is to say is folded."""
    if len(history.records) < _LEAST_RECORDS or history.records[-1].type != "run-finished" or history.execution:
        return None
    started, ended = decode_event(_start_of(history)), decode_event(history.records[-1])
    if not isinstance(ended, RunFinished) or not isinstance(started, RunStarted) or started.include_state:
        return None
    tells_all = ended.failure is not None or ended.output_seq is not None
    return (started, ended) if tells_all else None


_LEAST_RECORDS: Final = 2


def _start_of(history: History) -> Record:
    """Return the record of the start; that of the creation may come before it."""
    return history.records[1] if history.records[0].type == "run-created" else history.records[0]


def _read_by_fold(reading: _Reading, output: Schema[Any], *, with_state: bool) -> RunResult[Any]:
    history, view = reading.history, reading.view
    failure, suspensions, result = view.failure, view.state.suspensions(), view.state.result
    return RunResult(
        run_id=history.run_id,
        workflow_id=history.workflow_id,
        resource_id=history.resource_id,
        execution=history.execution,
        status=history.status,
        input=reading.json(view.state.root.input) if view.state.root is not None else None,
        steps=_Steps(reading),
        result=None if result is None else reading.result(reading.raw(result), output),
        error=failure.failure if failure is not None else None,
        error_path=failure.path if failure is not None else "",
        suspended=[each.path for each in suspensions],
        suspend_payload={each.path: reading.json(each.payload) for each in suspensions},
        state=reading.state() if with_state or view.include_state else None,
        cancel_reason=view.cancel_reason,
        tracing=view.tracing,
    )


_COUNTED: Final = re.compile(r"\[\d+\]|#\d+")


class _Reading:
    """One history, folded when that is needed; every value is decoded afresh."""

    def __init__(self, history: History, disclosure: Disclosure | None) -> None:
        self.history = history
        self._disclosure = disclosure

    @cached_property
    def _resolver(self) -> Resolver:
        return Resolver({record.seq: record.payload for record in self.history.records if record.payload is not None})

    @cached_property
    def view(self) -> RunView:
        try:
            return fold_view(self.history.graph, self.history.records)
        except (UnknownEventError, JournalMismatchError) as error:  # the end may be readable, and the middle not
            raise UnreadableRunError(self.history.run_id, str(error)) from error

    @cached_property
    def _metadata(self) -> Mapping[str, Mapping[str, JsonValue]]:
        return metadata_in(self.history.graph.root)

    def metadata(self, path: str) -> Mapping[str, JsonValue]:
        return self._metadata.get(_COUNTED.sub("", path), {}) if self._metadata else {}

    def payload(self, seq: int) -> bytes:
        """Return the value of an event. That of a result stands close to the end, where this begins to look."""
        for record in reversed(self.history.records):
            if record.seq == seq and record.payload is not None:
                return record.payload
        message = f"the value of event {seq} is not recorded"
        raise JournalMismatchError(message)

    def raw(self, ref: Ref) -> bytes:
        return self._resolver.resolve(ref)

    def json(self, ref: Ref) -> JsonValue:
        return decode(self.shown(self._resolver.resolve(ref)))

    def shown(self, raw: bytes) -> bytes:
        return masked(raw) if self._disclosure is None else self._disclosure.open(raw)

    def state(self) -> Mapping[str, JsonValue]:
        return cast("dict[str, JsonValue]", decode(self.shown(encode(dict(self.view.state.data)))))

    def result(self, raw: bytes, output: Schema[Any]) -> object:
        """Decode the result of the run; a masked one is of no declared type any more."""
        shown = self.shown(raw)
        return decode(shown) if self._disclosure is None and shown is not raw else output.decode(shown)


class _Steps(Mapping[str, StepResult]):
    """The steps of a history, by path; each is read when somebody looks at it."""

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading

    def __getitem__(self, path: str) -> StepResult:
        return _step(path, self._reading.view.steps[path], self._reading)

    def __iter__(self) -> Iterator[str]:
        return iter(self._reading.view.steps)

    def __len__(self) -> int:
        return len(self._reading.view.steps)

    def __repr__(self) -> str:
        return repr(dict(self))


def _step(path: str, step: StepView, values: _Reading) -> StepResult:
    return StepResult(
        status=step.status,
        payload=values.json(step.input),
        output=values.json(step.output) if step.output is not None else None,
        error=step.failure,
        started_at=from_ms(step.started_at_ms),
        ended_at=from_ms(step.ended_at_ms) if step.ended_at_ms is not None else None,
        attempts=step.attempts,
        suspend_payload=values.json(step.suspend_payload) if step.suspend_payload is not None else None,
        suspended_at=from_ms(step.suspended_at_ms) if step.suspended_at_ms is not None else None,
        resume_payload=values.json(step.resume_payload) if step.resume_payload is not None else None,
        resumed_at=from_ms(step.resumed_at_ms) if step.resumed_at_ms is not None else None,
        metadata=values.metadata(path),
    )
