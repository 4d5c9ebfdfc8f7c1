"""The graph as a JSON document: what is stored once per fingerprint and travels with every run.

A document that was written once is readable for ever: a new field gets a default here, a new meaning a new kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, assert_never, cast

from outlast.graph.nodes import (
    ForeachNode,
    Graph,
    MapNode,
    Node,
    NodeInfo,
    ParallelNode,
    RetryRule,
    StepNode,
    Task,
    WorkflowNode,
)
from outlast.values import JsonValue

__all__ = ["DOCUMENT_VERSION", "UnknownGraphError", "fingerprint_of", "graph_from_json", "graph_to_json"]

DOCUMENT_VERSION: Final = 1
"""Version of the document's shape."""


class UnknownGraphError(Exception):
    """A newer version of Outlast wrote this graph; this one must leave its runs to a worker that knows it."""


def fingerprint_of(document: bytes) -> str:
    """Return the hash under which a document is stored."""
    return hashlib.blake2b(document, digest_size=16).hexdigest()


def graph_to_json(graph: Graph) -> dict[str, JsonValue]:
    """Return the graph as a JSON object."""
    return {"version": DOCUMENT_VERSION, "root": _node_to_json(graph.root)}


def graph_from_json(document: JsonValue) -> Graph:
    """Return the graph that `graph_to_json` wrote.

    Raises:
        UnknownGraphError: A newer version wrote it.
    """
    data = _object(document)
    if data.get("version") != DOCUMENT_VERSION:
        message = f"graph document version {data.get('version')} is newer than {DOCUMENT_VERSION}; upgrade this worker"
        raise UnknownGraphError(message)
    root = _node_from_json(data["root"])
    if not isinstance(root, WorkflowNode):
        message = f"the root of a graph is a workflow, not a {type(root).__name__}"
        raise UnknownGraphError(message)
    return Graph(root=root)


def _node_to_json(node: Node) -> dict[str, JsonValue]:
    match node:
        case StepNode():
            retry: JsonValue = {"limit": node.retry.limit, "delay_ms": node.retry.delay_ms}
            return {"kind": "step", "id": node.id, "function": node.function, "retry": retry, **_info(node.info)}
        case MapNode():
            return {"kind": "map", "id": node.id, "function": node.function, **_info(node.info)}
        case WorkflowNode():
            nodes: list[JsonValue] = [_node_to_json(child) for child in node.nodes]
            return {"kind": "workflow", "id": node.id, "workflow": node.workflow, "nodes": nodes, **_info(node.info)}
        case ForeachNode():
            body = _node_to_json(node.body)
            return {"kind": "foreach", "id": node.id, "body": body, "concurrency": node.concurrency, **_info(node.info)}
        case ParallelNode():
            children: list[JsonValue] = [_node_to_json(child) for child in node.children]
            return {"kind": "parallel", "id": node.id, "children": children, **_info(node.info)}
        case _:
            assert_never(node)


def _node_from_json(value: JsonValue) -> Node:
    data = _object(value)
    kind, node_id, info = data["kind"], _text(data["id"]), _info_from_json(data)
    match kind:
        case "step":
            retry = _object(data["retry"])
            rule = RetryRule(limit=_number(retry["limit"]), delay_ms=_number(retry["delay_ms"]))
            return StepNode(id=node_id, function=_text(data["function"]), retry=rule, info=info)
        case "map":
            return MapNode(id=node_id, function=_text(data["function"]), info=info)
        case "workflow":
            nodes = tuple(_node_from_json(child) for child in _list(data["nodes"]))
            return WorkflowNode(id=node_id, workflow=_text(data["workflow"]), nodes=nodes, info=info)
        case "foreach":
            body, concurrency = _task(data["body"]), _number(data["concurrency"])
            return ForeachNode(id=node_id, body=body, concurrency=concurrency, info=info)
        case "parallel":
            children = tuple(_task(child) for child in _list(data["children"]))
            return ParallelNode(id=node_id, children=children, info=info)
        case _:
            message = f"node '{node_id}' is of kind {kind!r}, which this version of outlast does not know; upgrade it"
            raise UnknownGraphError(message)


def _task(value: JsonValue) -> Task:
    node = _node_from_json(value)
    if not isinstance(node, StepNode | WorkflowNode):
        message = (
            f"node '{node.id}' stands in another node, where this version of outlast knows only steps and workflows"
        )
        raise UnknownGraphError(message)
    return node


def _info(info: NodeInfo) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = {
        "description": info.description,
        "metadata": dict(info.metadata),
        "input": info.input,
        "output": info.output,
        "code": info.code,
    }
    return {key: value for key, value in fields.items() if value not in ("", {}, None)}


def _info_from_json(data: Mapping[str, JsonValue]) -> NodeInfo:
    return NodeInfo(
        description=_text(data.get("description", "")),
        metadata=_object(data.get("metadata", {})),
        input=data.get("input"),
        output=data.get("output"),
        code=_text(data.get("code", "")),
    )


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", value)


def _list(value: JsonValue) -> list[JsonValue]:
    return cast("list[JsonValue]", value)


def _text(value: JsonValue) -> str:
    return cast("str", value)


def _number(value: JsonValue) -> int:
    return cast("int", value)
