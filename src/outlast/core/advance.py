"""The heart: `apply` folds one recorded fact, `decide` says what must happen next.

`apply` never argues with a fact: what is recorded has happened, whatever today's code would decide. `decide` starts
what may start and issues commands; each stays in `state.open` until the fact that answers it is applied. So recovery
is: fold the journal with both, throw the commands away, and issue what is still open once more. At every prefix of
every journal, commands given minus commands answered is `state.open`.

Both run in O(depth of the graph) per event, without I/O, clock, randomness or user code, and change the state in place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from outlast.core.commands import Cause, CloseBlock, Command, FinishRun, OpenBlock, RunMap, RunStep, StartTimer
from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    Event,
    RunFinished,
    RunStarted,
    StepFailed,
    StepStarted,
    StepSucceeded,
    TimerFired,
)
from outlast.core.flow import foreach, leaf, parallel, scope
from outlast.core.flow.start import start_node
from outlast.core.ref import Recorded
from outlast.core.state import (
    ForeachFrame,
    Frame,
    JournalMismatchError,
    LeafFrame,
    ParallelFrame,
    RunState,
    ScopeFrame,
)

__all__ = ["apply", "decide", "reissue"]


def apply(state: RunState, seq: int, event: Event) -> None:
    """Fold one recorded fact into the state.

    Raises:
        JournalMismatchError: The fact does not fit this graph; the state must not be used any more.
    """
    state.last_seq = seq
    match event:
        case StepStarted(path=path):
            _apply_started(state, path)
        case StepSucceeded(path=path):
            state.close(path, RunStep, RunMap)
            state.succeed(_leaf(state, path), Recorded(seq))
        case StepFailed(path=path):
            state.close(path, RunStep, RunMap)
            leaf.failed(state, _leaf(state, path), event)
        case TimerFired(path=path):
            state.close(path, StartTimer)
            leaf.timer_fired(state, _leaf(state, path))
        case BlockOpened():
            _apply_opened(state, event)
        case BlockSucceeded(path=path):
            _apply_block_succeeded(state, path)
        case BlockFailed():
            _apply_block_failed(state, event)
        case RunStarted():
            if state.root is not None:
                message = "the start of the run is recorded twice"
                raise JournalMismatchError(message)
            state.root = scope.start(state, state.graph.root, parent=None, slot=0, path="", value=Recorded(seq))
            state.agenda.append(state.root)
        case RunFinished():
            command = state.close("", FinishRun)
            state.finished = event.status
            state.result = command.output if isinstance(command, FinishRun) and event.failure is None else None
            state.frames.clear()
        case _:
            assert_never(event)


def decide(state: RunState) -> list[Command]:
    """Start whatever the applied facts allow, and return the commands that this issues, in order."""
    while state.agenda:
        _move(state, state.agenda.popleft())
    commands = state.issued
    state.issued = []
    return commands


def reissue(state: RunState) -> list[Command]:
    """Return all commands that are open, in the order in which they were given: what a recovery has to do."""
    return list(state.open.values())


def _apply_started(state: RunState, path: str) -> None:
    command = state.open.get(path)
    if not isinstance(command, RunStep | RunMap):
        message = f"'{path}' is recorded as started, which this graph would not be running now"
        raise JournalMismatchError(message)
    if not command.was_started:
        state.open[path] = replace(command, was_started=True)


def _apply_opened(state: RunState, event: BlockOpened) -> None:
    state.close(event.path, OpenBlock)
    frame = state.frame(event.path)
    if isinstance(frame, ForeachFrame):
        foreach.opened(state, frame, event)
    elif event.length is None:
        state.agenda.append(frame)
    else:
        message = f"'{event.path}' is recorded as a foreach, where this graph has a workflow"
        raise JournalMismatchError(message)


def _apply_block_succeeded(state: RunState, path: str) -> None:
    command = state.close(path, CloseBlock)
    if not isinstance(command, CloseBlock) or command.output is None:
        message = f"'{path}' is recorded as ended well, where a node in it has failed"
        raise JournalMismatchError(message)
    state.succeed(state.frame(path), command.output)


def _apply_block_failed(state: RunState, event: BlockFailed) -> None:
    command = state.close(event.path, OpenBlock, CloseBlock)
    cause = command.cause if isinstance(command, CloseBlock) else None
    if event.failure is not None:
        cause = Cause(event.path, event.failure)
    if cause is None:
        message = f"'{event.path}' is recorded as failed because of a node that has not failed"
        raise JournalMismatchError(message)
    state.fail(state.frame(event.path), cause)


def _move(state: RunState, frame: Frame) -> None:
    """Look at one frame that an event moved: it has ended, or it may go on."""
    if state.frames.get(frame.path) is not frame:
        _child_done(state, frame)
        return
    match frame:
        case LeafFrame():
            leaf.proceed(state, frame)
        case ScopeFrame():
            scope.proceed(state, frame, start_node)
        case ForeachFrame():
            foreach.proceed(state, frame, start_node)
        case ParallelFrame():
            message = f"'{frame.path}' has nothing of its own to go on with"
            raise JournalMismatchError(message)
        case _:
            assert_never(frame)


def _child_done(state: RunState, child: Frame) -> None:
    parent = child.parent
    match parent:
        case ScopeFrame():
            scope.child_done(state, parent, child, start_node)
        case ForeachFrame():
            foreach.child_done(state, parent, child, start_node)
        case ParallelFrame():
            parallel.child_done(state, parent, child)
        case None:
            message = "the root has no parent; it ends with RunFinished"
            raise JournalMismatchError(message)
        case _:
            assert_never(parent)


def _leaf(state: RunState, path: str) -> LeafFrame:
    frame = state.frame(path)
    if not isinstance(frame, LeafFrame):
        message = f"an outcome of '{path}' is recorded, where this graph has no step"
        raise JournalMismatchError(message)
    return frame
