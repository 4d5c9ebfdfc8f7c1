"""Workflows in the form of the reference: what they take and give, their steps, their graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from outlast.graph.committed import CommittedWorkflow
from outlast.graph.function import Function
from outlast.graph.nodes import BranchNode, ForeachNode, LoopNode, Node, ParallelNode, StepNode, WaitNode, WorkflowNode
from outlast.graph.schema import Mode, Schema
from outlast.server.wire.graph import step_graph
from outlast.values import JsonValue, encode

__all__ = ["workflow_info", "workflow_summary"]

_OPTIONS: Final = {"validateInputs": True, "emitStepEvents": True}


def workflow_info(workflow: CommittedWorkflow[Any, Any]) -> dict[str, JsonValue]:
    """Return all that clients want to know of a workflow. Schemas are JSON Schema as text, under the key `json`."""
    all_steps = dict(_steps(workflow, workflow.graph.root, ""))
    info: dict[str, JsonValue] = {
        **_head(workflow),
        "steps": {path: _plain(step) for path, step in all_steps.items() if "." not in path},
        "allSteps": dict(all_steps),
        "stepGraph": step_graph(workflow.graph, workflow.functions),
        "isProcessorWorkflow": False,
    }
    info |= _schema("inputSchema", workflow.input, "validation")
    info |= _schema("outputSchema", workflow.output, "serialization")
    info |= _schema("requestContextSchema", workflow.request_context, "validation")
    if not workflow.state.schema.is_json:
        info["stateSchema"] = _schema_text(workflow.state.to_json_schema())
    return info


def workflow_summary(workflow: CommittedWorkflow[Any, Any]) -> dict[str, JsonValue]:
    """Return what a list shows of a workflow: everything but its steps and schemas."""
    return {
        **_head(workflow),
        "stepCount": sum(1 for path, _ in _steps(workflow, workflow.graph.root, "") if "." not in path),
        "steps": {},
        "allSteps": {},
        "stepGraph": step_graph(workflow.graph, workflow.functions),
    }


def _head(workflow: CommittedWorkflow[Any, Any]) -> dict[str, JsonValue]:
    root = workflow.graph.root.info
    head: dict[str, JsonValue] = {"name": workflow.id, "origin": "code", "options": dict(_OPTIONS)}
    if root.description:
        head["description"] = root.description
    if root.metadata:
        head["metadata"] = dict(root.metadata)
    if workflow.limits:
        head["limits"] = [rule.to_dict() for rule in workflow.limits]
    return head


def _steps(
    workflow: CommittedWorkflow[Any, Any], scope: WorkflowNode, prefix: str
) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Yield what has a record of its own, by path; the steps of nested workflows after the workflow itself."""
    for record_id, node in _recorded(scope.nodes):
        path = prefix + record_id
        if isinstance(node, WorkflowNode):
            yield path, _nested(workflow, node, path)
            yield from _steps(workflow, node, f"{path}.")
        else:
            yield path, _step(workflow.functions[node.function], node, path)


def _recorded(nodes: tuple[Node, ...]) -> Iterator[tuple[str, StepNode | WaitNode | WorkflowNode]]:
    for node in nodes:
        match node:
            case StepNode() | WaitNode() | WorkflowNode():
                yield node.id, node
            case ParallelNode() | BranchNode():
                yield from _recorded(node.children)
            case ForeachNode() | LoopNode():
                yield node.id, node.body
            case _:
                pass  # maps and sleeps have records, but nothing to declare


def _step(function: Function, node: StepNode | WaitNode, path: str) -> dict[str, JsonValue]:
    step = _described(node, path)
    step |= {
        "inputSchema": _schema_text(function.input.to_json_schema("validation")),
        "outputSchema": _schema_text(function.output.to_json_schema("serialization")),
        "isWorkflow": False,
    }
    step |= _schema("resumeSchema", function.resume, "validation")
    step |= _schema("suspendSchema", function.suspend, "serialization")
    if function.state is not None and not function.state.schema.is_json:
        step["stateSchema"] = _schema_text(function.state.to_json_schema())
    return step


def _nested(workflow: CommittedWorkflow[Any, Any], node: WorkflowNode, path: str) -> dict[str, JsonValue]:
    types = workflow.composition.types[node.workflow]
    return _described(node, path) | {
        "inputSchema": _schema_text(types.input.to_json_schema("validation")),
        "outputSchema": _schema_text(types.output.to_json_schema("serialization")),
        "component": "WORKFLOW",
        "isWorkflow": True,
    }


def _described(node: StepNode | WaitNode | WorkflowNode, path: str) -> dict[str, JsonValue]:
    described: dict[str, JsonValue] = {"id": path}
    if node.info.description:
        described["description"] = node.info.description
    if node.info.metadata:
        described["metadata"] = dict(node.info.metadata)
    return described


def _plain(step: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: value for key, value in step.items() if key != "isWorkflow"}


def _schema(key: str, schema: Schema[Any], mode: Mode) -> dict[str, JsonValue]:
    return {} if schema.is_json else {key: _schema_text(schema.to_json_schema(mode))}


def _schema_text(schema: dict[str, JsonValue]) -> str:
    return encode({"json": schema}).decode()
