"""Telling of a fault that lasts: at once, then seldom, and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

__all__ = ["Complaint"]

_log = logging.getLogger("outlast")

_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 600.0


class Complaint:
    """One fault of the store that is met again and again, as long as it lasts, several times a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin without a fault. `clock` gives seconds that never go back."""
        self._clock = clock
        self._since: float | None = None
        self._next_at = 0.0
        self._pause = _FIRST_PAUSE_S
        self._times = 0

    def note(self, error: Exception) -> None:
        """Tell of a fault, unless it was told of lately. The pauses between two messages double, to ten minutes."""
        now = self._clock()
        self._times += 1
        if self._since is None:
            self._since, self._times, self._pause = now, 1, _FIRST_PAUSE_S
            _log.warning("the store did not answer, trying again: %s", error)
        elif now >= self._next_at:
            lasted = now - self._since
            _log.warning("the store has not answered for %.0f s, %d tries: %s", lasted, self._times, error)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
        else:
            return
        self._next_at = now + self._pause

    def end(self) -> None:
        """Tell that the fault is over, if there was one."""
        if self._since is not None:
            _log.warning("the store answers again, after %.1f s", self._clock() - self._since)
            self._since = None
