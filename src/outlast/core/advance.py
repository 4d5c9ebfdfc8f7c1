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

from outlast.core.commands import (
    AwaitDeadline,
    AwaitResume,
    AwaitStep,
    Cause,
    CloseBlock,
    Command,
    Evaluate,
    FinishRun,
    OpenBlock,
    Pause,
    RunMap,
    RunStep,
    Sleep,
    StartTimer,
    Suspend,
)
from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    CancelRequested,
    Evaluated,
    EvaluationFailed,
    Event,
    HookEnded,
    HookStarted,
    RunContinued,
    RunCrashed,
    RunCreated,
    RunFinished,
    RunGivenUp,
    RunPaused,
    RunRewound,
    RunStarted,
    RunTimedOut,
    SleepStarted,
    StartTimedOut,
    StepCanceled,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.flow import ending, foreach, group, hook, leaf, loop, pause, scope
from outlast.core.flow.ending import DEADLINE_PATH, START_PATH
from outlast.core.flow.kept import recall_answer
from outlast.core.flow.start import start_node
from outlast.core.frames import ForeachFrame, Frame, GroupFrame, LeafFrame, LoopFrame, PauseFrame, ScopeFrame
from outlast.core.ref import Recorded, Ref
from outlast.core.seed import Seed
from outlast.core.state import JournalMismatchError, RunState
from outlast.graph.merge import merge

__all__ = ["apply", "decide", "reissue"]


def apply(state: RunState, seq: int, event: Event) -> None:
    """Fold one recorded fact into the state.

    Raises:
        JournalMismatchError: The fact does not fit this graph; the state must not be used any more.
    """
    state.last_seq = seq
    state.last_at_ms = event.at_ms
    match event:
        case StepStarted(path=path):
            _apply_started(state, path)
        case StepSucceeded(path=path):
            state.close(path, RunStep, RunMap)
            if event.patch:
                state.data = merge(state.data, event.patch)
            state.succeed(_leaf(state, path), Recorded(seq), is_bail=event.is_bail)
        case RunFinished():
            _apply_finished(state, event)
        case (
            RunStarted()
            | CancelRequested()
            | RunTimedOut()
            | RunCrashed()
            | RunGivenUp()
            | RunCreated()
            | StartTimedOut()
            | HookStarted()
            | HookEnded()
        ):
            _apply_to_run(state, seq, event)
        case StepFailed() | StepCanceled():
            _apply_failed(state, event)
        case StepSuspended() | StepResumed() | SuspensionTimedOut():
            _apply_suspension(state, seq, event)
        case Evaluated() | EvaluationFailed():
            _apply_answer(state, event)
        case SleepStarted() | TimerFired():
            _apply_timer(state, event)
        case BlockOpened() | BlockSucceeded() | BlockFailed():
            _apply_to_block(state, event)
        case RunRewound() | RunPaused() | RunContinued():
            _apply_intervention(state, event)
        case _:
            assert_never(event)


def decide(state: RunState) -> list[Command]:
    """Start whatever the applied facts allow, and return the commands that this issues, in order."""
    state.abandoned.clear()
    if state.to_begin_since:
        ending.look_if_begun(state)
    if state.is_canceling:
        state.agenda.clear()
        if not state.open and state.finished is None:
            state.issue(FinishRun("", None, state.ending, is_canceled=state.ending is None))
    while state.agenda:
        _move(state, state.agenda.popleft())
    if state.seed is not None:
        _recall_answers(state, state.seed)
    commands, state.issued = state.issued, []
    if state.abandoned:  # what this very event suspended may be given up already
        commands = [command for command in commands if command.path in state.open]
    return commands


def reissue(state: RunState) -> list[Command]:
    """Return all commands that are open, in the order in which they were given: what a recovery has to do."""
    return list(state.open.values())


