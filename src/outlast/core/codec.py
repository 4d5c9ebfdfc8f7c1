"""Events as bytes and back. Each type has a name and a version; what was written once is readable for ever.

To change the shape of an event's body: raise its version in `EVENT_VERSIONS`, keep reading the old one in its decoder,
and add a golden journal that holds the old shape (`tests/core/histories`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    CancelRequested,
    Evaluated,
    EvaluationFailed,
    Event,
    HookEnded,
    HookStarted,
    RunContinued,
    RunCrashed,
    RunCreated,
    RunFinished,
    RunGivenUp,
    RunPaused,
    RunRewound,
    RunStarted,
    RunTimedOut,
    SleepStarted,
    StartTimedOut,
    StepCanceled,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.flow.ending import DEADLINE_PATH, START_PATH
from outlast.core.flow.scope import PAUSE_PATH
from outlast.core.record import Record
from outlast.core.seed_codec import seed_from_json, seed_to_json
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo, failure_from_json, failure_to_json
from outlast.graph.patch import patch_from_json, patch_to_json
from outlast.trace import UNTRACED, tracing_from_json
from outlast.values import JsonValue, decode, encode

__all__ = ["EVENT_VERSIONS", "UnknownEventError", "decode_event", "encode_event"]

EVENT_VERSIONS: Final[Mapping[str, int]] = {
    "run-created": 1,
    "start-timed-out": 1,
    "run-started": 1,
    "run-rewound": 1,
    "run-paused": 1,
    "run-continued": 1,
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
    "run-timed-out": 1,
    "run-crashed": 1,
    "run-given-up": 1,
    "timer-fired": 1,
    "block-opened": 1,
    "block-succeeded": 1,
    "block-failed": 1,
    "hook-started": 1,
    "hook-ended": 1,
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
    name, body_of, has_path, has_attempt = _FORMS[type(event)]
    told: Any = event  # whether it has a path and an attempt is in the table
    # What `Record(...)` comes to, without two calls in between.
    return tuple.__new__(  # pyright: ignore[reportUnknownMemberType]
        Record,
        (
            seq,
            execution,
            True,
            name,
            EVENT_VERSIONS[name],
            event.at_ms,
            told.path if has_path else "",
            told.attempt if has_attempt else 0,
            None if body_of is None else body_of(told),
            payload,
        ),
    )


def decode_event(record: Record) -> Event:
    """Return the event of a stored fact.

    Raises:
        UnknownEventError: Its type or version is newer than this code.
    """
    if record.version > EVENT_VERSIONS.get(record.type, 0):
        raise UnknownEventError(record.type, record.version)
    return _DECODERS[record.type](record)


def _due_body(event: RunCreated | SleepStarted) -> bytes:
    return encode({"due_at_ms": event.due_at_ms})


def _step_started_body(event: StepStarted) -> bytes | None:
    return _RECOVERED if event.is_recovered else None


def _succeeded_body(event: StepSucceeded) -> bytes | None:
    if event.patch:
        return encode({"bailed": event.is_bail, "patch": patch_to_json(event.patch)})
    return _BAILED if event.is_bail else None


def _suspended_body(event: StepSuspended) -> bytes:
    return encode({"label": event.label, "due_at_ms": event.due_at_ms, "patch": patch_to_json(event.patch)})


def _evaluated_body(event: Evaluated) -> bytes:
    return encode({"value": event.value})


def _opened_body(event: BlockOpened) -> bytes | None:
    return None if event.length is None else encode({"length": event.length, "concurrency": event.concurrency})


def _block_failed_body(event: BlockFailed) -> bytes:
    return encode({"cause": event.cause, "failure": _optional_failure(event.failure)})


def _reason_body(event: CancelRequested) -> bytes:
    return encode({"reason": event.reason})


def _crashed_body(event: RunCrashed) -> bytes:
    return encode({"poison": event.is_poison})


def _continued_body(event: RunContinued) -> bytes:
    return encode({"per_step": event.per_step})


def _finished_body(event: RunFinished) -> bytes | None:
    if event.status is RunStatus.SUCCESS:
        return None if event.output_seq is None else b'{"output_seq":%d}' % event.output_seq
    failure = _optional_failure(event.failure)
    return encode({"status": event.status, "cause": event.cause, "failure": failure})


def _rewound_body(event: RunRewound) -> bytes:
    fields: dict[str, JsonValue] = {
        "execution": event.execution,
        "to": event.to,
        "seed": seed_to_json(event.seed),
        **_common_fields(event),
    }
    if event.is_state_given:
        fields["state_given"] = True
    return encode(fields)


def _failed_body(event: StepFailed) -> bytes:
    return encode({"failure": failure_to_json(event.failure), "retry_at_ms": event.retry_at_ms})


def _resumed_body(event: StepResumed) -> bytes | None:
    return encode({"request_context": event.request_context}) if event.request_context else None


def _failure_body(event: EvaluationFailed | RunGivenUp) -> bytes:
    return encode({"failure": failure_to_json(event.failure)})


def _ended_body(event: HookEnded) -> bytes | None:
    return None if event.failure is None else encode({"failure": failure_to_json(event.failure)})


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


def _run_given_up(record: Record) -> RunGivenUp:
    return RunGivenUp(record.at_ms, _failure(_body(record)["failure"]) or FailureInfo(type="Exception", message=""))


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


def _common_fields(event: RunStarted | RunRewound) -> dict[str, JsonValue]:
    """Return what every execution begins with, as far as it says something."""
    fields: dict[str, JsonValue] = {}
    if event.request_context:
        fields["request_context"] = dict(event.request_context)
    if event.state:
        fields["state"] = dict(event.state)
    if event.deadline_ms is not None:
        fields["deadline_ms"] = event.deadline_ms
    if event.per_step:
        fields["per_step"] = True
    return fields


def _start_body(event: RunStarted) -> bytes | None:
    fields = _common_fields(event)
    if event.include_state:
        fields["include_state"] = True
    if event.start_deadline_ms is not None:
        fields["start_deadline_ms"] = event.start_deadline_ms
    if event.tracing is not UNTRACED and (tracing := event.tracing.to_json()):
        fields["tracing"] = tracing
    return encode(fields) if fields else None


def _run_started(record: Record) -> RunStarted:
    if record.body is None:  # most starts say nothing, and every recovery and result reads one
        return RunStarted(record.at_ms, {}, {})
    body = _body(record)
    state = body.get("state")
    return RunStarted(
        record.at_ms,
        _request_context(record),
        state if isinstance(state, dict) else {},
        bool(body.get("include_state")),
        _number(body.get("deadline_ms")),
        bool(body.get("per_step")),
        _number(body.get("start_deadline_ms")),
        tracing_from_json(body["tracing"]) if "tracing" in body else UNTRACED,
    )


def _run_rewound(record: Record) -> RunRewound:
    body = _body(record)
    state = body.get("state")
    return RunRewound(
        record.at_ms,
        _number(body["execution"]) or 0,
        str(body["to"]),
        seed_from_json(body["seed"]),
        state if isinstance(state, dict) else {},
        bool(body.get("state_given")),
        _request_context(record),
        _number(body.get("deadline_ms")),
        bool(body.get("per_step")),
    )


def _run_continued(record: Record) -> RunContinued:
    return RunContinued(record.at_ms, PAUSE_PATH, bool(_body(record)["per_step"]))


def _evaluation_failed(record: Record) -> EvaluationFailed:
    failure = _failure(_body(record)["failure"]) or FailureInfo(type="Exception", message="")
    return EvaluationFailed(record.at_ms, record.path, failure)


class _Form(NamedTuple):
    """How the events of one type are stored: what of them has a column, and what makes up the body."""

    name: str
    body_of: Callable[[Any], bytes | None] | None = None
    has_path: bool = False
    has_attempt: bool = False


# A table, because this happens four times in the shortest of runs: a `match` asks for one class after the other.
_FORMS: Final[Mapping[type[Event], _Form]] = {
    RunCreated: _Form("run-created", _due_body),
    StartTimedOut: _Form("start-timed-out"),
    RunStarted: _Form("run-started", _start_body),
    RunRewound: _Form("run-rewound", _rewound_body),
    RunPaused: _Form("run-paused"),
    RunContinued: _Form("run-continued", _continued_body),
    StepStarted: _Form("step-started", _step_started_body, has_path=True, has_attempt=True),
    StepSucceeded: _Form("step-succeeded", _succeeded_body, has_path=True, has_attempt=True),
    StepFailed: _Form("step-failed", _failed_body, has_path=True, has_attempt=True),
    StepSuspended: _Form("step-suspended", _suspended_body, has_path=True, has_attempt=True),
    StepResumed: _Form("step-resumed", _resumed_body, has_path=True),
    StepCanceled: _Form("step-canceled", has_path=True, has_attempt=True),
    SuspensionTimedOut: _Form("suspension-timed-out", has_path=True),
    Evaluated: _Form("evaluated", _evaluated_body, has_path=True),
    EvaluationFailed: _Form("evaluation-failed", _failure_body, has_path=True),
    SleepStarted: _Form("sleep-started", _due_body, has_path=True),
    CancelRequested: _Form("cancel-requested", _reason_body),
    RunTimedOut: _Form("run-timed-out"),
    RunCrashed: _Form("run-crashed", _crashed_body),
    RunGivenUp: _Form("run-given-up", _failure_body),
    TimerFired: _Form("timer-fired", has_path=True),
    BlockOpened: _Form("block-opened", _opened_body, has_path=True),
    BlockSucceeded: _Form("block-succeeded", has_path=True),
    BlockFailed: _Form("block-failed", _block_failed_body, has_path=True),
    HookStarted: _Form("hook-started", has_path=True),
    HookEnded: _Form("hook-ended", _ended_body, has_path=True),
    RunFinished: _Form("run-finished", _finished_body),
}

_DECODERS: Final[Mapping[str, Callable[[Record], Event]]] = {
    "run-created": lambda record: RunCreated(record.at_ms, _number(_body(record)["due_at_ms"]) or 0),
    "start-timed-out": lambda record: StartTimedOut(record.at_ms, START_PATH),
    "run-started": _run_started,
    "run-rewound": _run_rewound,
    "run-paused": lambda record: RunPaused(record.at_ms, PAUSE_PATH),
    "run-continued": _run_continued,
    "step-started": lambda record: StepStarted(record.at_ms, record.path, record.attempt, record.body is not None),
    "step-succeeded": _step_succeeded,
    "step-suspended": _step_suspended,
    "step-resumed": lambda record: StepResumed(record.at_ms, record.path, _request_context(record)),
    "step-canceled": lambda record: StepCanceled(record.at_ms, record.path, record.attempt),
    "suspension-timed-out": lambda record: SuspensionTimedOut(record.at_ms, record.path),
    "evaluated": lambda record: Evaluated(record.at_ms, record.path, _number(_body(record)["value"]) or 0),
    "evaluation-failed": _evaluation_failed,
    "sleep-started": lambda record: SleepStarted(record.at_ms, record.path, _number(_body(record)["due_at_ms"]) or 0),
    "run-timed-out": lambda record: RunTimedOut(record.at_ms, DEADLINE_PATH),
    "run-crashed": lambda record: RunCrashed(record.at_ms, bool(_body(record)["poison"])),
    "run-given-up": _run_given_up,
    "cancel-requested": lambda record: CancelRequested(record.at_ms, _text(_body(record).get("reason"))),
    "step-failed": _step_failed,
    "timer-fired": lambda record: TimerFired(record.at_ms, record.path),
    "block-opened": _block_opened,
    "block-succeeded": lambda record: BlockSucceeded(record.at_ms, record.path),
    "block-failed": _block_failed,
    "hook-started": lambda record: HookStarted(record.at_ms, record.path),
    "hook-ended": lambda record: HookEnded(record.at_ms, record.path, _failure(_body(record).get("failure"))),
    "run-finished": _run_finished,
}
