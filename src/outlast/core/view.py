"""The journal as readers see it: a fold into one record per step, with references instead of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from outlast.core.advance import apply, decide
from outlast.core.codec import decode_event
from outlast.core.commands import Cause, CloseBlock
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
from outlast.core.record import Record
from outlast.core.ref import Recorded, Ref
from outlast.core.state import RunState
from outlast.core.status import StepStatus
from outlast.failures import FailureInfo
from outlast.graph.nodes import Graph
from outlast.values import JsonValue

__all__ = ["RunView", "StepView", "fold_state", "fold_view"]


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
    attempts: int = 0
    """How many attempts were begun, recoveries not counted."""


@dataclass(slots=True, kw_only=True)
class RunView:
    """What the journal says of a run."""

    state: RunState
    """The state after the last event."""
    steps: dict[str, StepView] = field(default_factory=dict[str, StepView])
    """By path, in the order in which they began."""
    request_context: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """What the caller told all steps."""
    failure: Cause | None = None
    """Why the run failed."""


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
    return view


def _note(view: RunView, seq: int, event: Event) -> None:
    """Note what an event says; called before it is applied, while the command that it answers is still open."""
    match event:
        case StepStarted() | BlockOpened():
            _begin(view, event)
        case StepSucceeded(path=path):
            _succeed(view.steps.get(path) or _begin(view, event), Recorded(seq), event.at_ms)
        case BlockSucceeded(path=path):
            command = view.state.open.get(path)
            if isinstance(command, CloseBlock) and command.output is not None:
                _succeed(view.steps[path], command.output, event.at_ms)
        case StepFailed(path=path):
            step = view.steps.get(path) or _begin(view, event)
            step.failure, step.status = event.failure, StepStatus.WAITING
            if event.retry_at_ms is None:
                step.status, step.ended_at_ms = StepStatus.FAILED, event.at_ms
        case BlockFailed(path=path):
            step = view.steps.get(path) or _begin(view, event)
            step.failure = event.failure or _cause_of_block(view, path)
            step.status, step.ended_at_ms = StepStatus.FAILED, event.at_ms
        case RunFinished(failure=failure):
            if failure is not None:
                view.failure = Cause(event.cause or "", failure)
        case RunStarted():
            view.request_context = event.request_context
        case TimerFired():
            pass
        case _:
            assert_never(event)


def _begin(view: RunView, event: StepStarted | StepSucceeded | StepFailed | BlockOpened | BlockFailed) -> StepView:
    step = view.steps.get(event.path)
    if step is None:
        value = view.state.frame(event.path).input
        step = StepView(status=StepStatus.RUNNING, input=value, started_at_ms=event.at_ms)
        view.steps[event.path] = step
    step.status = StepStatus.RUNNING
    step.attempts = 1 if isinstance(event, BlockOpened | BlockFailed) else event.attempt + 1
    return step


def _succeed(step: StepView, output: Ref, at_ms: int) -> None:
    step.status, step.output, step.ended_at_ms, step.failure = StepStatus.SUCCESS, output, at_ms, None


def _cause_of_block(view: RunView, path: str) -> FailureInfo | None:
    command = view.state.open.get(path)
    return command.cause.failure if isinstance(command, CloseBlock) and command.cause is not None else None
