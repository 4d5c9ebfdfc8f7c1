"""Heartbeats of an activity: they tell the server that this worker lives, and their answers tell of a cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from temporalio import activity

from outlast.engines.temporal.past import Past

__all__ = ["Pulse"]


class Pulse:
    """Beats until it is stopped. It is a timer and no task: a call that ends soon makes no heartbeat at all."""

    def __init__(self, past: Past, pause: Callable[[], float]) -> None:
        """Begin to beat; must be called in the activity.

        Args:
            past: What heartbeats carry.
            pause: Returns how many seconds it is until the next one.
        """
        self._past = past
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(pause(), self._beat)

    def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        activity.heartbeat(*self._past.details)
        self._timer = self._loop.call_later(self._pause(), self._beat)
