"""What a store holds of a run, as its readers get it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from outlast.engines.base import History
from outlast.graph.nodes import Graph
from outlast.storage.base import GraphKey, RunRow, RunStore

__all__ = ["read_history"]


async def read_history(
    row: RunRow, *, store: RunStore, load_graph: Callable[[str, GraphKey], Awaitable[Graph]]
) -> History | None:
    """Read the journal of a run up to where its row says; None if the run was deleted meanwhile.

    Args:
        row: The row as it was read.
        store: Where the run is kept.
        load_graph: Loads the graph of a run, given its id.
    """
    records = await store.load_facts(row.key, until=row.head)
    is_whole = bool(records) and (not row.status.is_terminal or records[-1].seq == row.head)
    if not is_whole and await store.find_run(row.run_id) is None:
        return None
    return History(
        run_id=row.run_id,
        workflow_id=row.workflow_id,
        resource_id=row.resource_id,
        execution=row.execution,
        status=row.status,
        created_at_ms=row.created_at_ms,
        graph=await load_graph(row.run_id, row.graph),
        head=row.head,
        records=records,
    )
