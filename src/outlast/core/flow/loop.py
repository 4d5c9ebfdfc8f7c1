"""One body again and again, until its condition says enough (rule 5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlast.core.commands import Cause, CloseBlock, Evaluate, OpenBlock
from outlast.core.frames import Frame, LoopFrame, ScopeFrame
from outlast.core.ref import Ref
from outlast.core.state import RunState
from outlast.failures import FailureInfo
from outlast.graph.nodes import LoopNode

if TYPE_CHECKING:
    from outlast.core.flow.start import StartNode

__all__ = ["answered", "child_done", "evaluation_failed", "proceed", "start"]


def start(state: RunState, node: LoopNode, *, parent: ScopeFrame, slot: int, path: str, value: Ref) -> None:
    """Begin; the first pass follows whatever the condition would say."""
    state.frames[path] = LoopFrame(path, slot, value, parent, node)
    state.issue(OpenBlock(path, value, None, None))


def child_done(state: RunState, frame: LoopFrame, child: Frame) -> None:
    """Ask the condition after a pass; a failure or a bail ends the loop without asking."""
    if child.output is None:
        state.issue(CloseBlock(frame.path, None, child.cause, None))
    elif child.is_bail:
        frame.bail = child.output
        state.issue(CloseBlock(frame.path, child.output, None, None))
    else:
        _ask(state, frame, child.output)


def answered(state: RunState, frame: LoopFrame, value: int) -> None:
    """Fold the condition's answer."""
    frame.verdict = bool(value)
    state.agenda.append(frame)


def evaluation_failed(state: RunState, frame: LoopFrame, cause: Cause) -> None:
    """Fold the condition's failure: it is the loop's."""
    frame.cause = cause
    state.agenda.append(frame)


def proceed(state: RunState, frame: LoopFrame, start_node: StartNode) -> None:
    """Start the next pass, or end."""
    if frame.passes == 0 and state.seed is not None:
        frame.passes = state.seed.passes.get(frame.path, 0)
        kept = state.seed.kept.get(f"{frame.path}#{frame.passes}")
        if kept is not None:
            _ask(state, frame, kept)
            return
    if frame.cause is not None:
        state.issue(CloseBlock(frame.path, None, frame.cause, None))
    elif frame.verdict is not None and frame.verdict == frame.node.is_until:
        state.issue(CloseBlock(frame.path, frame.last, None, None))
    elif frame.passes == frame.node.max_iterations:
        state.issue(CloseBlock(frame.path, None, _too_many(frame), None))
    else:
        value: Ref = frame.input if frame.last is None else frame.last
        frame.passes += 1
        frame.verdict = None
        path = f"{frame.path}#{frame.passes}"
        start_node(state, frame.node.body, parent=frame, slot=frame.passes, path=path, value=value)


def _ask(state: RunState, frame: LoopFrame, output: Ref) -> None:
    """Ask the condition what the latest pass means."""
    frame.last = output
    path = f"{frame.path}#{frame.passes}?condition"
    state.issue(Evaluate(path, frame.path, frame.node.condition, output, "condition", frame.passes))


def _too_many(frame: LoopFrame) -> Cause:
    message = f"'{frame.path}' made {frame.passes} passes and its condition still says to go on (max_iterations)"
    return Cause(frame.path, FailureInfo(type="MaxIterationsError", message=message, is_retryable=False))
