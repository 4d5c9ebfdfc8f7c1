"""Several bodies with the same input: all (parallel, rule 5.2), or those whose condition is true (branch, 5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlast.core.commands import Cause, Evaluate
from outlast.core.flow.blocking import abandon_children, became_blocked, has_stopped
from outlast.core.frames import Frame, GroupFrame, ScopeFrame
from outlast.core.ref import DictOf, Ref
from outlast.core.state import RunState
from outlast.graph.nodes import BranchNode, ParallelNode

if TYPE_CHECKING:
    from outlast.core.flow.start import StartNode

__all__ = ["answered", "child_done", "evaluation_failed", "proceed", "start"]


def start(
    state: RunState, node: ParallelNode | BranchNode, *, parent: ScopeFrame, slot: int, path: str, value: Ref
) -> None:
    """Begin. The children are addressed without the block, as nodes of the workflow in which it stands."""
    size = len(node.children)
    frame = GroupFrame(path, slot, value, parent, node, outputs=[None] * size)
    state.frames[path] = frame
    if isinstance(node, BranchNode):
        frame.verdicts = [None] * size
        _ask(state, frame, node)
    else:
        frame.chosen, frame.is_chosen = list(range(size)), True
        state.agenda.append(frame)


def answered(state: RunState, frame: GroupFrame, path: str, value: int) -> None:
    """Fold the answer of a condition."""
    frame.asked -= 1
    frame.verdicts[_slot_of(frame, path)] = bool(value)
    state.agenda.append(frame)


def evaluation_failed(state: RunState, frame: GroupFrame, cause: Cause) -> None:
    """Fold the failure of a condition; the first one in declaration order is the block's."""
    frame.asked -= 1
    slot = _slot_of(frame, cause.path)
    frame.verdicts[slot] = False
    _note_failure(frame, slot, cause)
    state.agenda.append(frame)


def child_done(state: RunState, frame: GroupFrame, child: Frame, start_node: StartNode) -> None:
    """Note a child's end. All are awaited; then the first failure in declaration order is the block's."""
    frame.running -= 1
    if child.cause is not None:
        _note_failure(frame, child.slot, child.cause)
    elif child.output is not None:
        frame.outputs[child.slot] = child.output
        frame.parent.outputs[child.node.id] = child.output
    proceed(state, frame, start_node)


def proceed(state: RunState, frame: GroupFrame, start_node: StartNode) -> None:
    """Ask the conditions, start the chosen children within the limit, and end when none can go on."""
    node = frame.node
    if frame.asked:
        return
    if isinstance(node, BranchNode) and not frame.is_chosen and not has_stopped(frame):
        if _ask(state, frame, node):
            return
        frame.chosen = [slot for slot, verdict in enumerate(frame.verdicts) if verdict]
        frame.is_chosen = True
    if has_stopped(frame) and frame.blocked == frame.running:
        abandon_children(state, frame)  # before the rest starts: it may have waited for their places
    _start_children(state, frame, start_node)
    if frame.running == 0:
        _end(state, frame)
    elif frame.blocked == frame.running:
        became_blocked(state, frame)


def _ask(state: RunState, frame: GroupFrame, node: BranchNode) -> bool:
    """Ask the conditions whose answer is needed now: all at once, or the next one if only the first true one counts."""
    if node.is_first_only and True in frame.verdicts:
        return False
    for slot, verdict in enumerate(frame.verdicts):
        if verdict is None:
            path = f"{frame.path}?{node.children[slot].id}"
            frame.asked += 1
            state.issue(Evaluate(path, frame.path, node.conditions[slot], frame.input, "condition"))
            if node.is_first_only:
                break
    return frame.asked > 0


def _start_children(state: RunState, frame: GroupFrame, start_node: StartNode) -> None:
    limit = frame.node.limit if isinstance(frame.node, ParallelNode) else None
    while frame.cursor < len(frame.chosen) and (limit is None or frame.running < limit):
        slot = frame.chosen[frame.cursor]
        frame.cursor += 1
        frame.running += 1
        child = frame.node.children[slot]
        start_node(state, child, parent=frame, slot=slot, path=frame.parent.path_of(child.id), value=frame.input)


def _note_failure(frame: GroupFrame, slot: int, cause: Cause) -> None:
    if not has_stopped(frame) or slot < frame.stopped_at:
        frame.stopped_at = slot
        frame.cause = cause


def _end(state: RunState, frame: GroupFrame) -> None:
    if frame.cause is not None:
        state.fail(frame, frame.cause)
        return
    ids = [node.id for node in frame.node.children]
    items: list[tuple[str, Ref]] = [
        (each, ref) for each, ref in zip(ids, frame.outputs, strict=True) if ref is not None
    ]
    state.succeed(frame, DictOf(tuple(items)))


def _slot_of(frame: GroupFrame, path: str) -> int:
    name = path.rpartition("?")[2]
    return next(slot for slot, child in enumerate(frame.node.children) if child.id == name)
