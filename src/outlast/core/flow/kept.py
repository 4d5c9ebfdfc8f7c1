"""Nodes that are not run again because their output is kept from an earlier execution (rule 12.3)."""

from __future__ import annotations

from typing import assert_never

from outlast.core.commands import Evaluate
from outlast.core.frames import (
    ForeachFrame,
    Frame,
    GroupFrame,
    LeafFrame,
    LoopFrame,
    Parent,
    PauseFrame,
    ScopeFrame,
    as_scope,
)
from outlast.core.ref import Ref
from outlast.core.seed import Seed
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

__all__ = ["end_kept", "enter_scope", "recall_answer"]


def enter_scope(frame: ScopeFrame, seed: Seed) -> None:
    """Let a workflow begin after its kept nodes, which can be asked for their results."""
    frame.position = seed.positions.get(frame.path, 0)
    for node in frame.node.nodes[: frame.position]:
        _show(frame, node, seed)


def end_kept(state: RunState, node: Node, seed: Seed, *, parent: Parent, slot: int, path: str, value: Ref) -> None:
    """Let a node that would begin now end at once, with its kept output."""
    frame = _frame(node, parent, slot, path, value)
    if isinstance(parent, ScopeFrame):
        _show(parent, node, seed)
    state.frames[path] = frame
    state.succeed(frame, seed.kept[path], is_bail=path in seed.bailed)


def recall_answer(state: RunState, seed: Seed) -> tuple[Evaluate, int] | None:
    """Take back a question whose answer is kept, and return both; None if there is none."""
    for command in state.issued:
        if isinstance(command, Evaluate) and command.path in seed.answers:
            state.issued.remove(command)
            state.drop(command.path)
            return command, seed.answers[command.path]
    return None


def _show(scope: ScopeFrame, node: Node, seed: Seed) -> None:
    """Let the nodes of a workflow see a kept output, and those of the children of a kept block."""
    shown = (node, *node.children) if isinstance(node, ParallelNode | BranchNode) else (node,)
    for each in shown:
        output = seed.kept.get(scope.path_of(each.id))
        if output is not None:
            scope.outputs[each.id] = output


def _frame(node: Node, parent: Parent, slot: int, path: str, value: Ref) -> Frame:
    match node:
        case StepNode() | MapNode():
            return LeafFrame(path, slot, value, parent, node)
        case SleepNode() | WaitNode():
            return PauseFrame(path, slot, value, parent, node)
        case WorkflowNode():
            return ScopeFrame(path, slot, value, parent, node)
        case ForeachNode():
            return ForeachFrame(path, slot, value, as_scope(parent), node)
        case ParallelNode() | BranchNode():
            return GroupFrame(path, slot, value, as_scope(parent), node)
        case LoopNode():
            return LoopFrame(path, slot, value, as_scope(parent), node)
        case _:
            assert_never(node)
