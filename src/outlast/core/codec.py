"""Events as bytes and back. Each type has a name and a version; what was written once is readable for ever.

To change the shape of an event's body: raise its version in `EVENT_VERSIONS`, keep reading the old one in its decoder,
and add a golden journal that holds the old shape (`tests/core/histories`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, assert_never, cast

from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    CancelRequested,
    Evaluated,
    EvaluationFailed,
    Event,
    RunFinished,
    RunStarted,
    SleepStarted,
    StepCanceled,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo, failure_from_json, failure_to_json
from outlast.graph.patch import patch_from_json, patch_to_json
from outlast.values import JsonValue, decode, encode

__all__ = ["EVENT_VERSIONS", "UnknownEventError", "decode_event", "encode_event"]

EVENT_VERSIONS: Final[Mapping[str, int]] = {
    "run-started": 1,
    "step-started": 1,
    "step-succeeded": 1,
    "step-failed": 1,
    "step-suspended": 1,
    "step-resumed": 1,
    "step-canceled": 1,
    "suspension-timed-out": 1,
    "evaluated": 1,
    "evaluation-failed": 1,
    "sleep-started": 1,
    "cancel-requested": 1,
    "timer-fired": 1,
    "block-opened": 1,
    "block-succeeded": 1,
    "block-failed": 1,
    "run-finished": 1,
}
"""Event types that this version reads, each up to this version of its shape."""

_RECOVERED: Final = encode({"recovered": True})
_BAILED: Final = encode({"bailed": True})


class UnknownEventError(Exception):
    """A newer version of Outlast wrote this event; this one must leave the run to a worker that knows it."""

    def __init__(self, type: str, version: int) -> None:
        super().__init__(
            f"event '{type}' version {version} was written by a newer version of outlast; upgrade this worker"
        )
        self.type = type
        self.version = version


def encode_event(event: Event, *, seq: int, execution: int, payload: bytes | None) -> Record:
    """Return the stored form of an event."""
    match event:
        case StepStarted():
            body = _RECOVERED if event.is_recovered else None
            return _record(seq, execution, "step-started", event.at_ms, event.path, event.attempt, body, payload)
        case StepSucceeded():
            body = None
            if event.patch:
                body = encode({"bailed": event.is_bail, "patch": patch_to_json(event.patch)})
            elif event.is_bail:
                body = _BAILED
            return _record(seq, execution, "step-succeeded", event.at_ms, event.path, event.attempt, body, payload)
        case StepFailed():
            body = encode({"failure": failure_to_json(event.failure), "retry_at_ms": event.retry_at_ms})
            return _record(seq, execution, "step-failed", event.at_ms, event.path, event.attempt, body, payload)
        case TimerFired():
            return _record(seq, execution, "timer-fired", event.at_ms, event.path, 0, None, payload)
        case StepSuspended():
            patch = patch_to_json(event.patch)
            body = encode({"label": event.label, "due_at_ms": event.due_at_ms, "patch": patch})
            return _record(seq, execution, "step-suspended", event.at_ms, event.path, event.attempt, body, payload)
        case StepResumed():
            body = encode({"request_context": event.request_context}) if event.request_context else None
            return _record(seq, execution, "step-resumed", event.at_ms, event.path, 0, body, payload)
        case SuspensionTimedOut():
            return _record(seq, execution, "suspension-timed-out", event.at_ms, event.path, 0, None, payload)
        case StepCanceled():
            return _record(seq, execution, "step-canceled", event.at_ms, event.path, event.attempt, None, payload)
        case Evaluated() | EvaluationFailed() | SleepStarted() | CancelRequested():
            name, fields = _small_body(event)
            path = "" if isinstance(event, CancelRequested) else event.path
            return _record(seq, execution, name, event.at_ms, path, 0, encode(fields), payload)
        case BlockOpened():
            body = None
            if event.length is not None:
                body = encode({"length": event.length, "concurrency": event.concurrency})
            return _record(seq, execution, "block-opened", event.at_ms, event.path, 0, body, payload)
        case BlockSucceeded():
            return _record(seq, execution, "block-succeeded", event.at_ms, event.path, 0, None, payload)
        case BlockFailed():
            body = encode({"cause": event.cause, "failure": _optional_failure(event.failure)})
            return _record(seq, execution, "block-failed", event.at_ms, event.path, 0, body, payload)
        case RunStarted():
            return _record(seq, execution, "run-started", event.at_ms, "", 0, _start_body(event), payload)
        case RunFinished():
            if event.status is RunStatus.SUCCESS:
                body = None if event.output_seq is None else b'{"output_seq":%d}' % event.output_seq
            else:
                failure = _optional_failure(event.failure)
                body = encode({"status": event.status, "cause": event.cause, "failure": failure})
            return _record(seq, execution, "run-finished", event.at_ms, "", 0, body, payload)
        case _:
            assert_never(event)


def decode_event(record: Record) -> Event:
    """Return the event of a stored fact.

    Raises:
        UnknownEventError: Its type or version is newer than this code.
    """
    if record.version > EVENT_VERSIONS.get(record.type, 0):
        raise UnknownEventError(record.type, record.version)
    return _DECODERS[record.type](record)


def _record(
    seq: int, execution: int, name: str, at_ms: int, path: str, attempt: int, body: bytes | None, payload: bytes | None
) -> Record:
    return Record(seq, execution, True, name, EVENT_VERSIONS[name], at_ms, path, attempt, body, payload)  # noqa: FBT003


def _small_body(
    event: Evaluated | EvaluationFailed | SleepStarted | CancelRequested,
) -> tuple[str, dict[str, JsonValue]]:
    match event:
        case Evaluated():
            return "evaluated", {"value": event.value}
        case EvaluationFailed():
            return "evaluation-failed", {"failure": failure_to_json(event.failure)}
        case SleepStarted():
            return "sleep-started", {"due_at_ms": event.due_at_ms}
        case CancelRequested():
            return "cancel-requested", {"reason": event.reason}
        case _:
            assert_never(event)


def _optional_failure(failure: FailureInfo | None) -> JsonValue:
    return None if failure is None else failure_to_json(failure)


def _body(record: Record) -> dict[str, JsonValue]:
    return {} if record.body is None else cast("dict[str, JsonValue]", decode(record.body))


def _failure(value: JsonValue) -> FailureInfo | None:
    return failure_from_json(value) if isinstance(value, dict) else None


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: JsonValue) -> int | None:
    return value if isinstance(value, int) else None


def _request_context(record: Record) -> dict[str, JsonValue]:
    request_context = _body(record).get("request_context")
    return request_context if isinstance(request_context, dict) else {}


def _step_failed(record: Record) -> StepFailed:
    body = _body(record)
    failure = _failure(body["failure"]) or FailureInfo(type="Exception", message="")
    return StepFailed(record.at_ms, record.path, record.attempt, failure, _number(body["retry_at_ms"]))


def _block_opened(record: Record) -> BlockOpened:
    body = _body(record)
    return BlockOpened(record.at_ms, record.path, _number(body.get("length")), _number(body.get("concurrency")))


def _block_failed(record: Record) -> BlockFailed:
    body = _body(record)
    return BlockFailed(record.at_ms, record.path, _text(body["cause"]), _failure(body["failure"]))


def _run_finished(record: Record) -> RunFinished:
    if record.body is None:
        return RunFinished(record.at_ms, RunStatus.SUCCESS)
    body = _body(record)
    if "status" not in body:
        return RunFinished(record.at_ms, RunStatus.SUCCESS, output_seq=_number(body.get("output_seq")))
    return RunFinished(record.at_ms, RunStatus(str(body["status"])), _text(body["cause"]), _failure(body["failure"]))


def _step_suspended(record: Record) -> StepSuspended:
    body = _body(record)
    label, due = _text(body.get("label")), _number(body.get("due_at_ms"))
    patch = patch_from_json(body.get("patch", []))
    return StepSuspended(record.at_ms, record.path, record.attempt, label, due, patch)


def _step_succeeded(record: Record) -> StepSucceeded:
    if record.body is None:
        return StepSucceeded(record.at_ms, record.path, record.attempt)
    body = _body(record)
    patch = patch_from_json(body.get("patch", []))
    return StepSucceeded(record.at_ms, record.path, record.attempt, bool(body.get("bailed")), patch)


def _start_body(event: RunStarted) -> bytes | None:
    fields: dict[str, JsonValue] = {}
    if event.request_context:
        fields["request_context"] = dict(event.request_context)
    if event.state:
        fields["state"] = dict(event.state)
    if event.include_state:
        fields["include_state"] = True
    return encode(fields) if fields else None


def _run_started(record: Record) -> RunStarted:
    body = _body(record)
    state = body.get("state")
    return RunStarted(
        record.at_ms,
        _request_context(record),
        state if isinstance(state, dict) else {},
        bool(body.get("include_state")),
    )


def _evaluation_failed(record: Record) -> EvaluationFailed:
    failure = _failure(_body(record)["failure"]) or FailureInfo(type="Exception", message="")
    return EvaluationFailed(record.at_ms, record.path, failure)


_DECODERS: Final[Mapping[str, Callable[[Record], Event]]] = {
    "run-started": _run_started,
    "step-started": lambda record: StepStarted(record.at_ms, record.path, record.attempt, record.body is not None),
    "step-succeeded": _step_succeeded,
    "step-suspended": _step_suspended,
    "step-resumed": lambda record: StepResumed(record.at_ms, record.path, _request_context(record)),
    "step-canceled": lambda record: StepCanceled(record.at_ms, record.path, record.attempt),
    "suspension-timed-out": lambda record: SuspensionTimedOut(record.at_ms, record.path),
    "evaluated": lambda record: Evaluated(record.at_ms, record.path, _number(_body(record)["value"]) or 0),
    "evaluation-failed": _evaluation_failed,
    "sleep-started": lambda record: SleepStarted(record.at_ms, record.path, _number(_body(record)["due_at_ms"]) or 0),
    "cancel-requested": lambda record: CancelRequested(record.at_ms, _text(_body(record).get("reason"))),
    "step-failed": _step_failed,
    "timer-fired": lambda record: TimerFired(record.at_ms, record.path),
    "block-opened": _block_opened,
    "block-succeeded": lambda record: BlockSucceeded(record.at_ms, record.path),
    "block-failed": _block_failed,
    "run-finished": _run_finished,
}
