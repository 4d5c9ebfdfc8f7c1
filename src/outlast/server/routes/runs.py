"""Looking at the runs of a workflow."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from outlast.errors import Problem
from outlast.server.problem import Refusal
from outlast.server.routes.route import AnyRunId, JsonRoute, Reader, ServiceOf, WorkflowId, answer
from outlast.server.wire.answer import RESPONSES, RunDetails
from outlast.server.wire.result import DETAIL_FIELDS, run_details

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, tags=["runs"])


@router.get(
    "/workflows/{workflow_id}/runs/{run_id}",
    response_model=RunDetails,
    responses=RESPONSES.find,
    summary="Look at a run",
)
async def show_run(
    service: ServiceOf,
    principal: Reader,
    workflow_id: WorkflowId,
    run_id: AnyRunId,
    fields: Annotated[str | None, Query(description=f"Some of {', '.join(DETAIL_FIELDS)}, with commas.")] = None,
    with_nested_workflows: Annotated[bool, Query(alias="withNestedWorkflows")] = True,  # noqa: FBT002 - a query
) -> Response:
    """What is known of a run now. The head, the status and the state always come."""
    wanted = _fields(fields)
    history = await service.history(run_id, principal, workflow_id=workflow_id)
    functions = service.workflow(workflow_id).functions
    return answer(run_details(history, fields=wanted, with_nested=with_nested_workflows, functions=functions))


def _fields(given: str | None) -> frozenset[str]:
    if given is None:
        return frozenset(DETAIL_FIELDS)
    wanted = frozenset(part.strip() for part in given.split(",") if part.strip())
    if unknown := sorted(wanted - set(DETAIL_FIELDS)):
        issue = Problem("fields", f"unknown: {', '.join(unknown)[:100]}; there are {', '.join(DETAIL_FIELDS)}")
        raise Refusal(400, "Invalid query parameters", code="invalid-request", issues=[issue])
    return wanted
