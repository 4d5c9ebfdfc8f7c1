"""Sleeps and waits: nodes without user code that do nothing for a while (rules 7.5 and 11)."""

from __future__ import annotations

from typing import assert_never

from outlast.core.commands import AwaitResume, Cause, Evaluate, Purpose, Sleep, Suspend
from outlast.core.events import StepSuspended
from outlast.core.flow.blocking import became_blocked, became_free
from outlast.core.frames import Parent, PauseFrame
from outlast.core.ref import Constant, Recorded, Ref
from outlast.core.state import RunState
from outlast.failures import FailureInfo
from outlast.graph.nodes import SleepNode, WaitNode
from outlast.instant import render_ms
from outlast.values import encode

__all__ = ["answered", "proceed", "resumed", "start", "suspended", "timed_out", "woke_up"]


def start(state: RunState, node: SleepNode | WaitNode, *, parent: Parent, slot: int, path: str, value: Ref) -> None:
    """Begin a sleep or a wait."""
    frame = PauseFrame(path, slot, value, parent, node)
    state.frames[path] = frame
    match node:
        case WaitNode():
            state.issue(Suspend(path, node.payload, node.timeout_ms))
        case SleepNode(function=str(function)):
            purpose: Purpose = "until" if node.is_until else "duration"
            state.issue(Evaluate(f"{path}?{purpose}", path, function, value, purpose))
        case SleepNode():
            frame.due_at_ms = node.until_ms
            proceed(state, frame)
        case _:
            assert_never(node)


def proceed(state: RunState, frame: PauseFrame) -> None:
    """Go to sleep: until a time that is known by now, or for a time that counts from when somebody begins it."""
    duration_ms = frame.node.duration_ms if isinstance(frame.node, SleepNode) else None
    state.issue(Sleep(frame.path, frame.due_at_ms, duration_ms or 0))


def answered(state: RunState, frame: PauseFrame, value: int) -> None:
    """Fold the due time that a function gave."""
    frame.due_at_ms = value
    state.agenda.append(frame)


def woke_up(state: RunState, frame: PauseFrame) -> None:
    """Fold the end of a sleep: its output is its input."""
    state.succeed(frame, frame.input)


def suspended(state: RunState, frame: PauseFrame, seq: int, event: StepSuspended) -> None:
    """Fold the beginning of a wait."""
    state.issue(AwaitResume(frame.path, 0, event.due_at_ms, event.label, Recorded(seq)))
    became_blocked(state, frame)


def resumed(state: RunState, frame: PauseFrame, data: Ref | None) -> None:
    """Fold the end of a wait: its output is the data, or the default if its time was over."""
    became_free(frame)
    node = frame.node
    if data is not None:
        state.succeed(frame, data)
    elif isinstance(node, WaitNode) and node.default:
        state.succeed(frame, Constant(encode(node.default[0])))
    else:
        state.fail(frame, Cause(frame.path, timed_out(frame.path, state.last_at_ms)))


def timed_out(path: str, at_ms: int) -> FailureInfo:
    """Return the failure of a wait that nobody resumed in time."""
    message = f"nobody resumed '{path}' until {render_ms(at_ms)}"
    return FailureInfo(type="SuspensionTimeoutError", message=message, is_retryable=False)
