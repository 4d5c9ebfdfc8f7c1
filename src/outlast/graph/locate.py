"""Nodes by the paths that a run gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from outlast.graph.nodes import BranchNode, ForeachNode, LoopNode, Node, ParallelNode, WorkflowNode
from outlast.values import JsonValue

__all__ = ["find_node", "metadata_in"]

_PART: Final = re.compile(r"(?P<id>[^\[#]+)(?:(?P<item>\[\d+\])|(?P<pass>#\d+))?")


def find_node(root: WorkflowNode, path: str) -> Node | None:
    """Return the node that has this path in a run, as `child.fetch`, `each[3]` or `poll#2`; None if there is none.

    Children of a block are addressed as nodes of the workflow in which it stands.
    """
    node: Node = root
    for part in path.split("."):
        matched = _PART.fullmatch(part)
        if matched is None or not isinstance(node, WorkflowNode):
            return None
        found = _named(node, matched["id"])
        if matched["item"] is not None:
            found = found.body if isinstance(found, ForeachNode) else None
        elif matched["pass"] is not None:
            found = found.body if isinstance(found, LoopNode) else None
        if found is None:
            return None
        node = found
    return node


def _named(workflow: WorkflowNode, id: str) -> Node | None:
    for node in workflow.nodes:
        if node.id == id:
            return node
        if isinstance(node, ParallelNode | BranchNode):
            for child in node.children:
                if child.id == id:
                    return child
    return None


def metadata_in(root: WorkflowNode) -> dict[str, Mapping[str, JsonValue]]:
    """Return the metadata of the nodes that have some, by paths without the numbers of items and passes."""
    return {path: metadata for path, metadata in _described(root, "") if metadata}


def _described(workflow: WorkflowNode, prefix: str) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    for node in workflow.nodes:
        children = node.children if isinstance(node, ParallelNode | BranchNode) else ()
        for each in (node, *children):
            body = each.body if isinstance(each, LoopNode | ForeachNode) else each
            path = f"{prefix}{each.id}"
            yield path, each.info.metadata or body.info.metadata
            if isinstance(body, WorkflowNode):
                yield from _described(body, f"{path}.")
