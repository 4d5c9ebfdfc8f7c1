"""Why a run is where it is, in words: every wait has a sentence (rule 4)."""

from __future__ import annotations

from typing import assert_never

from outlast.core.commands import (
    AwaitDeadline,
    AwaitResume,
    AwaitStep,
    CloseBlock,
    Command,
    Evaluate,
    FinishRun,
    OpenBlock,
    Pause,
    RunHook,
    RunMap,
    RunStep,
    Sleep,
    StartTimer,
    Suspend,
)
from outlast.core.flow.ending import START_PATH
from outlast.core.standing import Slots, Standing
from outlast.core.status import RunStatus
from outlast.core.view import RunView
from outlast.instant import render_ms

__all__ = ["explain"]

_SHOWN = 5


def explain(view: RunView, *, status: RunStatus, workflow_id: str, standing: Standing) -> str:
    """Return one or more sentences: what the run does or waits for, and who works on it.

    Args:
        view: The run's journal, folded.
        status: Its status as recorded.
        workflow_id: Its workflow.
        standing: Who works, or could work, on it.
    """
    if status is RunStatus.FAILED:
        return _failed(view)
    if status.is_terminal:
        return f"the run has ended: {status}"
    who = _who(workflow_id, standing)
    if standing.hold is not None:
        sentences = [standing.hold, _driven(standing, who, again_at_ms=standing.ready_at_ms)]
    else:
        sentences = [_waiting_for(view, status, standing, who) or _at_work(view, status, standing, who)]
    if view.state.is_canceling:
        sentences.insert(0, _ending(view))
    requests = [_request(kind) for kind in dict.fromkeys(standing.requests)]
    if requests and who not in sentences[-1] and standing.is_left:
        requests.append(who)
    return "; ".join([*sentences, *requests])


def _waiting_for(view: RunView, status: RunStatus, standing: Standing, who: str) -> str | None:
    """Say what keeps the run from beginning; None if it has begun."""
    deadline = view.state.open.get(START_PATH)
    if deadline is not None and view.state.root is None:
        return f"{_sentence(view, deadline)}; nobody works on it"
    if standing.starts_at_ms is not None:
        return f"the run is recorded and to start at {render_ms(standing.starts_at_ms)}; {who}"
    if standing.owner is None and (status is RunStatus.PENDING or not view.steps):
        execution = view.state.execution
        subject = f"execution {execution} of the run" if execution else "the run"
        late = f"; {_sentence(view, deadline)}" if deadline is not None else ""
        if standing.turn is not None:
            return f"{subject} is recorded and waits for its turn: {standing.turn}; {who}{late}"
        return f"{subject} is recorded and waits for a worker; {who}{late}"
    return None


def _at_work(view: RunView, status: RunStatus, standing: Standing, who: str) -> str:
    work = sorted(view.state.open.values(), key=lambda command: isinstance(command, AwaitDeadline))
    sentences = [_sentence(view, command, standing.slots) for command in work[:_SHOWN]]
    if len(work) > _SHOWN:
        sentences.append(f"and {len(work) - _SHOWN} more")
    if standing.turn is not None:
        sentences.append(f"it waits for its turn to go on: {standing.turn}")
    if status not in (RunStatus.SUSPENDED, RunStatus.PAUSED) or standing.owner is not None:
        sentences.append(_driven(standing, who))
    return "; ".join(sentences)


def _driven(standing: Standing, who: str, *, again_at_ms: int | None = None) -> str:
    if standing.owner is not None:
        return f"driven by {standing.owner}" + (f", which is dead; {who}" if standing.is_owner_dead else "")
    again = "" if again_at_ms is None else f", and it may be taken from {render_ms(again_at_ms)} on"
    return f"nobody drives it now{again}; {who}"


def _ending(view: RunView) -> str:
    if view.state.ending is not None:
        return f"the run is about to fail with {view.state.ending.failure.type} when what it has begun has ended"
    reason = f" ('{view.cancel_reason}')" if view.cancel_reason else ""
    return f"the run is being canceled{reason} and ends when what it has begun has ended"


