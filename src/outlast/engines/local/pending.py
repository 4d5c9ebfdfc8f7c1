"""A run as it is recorded for whoever claims it."""

from __future__ import annotations

from outlast.core.codec import encode_event
from outlast.core.events import RunStarted
from outlast.core.status import RunStatus
from outlast.engines.base import CreateRequest, StartRequest
from outlast.storage.base import GraphKey, NewRun

__all__ = ["pending_run"]


def pending_run(request: StartRequest | CreateRequest, graph: GraphKey, now_ms: int) -> NewRun:
    """Return a run without owner: one to be started, or one that waits to be started by somebody."""
    event = request.to_event(now_ms)
    start = request if isinstance(request, StartRequest) else None
    return NewRun(
        run_id=request.run_id,
        workflow_id=request.workflow.id,
        graph=graph,
        resource_id=request.resource_id,
        created_at_ms=now_ms,
        status=RunStatus.PENDING,
        owner=None,
        records=[encode_event(event, seq=1, execution=0, payload=None if start is None else start.input)],
        ready_at_ms=request.ready_at_ms(now_ms),
        tags=() if start is None else start.tags,
        start_by_ms=event.start_deadline_ms if isinstance(event, RunStarted) else event.due_at_ms,
        flow=None if start is None else start.flow,
    )
