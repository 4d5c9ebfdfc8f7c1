"""What this engine lacks, why, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outlast.engines.capability import Capability
from outlast.errors import UnsupportedByEngineError

__all__ = ["LACKS", "lacking", "unavailable"]

LACKS: Final[Mapping[Capability, str]] = {
    Capability.PENDING_RECORDS: "a server of Temporal knows no run before it is started; start it when it is to run",
    Capability.LIFETIME_IDENTITY: "an id is refused only as long as the namespace keeps the run",
    Capability.TAG_PREFIXES: "search with the beginning of a run id or resource id, or with a whole tag",
    Capability.START_ORDER: "the server lists open runs first, then those that ended last; narrow lists by time",
    Capability.RETENTION: "the namespace decides how long finished runs are kept",
    Capability.SILENCING: "what bodies say is a part of the history of their run, and kept as long",
    Capability.IDLENESS: "runs go on with other workers, so no process knows when all of them have ended",
    Capability.WORKER_INSIGHT: "the server knows which workers listen, and nothing of what they have",
    Capability.ENDING_WITHOUT_WORKER: "a worker ends the run; until one lives it is shown as it was",
    Capability.KEYED_LIMITS: "the server begins every run at once; let a step wait for what is scarce, and be retried",
    Capability.PRIORITIES: "the server begins every run at once, so that none waits for another",
    Capability.RUN_SLOTS: "workers begin every run at once and hold as many in memory as `max_runs` says",
    Capability.SPANS_AT_ONCE: "they are exported when the run rests, by a worker of an app with tracing",
    Capability.SUBSECOND_TIMERS: "timers are those of the server, which fire up to a second late",
}
"""By what is lacking: why, and what to do instead."""


def lacking(capability: Capability) -> UnsupportedByEngineError:
    """Return the error for what this engine cannot do."""
    return UnsupportedByEngineError("Temporal", capability.value, LACKS[capability])


def unavailable(capability: Capability, remedy: str) -> UnsupportedByEngineError:
    """Return the error for what this engine can do, and this server cannot do yet."""
    return UnsupportedByEngineError("this Temporal server", capability.value, remedy)
