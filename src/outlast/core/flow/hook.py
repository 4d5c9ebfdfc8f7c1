"""The hook `on_start`: the first node starts when it has returned, and the run fails if it raises (rule 13)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from outlast.core.commands import Cause, FinishRun, RunHook
from outlast.core.events import HookEnded, HookStarted
from outlast.core.frames import ScopeFrame
from outlast.core.state import JournalMismatchError, RunState
from outlast.core.status import RunStatus
from outlast.graph.nodes import Hooks

__all__ = ["ON_START_PATH", "begin", "note", "told_at"]

ON_START_PATH: Final = "?on_start"
"""Where the hook is open."""


def begin(state: RunState, root: ScopeFrame) -> None:
    """Begin an execution: with the hook if there is one and it has not returned before, else with the first node."""
    hooks = state.graph.hooks
    if hooks is None or hooks.on_start is None or state.has_told_start:
        state.agenda.append(root)
    else:
        state.issue(RunHook(ON_START_PATH, hooks.on_start, root.input))


def note(state: RunState, event: HookStarted | HookEnded) -> None:
    """Fold that the hook is about to be called, or what became of it."""
    if isinstance(event, HookStarted):
        _started(state, event)
    else:
        _ended(state, event)


def told_at(hooks: Hooks, status: RunStatus) -> tuple[str, ...]:
    """Return who is told when a run comes to rest with this status, in this order."""
    told: list[str] = []
    if hooks.on_finish is not None and (status.is_terminal or status is RunStatus.SUSPENDED):
        told.append("on_finish")
    if hooks.on_error is not None and status is RunStatus.FAILED:
        told.append("on_error")
    return tuple(told)


def _started(state: RunState, event: HookStarted) -> None:
    command = state.open.get(event.path)
    if not isinstance(command, RunHook):
        message = f"'{event.path}' is recorded as started, which this graph would not be calling now"
        raise JournalMismatchError(message)
    state.open[event.path] = replace(command, was_started=True)


def _ended(state: RunState, event: HookEnded) -> None:
    state.close(event.path, RunHook)
    if event.failure is not None:
        state.issue(FinishRun("", None, Cause(event.path, event.failure)))
        return
    state.has_told_start = True
    if state.root is not None:
        state.agenda.append(state.root)
