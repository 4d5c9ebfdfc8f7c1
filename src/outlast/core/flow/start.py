"""How any node is started: the dispatch over the kinds."""

from __future__ import annotations

from typing import Protocol, assert_never

from outlast.core.flow import foreach, group, leaf, loop, pause, scope
from outlast.core.flow.kept import end_kept
from outlast.core.frames import Parent, as_scope
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
    """Begin a node: make its frame and issue its first commands, or end it if its output is kept."""
    seed = state.seed
    if seed is not None:
        value = seed.inputs.get(path, value)
        if path in seed.kept:
            end_kept(state, node, seed, parent=parent, slot=slot, path=path, value=value)
            return
    match node:
        case StepNode() | MapNode():
            leaf.start(state, node, parent=parent, slot=slot, path=path, value=value)
        case WorkflowNode():
            scope.start(state, node, parent=parent, slot=slot, path=path, value=value)
        case SleepNode() | WaitNode():
            pause.start(state, node, parent=parent, slot=slot, path=path, value=value)
        case ForeachNode():
            foreach.start(state, node, parent=as_scope(parent), slot=slot, path=path, value=value)
        case ParallelNode() | BranchNode():
            group.start(state, node, parent=as_scope(parent), slot=slot, path=path, value=value)
        case LoopNode():
            loop.start(state, node, parent=as_scope(parent), slot=slot, path=path, value=value)
        case _:
            assert_never(node)
