"""When a schedule fires: pure functions of its timing and of a time that is handed over."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from outlast.immutable import immutable
from outlast.scheduling.cron import find_zone, latest_cron, next_cron

__all__ = ["Timing"]


@immutable(kw_only=True)
class Timing:
    """The times of a schedule: one of `cron`, `every_ms` and `at_ms`, within bounds. Times are milliseconds, UTC."""

    cron: str | None = None
    """A checked cron expression."""
    every_ms: int | None = None
    """The length of an interval; counted from `start_ms`, else from 1970, so that it needs no memory."""
    at_ms: int | None = None
    """The one time of a one-off."""
    timezone: str = "UTC"
    """The IANA zone in which the cron expression is read."""
    start_ms: int | None = None
    """No time is earlier."""
    end_ms: int | None = None
    """No time is later."""
    jitter_ms: int = 0
    """By less than this each firing is put off."""

    def next_after(self, after_ms: int) -> int | None:
        """Return the first time after an instant; None if there is none any more."""
        if self.start_ms is not None:
            after_ms = max(after_ms, self.start_ms - 1)
        found = self._next(after_ms)
        return found if found is None or self.end_ms is None or found <= self.end_ms else None

    def later(self, after_ms: int) -> Iterator[int]:
        """Give the times after an instant, in order."""
        at_ms = self.next_after(after_ms)
        while at_ms is not None:
            yield at_ms
            at_ms = self.next_after(at_ms)

    def latest_until(self, until_ms: int) -> int | None:
        """Return the last time up to an instant, itself included; None if there is none."""
        if self.end_ms is not None:
            until_ms = min(until_ms, self.end_ms)
        found = self._latest(until_ms)
        return found if found is None or self.start_ms is None or found >= self.start_ms else None

    def due_at(self, schedule_id: str, at_ms: int) -> int:
        """Return when the firing of a time is due: the time, put off by its jitter.

        The jitter is a hash: every scheduler that asks gets the same.
        """
        if not self.jitter_ms:
            return at_ms
        digest = sha256(f"{schedule_id}:{at_ms}".encode()).digest()
        return at_ms + int.from_bytes(digest[:8]) % self.jitter_ms

    def _next(self, after_ms: int) -> int | None:
        if self.cron is not None:
            return next_cron(self.cron, find_zone(self.timezone), after_ms)
        if self.every_ms is not None:
            first = self.start_ms or 0
            return first + max(0, (after_ms - first) // self.every_ms + 1) * self.every_ms
        return self.at_ms if self.at_ms is not None and self.at_ms > after_ms else None

    def _latest(self, until_ms: int) -> int | None:
        if self.cron is not None:
            return latest_cron(self.cron, find_zone(self.timezone), until_ms)
        if self.every_ms is not None:
            first = self.start_ms or 0
            return first + (until_ms - first) // self.every_ms * self.every_ms if until_ms >= first else None
        return self.at_ms if self.at_ms is not None and self.at_ms <= until_ms else None
