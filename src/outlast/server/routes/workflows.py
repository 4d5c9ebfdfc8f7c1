"""Workflows: which there are, and what they look like."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from outlast.server.routes.route import JsonRoute, Reader, ServiceOf, WorkflowId, answer
from outlast.server.wire.answer import RESPONSES, WorkflowInfo, WorkflowList
from outlast.server.wire.info import workflow_info, workflow_summary

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, tags=["workflows"])


@router.get("/workflows", response_model=WorkflowList, responses=RESPONSES.read, summary="List the workflows")
async def list_workflows(
    service: ServiceOf,
    _principal: Reader,
    partial: Annotated[bool, Query(description="Without steps and schemas.")] = False,  # noqa: FBT002 - a query
) -> Response:
    """All workflows of this app, by id."""
    describe = workflow_summary if partial else workflow_info
    return answer({each.id: describe(each) for each in service.outlast.workflows.values()})


@router.get(
    "/workflows/{workflow_id}", response_model=WorkflowInfo, responses=RESPONSES.find, summary="Look at a workflow"
)
async def show_workflow(service: ServiceOf, _principal: Reader, workflow_id: WorkflowId) -> Response:
    """Its steps, its graph, and its schemas as text of JSON."""
    return answer(workflow_info(service.workflow(workflow_id)))
