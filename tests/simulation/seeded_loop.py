"""An event loop on which several simulated processes run: who goes on next is drawn, and time is made up.

Handles of one process keep their order, as on a loop of its own; between processes every order is possible. Time passes
only here, so a simulated minute takes as long as its work. The same seed draws the same history.
"""

# ruff: noqa: SLF001 - it stands in for the loop that asyncio brings, which has no public seam

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from contextvars import Context, ContextVar, copy_context
from typing import Any

__all__ = ["PROCESS", "WORLD", "SeededLoop", "heart_of"]

WORLD = "world"
PROCESS: ContextVar[str] = ContextVar("process", default=WORLD)
"""The simulated process to which the running code belongs."""


def heart_of(process: str) -> str:
    """Name the thread of a process that keeps its lease: it goes on while only the loop is blocked."""
    return f"{process}/heart"


class SeededLoop(asyncio.BaseEventLoop):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self._now = 0.0
        self._queues: dict[str, deque[asyncio.Handle]] = {}
        self._stalled: dict[str, float] = {}
        self._dead: set[str] = set()

    def time(self) -> float:
        return self._now

    def stall(self, process: str, seconds: float) -> None:
        """Let nothing of a process happen for a time."""
        self._stalled[process] = self._now + seconds

    def kill(self, process: str) -> None:
        """Let nothing of a process happen any more."""
        self._dead.add(process)

    def let_all_go_on(self) -> None:
        """End all stalls, and let also the dead clean up."""
        self._stalled.clear()
        self._dead.clear()

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        """What a thread hands to the loop of its process belongs to that loop."""
        context = copy_context() if context is None else context
        context.run(PROCESS.set, context.get(PROCESS, WORLD).partition("/")[0])
        return self.call_soon(callback, *args, context=context)

    def _write_to_self(self) -> None:
        """There is no selector to wake."""

    def _run_once(self) -> None:
        self._collect()
        while not (awake := self._awake()):
            self._pass_time()
            self._collect()
        queue = self._queues[self.chance.choice(awake)]
        for _ in range(min(len(queue), self.chance.randint(1, 8))):
            handle = queue.popleft()
            if not handle.cancelled():
                handle._run()
        self._now += self.chance.uniform(1e-6, 2e-4)

    def _collect(self) -> None:
        """Sort what is ready, and what has become due, by process."""
        timers: list[asyncio.TimerHandle] = self._scheduled
        while self._ready:
            self._queue(self._ready.popleft())
        while timers and (timers[0].cancelled() or timers[0].when() <= self._now):
            timer = heapq.heappop(timers)
            timer._scheduled = False
            self._queue(timer)

    def _queue(self, handle: asyncio.Handle) -> None:
        if not handle.cancelled():
            self._queues.setdefault(handle._context.get(PROCESS, WORLD), deque()).append(handle)

    def _awake(self) -> list[str]:
        """Return the processes that have something to do and can do it."""
        for process in [each for each, until in self._stalled.items() if until <= self._now]:
            del self._stalled[process]
        return [
            process
            for process, queue in self._queues.items()
            if queue and process not in self._dead and process not in self._stalled
        ]

    def _pass_time(self) -> None:
        dues = [timer.when() for timer in self._scheduled[:1]]
        dues += [until for process, until in self._stalled.items() if process not in self._dead]
        if not dues:
            raise RuntimeError("nothing can happen any more in the simulated world")
        self._now = max(self._now, min(dues))
