"""Workflows: which there are, and what they look like."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from outlast.core.status import RunStatus
from outlast.graph.definition import definition_of
from outlast.server.routes.route import JsonRoute, Reader, ServiceOf, WorkflowId, answer
from outlast.server.wire.answer import RESPONSES, Counts
from outlast.server.wire.info import workflow_info, workflow_summary
from outlast.server.wire.workflow import Definition, WorkflowInfo, WorkflowList

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


@router.get("/workflows/run-counts", response_model=Counts, responses=RESPONSES.read, summary="Count active runs")
async def run_counts(service: ServiceOf, principal: Reader) -> Response:
    """How many runs of each workflow are running and suspended."""
    counts = await service.counts(principal)
    shown = (RunStatus.RUNNING, RunStatus.SUSPENDED)
    return answer(
        {name: {str(each): counts.get(name, {}).get(each, 0) for each in shown} for name in service.outlast.workflows}
    )


@router.get(
    "/workflows/{workflow_id}", response_model=WorkflowInfo, responses=RESPONSES.find, summary="Look at a workflow"
)
async def show_workflow(service: ServiceOf, _principal: Reader, workflow_id: WorkflowId) -> Response:
    """Its steps, its graph, and its schemas as text of JSON."""
    return answer(workflow_info(service.workflow(workflow_id)))


@router.get(
    "/workflows/{workflow_id}/definition",
    response_model=Definition,
    responses=RESPONSES.find,
    summary="Look at a workflow in our own form",
)
async def show_definition(service: ServiceOf, _principal: Reader, workflow_id: WorkflowId) -> Response:
    """The names and JSON Schemas of its types, and its graph as runs keep it."""
    return answer(definition_of(service.workflow(workflow_id)))
