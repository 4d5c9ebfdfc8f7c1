"""Golden journals: how they are written to files, read and replayed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outlast.core.advance import reissue
from outlast.core.commands import (
    AwaitDeadline,
    AwaitResume,
    AwaitStep,
    Command,
    Evaluate,
    OpenBlock,
    RunMap,
    RunStep,
    Sleep,
    StartTimer,
    Suspend,
)
from outlast.core.record import Record
from outlast.core.ref import Ref, Resolver
from outlast.core.view import RunView, StepView, fold_state, fold_view
from outlast.failures import failure_to_json
from outlast.graph.document import graph_from_json
from outlast.graph.nodes import Graph
from outlast.values import JsonValue, decode, encode

HISTORIES = Path(__file__).parent / "histories"
FILES = sorted(HISTORIES.glob("*.json"))


def read_history(file: Path) -> tuple[Graph, list[Record]]:
    """Return a golden journal and its graph."""
    history = json.loads(file.read_text())
    return graph_from_json(history["graph"]), [record_from_json(record) for record in history["records"]]


def record_to_json(record: Record) -> dict[str, JsonValue]:
    fields: dict[str, Any] = record._asdict()
    for name in ("body", "payload"):
        fields[name] = None if fields[name] is None else {"json": decode(fields[name])}
    return fields


def record_from_json(data: dict[str, Any]) -> Record:
    fields = dict(data)
    for name in ("body", "payload"):
        fields[name] = None if fields[name] is None else encode(fields[name]["json"])
    return Record(**fields)


def replay(document: JsonValue, records: Sequence[Record]) -> dict[str, JsonValue]:
    """Return what a journal says: everything that a later version must still read in it."""
    graph = graph_from_json(document)
    return json.loads(json.dumps(_meaning(graph, records)))


def _meaning(graph: Graph, records: Sequence[Record]) -> dict[str, Any]:
    values = Resolver({record.seq: record.payload for record in records if record.payload is not None})
    state, view = fold_state(graph, records), fold_view(graph, records)
    meaning = {
        "status": state.status(),
        "open": [_command(command, values) for command in reissue(state)],
        "result": None if state.result is None else _value(state.result, values),
        "failure": None if view.failure is None else {"path": view.failure.path, "type": view.failure.failure.type},
        "request_context": view.request_context,
        "steps": {
            path: {
                "status": step.status,
                "input": _value(step.input, values),
                "output": None if step.output is None else _value(step.output, values),
                "failure": None if step.failure is None else failure_to_json(step.failure),
                "attempts": step.attempts,
                "started_at_ms": step.started_at_ms,
                "ended_at_ms": step.ended_at_ms,
            }
            for path, step in view.steps.items()
        },
    }
    return meaning | _rest_of_run(view, state.data) | {"steps": _with_suspensions(meaning["steps"], view, values)}


def _rest_of_run(view: RunView, data: Mapping[str, JsonValue]) -> dict[str, Any]:
    """Return what most journals do not say; left out there, so that old files stay as they are."""
    fields = {"state": data, "include_state": view.include_state, "cancel_reason": view.cancel_reason}
    return {name: value for name, value in fields.items() if value}


def _with_suspensions(steps: dict[str, Any], view: RunView, values: Resolver) -> dict[str, Any]:
    return {path: fields | _suspension(view.steps[path], values) for path, fields in steps.items()}


def _suspension(step: StepView, values: Resolver) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if step.suspend_payload is not None:
        fields |= {"suspended_at_ms": step.suspended_at_ms, "suspend_payload": _value(step.suspend_payload, values)}
    if step.resume_payload is not None:
        fields |= {"resumed_at_ms": step.resumed_at_ms, "resume_payload": _value(step.resume_payload, values)}
    return fields


def _command(command: Command, values: Resolver) -> dict[str, Any]:
    fields: dict[str, Any] = {"command": type(command).__name__, "path": command.path}
    match command:
        case RunStep():
            fields |= {"attempt": command.attempt, "was_started": command.was_started, "function": command.function}
            if command.resumption is not None:
                data = command.resumption.resume_data
                fields |= {
                    "suspend_payload": _value(command.resumption.suspend_payload, values),
                    "resume_data": None if data is None else {"json": _value(data, values)},
                }
        case RunMap():
            fields |= {"was_started": command.was_started, "function": command.function}
        case StartTimer():
            fields |= {"due_at_ms": command.due_at_ms}
        case AwaitDeadline():
            fields |= {"due_at_ms": command.due_at_ms}
        case AwaitStep():
            fields |= {"number": command.number, "following": command.following}
        case Sleep():
            length = {"duration_ms": command.duration_ms} if command.duration_ms else {}
            fields |= {"due_at_ms": command.due_at_ms, "was_started": command.was_started, **length}
        case Suspend():
            fields |= {"payload": command.payload, "timeout_ms": command.timeout_ms}
        case AwaitResume():
            fields |= {"number": command.number, "due_at_ms": command.due_at_ms, "label": command.label}
            fields |= {"payload": _value(command.payload, values)}
        case Evaluate():
            fields |= {"node_path": command.node_path, "function": command.function, "purpose": command.purpose}
            fields |= {"iteration_count": command.iteration_count}
        case _:
            pass
    if isinstance(command, RunStep | RunMap | OpenBlock | Evaluate):
        fields["input"] = _value(command.input, values)
    return fields


def _value(ref: Ref, values: Resolver) -> JsonValue:
    return decode(values.resolve(ref))
