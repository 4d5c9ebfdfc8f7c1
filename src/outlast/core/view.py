"""The journal as readers see it: a fold into one record per step, with references instead of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from outlast.core.advance import apply, decide
from outlast.core.codec import decode_event
from outlast.core.commands import Cause, CloseBlock, Evaluate, Sleep
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
from outlast.core.flow.pause import timed_out
from outlast.core.frames import PauseFrame
from outlast.core.record import Record
from outlast.core.ref import Constant, Recorded, Ref
from outlast.core.seed import is_retained
from outlast.core.state import RunState
from outlast.core.status import StepStatus
from outlast.failures import FailureInfo
from outlast.graph.nodes import Graph, WaitNode
from outlast.immutable import new_dict
from outlast.trace import UNTRACED, Tracing
from outlast.values import JsonValue, encode

__all__ = ["RunView", "StepView", "fold_state", "fold_view"]

_StepEvent: TypeAlias = (
    StepStarted
    | StepSucceeded
    | StepFailed
    | StepSuspended
    | StepResumed
    | SuspensionTimedOut
    | StepCanceled
    | SleepStarted
    | TimerFired
    | BlockOpened
    | BlockSucceeded
    | BlockFailed
)


_NOTHING = Constant(b"null")
"""The input of a node of which only the output is known, or nothing."""


@dataclass(slots=True, kw_only=True)
class StepView:
    """What the journal says of one step, map, foreach or nested workflow."""

    status: StepStatus
    """Its status."""
    input: Ref
    """What it received."""
    started_at_ms: int
    """When its first attempt began."""
    output: Ref | None = None
    """What it gave."""
    failure: FailureInfo | None = None
    """The latest failure; kept while another attempt is due, gone after success."""
    ended_at_ms: int | None = None
    """When it ended."""
    suspend_payload: Ref | None = None
    """What it told when it was suspended last."""
    suspended_at_ms: int | None = None
    """When that was."""
    resume_payload: Ref | None = None
    """What it was resumed with last."""
    resumed_at_ms: int | None = None
    """When that was."""
    attempts: int = 0
    """How many attempts were begun, recoveries not counted."""


@dataclass(slots=True, kw_only=True)
class RunView:
    """What the journal says of a run."""

    state: RunState
    """The state after the last event."""
    steps: dict[str, StepView] = field(default_factory=new_dict)
    """By path, in the order in which they began."""
    request_context: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """What the caller told all steps."""
    include_state: bool = False
    """Whether results show the state."""
    tracing: Tracing = UNTRACED
    """What the caller asked of its trace."""
    failure: Cause | None = None
    """Why the run failed."""
    cancel_reason: str | None = None
    """Why it was canceled, in the caller's words."""


def fold_state(graph: Graph, records: Iterable[Record]) -> RunState:
    """Return the state after these records: what a recovery begins with.

    Raises:
        UnknownEventError: A newer version wrote one of them.
        JournalMismatchError: They do not belong to this graph.
    """
    state = RunState(graph)
    for record in records:
        if record.is_fact:
            apply(state, record.seq, decode_event(record))
            decide(state)
    return state


def fold_view(graph: Graph, records: Iterable[Record]) -> RunView:
    """Return what these records say of the run and its steps.

    Raises:
        UnknownEventError: A newer version wrote one of them.
        JournalMismatchError: They do not belong to this graph.
    """
    state = RunState(graph)
    view = RunView(state=state)
    for record in records:
        if record.is_fact:
            event = decode_event(record)
            _note(view, record.seq, event)
            apply(state, record.seq, event)
            decide(state)
            for path in state.abandoned:
                if path in view.steps:
                    _cancel(view.steps[path], event.at_ms)
    return view


def _note(view: RunView, seq: int, event: Event) -> None:
    """Note what an event says; called before it is applied, while the command that it answers is still open."""
    match event:
        case StepStarted() | SleepStarted() | BlockOpened():
            _begin(view, event)
        case StepSucceeded() | BlockSucceeded() | TimerFired():
            _note_success(view, seq, event)
        case StepFailed() | BlockFailed() | EvaluationFailed():
            _note_failure(view, event)
        case StepSuspended() | StepResumed() | SuspensionTimedOut():
            _note_suspension(view, seq, event)
        case StepCanceled(path=path):
            _cancel(view.steps.get(path) or _begin(view, event), event.at_ms)
        case RunStarted() | CancelRequested() | RunFinished():
            _note_run(view, event)
        case RunRewound():
            _note_rewound(view, event)
        case (
            Evaluated()
            | RunCreated()
            | StartTimedOut()
            | RunTimedOut()
            | RunCrashed()
            | RunGivenUp()
            | RunPaused()
            | RunContinued()
            | HookStarted()
            | HookEnded()
        ):
            pass
        case _:
            assert_never(event)
    _note_pass(view, event)


def _note_run(view: RunView, event: RunStarted | CancelRequested | RunFinished) -> None:
    match event:
        case RunStarted():
            view.request_context = event.request_context
            view.include_state = event.include_state
            view.tracing = event.tracing
        case CancelRequested():
            view.cancel_reason = event.reason
        case RunFinished():
            if event.failure is not None:
                view.failure = Cause(event.cause or "", event.failure)
            for step in view.steps.values():
                if step.ended_at_ms is None:
                    _cancel(step, event.at_ms)
        case _:
            assert_never(event)


