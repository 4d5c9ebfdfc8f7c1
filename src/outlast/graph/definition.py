"""A workflow as one JSON document: what it takes and gives, and its graph. For people and tools without its code."""

from __future__ import annotations

from typing import Any, cast

from outlast.graph.committed import CommittedWorkflow
from outlast.graph.document import graph_to_json
from outlast.values import JsonValue

__all__ = ["definition_of", "summary_of"]


def summary_of(workflow: CommittedWorkflow[Any, Any]) -> dict[str, JsonValue]:
    """Return what lists show of a workflow: its id, the author's words, the names of its types, its fingerprint."""
    return {
        "workflowId": workflow.id,
        "description": workflow.graph.root.info.description,
        "input": workflow.input.name,
        "output": workflow.output.name,
        "fingerprint": workflow.fingerprint,
    }


def definition_of(workflow: CommittedWorkflow[Any, Any]) -> dict[str, JsonValue]:
    """Return all that is declared; a type that is not declared is left out, with its JSON Schema."""
    definition = summary_of(workflow)
    if not workflow.state.schema.is_json:
        definition["state"] = workflow.state.schema.name
    if not workflow.request_context.is_json:
        definition["requestContext"] = workflow.request_context.name
    if workflow.limits:
        definition["limits"] = [rule.to_dict() for rule in workflow.limits]
    described = {
        "inputSchema": workflow.input.to_json_schema("validation"),
        "outputSchema": workflow.output.to_json_schema("serialization"),
        "stateSchema": {} if workflow.state.schema.is_json else workflow.state.to_json_schema(),
        "requestContextSchema": workflow.request_context.to_json_schema("validation"),
    }
    definition |= {name: cast("JsonValue", schema) for name, schema in described.items() if schema}
    return {**definition, "graph": graph_to_json(workflow.graph)}
