"""Starting runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query
from starlette.responses import Response

from outlast.server.routes.direct import DirectRoute
from outlast.server.routes.route import Driver, ServiceOf, WorkflowId, answer
from outlast.server.wire.answer import RESPONSES, Created, RunOutcome, Started
from outlast.server.wire.body import CreateBody, StartBody
from outlast.server.wire.context import with_context
from outlast.server.wire.parameter import CreateHeaders, CreateQuery, NewRunQuery, StartHeaders, StartQuery
from outlast.server.wire.result import run_result

__all__ = ["router"]

router = APIRouter(route_class=DirectRoute, tags=["runs"])

_CREATE = Body(default_factory=CreateBody)
_START = Body(default_factory=StartBody)


@router.post(
    "/workflows/{workflow_id}/create-run", response_model=Created, responses=RESPONSES.change, summary="Record a run"
)
async def create_run(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    body: Annotated[CreateBody, _CREATE],
    query: Annotated[CreateQuery, Query()],
    headers: Annotated[CreateHeaders, Header()],
) -> Response:
    """Record a run as `pending`, to be started within a day. The same id again changes nothing."""
    created = await service.create(
        workflow_id, principal, run_id=query.run_id, resource_id=body.resource_id, key=headers.key
    )
    return answer({"runId": created})


@router.post(
    "/workflows/{workflow_id}/start", response_model=Started, responses=RESPONSES.change, summary="Start a run"
)
async def start(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    body: Annotated[StartBody, _START],
    query: Annotated[StartQuery, Query()],
    headers: Annotated[StartHeaders, Header()],
) -> Response:
    """Start a run and answer once it is durable: from then on it happens. It does not wait for any step.

    With `runId`, a run that was created before; without, a new one.
    """
    full, key, traceparent = with_context(body, query.request_context), headers.key, headers.traceparent
    if query.run_id is None or query.create:
        started = await service.start_new(
            workflow_id, principal, full, run_id=query.run_id, key=key, traceparent=traceparent
        )
    else:
        started = await service.start_named(
            workflow_id, principal, full, run_id=query.run_id, is_new=False, key=key, traceparent=traceparent
        )
    return answer({"message": "Workflow run started", "runId": started})


@router.post(
    "/workflows/{workflow_id}/start-async",
    response_model=RunOutcome,
    responses=RESPONSES.wait,
    summary="Start a run and wait for it",
)
async def start_async(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    body: Annotated[StartBody, _START],
    query: Annotated[NewRunQuery, Query()],
    headers: Annotated[StartHeaders, Header()],
) -> Response:
    """Start a run and answer when it ends, is suspended or paused.

    A repeated request waits for the run in flight; a run that has ended is not started again.
    """
    full = with_context(body, query.request_context)
    handle = await service.start_or_find(
        workflow_id, principal, full, run_id=query.run_id, key=headers.key, traceparent=headers.traceparent
    )
    return answer(run_result(await service.rest(handle)))
