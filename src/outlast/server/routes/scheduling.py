"""Schedules: read, made, changed, paused and tried. Who is bound to a resource has only those of that one."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Final, Literal, TypeAlias

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from outlast.errors import DefinitionError, InputError, Problem, ScheduleNotFoundError
from outlast.instant import from_ms
from outlast.schedule_info import ScheduleInfo
from outlast.schedules import Schedules
from outlast.scheduling.schedule import Schedule
from outlast.scheduling.wire import arguments_of
from outlast.server.auth import Principal
from outlast.server.fired import schedule_body, trigger_body
from outlast.server.problem import Refusal
from outlast.server.routes.route import Driver, JsonRoute, Reader, ServiceOf, answer
from outlast.server.service import Service, typed
from outlast.server.wire import answer as shapes
from outlast.server.wire.answer import RESPONSES
from outlast.server.wire.body import ScheduleBody, SchedulePatch

__all__ = ["router"]

router = APIRouter(route_class=JsonRoute, tags=["schedules"])

_SHORTEST_PAGE: Final = 1
_LONGEST_PAGE: Final = 1_000
_LATEST: Final = 100_000_000_000_000
_TIMES: Final = ("cron", "every", "at")

ScheduleId: TypeAlias = Annotated[str, Path(description="Id of the schedule.")]
Count: TypeAlias = Annotated[int, Query(ge=_SHORTEST_PAGE, le=_LONGEST_PAGE, description="How many at most.")]


@router.get("/schedules", response_model=shapes.ScheduleList, responses=RESPONSES.read, summary="List schedules")
async def list_schedules(  # noqa: PLR0913 - the conditions of a list, all by name
    *,
    service: ServiceOf,
    principal: Reader,
    workflow_id: Annotated[str | None, Query(alias="workflowId", description="Only of this workflow.")] = None,
    status: Annotated[
        Literal["active", "paused", "ended", "retired"] | None, Query(description="Only with this one.")
    ] = None,
    resource_id: Annotated[str | None, Query(alias="resourceId", description="Only of this resource.")] = None,
    agent_id: Annotated[str | None, Query(alias="agentId", description="Only of this agent: there are none.")] = None,
    thread_id: Annotated[str | None, Query(alias="threadId", description="The same of a thread.")] = None,
    name: Annotated[str | None, Query(description="The same of what only schedules of agents have.")] = None,
    after: Annotated[str | None, Query(description="`after` of the page before.")] = None,
    per_page: Annotated[int, Query(alias="perPage", ge=_SHORTEST_PAGE, le=_LONGEST_PAGE)] = 100,
) -> Response:
    """A page of the schedules, in the order of their ids. All start workflows: asked for others, the page is empty."""
    if (agent_id, thread_id, name) != (None, None, None):
        return answer({"schedules": [], "after": None})
    page = await _schedules(service).list(
        workflow_id,
        status=status,
        resource_id=principal.owner_of(resource_id),
        after=after,
        per_page=per_page,
    )
    return answer(
        {
            "schedules": [await schedule_body(service, principal, each) for each in page.schedules],
            "after": page.after,
        }
    )


@router.post("/schedules", response_model=shapes.ScheduleInfo, responses=RESPONSES.change, summary="Make a schedule")
async def create(service: ServiceOf, principal: Driver, body: ScheduleBody) -> Response:
    """Record a schedule; workers fire it from then on."""
    workflow = service.workflow(body.workflow_id)
    named = _named(body)
    named["input_data"] = typed(workflow.input, body.input_data, "input_data")
    named["resource_id"] = principal.owner_of(body.resource_id)
    schedule = _valid(named)
    schedules = _schedules(service)
    made = await schedules.create(workflow, schedule, id=body.id)
    if body.status == "paused":
        made = await schedules.pause(made.id)
    return answer(await schedule_body(service, principal, made))


@router.get(
    "/schedules/{schedule_id}",
    response_model=shapes.ScheduleInfo,
    responses=RESPONSES.find,
    summary="Look at a schedule",
)
async def show(service: ServiceOf, principal: Reader, schedule_id: ScheduleId) -> Response:
    """What it says, where it stands, and when it fires next."""
    return answer(await schedule_body(service, principal, await _find(service, principal, schedule_id)))


@router.patch(
    "/schedules/{schedule_id}",
    response_model=shapes.ScheduleInfo,
    responses=RESPONSES.change,
    summary="Change a schedule",
)
async def update(service: ServiceOf, principal: Driver, schedule_id: ScheduleId, body: SchedulePatch) -> Response:
    """Change what the body names, and nothing else. One that stands in code can only be paused and resumed."""
    found = await _find(service, principal, schedule_id)
    schedules = _schedules(service)
    named = _named(body)
    if principal.resource_id is not None:
        named.pop("resource_id", None)
    if "input_data" in named:
        named["input_data"] = typed(service.workflow(found.workflow_id).input, named["input_data"], "input_data")
    if named:
        found = await schedules.update(schedule_id, lambda known: _changed(known, named))
    if body.status is not None:
        found = await (schedules.pause if body.status == "paused" else schedules.resume)(schedule_id)
    return answer(await schedule_body(service, principal, found))


@router.delete(
    "/schedules/{schedule_id}", response_model=shapes.Message, responses=RESPONSES.change, summary="Delete a schedule"
)
async def delete(service: ServiceOf, principal: Driver, schedule_id: ScheduleId) -> Response:
    """Forget a schedule and its history; its runs stay. One that stands in code is removed there."""
    await _find(service, principal, schedule_id)
    await _schedules(service).delete(schedule_id)
    return answer({"message": "Schedule deleted"})


@router.post(
    "/schedules/{schedule_id}/pause",
    response_model=shapes.ScheduleInfo,
    responses=RESPONSES.change,
    summary="Pause a schedule",
)
async def pause(service: ServiceOf, principal: Driver, schedule_id: ScheduleId) -> Response:
    """Let it fire no more until it is resumed, also over deploys."""
    await _find(service, principal, schedule_id)
    return answer(await schedule_body(service, principal, await _schedules(service).pause(schedule_id)))


@router.post(
    "/schedules/{schedule_id}/resume",
    response_model=shapes.ScheduleInfo,
    responses=RESPONSES.change,
    summary="Resume a schedule",
)
async def resume(service: ServiceOf, principal: Driver, schedule_id: ScheduleId) -> Response:
    """Let it fire again, from now on."""
    await _find(service, principal, schedule_id)
    return answer(await schedule_body(service, principal, await _schedules(service).resume(schedule_id)))


@router.post(
    "/schedules/{schedule_id}/run", response_model=shapes.Claim, responses=RESPONSES.change, summary="Run it now"
)
async def run(service: ServiceOf, principal: Driver, schedule_id: ScheduleId) -> Response:
    """Start a run of it at once, also of a paused one, and answer once that is durable; its times stay."""
    await _find(service, principal, schedule_id)
    trigger = (await _schedules(service).run_now(schedule_id)).to_dict()
    return answer(
        {
            "scheduleId": schedule_id,
            "claimId": trigger["runId"],
            "scheduledFireAt": trigger["scheduledFireAt"],
            "number": trigger["number"],
        }
    )


@router.get(
    "/schedules/{schedule_id}/triggers",
    response_model=shapes.TriggerList,
    responses=RESPONSES.find,
    summary="History of a schedule",
)
async def triggers(
    *,
    service: ServiceOf,
    principal: Reader,
    schedule_id: ScheduleId,
    limit: Count = 100,
    before: Annotated[int | None, Query(ge=1, description="Only those with a smaller number.")] = None,
    earliest: Annotated[
        int | None, Query(alias="fromActualFireAt", ge=0, le=_LATEST, description="Decided then or later, in ms.")
    ] = None,
    latest: Annotated[
        int | None, Query(alias="toActualFireAt", ge=0, le=_LATEST, description="Decided then or earlier, in ms.")
    ] = None,
) -> Response:
    """What became of its times, the latest first: what was fired, and what was skipped and why."""
    await _find(service, principal, schedule_id)
    found = await _schedules(service).triggers(
        schedule_id,
        before=before,
        from_date=None if earliest is None else from_ms(earliest),
        to_date=None if latest is None else from_ms(latest),
        limit=limit,
    )
    return answer({"triggers": [await trigger_body(service, principal, each) for each in found]})


def _schedules(service: Service) -> Schedules:
    return service.outlast.schedules


async def _find(service: Service, principal: Principal, schedule_id: str) -> ScheduleInfo:
    """Return a schedule that somebody may see and touch.

    Raises:
        ScheduleNotFoundError: There is none of this id.
        Refusal: It is somebody else's.
    """
    found = await _schedules(service).get(schedule_id)
    if found is None:
        raise ScheduleNotFoundError(schedule_id)
    if principal.resource_id is not None and found.schedule.resource_id != principal.resource_id:
        text = "Access denied: schedule belongs to a different resource"
        raise Refusal(403, text, code="foreign-schedule")
    return found


def _named(body: SchedulePatch) -> dict[str, Any]:
    """Return what a body names, as the arguments of a `Schedule`."""
    named = arguments_of(body.model_dump(by_alias=True, exclude_unset=True))
    if "timezone" in named:
        named["timezone"] = named["timezone"] or "UTC"
    return named


def _changed(known: Schedule, named: dict[str, Any]) -> Schedule:
    """Return a schedule with what is named changed. A new kind of time takes the place of the others."""
    if any(named.get(name) is not None for name in _TIMES):
        named = {**dict.fromkeys(_TIMES), **named}
        if named["cron"] is None:
            named = {"timezone": "UTC", **named}
    said = {each.name: getattr(known, each.name) for each in fields(known)}
    return _valid({**said, **named})


def _valid(said: dict[str, Any]) -> Schedule:
    """Make a schedule of what somebody said.

    Raises:
        InputError: It cannot work; the reason says what it may be.
    """
    try:
        return Schedule(**said)
    except DefinitionError as error:
        reason = str(error).removeprefix("a schedule cannot work: ")
        raise InputError("schedule", (Problem("", reason),)) from None
