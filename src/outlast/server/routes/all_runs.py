"""Runs by their id alone, whatever their workflow: our own routes, for our own client and for scripts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from outlast.mark import Mark
from outlast.results import at_execution
from outlast.server.auth import Scope
from outlast.server.routes.route import Admin, AnyRunId, ContextQuery, Driver, JsonRoute, Reader, ServiceOf, answer
from outlast.server.wire.answer import RESPONSES, Counts, Deliveries, Marked, Message, Resumed, RunPage, WholeRun, Why
from outlast.server.wire.body import CancelBody, ResumeBody
from outlast.server.wire.context import with_context
from outlast.server.wire.whole import whole_result, wire_delivery

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, tags=["runs by id"])

_RESUME = Body(default_factory=ResumeBody)
_CANCEL = Body(default_factory=CancelBody)
Execution: TypeAlias = Annotated[
    int | None, Query(ge=0, le=1_000_000, description="Instead of the latest execution, what this one came to.")
]


@router.get("/runs", response_model=RunPage, responses=RESPONSES.read, summary="List runs of all workflows")
async def list_runs(  # noqa: PLR0913 - the conditions of a list, all by name
    *,
    service: ServiceOf,
    principal: Reader,
    workflow_id: Annotated[str | None, Query(alias="workflowId", description="Only of this workflow.")] = None,
    status: Annotated[list[str] | None, Query(description="Only with one of these.", max_length=20)] = None,
    resource_id: Annotated[str | None, Query(alias="resourceId", description="Only of this resource.")] = None,
    from_date: Annotated[datetime | None, Query(alias="fromDate", description="Recorded then or later.")] = None,
    to_date: Annotated[datetime | None, Query(alias="toDate", description="Recorded then or earlier.")] = None,
    tags: Annotated[list[str] | None, Query(description="Only with all of these.", max_length=100)] = None,
    search: Annotated[str | None, Query(description="Run id, resource id or a tag begins so.")] = None,
    after: Annotated[str | None, Query(description="`after` of the page before.")] = None,
    per_page: Annotated[int, Query(alias="perPage", ge=1, le=1_000)] = 50,
) -> Response:
    """A page of runs, the newest first; `after` of the answer asks for the next one."""
    page = await service.outlast.list_runs(
        workflow_id,
        status=status,
        resource_id=principal.owner_of(resource_id),
        from_date=from_date,
        to_date=to_date,
        tags=tags or (),
        search=search,
        after=after,
        per_page=per_page,
    )
    return answer(page.to_dict())


@router.get("/stats", response_model=Counts, responses=RESPONSES.read, summary="Count runs")
async def stats(
    service: ServiceOf,
    principal: Reader,
    workflow_id: Annotated[str | None, Query(alias="workflowId", description="Only of this workflow.")] = None,
) -> Response:
    """How many runs of which workflow have which status."""
    counts = await service.counts(principal, workflow_id)
    return answer({name: {str(status): number for status, number in each.items()} for name, each in counts.items()})


@router.get("/runs/{run_id:path}/result", response_model=WholeRun, responses=RESPONSES.find, summary="Wait for a run")
async def result(
    service: ServiceOf,
    principal: Reader,
    run_id: AnyRunId,
    wait: Annotated[float, Query(description="Seconds to wait at most for the run to rest.", ge=0, le=3_600)] = 0,
    until: Annotated[Literal["rest", "end"], Query(description="`end`: wait through suspensions.")] = "rest",
    mark: Annotated[str | None, Query(description="Of an earlier answer: rests before that do not count.")] = None,
    execution: Execution = None,
) -> Response:
    """Wait until a run ends, is suspended or paused, and tell all that is known then; `isAtRest` says if it came."""
    await service.find(run_id, principal)
    handle = service.outlast.run(run_id, mark=None if mark is None else Mark.from_text(mark))
    limit = min(timedelta(seconds=wait), service.limits.poll)
    is_at_rest = await service.until(handle.result(until=until, execution=execution), limit)
    history = await service.load(run_id)
    if execution is not None:
        history = at_execution(history, execution)
    whole = whole_result(history, with_tracebacks=principal.scope.includes(Scope.ADMIN))
    return answer({**whole, "isAtRest": is_at_rest})


@router.get("/runs/{run_id:path}/why", response_model=Why, responses=RESPONSES.find, summary="Why it is where it is")
async def why(service: ServiceOf, principal: Reader, run_id: AnyRunId) -> Response:
    """In words: what a run does or waits for, since when, and who works on it."""
    await service.find(run_id, principal)
    return answer({"why": await service.outlast.run(run_id).why()})


@router.get("/runs/{run_id:path}/deliveries", response_model=Deliveries, responses=RESPONSES.find, summary="Due hooks")
async def deliveries(service: ServiceOf, principal: Reader, run_id: AnyRunId) -> Response:
    """The calls of `on_finish` and `on_error` that have not succeeded: due, or given up."""
    await service.find(run_id, principal)
    found = await service.outlast.run(run_id).deliveries()
    is_admin = principal.scope.includes(Scope.ADMIN)
    return answer({"deliveries": [wire_delivery(each, with_tracebacks=is_admin) for each in found]})


@router.delete("/runs/{run_id:path}", response_model=Message, responses=RESPONSES.drive, summary="Delete any run")
async def delete(service: ServiceOf, principal: Admin, run_id: AnyRunId) -> Response:
    """Delete a run that has ended: its journal, its tags, everything but its id."""
    await service.find(run_id, principal)
    await service.outlast.run(run_id).delete()
    return answer({"message": "Workflow run deleted"})


@router.post("/runs/{run_id:path}/resume", response_model=Resumed, responses=RESPONSES.drive, summary="Resume any run")
async def resume(
    service: ServiceOf,
    principal: Driver,
    run_id: AnyRunId,
    body: Annotated[ResumeBody, _RESUME],
    request_context: ContextQuery = None,
) -> Response:
    """Resume a suspension and answer once that is durable; `mark` waits for what comes of it."""
    handle = await service.resume(None, run_id, principal, with_context(body, request_context))
    return answer({"runId": run_id, "mark": handle.mark.to_text(), "skipped": list(handle.skipped)})


@router.post("/runs/{run_id:path}/cancel", response_model=Marked, responses=RESPONSES.drive, summary="Cancel any run")
async def cancel(
    service: ServiceOf, principal: Driver, run_id: AnyRunId, body: Annotated[CancelBody, _CANCEL]
) -> Response:
    """Ask for a run to end `canceled`. One that has ended is left as it is."""
    mark = await service.cancel(None, run_id, principal, body.reason)
    return answer({"runId": run_id, "mark": mark.to_text()})


# Last: ids may have slashes in them, and this pattern would take the others' paths.
@router.get("/runs/{run_id:path}", response_model=WholeRun, responses=RESPONSES.find, summary="Look at any run")
async def snapshot(service: ServiceOf, principal: Reader, run_id: AnyRunId, execution: Execution = None) -> Response:
    """All that is known of a run now. Tracebacks are shown to tokens with scope `admin`."""
    history = await service.history(run_id, principal)
    if execution is not None:
        history = at_execution(history, execution)
    return answer(whole_result(history, with_tracebacks=principal.scope.includes(Scope.ADMIN)))
