"""What this process sees of runs for which somebody waits here: what goes on here need not be asked of the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

__all__ = ["RECENT", "Sightings"]

RECENT: Final = 0.25
"""Seconds for which a run goes on, as far as this process can see, after it was heard of."""


@dataclass(slots=True)
class _Sight:
    waiters: int = 0
    heard_at: float | None = None


class Sightings:
    """When workers of this process last heard of the runs that are awaited here. All of it is on the event loop."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sights: dict[str, _Sight] = {}

    def __len__(self) -> int:
        """Return how many runs are awaited."""
        return len(self._sights)

    @contextmanager
    def awaited(self, workflow_id: str) -> Generator[None, None, None]:
        """Keep what is heard of a run, as long as somebody waits for it."""
        sight = self._sights.setdefault(workflow_id, _Sight())
        sight.waiters += 1
        try:
            yield
        finally:
            sight.waiters -= 1
            if not sight.waiters:
                del self._sights[workflow_id]

    def note(self, workflow_id: str | None, *, goes_on: bool) -> None:
        """Note that a body of a run begins or has ended here, and whether the run goes on with that."""
        sight = self._sights.get(workflow_id or "")
        if sight is not None:
            sight.heard_at = self._now() if goes_on else None

    def goes_on(self, workflow_id: str) -> bool:
        """Say whether a run was heard of a moment ago; if not, it may rest, or go on elsewhere."""
        sight = self._sights.get(workflow_id)
        return sight is not None and sight.heard_at is not None and self._now() - sight.heard_at < RECENT
