"""How any node is started: the dispatch over the kinds."""

from __future__ import annotations

from typing import Protocol, assert_never

from outlast.core.flow import foreach, group, leaf, loop, pause, scope
from outlast.core.frames import Parent, ScopeFrame
from outlast.core.ref import Ref
from outlast.core.state import RunState
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    LoopNode,
    MapNode,
    Node,
    ParallelNode,
    SleepNode,
    StepNode,
    WaitNode,
    WorkflowNode,
)

__all__ = ["StartNode", "start_node"]


class StartNode(Protocol):
    """Starts a node of any kind; handed to the kinds that have children, which do not import each other."""

    def __call__(self, state: RunState, node: Node, *, parent: Parent, slot: int, path: str, value: Ref) -> None:
        """Begin the node under this path, with this input."""
        ...


def start_node(state: RunState, node: Node, *, parent: Parent, slot: int, path: str, value: Ref) -> None:
    """Begin a node: make its frame and issue its first commands."""
    match node:
        case StepNode() | MapNode():
            leaf.start(state, node, parent=parent, slot=slot, path=path, value=value)
        case WorkflowNode():
            scope.start(state, node, parent=parent, slot=slot, path=path, value=value)
        case SleepNode() | WaitNode():
            pause.start(state, node, parent=parent, slot=slot, path=path, value=value)
        case ForeachNode():
            foreach.start(state, node, parent=_scope(parent), slot=slot, path=path, value=value)
        case ParallelNode() | BranchNode():
            group.start(state, node, parent=_scope(parent), slot=slot, path=path, value=value)
        case LoopNode():
            loop.start(state, node, parent=_scope(parent), slot=slot, path=path, value=value)
        case _:
            assert_never(node)


def _scope(parent: Parent) -> ScopeFrame:
    """Narrow: by the types of the graph, only a workflow has blocks as direct children."""
    if not isinstance(parent, ScopeFrame):
        message = f"a block can stand only in a workflow, not in {type(parent).__name__}"
        raise TypeError(message)
    return parent
