"""Due times of a run, as the one timer of its workflow needs them."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.commands import AwaitDeadline, AwaitResume, Command, Sleep, StartTimer
from outlast.core.events import Event, RunTimedOut, StartTimedOut, SuspensionTimedOut, TimerFired
from outlast.core.flow.ending import START_PATH

__all__ = ["earliest_due"]


def earliest_due(commands: Iterable[Command], now_ms: int) -> Event | None:
    """Return what is recorded of the command whose time came first; None if none has come."""
    due = [command for command in commands if _is_due(command, now_ms)]
    return _due_event(min(due, key=_due_at), now_ms) if due else None


def _due_at(command: Command) -> int:
    """Return when a command is due; 0 for those that wait for no time."""
    due_at_ms: int = getattr(command, "due_at_ms", 0)
    return due_at_ms


def _is_due(command: Command, now_ms: int) -> bool:
    """Say whether a due time has come that is recorded."""
    if isinstance(command, Sleep) and not command.was_started:
        return False
    if isinstance(command, StartTimer | Sleep | AwaitResume | AwaitDeadline):
        return command.due_at_ms is not None and command.due_at_ms <= now_ms
    return False


def _due_event(command: Command, now_ms: int) -> Event:
    """Return what is recorded when the time of a command has come."""
    match command:
        case AwaitResume():
            return SuspensionTimedOut(now_ms, command.path)
        case AwaitDeadline(path=path) if path == START_PATH:
            return StartTimedOut(now_ms, path)
        case AwaitDeadline():
            return RunTimedOut(now_ms, command.path)
        case _:
            return TimerFired(now_ms, command.path)
