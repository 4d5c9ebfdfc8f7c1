"""Runs in the forms of the reference: the result of a run, and the details of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from outlast.core.commands import AwaitResume
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import RunView, fold_view
from outlast.engines.base import History
from outlast.failures import FailureInfo
from outlast.graph.function import Function
from outlast.graph.schema import JSON
from outlast.instant import from_ms
from outlast.results import RunResult, StepResult, read_result
from outlast.sealing import masked_value
from outlast.server.wire.context import redact
from outlast.server.wire.graph import index_paths, step_graph, top_level_ids
from outlast.storage.listing import RunSummary
from outlast.values import JsonValue

__all__ = ["DETAIL_FIELDS", "light_row", "render_error", "run_details", "run_result", "run_row", "wire_time"]

DETAIL_FIELDS: Final = ("result", "error", "payload", "steps", "activeStepsPath", "serializedStepGraph")
"""Parts of the details that a client can choose from; the others always come."""

_COUNTED: Final = re.compile(r"\[\d+\]|#\d+")
"""An item of a foreach or a pass of a loop: the reference keeps one record for all of them."""


def run_result(history: History) -> dict[str, JsonValue]:
    """Return what the verbs that wait answer."""
    result = read_result(history, JSON)
    steps = dict(_shown_steps(result, with_nested=False))
    path = [each for each in top_level_ids(history.graph) if each in steps]
    wire: dict[str, JsonValue] = {
        "runId": result.run_id,
        "status": result.status.value,
        "input": result.input,
        "steps": {"input": result.input, **_without_repetition(steps, path, result.input)},
        "stepExecutionPath": list(path),
        "traceId": result.trace_id,
        "spanId": result.span_id,
        **_outcome(result),
    }
    if result.state is not None:
        wire["state"] = dict(result.state)
    if result.status is RunStatus.SUSPENDED:
        paths = list(dict.fromkeys(_COUNTED.sub("", each) for each in result.suspended))
        payloads = result.suspend_payload
        wire["suspended"] = [list(each.split(".")) for each in paths]
        wire["suspendPayload"] = {_COUNTED.sub("", path).split(".")[0]: payloads[path] for path in payloads}
    return wire


def run_details(
    history: History,
    *,
    fields: frozenset[str] = frozenset(DETAIL_FIELDS),
    with_nested: bool = True,
    functions: Mapping[str, Function],
) -> dict[str, JsonValue]:
    """Return what is known of a run: head, status and state, and those of `DETAIL_FIELDS` that are asked for."""
    result, view = read_result(history, JSON), fold_view(history.graph, history.records)
    parts: dict[str, JsonValue] = _outcome(result)
    if view.state.root is not None:
        parts["payload"] = result.input
    if "steps" in fields:
        parts["steps"] = {path: _step(step) for path, step in _shown_steps(result, with_nested=with_nested)}
    if "activeStepsPath" in fields:
        parts["activeStepsPath"] = _active(history, result)
    if "serializedStepGraph" in fields:
        parts["serializedStepGraph"] = step_graph(history.graph, functions)
    return {
        **_head(history),
        **({"initialState": _shown_state(view)} if view.state.data else {}),
        **{key: value for key, value in parts.items() if key in fields},
        "suspendedPaths": _places(history, result.suspended),
        "resumeLabels": _labels(view),
        "waitingPaths": {},
    }


def run_row(history: History, *, functions: Mapping[str, Function]) -> dict[str, JsonValue]:
    """Return a run as a list shows it: its head, and a snapshot of what is recorded."""
    result, view = read_result(history, JSON), fold_view(history.graph, history.records)
    steps = dict(_shown_steps(result, with_nested=False))
    head = _head(history)
    status = head.pop("status")
    snapshot: dict[str, JsonValue] = {
        "runId": history.run_id,
        "status": status,
        "value": _shown_state(view),
        "context": {"input": result.input, **{path: _step(step) for path, step in steps.items()}},
        "activePaths": [],
        "stepExecutionPath": [each for each in top_level_ids(history.graph) if each in steps],
        "activeStepsPath": _active(history, result),
        "serializedStepGraph": step_graph(history.graph, functions),
        "suspendedPaths": _places(history, result.suspended),
        "waitingPaths": {},
        "resumeLabels": _labels(view),
        "requestContext": redact(view.request_context),
        "timestamp": history.records[-1].at_ms,
        **_outcome(result),
    }
    return {**head, "snapshot": snapshot}


def light_row(run: RunSummary) -> dict[str, JsonValue]:
    """Return a run as a long list shows it: of the snapshot only what no journal is read for."""
    return {
        "runId": run.run_id,
        "workflowName": run.workflow_id,
        "resourceId": run.resource_id,
        "createdAt": wire_time(run.created_at_ms),
        "updatedAt": wire_time(run.updated_at_ms),
        "snapshot": {"runId": run.run_id, "status": run.status.value, "timestamp": run.updated_at_ms},
    }


def _shown_state(view: RunView) -> JsonValue:
    return masked_value(dict(view.state.data))


def render_error(failure: FailureInfo) -> dict[str, JsonValue]:
    """Return a recorded failure without what only its authors should see: tracebacks stay in the store."""
    wire: dict[str, JsonValue] = {**failure.attributes, "name": failure.type, "message": failure.message}
    if failure.cause is not None:
        wire["cause"] = render_error(failure.cause)
    return wire


def wire_time(at_ms: int) -> str:
    """Return an instant as the reference writes it: ISO 8601 with milliseconds and `Z`."""
    return from_ms(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _head(history: History) -> dict[str, JsonValue]:
    return {
        "runId": history.run_id,
        "workflowName": history.workflow_id,
        "resourceId": history.resource_id,
        "createdAt": wire_time(history.created_at_ms),
        "updatedAt": wire_time(history.records[-1].at_ms),
        "status": history.status.value,
    }


def _outcome(result: RunResult[JsonValue]) -> dict[str, JsonValue]:
    if result.status is RunStatus.SUCCESS:
        return {"result": result.result}
    return {"error": render_error(result.error)} if result.error is not None else {}


def _shown_steps(result: RunResult[JsonValue], *, with_nested: bool) -> Iterator[tuple[str, StepResult]]:
    """Yield the records that the reference has: one for each foreach and loop, those of nested workflows on demand."""
    hidden = _hidden_suspensions(result, with_nested=with_nested)
    for path, step in result.steps.items():
        if _COUNTED.search(path) or ("." in path and not with_nested):
            continue
        inner = hidden.get(path)
        yield path, step if inner is None else _suspended_in(step, inner)


def _hidden_suspensions(result: RunResult[JsonValue], *, with_nested: bool) -> dict[str, StepResult]:
    """Return the suspensions that are not shown by themselves, by what stands for them."""
    hidden: dict[str, StepResult] = {}
    for path in result.suspended:
        plain = _COUNTED.sub("", path)
        shown = plain if with_nested else plain.split(".")[0]
        if shown != path:
            hidden.setdefault(shown, result.steps[path])
    return hidden


def _suspended_in(step: StepResult, inner: StepResult) -> StepResult:
    return replace(
        step,
        status=StepStatus.SUSPENDED,
        suspend_payload=inner.suspend_payload,
        suspended_at=inner.suspended_at,
    )


def _step(step: StepResult) -> dict[str, JsonValue]:
    wire = step.to_dict()
    if step.error is not None:
        wire["error"] = render_error(step.error)
    return wire


def _without_repetition(steps: dict[str, StepResult], path: list[str], given: JsonValue) -> dict[str, JsonValue]:
    """Leave out what a step received where the step before it says so already."""
    wire = {name: _step(step) for name, step in steps.items()}
    before = given
    for name in path:
        if steps[name].payload == before:
            del wire[name]["payload"]
        before = steps[name].output
    return dict(wire)


def _active(history: History, result: RunResult[JsonValue]) -> dict[str, JsonValue]:
    active = (StepStatus.RUNNING, StepStatus.WAITING)
    return _places(history, [path for path, step in result.steps.items() if step.status in active])


def _places(history: History, paths: Iterable[str]) -> dict[str, JsonValue]:
    places = index_paths(history.graph)
    names = (_COUNTED.sub("", path).split(".")[0] for path in paths)
    return {name: places[name] for name in names if name in places}


def _labels(view: RunView) -> dict[str, JsonValue]:
    suspensions: list[AwaitResume] = view.state.suspensions()
    return {each.label: _label(each.path) for each in suspensions if each.label is not None}


def _label(path: str) -> dict[str, JsonValue]:
    label: dict[str, JsonValue] = {"stepId": _COUNTED.sub("", path)}
    if item := re.search(r"\[(\d+)\]$", path):
        label["foreachIndex"] = int(item[1])
    return label
