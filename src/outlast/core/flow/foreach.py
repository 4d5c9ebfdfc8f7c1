"""One body per item of a list, in a rolling window (rule 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlast.core.commands import CloseBlock, OpenBlock
from outlast.core.events import BlockOpened
from outlast.core.ref import ListOf, Ref, item_of
from outlast.core.state import ForeachFrame, Frame, JournalMismatchError, RunState, ScopeFrame
from outlast.graph.nodes import ForeachNode

if TYPE_CHECKING:
    from outlast.core.flow.start import StartNode

__all__ = ["child_done", "opened", "proceed", "start"]


def start(state: RunState, node: ForeachNode, *, parent: ScopeFrame, slot: int, path: str, value: Ref) -> None:
    """Begin: how long the list is, is a fact that only the engine can find out."""
    state.frames[path] = ForeachFrame(node=node, path=path, parent=parent, slot=slot, input=value)
    state.issue(OpenBlock(path, value, None, node.concurrency))


def opened(state: RunState, frame: ForeachFrame, event: BlockOpened) -> None:
    """Fold the length of the list."""
    if event.length is None or event.concurrency is None:
        message = f"'{frame.path}' is recorded as a workflow, where this graph has a foreach"
        raise JournalMismatchError(message)
    frame.outputs = [None] * event.length
    frame.concurrency = event.concurrency
    state.agenda.append(frame)


def child_done(state: RunState, frame: ForeachFrame, child: Frame, start_node: StartNode) -> None:
    """Note an item's end. After a failure no item starts any more; those in flight end first."""
    frame.running -= 1
    if child.cause is None:
        frame.outputs[child.slot] = child.output
    elif frame.failed_at < 0 or child.slot < frame.failed_at:
        frame.failed_at = child.slot
        frame.cause = child.cause
    proceed(state, frame, start_node)


def proceed(state: RunState, frame: ForeachFrame, start_node: StartNode) -> None:
    """Start items until the window is full; end when none is in flight and none may start."""
    if frame.failed_at < 0:
        while frame.running < frame.concurrency and frame.cursor < len(frame.outputs):
            index = frame.cursor
            frame.cursor += 1
            frame.running += 1
            path = f"{frame.path}[{index}]"
            start_node(state, frame.node.body, parent=frame, slot=index, path=path, value=item_of(frame.input, index))
    if frame.running == 0:
        output = None if frame.cause is not None else _joined(frame)
        state.issue(CloseBlock(frame.path, output, frame.cause, None))


def _joined(frame: ForeachFrame) -> Ref:
    return ListOf(tuple(ref for ref in frame.outputs if ref is not None))
