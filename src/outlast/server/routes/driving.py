"""Resuming and canceling runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from outlast.server.routes.route import AnyRunId, ContextQuery, Driver, JsonRoute, RunId, ServiceOf, WorkflowId, answer
from outlast.server.wire.answer import RESPONSES, Created, Message, RunOutcome
from outlast.server.wire.body import CancelBody, ResumeBody
from outlast.server.wire.context import with_context
from outlast.server.wire.result import run_result

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, tags=["runs"])

_RESUME = Body(default_factory=ResumeBody)
_CANCEL = Body(default_factory=CancelBody)


@router.post("/workflows/{workflow_id}/resume", response_model=Message, responses=RESPONSES.drive, summary="Resume")
async def resume(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[ResumeBody, _RESUME],
    request_context: ContextQuery = None,
) -> Response:
    """Resume a suspension and answer once that is durable. The data is checked first."""
    await service.resume(workflow_id, run_id, principal, with_context(body, request_context))
    return answer({"message": "Workflow run resumed"})


@router.post(
    "/workflows/{workflow_id}/resume-async",
    response_model=RunOutcome,
    responses=RESPONSES.drive_and_wait,
    summary="Resume and wait",
)
async def resume_async(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[ResumeBody, _RESUME],
    request_context: ContextQuery = None,
) -> Response:
    """Resume a suspension and answer when the run ends or rests again."""
    handle = await service.resume(workflow_id, run_id, principal, with_context(body, request_context))
    return answer(run_result(await service.rest(handle)))


@router.post(
    "/workflows/{workflow_id}/resume-no-wait",
    response_model=Created,
    responses=RESPONSES.drive,
    summary="Resume, and get the id",
)
async def resume_no_wait(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[ResumeBody, _RESUME],
    request_context: ContextQuery = None,
) -> Response:
    """As `resume`, with another answer."""
    await service.resume(workflow_id, run_id, principal, with_context(body, request_context))
    return answer({"runId": run_id})


@router.post(
    "/workflows/{workflow_id}/runs/{run_id}/cancel", response_model=Message, responses=RESPONSES.drive, summary="Cancel"
)
async def cancel(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: AnyRunId,
    body: Annotated[CancelBody, _CANCEL],
) -> Response:
    """Ask for a run to end `canceled`. One that has ended is left as it is."""
    await service.cancel(workflow_id, run_id, principal, body.reason)
    return answer({"message": "Workflow run cancelled"})
