"""Letting runs go on in another execution: restart and time travel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from outlast.server import repair
from outlast.server.routes.route import AnyRunId, ContextQuery, Driver, JsonRoute, RunId, ServiceOf, WorkflowId, answer
from outlast.server.routes.streams import DRIVE_STREAM, Accept
from outlast.server.streaming import EventResponse
from outlast.server.wire.answer import RESPONSES, Marked, Message, RunOutcome
from outlast.server.wire.body import ForkBody, RestartBody, StepBody, TimeTravelBody
from outlast.server.wire.context import with_context
from outlast.server.wire.event import framing_of
from outlast.server.wire.result import run_result

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, tags=["repair"])

_RESTART = Body(default_factory=RestartBody)
_STEP = Body(default_factory=StepBody)


@router.post("/workflows/{workflow_id}/restart", response_model=Message, responses=RESPONSES.drive, summary="Restart")
async def restart(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[RestartBody, _RESTART],
    request_context: ContextQuery = None,
) -> Response:
    """Drive a failed or canceled run again from its unfinished nodes. Runs of a dead worker go on by themselves."""
    await repair.restart(service, workflow_id, run_id, principal, with_context(body, request_context))
    return answer({"message": "Workflow run restarted"})


@router.post(
    "/workflows/{workflow_id}/restart-async",
    response_model=RunOutcome,
    responses=RESPONSES.drive_and_wait,
    summary="Restart and wait",
)
async def restart_async(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[RestartBody, _RESTART],
    request_context: ContextQuery = None,
) -> Response:
    """As `restart`, and answer when the run ends or rests again."""
    handle = await repair.restart(service, workflow_id, run_id, principal, with_context(body, request_context))
    return answer(run_result(await service.rest(handle)))


@router.post(
    "/workflows/{workflow_id}/time-travel", response_model=Message, responses=RESPONSES.drive, summary="Time travel"
)
async def time_travel(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: TimeTravelBody,
    request_context: ContextQuery = None,
) -> Response:
    """Let a run that rests, or was never started, go on from a step; results of the steps before it are kept."""
    await repair.time_travel(service, workflow_id, run_id, principal, with_context(body, request_context))
    return answer({"message": "Workflow run time travel started"})


@router.post(
    "/workflows/{workflow_id}/time-travel-async",
    response_model=RunOutcome,
    responses=RESPONSES.drive_and_wait,
    summary="Time travel and wait",
)
async def time_travel_async(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: TimeTravelBody,
    request_context: ContextQuery = None,
) -> Response:
    """As `time-travel`, and answer when the run ends or rests again."""
    handle = await repair.time_travel(service, workflow_id, run_id, principal, with_context(body, request_context))
    return answer(run_result(await service.rest(handle)))


@router.post(
    "/workflows/{workflow_id}/time-travel-stream",
    response_class=Response,
    responses=DRIVE_STREAM,
    summary="Time travel and watch",
)
async def time_travel_stream(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: TimeTravelBody,
    request_context: ContextQuery = None,
    accept: Accept = "",
) -> Response:
    """As `time-travel`, and answer with what happens from then on."""
    full = with_context(body, request_context)
    with service.streams.place() as place:
        handle = await repair.time_travel(service, workflow_id, run_id, principal, full)
        events = aiter(handle.observe_stream(after=handle.mark.last_event))
        return EventResponse(events, framing=framing_of(accept, principal), place=place)


@router.post("/runs/{run_id:path}/restart", response_model=Marked, responses=RESPONSES.drive, summary="Restart any run")
async def restart_any(
    service: ServiceOf,
    principal: Driver,
    run_id: AnyRunId,
    body: Annotated[RestartBody, _RESTART],
    request_context: ContextQuery = None,
) -> Response:
    """Drive a failed or canceled run again from its unfinished nodes."""
    handle = await repair.restart(service, None, run_id, principal, with_context(body, request_context))
    return answer({"runId": run_id, "mark": handle.mark.to_text()})


@router.post(
    "/runs/{run_id:path}/time-travel", response_model=Marked, responses=RESPONSES.drive, summary="Time travel any run"
)
async def time_travel_any(
    service: ServiceOf,
    principal: Driver,
    run_id: AnyRunId,
    body: TimeTravelBody,
    request_context: ContextQuery = None,
) -> Response:
    """Let a run that rests go on from a step."""
    handle = await repair.time_travel(service, None, run_id, principal, with_context(body, request_context))
    return answer({"runId": run_id, "mark": handle.mark.to_text()})


@router.post("/runs/{run_id:path}/fork", response_model=Marked, responses=RESPONSES.drive, summary="Fork a run")
async def fork(
    service: ServiceOf,
    principal: Driver,
    run_id: AnyRunId,
    body: ForkBody,
    request_context: ContextQuery = None,
) -> Response:
    """Start a new run that goes on from a step of this one, which is left as it is."""
    handle = await repair.fork(service, run_id, principal, with_context(body, request_context))
    return answer({"runId": handle.run_id, "mark": handle.mark.to_text()})


@router.post("/runs/{run_id:path}/step", response_model=Marked, responses=RESPONSES.drive, summary="Do the next step")
async def step(service: ServiceOf, principal: Driver, run_id: AnyRunId, body: Annotated[StepBody, _STEP]) -> Response:
    """Let a paused run do its next step."""
    await service.find(run_id, principal)
    handle = await service.outlast.run(run_id).step_async(per_step=body.per_step)
    return answer({"runId": run_id, "mark": handle.mark.to_text()})
