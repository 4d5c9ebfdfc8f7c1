"""Runs that may kill the process that drives them: they go on one at a time on a machine (rule 9.6)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from outlast.engines.local.live import LiveRun
from outlast.storage.base import WorkerStore

__all__ = ["Suspects", "suspicion"]


def suspicion(run: LiveRun) -> str:
    """Say why a suspect waits."""
    return (
        f"processes ended by themselves {run.state.crashes} times while they called its bodies, "
        "so it goes on only while no other such run does on this machine"
    )


class Suspects:
    """The turn of the suspects, and those of this worker that wait for it.

    While this worker has the turn, the suspects that it claims wait here, so that one follows the other at once. While
    another process has it, they are given back for a moment.
    """

    def __init__(self, store: WorkerStore, *, drive: Callable[[LiveRun], None]) -> None:
        self._store = store
        self._drive = drive
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[LiveRun] = deque()
        self._current: LiveRun | None = None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @property
    def has_turn(self) -> bool:
        """Whether a suspect of this worker is being driven."""
        return self._current is not None

    def take_turn(self, run: LiveRun) -> bool:
        """Let a suspect go on if nobody has the turn."""
        if self._current is None and self._store.try_take_turn():
            self._current = run
        return self._current is run

    def wait(self, run: LiveRun) -> None:
        """Let a suspect go on when those before it have ended."""
        self._waiting.append(run)

    def ended(self, run: LiveRun) -> None:
        """Note that a run is not driven any more; if it had the turn, the next one gets it."""
        if self._current is not run:
            return
        while self._waiting:
            self._current = self._waiting.popleft()
            if not self._current.is_gone:
                self._loop.call_soon(self._drive_current, self._current)
                return
        self._give_turn()

    def clear(self) -> list[LiveRun]:
        """Give the turn back, and return those that waited for it."""
        waiting = list(self._waiting)
        self._waiting.clear()
        if self._current is not None:
            self._give_turn()
        return waiting

    def _drive_current(self, run: LiveRun) -> None:
        if self._current is run:
            self._drive(run)

    def _give_turn(self) -> None:
        self._current = None
        self._store.give_turn()
