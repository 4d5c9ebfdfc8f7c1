"""Which blocks can do nothing until somebody resumes them. A block with a failure does not wait for the suspended."""

from __future__ import annotations

from outlast.core.frames import Block, ForeachFrame, Frame, GroupFrame
from outlast.core.state import RunState

__all__ = ["abandon_children", "became_blocked", "became_free"]


def became_blocked(state: RunState, frame: Frame) -> None:
    """Note that a child can do nothing until it is resumed, and what this means to the blocks around it."""
    parent = frame.parent
    while parent is not None:
        if isinstance(parent, ForeachFrame | GroupFrame):
            parent.blocked += 1
            if parent.blocked < parent.running:
                return
            if has_stopped(parent):
                state.agenda.append(parent)
                return
        parent = parent.parent


def became_free(frame: Frame) -> None:
    """Note that a child was resumed."""
    parent = frame.parent
    while parent is not None:
        if isinstance(parent, ForeachFrame | GroupFrame):
            parent.blocked -= 1
            if parent.blocked + 1 < parent.running:
                return
        parent = parent.parent


def has_stopped(block: Block) -> bool:
    """Say whether a block ends without those of its children that are suspended."""
    return block.stopped_at >= 0


def abandon_children(state: RunState, block: Block) -> None:
    """Forget everything that is alive under a block: all of it is suspended, and the block ends without it."""
    if block.running == 0:
        return
    for path, frame in list(state.frames.items()):
        if _stands_under(frame, block):
            state.drop(path)
            del state.frames[path]
            state.abandoned.append(path)
    block.running = block.blocked = 0


def _stands_under(frame: Frame, block: Block) -> bool:
    parent = frame.parent
    while parent is not None and parent is not block:
        parent = parent.parent
    return parent is block
