"""Looking at the runs of a workflow."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from fastapi import APIRouter, Query
from starlette.responses import Response

from outlast.core.status import RunStatus
from outlast.errors import Problem
from outlast.reading import make_query
from outlast.server.problem import Refusal
from outlast.server.routes.route import Admin, AnyRunId, JsonRoute, Reader, ServiceOf, WorkflowId, answer
from outlast.server.wire.answer import RESPONSES, Message, RunDetails, RunRows
from outlast.server.wire.result import DETAIL_FIELDS, light_row, run_details, run_row
from outlast.storage.listing import COUNTED
from outlast.values import JsonValue

__all__ = ["router"]

MOST_ROWS: Final = 1_000
MOST_SNAPSHOTS: Final = 100
LAST_PAGE: Final = 10_000
Limit: TypeAlias = Annotated[
    Literal["false"] | Annotated[int, Query(ge=1, le=MOST_ROWS)] | None, Query(description="`false`: all of them.")
]

router = APIRouter(route_class=JsonRoute, tags=["runs"])


@router.get("/workflows/{workflow_id}/runs", response_model=RunRows, responses=RESPONSES.find, summary="List the runs")
async def list_runs(  # noqa: PLR0913 - the conditions of a list, all by name
    *,
    service: ServiceOf,
    principal: Reader,
    workflow_id: WorkflowId,
    page: Annotated[int | None, Query(ge=0, le=LAST_PAGE)] = None,
    per_page: Annotated[int | None, Query(alias="perPage", ge=1, le=MOST_ROWS)] = None,
    offset: Annotated[int | None, Query(ge=0, le=LAST_PAGE)] = None,
    limit: Limit = None,
    from_date: Annotated[datetime | None, Query(alias="fromDate", description="Recorded then or later.")] = None,
    to_date: Annotated[datetime | None, Query(alias="toDate", description="Recorded then or earlier.")] = None,
    resource_id: Annotated[str | None, Query(alias="resourceId", description="Only of this resource.")] = None,
    status: Annotated[RunStatus | None, Query(description="Only with this status.")] = None,
    snapshots: Annotated[
        bool | None,
        Query(description="Whether rows hold what is recorded of the run; by default in pages of at most 100."),
    ] = None,
) -> Response:
    """The runs of a workflow, the newest first; at most 1,000 of them at once, and the first 10,000 in all.

    A page that was asked to be small, of at most 100, shows what is recorded of each run; a longer list its status.
    """
    functions = service.workflow(workflow_id).functions
    size, is_full = _size(per_page or (limit if isinstance(limit, int) else None), snapshots=snapshots)
    query = make_query(
        workflow_id=workflow_id,
        status=status,
        resource_id=principal.owner_of(resource_id),
        from_date=from_date,
        to_date=to_date,
        per_page=size,
    )
    passed = (page if page is not None else (offset or 0) // size) * size
    listing = await service.outlast.engine.list_runs(replace(query, offset=min(passed, COUNTED)))
    rows: list[JsonValue] = []
    for each in listing.runs[: max(0, COUNTED - passed)]:  # else a reader would get the same page for ever
        history = await service.outlast.engine.load_history(each.run_id) if is_full else None
        if history is not None:
            rows.append(run_row(history, functions=functions))
        elif not is_full:
            rows.append(light_row(each))
    return answer({"runs": rows, "total": listing.total})


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


@router.delete(
    "/workflows/{workflow_id}/runs/{run_id}", response_model=Message, responses=RESPONSES.drive, summary="Delete a run"
)
async def delete_run(service: ServiceOf, principal: Admin, workflow_id: WorkflowId, run_id: AnyRunId) -> Response:
    """Delete a run that has ended: its journal, its tags, everything but its id."""
    await service.find(run_id, principal, workflow_id=workflow_id)
    await service.outlast.run(run_id).delete()
    return answer({"message": "Workflow run deleted"})


def _size(asked: int | None, *, snapshots: bool | None) -> tuple[int, bool]:
    """Return how many rows a page has at most, and whether each holds a snapshot, for which a journal is read."""
    is_full = snapshots if snapshots is not None else asked is not None and asked <= MOST_SNAPSHOTS
    if is_full and asked is not None and asked > MOST_SNAPSHOTS:
        issue = Problem("snapshots", f"pages with snapshots have at most {MOST_SNAPSHOTS} rows")
        raise Refusal(400, "Invalid query parameters", code="invalid-request", issues=[issue])
    return asked or (MOST_SNAPSHOTS if is_full else MOST_ROWS), is_full


def _fields(given: str | None) -> frozenset[str]:
    if given is None:
        return frozenset(DETAIL_FIELDS)
    wanted = frozenset(part.strip() for part in given.split(",") if part.strip())
    if unknown := sorted(wanted - set(DETAIL_FIELDS)):
        issue = Problem("fields", f"unknown: {', '.join(unknown)[:100]}; there are {', '.join(DETAIL_FIELDS)}")
        raise Refusal(400, "Invalid query parameters", code="invalid-request", issues=[issue])
    return wanted
