"""What an engine can do beyond driving runs. Differences between engines are declared here and never sniffed."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Capability"]


class Capability(StrEnum):
    """Something that not every engine can do; what lacks it refuses with `UnsupportedByEngineError`."""

    PENDING_RECORDS = "pending-records"
    """Recording a run that somebody starts later."""
    IDEMPOTENCY_KEYS = "idempotency-keys"
    """Starting a run under a key, so that a second start finds the first."""
    LIFETIME_IDENTITY = "lifetime-identity"
    """Refusing a run id for as long as its run is kept, and longer; else only as long as the server keeps it."""
    LISTS = "lists"
    """Listing and counting runs by what is known of them."""
    TAG_PREFIXES = "tag-prefixes"
    """Searching runs by the beginning of a tag."""
    START_ORDER = "start-order"
    """Listing runs in the order in which they were recorded, whatever they do."""
    RETENTION = "retention"
    """Keeping finished runs for a time of the app's choice."""
    REWINDING = "rewinding"
    """Restarting runs, going back in them, forking them."""
    SAYING = "saying"
    """Taking what bodies say while they run: `write`, `progress`, `emit`."""
    SILENCING = "silencing"
    """Keeping what bodies say for a shorter time than their run: `stream_retention`."""
    IDLENESS = "idleness"
    """Knowing when nothing is left to be run: `on_exit="finish"` and `until_idle`."""
    WORKER_INSIGHT = "worker-insight"
    """Knowing which functions the live workers have."""
    ENDING_WITHOUT_WORKER = "ending-without-worker"
    """Ending a run at once when it is canceled while no worker lives; else it ends when one comes."""
    KEYED_LIMITS = "keyed-limits"
    """Limiting how many runs go on or begin, by workflow, by key and for an app."""
    PRIORITIES = "priorities"
    """Letting some of the runs that wait begin before others."""
    RUN_SLOTS = "run-slots"
    """Driving at most `max_runs` runs at a time in a process, while others wait to be begun."""
    SPANS_AT_ONCE = "spans-at-once"
    """Exporting each span as soon as what ends it is recorded."""
    SUBSECOND_TIMERS = "subsecond-timers"
    """Sleeping, and waiting between attempts, to the millisecond."""
