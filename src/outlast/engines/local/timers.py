"""The timers of live runs in this process. Due times are recorded, so nothing is lost with a timer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from outlast.core.events import RunTimedOut, StartTimedOut, SuspensionTimedOut, TimerFired
from outlast.core.flow.ending import START_PATH
from outlast.engines.clock import Clock
from outlast.engines.local.live import LiveRun

__all__ = ["DueEvent", "Timers", "deadline_event"]

DueEvent: TypeAlias = TimerFired | SuspensionTimedOut | RunTimedOut | StartTimedOut
"""What is recorded when a due time has come."""


class Timers:
    """Arms and gives up timers; each is kept with its run, by path."""

    def __init__(self, clock: Clock, *, on_due: Callable[[LiveRun, DueEvent], None]) -> None:
        self._clock = clock
        self._now_ms = clock.now_ms
        self._on_due = on_due

    def arm(self, run: LiveRun, path: str, due_at_ms: int, event: type[DueEvent]) -> None:
        """Report an event of this path when its time has come."""
        delay = max(0, due_at_ms - self._now_ms()) / 1000
        run.timers[path] = self._clock.call_later(delay, self._fired, run, path, due_at_ms, event)

    def cancel(self, run: LiveRun, path: str) -> None:
        """Give up the timer of a path, if there is one."""
        timer = run.timers.pop(path, None)
        if timer is not None:
            timer.cancel()

    def cancel_all(self, run: LiveRun) -> None:
        """Give up all timers of a run: each of them would keep it in memory."""
        for path in list(run.timers):
            self.cancel(run, path)

    def _fired(self, run: LiveRun, path: str, due_at_ms: int, event: type[DueEvent]) -> None:
        run.timers.pop(path, None)
        self._on_due(run, event(max(self._now_ms(), due_at_ms), path))


def deadline_event(path: str) -> type[StartTimedOut | RunTimedOut]:
    """Return what is recorded when this deadline of a run has come."""
    return StartTimedOut if path == START_PATH else RunTimedOut