def _apply_to_run(
    state: RunState,
    seq: int,
    event: RunStarted
    | CancelRequested
    | RunTimedOut
    | RunCrashed
    | RunGivenUp
    | RunCreated
    | StartTimedOut
    | HookStarted
    | HookEnded,
) -> None:
    match event:
        case RunStarted():
            if state.root is not None:
                message = "the start of the run is recorded twice"
                raise JournalMismatchError(message)
            state.drop(START_PATH)
            if event.start_deadline_ms is not None:
                state.to_begin_since = seq
                state.issue(AwaitDeadline(START_PATH, event.start_deadline_ms))
            _begin_execution(state, event, Recorded(seq))
        case CancelRequested():
            ending.cancel(state)
        case RunCreated():
            state.issue(AwaitDeadline(START_PATH, event.due_at_ms))
        case StartTimedOut():
            ending.miss_start(state)
        case RunTimedOut():
            ending.time_out(state)
        case RunCrashed():
            ending.crash(state, event)
        case RunGivenUp(failure=failure):
            ending.give_up(state, Cause("", failure))
        case HookStarted() | HookEnded():
            hook.note(state, event)
        case _:
            assert_never(event)


def _apply_finished(state: RunState, event: RunFinished) -> None:
    command = state.close("", FinishRun)
    state.drop(DEADLINE_PATH)
    state.finished = event.status
    state.result = command.output if event.failure is None else None
    state.frames.clear()


def _apply_intervention(state: RunState, event: RunRewound | RunPaused | RunContinued) -> None:
    """Fold what lets a run begin again at another place, stop between two nodes, or go on there."""
    root = state.root
    if root is None:
        message = "an event is recorded of a run that has not started"
        raise JournalMismatchError(message)
    match event:
        case RunRewound():
            state.forget_execution()
            state.execution, state.seed = event.execution, event.seed
            _begin_execution(state, event, event.seed.inputs.get("", root.input))
        case RunPaused():
            paused = state.close(event.path, Pause)
            state.issue(AwaitStep(paused.path, paused.number, paused.following))
        case RunContinued():
            state.close(event.path, AwaitStep)
            state.is_stepping = event.per_step
            state.agenda.append(root)
        case _:
            assert_never(event)


def _begin_execution(state: RunState, event: RunStarted | RunRewound, value: Ref) -> None:
    state.data = event.state
    state.is_stepping = event.per_step
    if event.deadline_ms is not None:
        state.issue(AwaitDeadline(DEADLINE_PATH, event.deadline_ms))
    state.root = scope.start(state, state.graph.root, parent=None, slot=0, path="", value=value)


def _recall_answers(state: RunState, seed: Seed) -> None:
    """Answer the questions whose answer is kept, and those that follow from that."""
    while (recalled := recall_answer(state, seed)) is not None:
        command, value = recalled
        _answer(state, command, value)
        while state.agenda:
            _move(state, state.agenda.popleft())


def _apply_started(state: RunState, path: str) -> None:
    command = state.open.get(path)
    match command:
        case RunStep(was_started=False):  # written out, because this happens once per step and `replace` is slow
            state.open[path] = RunStep(
                path,
                command.function,
                command.attempt,
                command.input,
                True,  # noqa: FBT003 - by position: a class that is called by name is called through a dict
                command.resumption,
            )
        case RunMap(was_started=False):
            state.open[path] = replace(command, was_started=True)
        case RunStep() | RunMap():
            pass
        case _:
            raise _never_started(path)
    frame = state.frames.get(path)
    if isinstance(frame, LeafFrame) and frame.begun_at_ms is None:
        frame.begun_at_ms = state.last_at_ms


def _never_started(path: str) -> JournalMismatchError:
    return JournalMismatchError(f"'{path}' is recorded as started, which this graph would not be running now")


def _apply_failed(state: RunState, event: StepFailed | StepCanceled) -> None:
    state.close(event.path, RunStep, RunMap)
    if isinstance(event, StepFailed):
        leaf.failed(state, _leaf(state, event.path), event)


def _apply_suspension(state: RunState, seq: int, event: StepSuspended | StepResumed | SuspensionTimedOut) -> None:
    frame = state.frame(event.path)
    if isinstance(event, StepSuspended):
        state.close(event.path, RunStep, Suspend)
        if event.patch:
            state.data = merge(state.data, event.patch)
        if state.is_canceling:
            return  # nobody may resume it: waiting for that would keep the run from ending
        if isinstance(frame, LeafFrame):
            leaf.suspended(state, frame, seq, event)
        elif isinstance(frame, PauseFrame):
            pause.suspended(state, frame, seq, event)
        return
    command = state.close(event.path, AwaitResume)
    data: Ref | None = Recorded(seq) if isinstance(event, StepResumed) else None
    if isinstance(frame, LeafFrame):
        leaf.resumed(state, frame, command, data)
    elif isinstance(frame, PauseFrame):
        pause.resumed(state, frame, data)


