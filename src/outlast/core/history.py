"""A run as it is recorded at one moment: what readers begin with."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.graph.nodes import Graph
from outlast.immutable import immutable

__all__ = ["History"]


@immutable
class History:
    """A run as it is recorded at one moment."""

    run_id: str
    """Id of the run."""
    workflow_id: str
    """Id of its workflow."""
    resource_id: str | None
    """Whose run it is."""
    execution: int
    """Its latest execution."""
    status: RunStatus
    """Its status."""
    created_at_ms: int
    """When it was started."""
    graph: Graph
    """The graph that it runs on."""
    head: int
    """`seq` of its latest event, of either class."""
    records: Sequence[Record]
    """The facts of its journal."""
    is_latest: bool = True
    """Whether this is its latest execution; else it is how an earlier one was left."""
