"""How a run ends before its graph does: canceled, out of time, or because it kills the processes that drive it."""

from __future__ import annotations

from typing import Final

from outlast.core.commands import AwaitDeadline, Cause, FinishRun, RunHook, RunMap, RunStep
from outlast.core.events import RunCrashed, RunFinished
from outlast.core.state import RunState
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from outlast.instant import render_ms

__all__ = [
    "DEADLINE_PATH",
    "START_PATH",
    "cancel",
    "crash",
    "finish_early",
    "give_up",
    "look_if_begun",
    "miss_start",
    "time_out",
]

DEADLINE_PATH: Final = "?deadline"
"""Where the run's own deadline is open."""
START_PATH: Final = "?start"
"""Where the deadline of its start is open."""


def cancel(state: RunState) -> None:
    """Let nothing new start. Bodies in flight end first; the run is `canceled` then."""
    state.is_canceling = True
    for command in list(state.open.values()):
        if not (isinstance(command, RunStep | RunMap) and command.was_started):
            state.drop(command.path)


def time_out(state: RunState) -> None:
    """Let nothing new start. Bodies in flight end first; the run is `failed` then."""
    command = state.close(DEADLINE_PATH, AwaitDeadline)
    message = f"the run did not end until {render_ms(command.due_at_ms)}"
    state.ending = Cause("", FailureInfo(type="RunTimedOutError", message=message, is_retryable=False))
    cancel(state)


def look_if_begun(state: RunState) -> None:
    """Give up the deadline of the start if anything of the run has happened since."""
    if state.last_seq > state.to_begin_since:
        state.to_begin_since = 0
        state.drop(START_PATH)
        state.abandoned.append(START_PATH)


def miss_start(state: RunState) -> None:
    """End a run `failed` that nobody started in time, or that no worker began in time."""
    until = render_ms(state.close(START_PATH, AwaitDeadline).due_at_ms)
    if state.root is None:
        type, message = "NeverStartedError", f"nobody started the run until {until}"
    else:
        type, message = "StartDeadlineError", f"no worker began the run until {until}"
    state.ending = Cause("", FailureInfo(type=type, message=message, is_retryable=False))
    cancel(state)


def crash(state: RunState, event: RunCrashed) -> None:
    """Count a crash; a run that crashed too often ends `failed` and none of its bodies is called again."""
    state.crashes += 1
    if not event.is_poison:
        return
    started = [command.path for command in state.open.values() if isinstance(command, RunStep | RunMap | RunHook)]
    message = f"processes ended by themselves {state.crashes} times while they called {', '.join(started[:3])}"
    failure = FailureInfo(type="PoisonRunError", message=message, is_retryable=False)
    give_up(state, Cause(started[0] if started else "", failure))


def give_up(state: RunState, cause: Cause) -> None:
    """End the run as `failed`, whatever is in flight."""
    state.ending = cause
    state.is_canceling = True
    for path in list(state.open):
        state.drop(path)


def finish_early(command: FinishRun, at_ms: int) -> RunFinished | None:
    """Return how a run ends that was canceled or has failed; None if it ends well, with a result to be checked."""
    if command.is_canceled:
        return RunFinished(at_ms, RunStatus.CANCELED)
    if command.cause is not None:
        return RunFinished(at_ms, RunStatus.FAILED, command.cause.path or None, command.cause.failure)
    return None
