"""Several bodies with the same input at once; all are awaited, also when one fails (rule 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlast.core.ref import DictOf, Ref
from outlast.core.state import Frame, ParallelFrame, RunState, ScopeFrame
from outlast.graph.nodes import ParallelNode

if TYPE_CHECKING:
    from outlast.core.flow.start import StartNode

__all__ = ["child_done", "start"]


def start(
    state: RunState, node: ParallelNode, *, parent: ScopeFrame, slot: int, path: str, value: Ref, start_node: StartNode
) -> None:
    """Begin: all children start together. They are addressed without the block, as nodes of the workflow it is in."""
    frame = ParallelFrame(node=node, path=path, parent=parent, slot=slot, input=value)
    state.frames[path] = frame
    frame.running = len(node.children)
    frame.outputs = [None] * len(node.children)
    for index, child in enumerate(node.children):
        start_node(state, child, parent=frame, slot=index, path=parent.path_of(child.id), value=value)


def child_done(state: RunState, frame: ParallelFrame, child: Frame) -> None:
    """Note a child's end. When all have ended the block fails with the first failure in declaration order, if any."""
    frame.running -= 1
    if child.output is not None:
        frame.outputs[child.slot] = child.output
        frame.parent.outputs[child.node.id] = child.output
    elif frame.failed_at < 0 or child.slot < frame.failed_at:
        frame.failed_at = child.slot
        frame.cause = child.cause
    if frame.running:
        return
    if frame.cause is not None:
        state.fail(frame, frame.cause)
    else:
        ids = [node.id for node in frame.node.children]
        state.succeed(
            frame, DictOf(tuple((i, ref) for i, ref in zip(ids, frame.outputs, strict=True) if ref is not None))
        )
