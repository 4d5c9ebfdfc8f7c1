"""What to do if a verb does not fit the status of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outlast.core.status import RunStatus
from outlast.errors import RunStateError

__all__ = ["does_not_fit"]

_ACTIVE: Final = "wait until it rests, or cancel it first"
_ENDED: Final = "it has ended; restart drives a failed or canceled run again, time travel goes on from any of its steps"

_ADVICE: Final[Mapping[str, Mapping[RunStatus, str]]] = {
    "resume": {
        RunStatus.PENDING: "nothing of it waits to be resumed yet; wait until it is suspended",
        RunStatus.RUNNING: "nothing of it waits to be resumed now; wait until it is suspended",
        RunStatus.WAITING: "nothing of it waits to be resumed now; wait until it is suspended",
        RunStatus.PAUSED: "it waits for its next step and for no data; let it go on with step",
    },
    "step": {
        RunStatus.PENDING: "wait until it is paused, which only runs are that were started with per_step",
        RunStatus.RUNNING: "wait until it is paused, which only runs are that were started with per_step",
        RunStatus.WAITING: "wait until it is paused, which only runs are that were started with per_step",
        RunStatus.SUSPENDED: "it waits for somebody to resume it",
    },
    "restart": {
        RunStatus.SUSPENDED: "it waits for somebody to resume it; or go on from another step with time travel",
        RunStatus.PAUSED: "let it go on with step; or go on from another step with time travel",
        RunStatus.SUCCESS: "nothing of it is left to do; time travel goes on from any of its steps",
    },
    "unwrap the result": {
        RunStatus.PAUSED: "let it go on with step, and wait for its end with result(until='end')",
    },
}


def does_not_fit(run_id: str, verb: str, status: RunStatus) -> RunStateError:
    """Return the error for a verb that does not fit the status of a run; it says what does."""
    common = _ENDED if status.is_terminal else _ACTIVE
    return RunStateError(run_id, verb, status.value, _ADVICE.get(verb, {}).get(status, common))
