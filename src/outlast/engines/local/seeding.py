"""Executions that do not begin at the start of their workflow, as a store records them."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.core.codec import encode_event
from outlast.core.events import Fact
from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.engines.base import History, SeededStart
from outlast.engines.local.limits import AppLimits
from outlast.engines.metrics import RUNS_REOPENED, Meter
from outlast.engines.telemetry import Tracer, export_ended
from outlast.errors import RunNotFoundError
from outlast.graph.document import fingerprint_of, graph_to_json
from outlast.storage.base import NewRun, Reopening, Store
from outlast.storage.flow import Flow
from outlast.values import encode

__all__ = ["reopen", "seeded_run"]


async def reopen(
    store: Store,
    history: History,
    facts: Sequence[Fact],
    *,
    execution: int,
    tracer: Tracer | None = None,
    meter: Meter | None = None,
) -> bool:
    """Record the beginning of the next execution of a run; False if it does not rest as it was read.

    Raises:
        RunNotFoundError: Its id is not known any more.
        StoreUnavailableError: It is not known whether it was recorded.
    """
    row = await store.find_run(history.run_id)
    if row is None:
        raise RunNotFoundError(history.run_id)
    records = _records(facts, history.head + 1, execution)
    reopening = Reopening(run=row.key, head=history.head, records=records, is_limited=row.is_limited)
    was_reopened = await store.reopen_run(reopening)
    if was_reopened and tracer is not None:
        export_ended(tracer, history.run_id, history.graph, [*history.records, *records], after=history.head)
    if was_reopened and meter is not None:
        meter.add(RUNS_REOPENED, 1, history.workflow_id)
    return was_reopened


async def seeded_run(store: Store, request: SeededStart, now_ms: int, limits: AppLimits) -> NewRun:
    """Return a run that begins at another place than the start, to be inserted for whoever claims it."""
    workflow_id, document = request.graph.workflow_id, encode(graph_to_json(request.graph))
    return NewRun(
        run_id=request.run_id,
        workflow_id=workflow_id,
        graph=await store.ensure_graph(workflow_id, fingerprint_of(document), document),
        resource_id=request.resource_id,
        created_at_ms=now_ms,
        status=RunStatus.PENDING,
        owner=None,
        records=_records(request.facts(now_ms), 1, 0),
        flow=limits.flow(request.flow) if request.like is None else await _flow_of(store, request.like),
    )


async def _flow_of(store: Store, run_id: str) -> Flow | None:
    """Return what a run is subject to."""
    row = await store.find_run(run_id)
    return None if row is None or not row.is_limited else await store.find_flow(row.key)


def _records(facts: Sequence[Fact], first: int, execution: int) -> list[Record]:
    return [
        encode_event(event, seq=seq, execution=execution, payload=payload)
        for seq, (event, payload) in enumerate(facts, start=first)
    ]
