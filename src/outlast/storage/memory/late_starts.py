"""Until when runs have to begin, in memory."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.storage.base import RunKey
from outlast.storage.memory.table import Run

__all__ = ["StartDeadlines"]


class StartDeadlines:
    """The deadlines of the few runs that have to begin in time. They are forgotten when somebody looks at them late."""

    def __init__(self, runs: Mapping[RunKey, Run]) -> None:
        self._runs = runs
        self._due: dict[RunKey, tuple[int, int]] = {}

    def add(self, run: Run, due_at_ms: int) -> None:
        """Note until when a run has to begin: its journal must have grown by then."""
        self._due[run.key] = (due_at_ms, run.head)

    def forget(self, run: RunKey) -> None:
        """Let go of a run."""
        self._due.pop(run, None)

    def next(self) -> int | None:
        """Return the earliest time until which a run has to begin, of those that may still be late."""
        return min((due_at_ms for due_at_ms, _ in self._due.values()), default=None)

    def would_list(self, now_ms: int, _limit: int) -> bool:
        """Say whether a deadline would be forgotten."""
        return any(self._has_begun(key) for key, (due_at_ms, _) in self._due.items() if due_at_ms <= now_ms)

    def list(self, now_ms: int, limit: int) -> list[str]:
        """Return ids of runs that had to begin until now and that nobody has begun; forget the deadlines of others."""
        by_time = sorted((due_at_ms, key) for key, (due_at_ms, _) in self._due.items())
        late = [key for due_at_ms, key in by_time if due_at_ms <= now_ms]
        for key in late:
            if self._has_begun(key):
                del self._due[key]
        runs = [self._runs[key] for key in late if key in self._due]
        return [run.run_id for run in runs if run.owner is None][:limit]

    def _has_begun(self, key: RunKey) -> bool:
        run = self._runs.get(key)
        return run is None or run.head != self._due[key][1]