def _apply_answer(state: RunState, event: Evaluated | EvaluationFailed) -> None:
    command = state.close(event.path, Evaluate)
    frame = state.frame(command.node_path)
    if isinstance(event, EvaluationFailed):
        _apply_evaluation_failed(state, frame, Cause(event.path, event.failure))
    else:
        _answer(state, command, event.value)


def _answer(state: RunState, command: Evaluate, value: int) -> None:
    frame = state.frame(command.node_path)
    match frame:
        case GroupFrame():
            group.answered(state, frame, command.path, value)
        case LoopFrame():
            loop.answered(state, frame, value)
        case ForeachFrame():
            foreach.answered(state, frame, value)
        case PauseFrame():
            pause.answered(state, frame, value)
        case LeafFrame() | ScopeFrame():
            message = f"an answer to '{command.path}' is recorded, which this graph does not ask"
            raise JournalMismatchError(message)
        case _:
            assert_never(frame)


def _apply_evaluation_failed(state: RunState, frame: Frame, cause: Cause) -> None:
    match frame:
        case GroupFrame():
            group.evaluation_failed(state, frame, cause)
        case LoopFrame():
            loop.evaluation_failed(state, frame, cause)
        case ForeachFrame():
            foreach.evaluation_failed(state, frame, cause)
        case PauseFrame() | LeafFrame() | ScopeFrame():
            state.fail(frame, cause)
        case _:
            assert_never(frame)


def _apply_timer(state: RunState, event: SleepStarted | TimerFired) -> None:
    if isinstance(event, SleepStarted):
        if not isinstance(state.open.get(event.path), Sleep):
            raise _never_started(event.path)
        state.open[event.path] = Sleep(event.path, event.due_at_ms, was_started=True)
        return
    state.close(event.path, StartTimer, Sleep)
    frame = state.frame(event.path)
    if isinstance(frame, PauseFrame):
        pause.woke_up(state, frame)
    else:
        leaf.timer_fired(state, _leaf(state, event.path))


def _apply_to_block(state: RunState, event: BlockOpened | BlockSucceeded | BlockFailed) -> None:
    match event:
        case BlockOpened():
            _apply_opened(state, event)
        case BlockSucceeded(path=path):
            _apply_block_succeeded(state, path)
        case BlockFailed():
            _apply_block_failed(state, event)
        case _:
            assert_never(event)


def _apply_opened(state: RunState, event: BlockOpened) -> None:
    state.close(event.path, OpenBlock)
    frame = state.frame(event.path)
    if isinstance(frame, ForeachFrame):
        foreach.opened(state, frame, event)
    elif event.length is None:
        state.agenda.append(frame)
    else:
        message = f"'{event.path}' is recorded as a foreach, where this graph has none"
        raise JournalMismatchError(message)


def _apply_block_succeeded(state: RunState, path: str) -> None:
    command = state.close(path, CloseBlock)
    if command.output is None:
        message = f"'{path}' is recorded as ended well, where a node in it has failed"
        raise JournalMismatchError(message)
    frame = state.frame(path)
    is_bail = isinstance(frame, ForeachFrame | LoopFrame) and frame.bail is not None
    state.succeed(frame, command.output, is_bail=is_bail)


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
        if frame.output is not None or frame.cause is not None:
            _child_done(state, frame)
        return
    match frame:
        case LeafFrame():
            leaf.proceed(state, frame)
        case ScopeFrame():
            scope.proceed(state, frame, start_node)
        case ForeachFrame():
            foreach.proceed(state, frame, start_node)
        case GroupFrame():
            group.proceed(state, frame, start_node)
        case LoopFrame():
            loop.proceed(state, frame, start_node)
        case PauseFrame():
            pause.proceed(state, frame)
        case _:
            assert_never(frame)


def _child_done(state: RunState, child: Frame) -> None:
    parent = child.parent
    match parent:
        case ScopeFrame():
            scope.child_done(state, parent, child, start_node)
        case ForeachFrame():
            foreach.child_done(state, parent, child, start_node)
        case GroupFrame():
            group.child_done(state, parent, child, start_node)
        case LoopFrame():
            loop.child_done(state, parent, child)
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
