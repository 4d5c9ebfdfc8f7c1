"""Golden journals: how they are written to files, read and replayed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from outlast.core.advance import reissue
from outlast.core.commands import Command, OpenBlock, RunMap, RunStep, StartTimer
from outlast.core.record import Record
from outlast.core.ref import Ref, Resolver
from outlast.core.view import fold_state, fold_view
from outlast.failures import failure_to_json
from outlast.graph.document import graph_from_json
from outlast.graph.nodes import Graph
from outlast.values import JsonValue, decode, encode

HISTORIES = Path(__file__).parent / "histories"


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
    return {
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


def _command(command: Command, values: Resolver) -> dict[str, Any]:
    fields: dict[str, Any] = {"command": type(command).__name__, "path": command.path}
    match command:
        case RunStep():
            fields |= {"attempt": command.attempt, "was_started": command.was_started, "function": command.function}
        case RunMap():
            fields |= {"was_started": command.was_started, "function": command.function}
        case StartTimer():
            fields |= {"due_at_ms": command.due_at_ms}
        case _:
            pass
    if isinstance(command, RunStep | RunMap | OpenBlock):
        fields["input"] = _value(command.input, values)
    return fields


def _value(ref: Ref, values: Resolver) -> JsonValue:
    return decode(values.resolve(ref))
