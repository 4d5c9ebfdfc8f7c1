"""The statuses of runs and steps. Rule 4 of the specification: one table in the core decides."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["RunStatus", "StepStatus"]


class RunStatus(StrEnum):
    """What a run is doing. Precedence over its open work: running, waiting, suspended, paused."""

    PENDING = "pending"
    """Recorded, and no worker has taken it yet."""
    RUNNING = "running"
    """Something is in flight or may start at once."""
    WAITING = "waiting"
    """Nothing but timers: a retry delay or a sleep."""
    SUSPENDED = "suspended"
    """Waits for somebody to resume it."""
    PAUSED = "paused"
    """Stopped between two nodes because it was started step by step."""
    SUCCESS = "success"
    """Ended with a result."""
    FAILED = "failed"
    """Ended with a recorded failure."""
    CANCELED = "canceled"
    """Ended because somebody canceled it."""

    @property
    def is_terminal(self) -> bool:
        """Whether this execution of the run has ended for good."""
        return self in _TERMINAL

    @property
    def is_rest(self) -> bool:
        """Whether nothing happens until somebody from outside acts: ended, suspended or paused (rule 2.6)."""
        return self in _REST


_TERMINAL = frozenset({RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.CANCELED})
_REST = _TERMINAL | {RunStatus.SUSPENDED, RunStatus.PAUSED}


class StepStatus(StrEnum):
    """What is known of a step in the latest execution."""

    WAITING = "waiting"
    """Between two attempts, or asleep."""
    RUNNING = "running"
    """Started, no outcome yet."""
    SUCCESS = "success"
    """Its output is recorded."""
    FAILED = "failed"
    """Its failure is recorded and no attempt is left."""
    SUSPENDED = "suspended"
    """Waits to be resumed."""
    CANCELED = "canceled"
    """The run was canceled before it had an outcome."""
    SKIPPED = "skipped"
    """Not run because an earlier node decided so."""
    BAILED = "bailed"
    """Ended its block early with a value."""