def _request(kind: str) -> str:
    return f"somebody asked to {kind} it, which no worker has taken up yet"


def _failed(view: RunView) -> str:
    if view.failure is None:
        return "the run has failed"
    where = f"at '{view.failure.path}' " if view.failure.path else ""
    return f"the run has failed {where}with {view.failure.failure.type}: {view.failure.failure.message}"


def _who(workflow_id: str, standing: Standing) -> str:
    candidates, missing = standing.candidates, standing.missing
    if candidates == 0 and missing:
        names = ", ".join(f"'{name}'" for name in missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        return (
            f"live workers take runs of workflow '{workflow_id}', but none has all that this run's graph names: "
            f"{names} is missing; start a worker with code that has it"
        )
    if candidates == 0:
        return f"no live worker takes runs of workflow '{workflow_id}': start one with `async with Outlast([...])`"
    workers = "1 live worker takes" if candidates == 1 else f"{candidates} live workers take"
    return f"{workers} runs of workflow '{workflow_id}' and will claim it when a slot is free"


def _sentence(view: RunView, command: Command, slots: Slots | None = None) -> str:
    match command:
        case RunStep() | RunMap() | RunHook():
            return _call(view, command, slots)
        case StartTimer():
            step = view.steps.get(command.path)
            because = f" after {step.failure.type}: {step.failure.message}" if step and step.failure else ""
            return f"'{command.path}' waits until {render_ms(command.due_at_ms)} for its next attempt{because}"
        case Evaluate():
            return f"'{command.path}' is being evaluated"
        case Sleep():
            if command.due_at_ms is None:
                return f"'{command.path}' is about to sleep"
            return f"'{command.path}' sleeps until {render_ms(command.due_at_ms)}"
        case Suspend():
            return f"'{command.path}' is about to wait"
        case AwaitResume():
            until = f", at the latest until {render_ms(command.due_at_ms)}" if command.due_at_ms is not None else ""
            label = f" (label '{command.label}')" if command.label else ""
            return f"'{command.path}'{label} waits for somebody to resume it{until}"
        case Pause() | AwaitStep() | AwaitDeadline() | FinishRun():
            return _sentence_of_run(view, command)
        case OpenBlock():
            return f"'{command.path}' is about to begin"
        case CloseBlock():
            return f"'{command.path}' is about to end"
        case _:
            assert_never(command)


def _sentence_of_run(view: RunView, command: Pause | AwaitStep | AwaitDeadline | FinishRun) -> str:
    match command:
        case Pause():
            return f"the run is about to pause before '{command.following}'"
        case AwaitStep():
            return f"the run is paused before '{command.following}' and waits for somebody to call `step`"
        case AwaitDeadline(path=path) if path == START_PATH and view.state.root is not None:
            return f"it fails unless a worker begins it until {render_ms(command.due_at_ms)}"
        case AwaitDeadline(path=path) if path == START_PATH:
            return f"the run waits for somebody to start it, at the latest until {render_ms(command.due_at_ms)}"
        case AwaitDeadline():
            return f"the run times out at {render_ms(command.due_at_ms)}"
        case FinishRun():
            return "the run is about to end"
        case _:
            assert_never(command)


def _call(view: RunView, command: RunStep | RunMap | RunHook, slots: Slots | None) -> str:
    if isinstance(command, RunHook):
        return "its hook 'on_start' is called, and the first step waits for that"
    step = view.steps.get(command.path)
    if not command.was_started or step is None:
        slot = f"'{command.path}' may start and waits for a free slot of its worker"
        if slots is None:
            return slot
        return f"{slot}, which runs {slots.most} steps at a time (`max_steps`) and has {slots.queued} more waiting"
    attempt = command.attempt if isinstance(command, RunStep) else 0
    return f"'{command.path}' (attempt {attempt}) runs since {render_ms(step.started_at_ms)}"