def _note_rewound(view: RunView, event: RunRewound) -> None:
    """Begin the records of the next execution with those of the nodes whose results are kept."""
    view.request_context = {**view.request_context, **event.request_context}
    view.failure = view.cancel_reason = None
    seed, at_ms = event.seed, event.at_ms
    view.steps = {path: step for path, step in view.steps.items() if is_retained(path, seed)}
    for path in seed.given:
        view.steps[path] = StepView(
            status=StepStatus.BAILED if path in seed.bailed else StepStatus.SUCCESS,
            input=_NOTHING,
            output=seed.kept[path],
            started_at_ms=at_ms,
            ended_at_ms=at_ms,
        )
    for path in seed.skipped:
        view.steps[path] = StepView(status=StepStatus.SKIPPED, input=_NOTHING, started_at_ms=at_ms, ended_at_ms=at_ms)


def _note_success(view: RunView, seq: int, event: StepSucceeded | BlockSucceeded | TimerFired) -> None:
    command = view.state.open.get(event.path)
    match event:
        case StepSucceeded():
            status = StepStatus.BAILED if event.is_bail else StepStatus.SUCCESS
            _succeed(view, event.path, Recorded(seq), event, status)
        case BlockSucceeded():
            if isinstance(command, CloseBlock) and command.output is not None:
                _succeed(view, event.path, command.output, event, StepStatus.SUCCESS)
        case TimerFired():
            if isinstance(command, Sleep):
                _succeed(view, event.path, view.state.frame(event.path).input, event, StepStatus.SUCCESS)
        case _:
            assert_never(event)


def _note_failure(view: RunView, event: StepFailed | BlockFailed | EvaluationFailed) -> None:
    if isinstance(event, EvaluationFailed):
        _note_failed_evaluation(view, event)
        return
    step = view.steps.get(event.path) or _begin(view, event)
    if isinstance(event, StepFailed):
        step.failure, step.status = event.failure, StepStatus.WAITING
        if event.retry_at_ms is not None:
            return
    else:
        step.failure = event.failure or _cause_of_block(view, event.path)
    step.status, step.ended_at_ms = StepStatus.FAILED, event.at_ms


def _note_failed_evaluation(view: RunView, event: EvaluationFailed) -> None:
    """Let a sleep fail with its function. Other nodes end with an event of their own, and a branch has no record."""
    command = view.state.open.get(event.path)
    if isinstance(command, Evaluate) and command.purpose in ("duration", "until"):
        value = view.state.frame(command.node_path).input
        step = StepView(status=StepStatus.FAILED, input=value, started_at_ms=event.at_ms, failure=event.failure)
        step.ended_at_ms = event.at_ms
        view.steps[command.node_path] = step


def _note_suspension(view: RunView, seq: int, event: StepSuspended | StepResumed | SuspensionTimedOut) -> None:
    step = view.steps.get(event.path) or _begin(view, event)
    if isinstance(event, StepSuspended):
        step.status, step.suspended_at_ms, step.suspend_payload = StepStatus.SUSPENDED, event.at_ms, Recorded(seq)
        return
    if isinstance(event, StepResumed):
        step.resumed_at_ms, step.resume_payload = event.at_ms, Recorded(seq)
        view.request_context = {**view.request_context, **event.request_context}
    step.status = StepStatus.RUNNING
    frame = view.state.frames.get(event.path)
    if isinstance(frame, PauseFrame) and isinstance(frame.node, WaitNode):
        _end_wait(view, step, seq, event, frame.node)


def _end_wait(view: RunView, step: StepView, seq: int, event: StepResumed | SuspensionTimedOut, node: WaitNode) -> None:
    if isinstance(event, StepResumed):
        _succeed(view, event.path, Recorded(seq), event, StepStatus.SUCCESS)
    elif node.default:
        _succeed(view, event.path, Constant(encode(node.default[0])), event, StepStatus.SUCCESS)
    else:
        step.status, step.ended_at_ms, step.failure = StepStatus.FAILED, event.at_ms, timed_out(event.path, event.at_ms)


def _note_pass(view: RunView, event: Event) -> None:
    """Let the record of a loop show its last pass (rule 21)."""
    path: str = getattr(event, "path", "")
    loop, separator, number = path.rpartition("#")
    if separator and number.isdigit() and path in view.steps and loop in view.steps:
        last, step = view.steps[path], view.steps[loop]
        step.output, step.failure, step.attempts = last.output, last.failure, last.attempts


def _begin(view: RunView, event: _StepEvent) -> StepView:
    step = view.steps.get(event.path)
    if step is None:
        value = view.state.frame(event.path).input
        step = StepView(status=StepStatus.RUNNING, input=value, started_at_ms=event.at_ms)
        view.steps[event.path] = step
    step.status = StepStatus.WAITING if isinstance(event, SleepStarted) else StepStatus.RUNNING
    step.attempts = event.attempt + 1 if isinstance(event, StepStarted | StepSucceeded | StepFailed) else 1
    return step


def _succeed(view: RunView, path: str, output: Ref, event: _StepEvent, status: StepStatus) -> None:
    step = view.steps.get(path) or _begin(view, event)
    step.status, step.output, step.ended_at_ms, step.failure = status, output, event.at_ms, None


def _cancel(step: StepView, at_ms: int) -> None:
    step.status, step.ended_at_ms = StepStatus.CANCELED, at_ms


def _cause_of_block(view: RunView, path: str) -> FailureInfo | None:
    command = view.state.open.get(path)
    return command.cause.failure if isinstance(command, CloseBlock) and command.cause is not None else None
