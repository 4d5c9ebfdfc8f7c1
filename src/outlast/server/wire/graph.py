"""Graphs in the forms of the reference: the step graph, and where a node stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias, assert_never

from outlast.graph.function import Function
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    Graph,
    LoopNode,
    MapNode,
    Node,
    ParallelNode,
    SleepNode,
    StepNode,
    Task,
    WaitNode,
    WorkflowNode,
)
from outlast.graph.source import source_to_json
from outlast.instant import render_ms
from outlast.server.wire.source import source_of
from outlast.values import JsonValue, encode

__all__ = ["index_paths", "step_graph", "top_level_ids"]

_Entry: TypeAlias = "dict[str, JsonValue]"
_Functions: TypeAlias = Mapping[str, Function]


def step_graph(graph: Graph, functions: Mapping[str, Function]) -> list[JsonValue]:
    """Return a graph as a list of entries, with the Python source of its functions as far as they are known here."""
    return [_entry(node, functions) for node in graph.root.nodes]


def top_level_ids(graph: Graph) -> list[str]:
    """Return the ids of the nodes of the workflow itself that are one step each, in order."""
    single = StepNode | MapNode | WaitNode | SleepNode | WorkflowNode
    return [node.id for node in graph.root.nodes if isinstance(node, single)]


def index_paths(graph: Graph) -> dict[str, JsonValue]:
    """Return where each node of the workflow itself stands: its index, and for a child of a block also that of it."""
    return dict(_index_paths(graph))


def _index_paths(graph: Graph) -> Iterator[tuple[str, JsonValue]]:
    for index, node in enumerate(graph.root.nodes):
        if isinstance(node, ParallelNode | BranchNode):
            for place, child in enumerate(node.children):
                yield child.id, [index, place]
        else:
            yield node.id, [index]


def _entry(node: Node, functions: _Functions) -> _Entry:
    match node:
        case StepNode() | WaitNode():
            return {"type": "step", "step": _step(node, node.id, functions)}
        case WorkflowNode():
            return _workflow(node, node.id, functions)
        case MapNode():
            return {"type": "mapping", "id": node.id, "mapConfig": _map_config(node, functions)}
        case SleepNode():
            return _sleep(node, functions)
        case ParallelNode() | BranchNode():
            return _block(node, functions)
        case ForeachNode():
            concurrency: JsonValue = node.concurrency
            if isinstance(concurrency, str):
                concurrency = _text(concurrency, functions)
            return {
                "type": "foreach",
                "id": node.id,
                "step": _body(node.body, node.id, functions),
                "opts": {"concurrency": concurrency},
            }
        case LoopNode():
            return {
                "type": "loop",
                "id": node.id,
                "step": _body(node.body, node.id, functions),
                "serializedCondition": {"id": f"{node.id}-condition", "fn": _text(node.condition, functions)},
                "loopType": "dountil" if node.is_until else "dowhile",
            }
        case _:
            assert_never(node)


def _body(node: Task, record_id: str, functions: _Functions) -> _Entry:
    """Return the body of a block under the id by which its records are found."""
    if isinstance(node, WorkflowNode):
        return _workflow(node, record_id, functions)
    return {"type": "step", "step": _step(node, record_id, functions)}


def _step(node: StepNode | WaitNode, record_id: str, functions: _Functions) -> _Entry:
    function = functions.get(node.function)
    can_suspend = isinstance(node, WaitNode) or (
        function is not None and not (function.resume.is_json and function.suspend.is_json)
    )
    step: _Entry = {"id": record_id, "canSuspend": can_suspend}
    if node.info.description:
        step["description"] = node.info.description
    if node.info.metadata:
        step["metadata"] = dict(node.info.metadata)
    return step


def _workflow(node: WorkflowNode, record_id: str, functions: _Functions) -> _Entry:
    flow: list[JsonValue] = [_entry(child, functions) for child in node.nodes]
    return {"type": "workflow", "id": record_id, "workflowId": node.workflow, "serializedStepFlow": flow}


def _block(node: ParallelNode | BranchNode, functions: _Functions) -> _Entry:
    steps: list[JsonValue] = [_entry(child, functions) for child in node.children]
    if isinstance(node, ParallelNode):
        return {"type": "parallel", "id": node.id, "steps": steps}
    conditions: list[JsonValue] = [
        {"id": f"{child.id}-condition", "fn": _text(condition, functions)}
        for child, condition in zip(node.children, node.conditions, strict=True)
    ]
    return {"type": "conditional", "id": node.id, "steps": steps, "serializedConditions": conditions}


def _sleep(node: SleepNode, functions: _Functions) -> _Entry:
    if node.duration_ms is not None:
        return {"type": "sleep", "id": node.id, "duration": node.duration_ms}
    if node.until_ms is not None:
        return {"type": "sleepUntil", "id": node.id, "date": render_ms(node.until_ms)}
    kind = "sleepUntil" if node.is_until else "sleep"
    return {"type": kind, "id": node.id, "fn": _text(node.function or "", functions)}


def _map_config(node: MapNode, functions: _Functions) -> str:
    if not node.sources:
        return _text(node.function, functions)
    sources: JsonValue = {key: source_to_json(source) for key, source in node.sources}
    return encode(sources).decode()


def _text(reference: str, functions: _Functions) -> str:
    """Return the source of a function; its reference if this process does not know it."""
    function = functions.get(reference)
    return reference if function is None else source_of(function.call)
