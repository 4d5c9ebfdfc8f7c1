"""Lists and counts over the runs in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from outlast.storage.keys import GraphKey
from outlast.storage.listing import COUNTED, QueueLength, RunCount, RunListing, RunQuery, parse_position
from outlast.storage.memory.table import Run

__all__ = ["count_in_flight", "count_runs", "list_runs", "measure_queue"]


def list_runs(newest_first: Iterable[Run], query: RunQuery) -> RunListing:
    """Return a page of the runs that match.

    Raises:
        InputError: `after` was not told by this store.
    """
    position = None if query.after is None else parse_position(query.after)
    matching = [run for run in newest_first if _matches(run, query)]
    rest = (run for run in matching if position is None or run.key < position)
    page = list(islice(rest, query.offset, query.offset + query.limit + 1))
    has_more, page = len(page) > query.limit, page[: query.limit]
    return RunListing(
        runs=[run.to_summary() for run in page],
        after=f"r{page[-1].key}" if has_more else None,
        total=min(len(matching), COUNTED),
        is_total_exact=len(matching) <= COUNTED,
    )


def count_runs(runs: Iterable[Run], workflow_id: str | None) -> list[RunCount]:
    """Count the runs by workflow and status."""
    counts = Counter((run.workflow_id, run.status) for run in runs if workflow_id in (None, run.workflow_id))
    return [
        RunCount(workflow_id=workflow, status=status, count=counts[workflow, status])
        for workflow, status in sorted(counts)
    ]


def count_in_flight(runs: Iterable[Run]) -> dict[GraphKey, int]:
    """Count the runs that have not ended, by graph."""
    counts = Counter(run.graph for run in runs if not run.status.is_terminal)
    return {graph: counts[graph] for graph in sorted(counts)}


def measure_queue(runs: Iterable[Run], now_ms: int) -> list[QueueLength]:
    """Count the runs that could go on now, by workflow."""
    waits: dict[str, list[int]] = {}
    for run in runs:
        if run.owner is None and run.ready_at_ms is not None and run.ready_at_ms <= now_ms:
            waits.setdefault(run.workflow_id, []).append(run.ready_at_ms)
    return [QueueLength(workflow_id, len(waits[workflow_id]), min(waits[workflow_id])) for workflow_id in sorted(waits)]


def _matches(run: Run, query: RunQuery) -> bool:
    return (
        query.workflow_id in (None, run.workflow_id)
        and query.resource_id in (None, run.resource_id)
        and (not query.statuses or run.status in query.statuses)
        and (query.from_ms is None or run.created_at_ms >= query.from_ms)
        and (query.to_ms is None or run.created_at_ms <= query.to_ms)
        and set(query.tags) <= set(run.tags)
        and (not query.search or _begins_with(run, query.search))
    )


def _begins_with(run: Run, text: str) -> bool:
    return any(word.startswith(text) for word in (run.run_id, run.resource_id or "", *run.tags))
