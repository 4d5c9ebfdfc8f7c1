"""The graph as a JSON document: what is stored once per fingerprint and travels with every run.

A document that was written once is readable for ever: a new field gets a default here, a new meaning a new kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, assert_never, cast

from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    Graph,
    Hooks,
    LoopNode,
    MapNode,
    Node,
    NodeInfo,
    ParallelNode,
    SleepNode,
    StepNode,
    Task,
    WaitNode,
    WorkflowNode,
)
from outlast.graph.retry import rule_from_json, rule_to_json
from outlast.graph.source import source_from_json, source_to_json
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
    document: dict[str, JsonValue] = {"version": DOCUMENT_VERSION, "root": _node_to_json(graph.root)}
    hooks = graph.hooks
    if hooks is not None:
        document["hooks"] = _given(on_start=hooks.on_start, on_finish=hooks.on_finish, on_error=hooks.on_error)
    if graph.codes:
        document["codes"] = dict(graph.codes)
    if graph.is_sensitive:
        document["sensitive"] = True
    return document


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
    codes = {reference: _text(code) for reference, code in _object(data.get("codes", {})).items()}
    return Graph(
        root=root,
        hooks=_hooks(data["hooks"]) if "hooks" in data else None,
        codes=codes,
        is_sensitive=bool(data.get("sensitive")),
    )


def _hooks(value: JsonValue) -> Hooks:
    names = {key: _text(reference) for key, reference in _object(value).items()}
    return Hooks(on_start=names.get("on_start"), on_finish=names.get("on_finish"), on_error=names.get("on_error"))


def _node_to_json(node: Node) -> dict[str, JsonValue]:
    return {"kind": _KINDS[type(node)], "id": node.id, **_fields(node), **_info(node.info)}


_KINDS: Final[Mapping[type[Node], str]] = {
    StepNode: "step",
    MapNode: "map",
    WorkflowNode: "workflow",
    ForeachNode: "foreach",
    ParallelNode: "parallel",
    BranchNode: "branch",
    LoopNode: "loop",
    SleepNode: "sleep",
    WaitNode: "wait",
}


def _fields(node: Node) -> dict[str, JsonValue]:
    """Return the fields of a node that are its kind's own; those that have their default are left out."""
    match node:
        case StepNode():
            return _given(function=node.function, retry=rule_to_json(node.retry), timeout_ms=node.timeout_ms)
        case MapNode():
            sources: JsonValue = {key: source_to_json(source) for key, source in node.sources} or None
            return _given(function=node.function, sources=sources)
        case WorkflowNode():
            nodes: list[JsonValue] = [_node_to_json(child) for child in node.nodes]
            return _given(
                workflow=node.workflow,
                nodes=nodes,
                state=node.state,
                timeout_ms=node.timeout_ms,
                max_recoveries=node.max_recoveries,
            )
        case ForeachNode():
            collect = node.is_collecting or None
            return _given(body=_node_to_json(node.body), concurrency=node.concurrency, collect=collect)
        case ParallelNode():
            return _given(children=[_node_to_json(child) for child in node.children], limit=node.limit)
        case BranchNode():
            children: list[JsonValue] = [_node_to_json(child) for child in node.children]
            first = node.is_first_only or None
            return _given(conditions=list(node.conditions), children=children, first=first)
        case LoopNode():
            return _given(
                body=_node_to_json(node.body),
                condition=node.condition,
                until=node.is_until,
                max_iterations=node.max_iterations,
            )
        case SleepNode():
            until = node.is_until or None
            return _given(duration_ms=node.duration_ms, until_ms=node.until_ms, function=node.function, until=until)
        case WaitNode():
            return _given(
                function=node.function,
                payload=node.payload,
                timeout_ms=node.timeout_ms,
                default=list(node.default) or None,
            )
        case _:
            assert_never(node)


def _given(**fields: JsonValue) -> dict[str, JsonValue]:
    return {key: value for key, value in fields.items() if value is not None}


def _node_from_json(value: JsonValue) -> Node:
    data = _object(value)
    reader = _READERS.get(_text(data["kind"]))
    if reader is None:
        message = (
            f"node '{data['id']}' is of kind {data['kind']!r}, which this version of outlast does not know; upgrade it"
        )
        raise UnknownGraphError(message)
    return reader(data, _text(data["id"]), _info_from_json(data))


def _step(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    rule = rule_from_json(_object(data["retry"]))
    timeout_ms = _optional_number(data.get("timeout_ms"))
    return StepNode(id=node_id, function=_text(data["function"]), retry=rule, timeout_ms=timeout_ms, info=info)


def _map(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    sources = _object(data.get("sources", {}))
    pairs = tuple((key, source_from_json(_object(source))) for key, source in sources.items())
    return MapNode(id=node_id, function=_text(data["function"]), sources=pairs, info=info)


def _workflow(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    nodes = tuple(_node_from_json(child) for child in _list(data["nodes"]))
    workflow, state = _text(data["workflow"]), data.get("state")
    return WorkflowNode(
        id=node_id,
        workflow=workflow,
        nodes=nodes,
        state=state,
        timeout_ms=_optional_number(data.get("timeout_ms")),
        max_recoveries=_optional_number(data.get("max_recoveries")),
        info=info,
    )


def _foreach(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    concurrency = data["concurrency"]
    return ForeachNode(
        id=node_id,
        body=_task(data["body"]),
        concurrency=concurrency if isinstance(concurrency, str) else _number(concurrency),
        is_collecting=bool(data.get("collect")),
        info=info,
    )


def _parallel(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    children = tuple(_task(child) for child in _list(data["children"]))
    return ParallelNode(id=node_id, children=children, limit=_optional_number(data.get("limit")), info=info)


def _branch(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    return BranchNode(
        id=node_id,
        conditions=tuple(_text(each) for each in _list(data["conditions"])),
        children=tuple(_task(child) for child in _list(data["children"])),
        is_first_only=bool(data.get("first")),
        info=info,
    )


def _loop(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    return LoopNode(
        id=node_id,
        body=_task(data["body"]),
        condition=_text(data["condition"]),
        is_until=bool(data["until"]),
        max_iterations=_optional_number(data.get("max_iterations")),
        info=info,
    )


def _sleep(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    function = data.get("function")
    return SleepNode(
        id=node_id,
        duration_ms=_optional_number(data.get("duration_ms")),
        until_ms=_optional_number(data.get("until_ms")),
        function=function if isinstance(function, str) else None,
        is_until=bool(data.get("until")),
        info=info,
    )


def _wait(data: dict[str, JsonValue], node_id: str, info: NodeInfo) -> Node:
    return WaitNode(
        id=node_id,
        function=_text(data["function"]),
        payload=data.get("payload"),
        timeout_ms=_optional_number(data.get("timeout_ms")),
        default=tuple(_list(data.get("default", []))),
        info=info,
    )


_READERS: Final[Mapping[str, Callable[[dict[str, JsonValue], str, NodeInfo], Node]]] = {
    "step": _step,
    "map": _map,
    "workflow": _workflow,
    "foreach": _foreach,
    "parallel": _parallel,
    "branch": _branch,
    "loop": _loop,
    "sleep": _sleep,
    "wait": _wait,
}


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


def _optional_number(value: JsonValue) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: JsonValue) -> int:
    return cast("int", value)
