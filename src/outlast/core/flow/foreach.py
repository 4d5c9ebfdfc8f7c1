"""One body per item of a list, in a rolling window (rule 5.5). A suspended item keeps its place in the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlast.core.commands import Cause, CloseBlock, Evaluate, OpenBlock
from outlast.core.events import BlockOpened
from outlast.core.flow.blocking import abandon_children, became_blocked, has_stopped
from outlast.core.frames import ForeachFrame, Frame, ScopeFrame
from outlast.core.ref import ListOf, Recorded, Ref, item_of
from outlast.core.state import JournalMismatchError, RunState
from outlast.graph.nodes import ForeachNode

if TYPE_CHECKING:
    from outlast.core.flow.start import StartNode

__all__ = ["answered", "child_done", "evaluation_failed", "opened", "proceed", "start"]


def start(state: RunState, node: ForeachNode, *, parent: ScopeFrame, slot: int, path: str, value: Ref) -> None:
    """Begin: how long the list is, is a fact that only the engine can find out."""
    frame = ForeachFrame(path, slot, value, parent, node)
    state.frames[path] = frame
    if isinstance(node.concurrency, str):
        state.issue(Evaluate(f"{path}?concurrency", path, node.concurrency, value, "concurrency"))
    else:
        frame.concurrency = node.concurrency
        _open(state, frame)


def answered(state: RunState, frame: ForeachFrame, value: int) -> None:
    """Fold the concurrency that a function gave."""
    frame.concurrency = value
    state.agenda.append(frame)


def evaluation_failed(state: RunState, frame: ForeachFrame, cause: Cause) -> None:
    """Fold the failure of the function that says how many items may run at a time."""
    frame.stopped_at, frame.cause = 0, cause
    state.agenda.append(frame)


def opened(state: RunState, frame: ForeachFrame, event: BlockOpened) -> None:
    """Fold the length of the list."""
    if event.length is None or event.concurrency is None:
        message = f"'{frame.path}' is recorded as a workflow, where this graph has a foreach"
        raise JournalMismatchError(message)
    frame.outputs = [None] * event.length
    frame.concurrency = event.concurrency
    frame.is_open = True
    state.agenda.append(frame)


def child_done(state: RunState, frame: ForeachFrame, child: Frame, start_node: StartNode) -> None:
    """Note an item's end. After a failure or a bail no item starts any more; those in flight end first.

    Then the lowest of the items that failed or bailed decides: the same as if the items ran one after the other.
    """
    frame.running -= 1
    is_collected = child.cause is not None and frame.node.is_collecting
    frame.outputs[child.slot] = Recorded(child.ended_seq) if is_collected else child.output
    is_stop = child.is_bail or (child.cause is not None and not is_collected)
    if is_stop and (not has_stopped(frame) or child.slot < frame.stopped_at):
        frame.stopped_at, frame.cause, frame.bail = child.slot, child.cause, child.output
    proceed(state, frame, start_node)


def proceed(state: RunState, frame: ForeachFrame, start_node: StartNode) -> None:
    """Start items until the window is full; end when none can go on and none may start."""
    if not frame.is_open and frame.cause is None:
        _open(state, frame)
        return
    if not has_stopped(frame):
        while frame.running < frame.concurrency and frame.cursor < len(frame.outputs):
            index = frame.cursor
            frame.cursor += 1
            frame.running += 1
            path = f"{frame.path}[{index}]"
            start_node(state, frame.node.body, parent=frame, slot=index, path=path, value=item_of(frame.input, index))
    elif frame.blocked == frame.running:
        abandon_children(state, frame)
    if frame.running == 0:
        _close(state, frame)
    elif frame.blocked == frame.running:
        became_blocked(state, frame)


def _open(state: RunState, frame: ForeachFrame) -> None:
    state.issue(OpenBlock(frame.path, frame.input, None, frame.concurrency))


def _close(state: RunState, frame: ForeachFrame) -> None:
    output: Ref | None = None
    if frame.cause is None:
        output = frame.bail or ListOf(tuple(ref for ref in frame.outputs if ref is not None))
    state.issue(CloseBlock(frame.path, output, frame.cause, None))
