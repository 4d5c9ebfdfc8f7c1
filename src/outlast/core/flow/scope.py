"""Workflows, the root as well as nested ones: one node after the other (rules 5.1 and 5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlast.core.commands import CloseBlock, FinishRun, OpenBlock
from outlast.core.frames import Frame, Parent, ScopeFrame
from outlast.core.ref import Ref
from outlast.core.state import RunState
from outlast.graph.nodes import WorkflowNode

if TYPE_CHECKING:
    from outlast.core.flow.start import StartNode

__all__ = ["child_done", "proceed", "start"]


def start(
    state: RunState, node: WorkflowNode, *, parent: Parent | None, slot: int, path: str, value: Ref
) -> ScopeFrame:
    """Begin a workflow. A nested one is opened only if its input fits; the root's was checked before."""
    frame = ScopeFrame(node=node, path=path, parent=parent, slot=slot, input=value)
    state.frames[path] = frame
    if parent is not None:
        state.issue(OpenBlock(path, value, node.workflow, None))
    return frame


def proceed(state: RunState, frame: ScopeFrame, start_node: StartNode) -> None:
    """Start the first node."""
    _start_position(state, frame, frame.input, start_node)


def child_done(state: RunState, frame: ScopeFrame, child: Frame, start_node: StartNode) -> None:
    """Go on with the next node, or end: with the last one's output, with a bail, or with a failure."""
    if child.output is None:
        _close(state, frame, child)
        return
    frame.outputs[child.node.id] = child.output
    frame.position += 1
    if frame.position < len(frame.node.nodes) and not child.is_bail:
        _start_position(state, frame, child.output, start_node)
    else:
        _close(state, frame, child)


def _start_position(state: RunState, frame: ScopeFrame, value: Ref, start_node: StartNode) -> None:
    node = frame.node.nodes[frame.position]
    start_node(state, node, parent=frame, slot=frame.position, path=frame.path_of(node.id), value=value)


def _close(state: RunState, frame: ScopeFrame, last: Frame) -> None:
    if frame.parent is None:
        state.issue(FinishRun("", last.output, last.cause))
    else:
        state.issue(CloseBlock(frame.path, last.output, last.cause, frame.node.workflow))
