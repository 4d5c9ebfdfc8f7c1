"""How the bodies of a run are stopped that is to end: they are told, and get a grace period (rule 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from outlast.core.commands import Evaluate, RunHook, RunStep
from outlast.core.events import CancelRequested, Fact, StepCanceled
from outlast.engines.local.bodies import Bodies
from outlast.engines.local.live import Body, LiveRun
from outlast.engines.local.timers import Timers
from outlast.engines.options import DriveOptions

__all__ = ["Stopping"]


class Stopping:
    """Stops the bodies of runs that were canceled or are out of time."""

    def __init__(
        self,
        options: DriveOptions,
        *,
        bodies: Bodies,
        timers: Timers,
        absorb: Callable[..., None],
        slot_came_free: Callable[[], None],
    ) -> None:
        self._clock = options.clock
        self._now_ms = options.now_ms
        self._grace = options.grace.total_seconds()
        self._bodies = bodies
        self._timers = timers
        self._absorb = absorb
        self._slot_came_free = slot_came_free

    def cancel(self, run: LiveRun, reason: str | None) -> list[Fact]:
        """Begin to end a run as canceled: nothing new starts, bodies in flight are told and given a grace period."""
        if run.state.is_canceling or run.state.finished is not None:
            return []
        self.begin(run)
        return [(CancelRequested(self._now_ms(), reason), None)]

    def begin(self, run: LiveRun) -> None:
        """Tell the bodies in flight that the run ends, and give them a grace period."""
        for body in [each for each in run.bodies.values() if isinstance(each.command, Evaluate | RunHook)]:
            self._bodies.abandon(body)
        self._timers.cancel_all(run)
        run.canceled.set()
        run.timers[""] = self._clock.call_later(self._grace, self._end, run)
        if not all(body.has_begun for body in run.bodies.values()):
            asyncio.get_running_loop().call_soon(self._withdraw, run)  # once it is recorded why

    def _withdraw(self, run: LiveRun) -> None:
        """Those that wait for a thread need no grace period: they are not called any more."""
        self._note_canceled(run, [body for body in list(run.bodies.values()) if self._bodies.withdraw(body)])

    def _end(self, run: LiveRun) -> None:
        """The grace period is over."""
        bodies = list(run.bodies.values())
        for body in bodies:
            self._bodies.abandon(body)
        self._note_canceled(run, bodies)

    def _note_canceled(self, run: LiveRun, bodies: Sequence[Body]) -> None:
        facts: list[Fact] = []
        for body in bodies:
            attempt = body.command.attempt if isinstance(body.command, RunStep) else 0
            facts.append((StepCanceled(self._now_ms(), body.command.path, attempt), None))
            if isinstance(body.command, RunStep):
                self._slot_came_free()
        if facts:
            self._absorb(run, *facts)
