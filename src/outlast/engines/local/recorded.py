"""Starting a run that was recorded before: what its inbox is told."""

from __future__ import annotations

from outlast.engines.base import History, StartRequest
from outlast.errors import InputError, Problem
from outlast.values import JsonValue, decode, encode

__all__ = ["start_of_recorded"]


def start_of_recorded(request: StartRequest, history: History) -> bytes | None:
    """Return the request that starts a recorded run; None if somebody started it already.

    Raises:
        InputError: It was recorded for another resource, or an option comes too late.
    """
    if [record.type for record in history.records] != ["run-created"]:
        return None
    if request.resource_id not in (None, history.resource_id):
        raise InputError("resource_id", (Problem("", "the run was recorded for another one"),))
    if not request.is_immediate or request.tags or request.start_within_ms is not None:
        reason = "a run that was recorded before takes no delay, start_at, start_within or tags; leave them out"
        raise InputError("start", (Problem("", reason),))
    body: dict[str, JsonValue] = {
        "input": decode(request.input),
        "request_context": dict(request.request_context),
        "state": dict(request.state),
        "include_state": request.include_state,
        "per_step": request.per_step,
    }
    if tracing := request.tracing.to_json():
        body["tracing"] = tracing
    return encode(body)
