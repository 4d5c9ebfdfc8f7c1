"""Workflows, the root as well as nested ones: one node after the other (rules 5.1 and 5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from outlast.core.commands import CloseBlock, FinishRun, OpenBlock, Pause
from outlast.core.flow import hook
from outlast.core.flow.kept import enter_scope
from outlast.core.frames import Frame, Parent, ScopeFrame
from outlast.core.ref import Ref
from outlast.core.state import RunState
from outlast.graph.nodes import WorkflowNode

if TYPE_CHECKING:
    from outlast.core.flow.start import StartNode

__all__ = ["PAUSE_PATH", "child_done", "proceed", "start"]

PAUSE_PATH: Final = "?pause"
"""Where it is open that the run stops between two nodes."""


def start(
    state: RunState, node: WorkflowNode, *, parent: Parent | None, slot: int, path: str, value: Ref
) -> ScopeFrame:
    """Begin a workflow. A nested one is opened only if its input fits; the root's was checked before."""
    frame = ScopeFrame(path, slot, value, parent, node)
    state.frames[path] = frame
    seed = state.seed
    if seed is not None:
        enter_scope(frame, seed)
    if parent is None:
        hook.begin(state, frame)
    elif seed is not None and path in seed.unchecked:
        state.agenda.append(frame)
    else:
        state.issue(OpenBlock(path, value, node.workflow, None))
    return frame


def proceed(state: RunState, frame: ScopeFrame, start_node: StartNode) -> None:
    """Start the first node, or the one before which the run was paused."""
    before = frame.node.nodes[frame.position - 1].id if frame.position else None
    # The output before it may be unknown where an execution began here; then its input was given.
    value = frame.input if before is None else frame.outputs.get(before, frame.input)
    _start_position(state, frame, value, start_node)


def child_done(state: RunState, frame: ScopeFrame, child: Frame, start_node: StartNode) -> None:
    """Go on with the next node, or end: with the last one's output, with a bail, or with a failure."""
    if child.output is None:
        _close(state, frame, child)
        return
    frame.outputs[child.node.id] = child.output
    frame.position += 1
    if frame.position == len(frame.node.nodes) or child.is_bail:
        _close(state, frame, child)
    elif state.is_stepping and frame.parent is None:
        following = frame.node.nodes[frame.position].id
        state.issue(Pause(PAUSE_PATH, frame.position, following))
    else:
        _start_position(state, frame, child.output, start_node)


def _start_position(state: RunState, frame: ScopeFrame, value: Ref, start_node: StartNode) -> None:
    node = frame.node.nodes[frame.position]
    start_node(state, node, parent=frame, slot=frame.position, path=frame.path_of(node.id), value=value)


def _close(state: RunState, frame: ScopeFrame, last: Frame) -> None:
    if frame.parent is None:
        state.issue(FinishRun("", last.output, last.cause))
    else:
        state.issue(CloseBlock(frame.path, last.output, last.cause, frame.node.workflow))
