"""Runs of which a write was refused: each is read again from its journal, and not at full speed if that goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["LostRuns"]

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0
_FORGIVEN_AFTER_S: Final = 60.0
"""A refusal this long after the one before counts as the first."""


@dataclass(slots=True)
class _Lost:
    has_crashed: bool
    due_at: float
    refusals: int
    reason: str
    first_at: float
    last_at: float
    is_waiting: bool = True

    def is_forgiven(self, now: float) -> bool:
        """Say whether the run was read again and went on for long since."""
        return not self.is_waiting and now - self.due_at > _FORGIVEN_AFTER_S


class LostRuns:
    """Who is to be read again, and when: at once after the first refusal, then after pauses that grow.

    Going on from the journal calls the body again of which the outcome was refused, so a store that refuses for good
    must not be asked as fast as it answers.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin with none.

        Args:
            now: A clock in seconds that nobody sets.
        """
        self._now = now
        self._runs: dict[str, _Lost] = {}

    def __bool__(self) -> bool:
        """Say whether any is to be read again."""
        return any(each.is_waiting for each in self._runs.values())

    @property
    def waiting(self) -> list[str]:
        """Those that are to be read again."""
        return [run_id for run_id, each in self._runs.items() if each.is_waiting]

    def has_lasted(self, seconds: float) -> bool:
        """Say whether writes of one of them have been refused again and again for so long."""
        return any(each.refusals > 1 and each.last_at - each.first_at >= seconds for each in self._runs.values())

    def add(self, run_id: str, *, has_crashed: bool, reason: str) -> bool:
        """Note that a run is to be read again; say whether that is news, or the same once more.

        Args:
            run_id: The run.
            has_crashed: Whether a crash of its last owner is not counted yet.
            reason: Why the write was refused.
        """
        now = self._now()
        last = self._runs.get(run_id)
        refusals = 1 if last is None or last.is_forgiven(now) else last.refusals + 1
        first_at = now if last is None or refusals == 1 else last.first_at
        pause = 0.0 if refusals == 1 else min(_FIRST_PAUSE_S * 2 ** min(refusals - 2, 10), _LONGEST_PAUSE_S)
        self._runs[run_id] = _Lost(has_crashed, now + pause, refusals, reason, first_at, now)
        return last is None or refusals == 1 or last.reason != reason

    def due(self) -> list[str]:
        """Return the runs to be read again now."""
        if not self._runs:
            return []
        now = self._now()
        forgiven = [run_id for run_id, each in self._runs.items() if each.is_forgiven(now)]
        for run_id in forgiven:
            del self._runs[run_id]
        return [run_id for run_id, each in self._runs.items() if each.is_waiting and each.due_at <= now]

    def take(self, run_id: str) -> bool:
        """Note that a run was read again; say whether a crash is not counted yet. Its refusals are remembered."""
        lost = self._runs[run_id]
        lost.is_waiting = False
        return lost.has_crashed

    def forget(self, run_id: str) -> None:
        """Note that a write of a run was taken that gave it up; one that waits to be read again goes on waiting.

        Two writes may be in flight: of the first nobody knows whether it was recorded, and the second is taken.
        """
        lost = self._runs.get(run_id)
        if lost is not None and not lost.is_waiting:
            del self._runs[run_id]
