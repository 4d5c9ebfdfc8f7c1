"""What outsiders ask of a run, as facts; the same for every engine."""

from __future__ import annotations

from outlast.core.commands import AwaitResume, AwaitStep
from outlast.core.events import CancelRequested, Fact, RunContinued, RunStarted, StepResumed
from outlast.core.flow.ending import START_PATH
from outlast.core.flow.scope import PAUSE_PATH
from outlast.core.state import RunState
from outlast.trace import UNTRACED, tracing_from_json
from outlast.values import JsonValue, decode, encode

__all__ = ["execution_asked", "fact_asked_for"]


def fact_asked_for(state: RunState, kind: str, raw: bytes, now_ms: int) -> Fact | None:
    """Read one request; None if nothing waits for it any more."""
    body = decode(raw)
    fields = body if isinstance(body, dict) else {}
    match kind:
        case "cancel":
            return _cancel(state, fields, now_ms)
        case "start":
            return _start(state, fields, now_ms)
        case "step":
            return _step(state, fields, now_ms)
        case _:
            return _resume(state, fields, now_ms)


def execution_asked(kind: str, raw: bytes) -> int | None:
    """Return the execution of which a request asks something; None if it is of whichever is the latest."""
    if kind not in ("resume", "step"):
        return None
    body = decode(raw)
    execution = body.get("execution") if isinstance(body, dict) else None
    return execution if isinstance(execution, int) else None


def _cancel(state: RunState, fields: dict[str, JsonValue], now_ms: int) -> Fact | None:
    if state.is_canceling or state.finished is not None:
        return None
    reason = fields.get("reason")
    return CancelRequested(now_ms, reason if isinstance(reason, str) else None), None


def _start(state: RunState, fields: dict[str, JsonValue], now_ms: int) -> Fact | None:
    """Somebody started a run that was recorded to be started."""
    if START_PATH not in state.open:
        return None
    timeout_ms = state.graph.root.timeout_ms
    event = RunStarted(
        now_ms,
        _object(fields.get("request_context")),
        _object(fields.get("state")),
        bool(fields.get("include_state")),
        None if timeout_ms is None else now_ms + timeout_ms,
        bool(fields.get("per_step")),
        tracing=tracing_from_json(fields["tracing"]) if "tracing" in fields else UNTRACED,
    )
    return event, encode(fields.get("input"))


def _resume(state: RunState, fields: dict[str, JsonValue], now_ms: int) -> Fact | None:
    command = state.open.get(str(fields.get("path")))
    if not isinstance(command, AwaitResume) or command.number != fields.get("number"):
        return None
    if fields.get("execution") != state.execution:
        return None  # the suspension of the same place in a later execution is another one
    event = StepResumed(now_ms, command.path, _object(fields.get("request_context")))
    return event, encode(fields.get("data"))


def _step(state: RunState, fields: dict[str, JsonValue], now_ms: int) -> Fact | None:
    """Somebody let a paused run go on."""
    command = state.open.get(PAUSE_PATH)
    if not isinstance(command, AwaitStep) or command.number != fields.get("number"):
        return None
    if fields.get("execution") != state.execution:
        return None
    return RunContinued(now_ms, PAUSE_PATH, bool(fields.get("per_step"))), None


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
