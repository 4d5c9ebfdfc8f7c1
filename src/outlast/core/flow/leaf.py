"""Steps and maps: they have no children, so all that happens to them are facts."""

from __future__ import annotations

from typing import assert_never

from outlast.core.commands import AwaitResume, Cause, Resumption, RunMap, RunStep, StartTimer
from outlast.core.events import StepFailed, StepSuspended
from outlast.core.flow.blocking import became_blocked, became_free
from outlast.core.frames import LeafFrame, Parent
from outlast.core.ref import Recorded, Ref
from outlast.core.state import RunState
from outlast.graph.nodes import MapNode, StepNode

__all__ = ["failed", "proceed", "resumed", "start", "suspended", "timer_fired"]


def start(state: RunState, node: StepNode | MapNode, *, parent: Parent, slot: int, path: str, value: Ref) -> None:
    """Begin a step or map with its first attempt."""
    frame = LeafFrame(path, slot, value, parent, node)
    if state.seed is not None:
        frame.resumption = state.seed.resumptions.get(path)
    state.frames[path] = frame
    proceed(state, frame)


def proceed(state: RunState, frame: LeafFrame) -> None:
    """Ask for the attempt that comes next, or for a timer if it is not due yet."""
    if frame.due_at_ms is not None:
        state.issue(StartTimer(frame.path, frame.due_at_ms))
        return
    match frame.node:
        case StepNode(function=function):
            state.issue(RunStep(frame.path, function, frame.attempt, frame.input, resumption=frame.resumption))
        case MapNode(function=function):
            state.issue(RunMap(frame.path, function, frame.input))
        case _:
            assert_never(frame.node)


def failed(state: RunState, frame: LeafFrame, event: StepFailed) -> None:
    """Fold a failed attempt: it is tried again at once, later, or not at all, as the event says."""
    if event.retry_at_ms is None:
        state.fail(frame, Cause(frame.path, event.failure))
        return
    frame.attempt = event.attempt + 1
    frame.due_at_ms = event.retry_at_ms if event.retry_at_ms > event.at_ms else None
    state.agenda.append(frame)


def timer_fired(state: RunState, frame: LeafFrame) -> None:
    """Fold the end of a wait between two attempts."""
    frame.due_at_ms = None
    state.agenda.append(frame)


def suspended(state: RunState, frame: LeafFrame, seq: int, event: StepSuspended) -> None:
    """Fold a suspension: wait to be resumed. The attempt is not used up by it."""
    state.issue(AwaitResume(frame.path, frame.suspensions, event.due_at_ms, event.label, Recorded(seq)))
    frame.suspensions += 1
    became_blocked(state, frame)


def resumed(state: RunState, frame: LeafFrame, answered: AwaitResume, data: Ref | None) -> None:
    """Fold the end of a suspension, with the data or because its time was over: the body is called once more."""
    frame.resumption = Resumption(answered.payload, data)
    became_free(frame)
    state.agenda.append(frame)
