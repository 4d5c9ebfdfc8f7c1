"""Nodes by the paths that a run gives them."""

from __future__ import annotations

import re
from typing import Final

from outlast.graph.nodes import BranchNode, ForeachNode, LoopNode, Node, ParallelNode, WorkflowNode

__all__ = ["find_node"]

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
