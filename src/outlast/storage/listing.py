"""Finding runs without reading their journals: what is asked, what is answered, and what a store guarantees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from outlast.core.status import RunStatus
from outlast.errors import InputError, Problem
from outlast.immutable import immutable
from outlast.storage.keys import GraphKey

__all__ = [
    "COUNTED",
    "MEASURED",
    "QueueLength",
    "RunCount",
    "RunIndex",
    "RunListing",
    "RunQuery",
    "RunSummary",
    "parse_position",
]

COUNTED: Final = 10_000
"""Up to how many matches `RunListing.total` counts."""
MEASURED: Final = 100_000
"""Up to how many runs `RunIndex.measure_queue` counts of a kind."""


@immutable(kw_only=True)
class RunQuery:
    """Which runs are meant; each condition narrows, None and an empty sequence do not."""

    workflow_id: str | None = None
    """Runs of this workflow."""
    statuses: Sequence[RunStatus] = ()
    """Runs with one of these statuses."""
    resource_id: str | None = None
    """Runs of this resource."""
    from_ms: int | None = None
    """Runs started at this time or later."""
    to_ms: int | None = None
    """Runs started at this time or earlier."""
    tags: Sequence[str] = ()
    """Runs that have all of these tags."""
    search: str | None = None
    """Runs whose id, resource id or one of whose tags begins so; upper and lower case differ."""
    after: str | None = None
    """Where the page before ended, as `RunListing.after` told it."""
    offset: int = 0
    """How many runs to leave out, for pages by number; at most `COUNTED`."""
    limit: int = 50
    """How many runs to return at most."""


class RunSummary(NamedTuple):
    """What is known of a run without its journal."""

    run_id: str
    """Id that callers know it by."""
    workflow_id: str
    """Id of its workflow."""
    resource_id: str | None
    """Whose run it is."""
    status: RunStatus
    """Its status."""
    execution: int
    """Its latest execution."""
    created_at_ms: int
    """When it was started."""
    updated_at_ms: int
    """When its latest event was recorded."""
    tags: tuple[str, ...]
    """Its tags, in alphabetical order."""


@immutable(kw_only=True)
class RunListing:
    """A page of runs."""

    runs: Sequence[RunSummary]
    """The runs, those recorded last first."""
    after: str | None
    """Where this page ends, for the query of the next; None if it is the last page."""
    total: int
    """How many runs match on all pages together: exact up to `COUNTED`, else `COUNTED`."""
    is_total_exact: bool
    """Whether `total` is the number; if not, there are more."""


@immutable(kw_only=True)
class RunCount:
    """How many runs of a workflow have a status; at least one."""

    workflow_id: str
    """The workflow."""
    status: RunStatus
    """The status."""
    count: int
    """How many."""


class QueueLength(NamedTuple):
    """How many runs of a workflow could go on if a worker took them; at least one."""

    workflow_id: str
    """The workflow."""
    runs: int
    """How many."""
    ready_at_ms: int
    """Since when the first of them could."""


class RunIndex(Protocol):
    """What a store can find.

    Guarantees, for all methods:
        Runs that were deleted are not found. One answer is of one moment.
    """

    async def list_runs(self, query: RunQuery) -> RunListing:
        """Return the runs that match, those recorded last first.

        Guarantees:
            Pages that follow each other by `after` show each run once, in the order of recording, whatever is
            inserted, changed or deleted meanwhile; a run that is inserted after the first page was read is on none of
            them.

        Raises:
            InputError: `after` was not told by this store.
        """
        ...

    async def summarize_run(self, run_id: str) -> RunSummary | None:
        """Return what lists show of one run, or None if its id is not known."""
        ...

    async def count_runs(self, workflow_id: str | None = None) -> list[RunCount]:
        """Return how many runs there are, by workflow and status, in order of these. Exact, and looks at every run."""
        ...

    async def count_in_flight(self) -> dict[GraphKey, int]:
        """Return how many runs have not ended, by graph; graphs without such a run are not named."""
        ...

    async def measure_queue(self, now_ms: int) -> list[QueueLength]:
        """Return how many runs wait for a worker or for their limits, by workflow, in order of these.

        Guarantees:
            Counted are the runs that nobody owns and whose `ready_at_ms` has come, whoever may claim them. Costs what
            it counts, however many runs sleep, rest or have ended. Exact up to `MEASURED` for each graph, and up to
            `MEASURED` runs that wait in lanes; beyond, it is a lower bound.
        """
        ...


def parse_position(after: str) -> int:
    """Return the number of the run at which a page ended.

    Raises:
        InputError: It is not what a page told.
    """
    digits = after.removeprefix("r")
    if not after.startswith("r") or not digits.isascii() or not digits.isdigit() or len(digits) > len(str(2**63)) - 1:
        reason = f"not a place that a page of this store ended at: {after!r:.60}; pass on what `page.after` holds"
        raise InputError("after", (Problem("", reason),))
    return int(digits)
