"""Runs in our own form: all that a `RunResult` has, for clients that make one of it again."""

from __future__ import annotations

from outlast.engines.base import History
from outlast.failures import failure_to_json
from outlast.graph.schema import JSON
from outlast.instant import to_ms
from outlast.results import HookDelivery, read_result
from outlast.values import JsonValue

__all__ = ["strip_tracebacks", "whole_result", "wire_delivery"]


def whole_result(history: History, *, with_tracebacks: bool) -> dict[str, JsonValue]:
    """Return all that is known of a run; tracebacks only for those who may see the code."""
    wire = read_result(history, JSON).to_dict()
    if not with_tracebacks:
        strip_tracebacks(wire.get("error"))
        steps = wire["steps"]
        for step in steps.values() if isinstance(steps, dict) else ():
            strip_tracebacks(step.get("error") if isinstance(step, dict) else None)
    wire["isAtRest"] = history.status.is_rest
    return wire


def wire_delivery(delivery: HookDelivery, *, with_tracebacks: bool) -> dict[str, JsonValue]:
    """Return the call of a hook."""
    error: JsonValue = None if delivery.error is None else failure_to_json(delivery.error)
    if not with_tracebacks:
        strip_tracebacks(error)
    return {
        "hook": delivery.hook,
        "execution": delivery.execution,
        "tries": delivery.tries,
        "dueAt": None if delivery.due_at is None else to_ms(delivery.due_at),
        "error": error,
    }


def strip_tracebacks(failure: JsonValue) -> None:
    """Empty the tracebacks of a failure and of those that led to it."""
    while isinstance(failure, dict):
        failure["traceback"] = ""
        failure = failure.get("cause")
