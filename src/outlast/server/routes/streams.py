"""Watching runs: their events as they happen, from any place in them, during the run and after it."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Body, Header, Query
from starlette.responses import Response

from outlast.core.status import RunStatus
from outlast.server.replay import replay, skip
from outlast.server.routes.route import (
    AnyRunId,
    ContextQuery,
    Driver,
    JsonRoute,
    Reader,
    RunId,
    ServiceOf,
    WorkflowId,
)
from outlast.server.streaming import EventResponse
from outlast.server.wire.answer import RESPONSES
from outlast.server.wire.body import ResumeBody, StreamBody
from outlast.server.wire.context import with_context
from outlast.server.wire.event import framing_of, plain_event
from outlast.server.wire.parameter import NewRunQuery, StreamHeaders
from outlast.stream import StreamEvent

__all__ = ["DRIVE_STREAM", "Accept", "router"]

router = APIRouter(route_class=JsonRoute, tags=["streams"])

_STREAM = Body(default_factory=StreamBody)
_RESUME = Body(default_factory=ResumeBody)
_LAST: Final = 10**15
_SCHEMA: Final = {
    "description": "One JSON object for each event, each followed by the byte 0x1E; or Server-Sent Events.",
    "content": {"text/plain": {"schema": {"type": "string"}}, "text/event-stream": {"schema": {"type": "string"}}},
}
_START = {**RESPONSES.change, 200: _SCHEMA}
DRIVE_STREAM = {**RESPONSES.drive, 200: _SCHEMA}
"""What a route declares that drives a run and shows it."""
_FIND = {**RESPONSES.find, 200: _SCHEMA}
Accept: TypeAlias = Annotated[str, Header(description="`text/event-stream` for Server-Sent Events.")]
LastEventId = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=_LAST, description="Go on after this event.")
]


@router.post(
    "/workflows/{workflow_id}/stream",
    response_class=Response,
    responses=_START,
    summary="Start and watch",
)
async def stream(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    body: Annotated[StreamBody, _STREAM],
    query: Annotated[NewRunQuery, Query()],
    headers: Annotated[StreamHeaders, Header()],
) -> Response:
    """Start a run and answer with its events. One in flight is watched from its beginning; one that ended is refused.

    The stream ends when the run ends, is suspended or paused; with `closeOnSuspend: false` only when it ends.
    """
    full, framing = with_context(body, query.request_context), framing_of(headers.accept, principal)
    with service.streams.place() as place:
        handle = await service.start_or_find(
            workflow_id, principal, full, run_id=query.run_id, key=headers.key, traceparent=headers.traceparent
        )
        if body.close_on_suspend:
            return EventResponse(aiter(handle.observe_stream()), framing=framing, place=place)
        return EventResponse(
            aiter(handle.observe_stream(follow=True)),
            framing=framing,
            place=place,
            is_shown=lambda event: not _is_rest(event) or _is_end(event),
            is_last=_is_end,
        )


@router.post("/workflows/{workflow_id}/observe", response_class=Response, responses=_FIND, summary="Watch a run")
async def observe(
    service: ServiceOf,
    principal: Reader,
    workflow_id: WorkflowId,
    run_id: RunId,
    offset: Annotated[int, Query(ge=0, le=_LAST, description="How many events to leave out at the beginning.")] = 0,
    accept: Accept = "",
    last_event_id: LastEventId = None,
) -> Response:
    """All events of a run, from the first on, and then those that come until it rests."""
    await service.find(run_id, principal, workflow_id=workflow_id)
    events = replay(service.outlast.run(run_id), after=last_event_id or 0)
    with service.streams.place() as place:
        return EventResponse(skip(events, offset), framing=framing_of(accept, principal), place=place)


@router.post(
    "/workflows/{workflow_id}/resume-stream",
    response_class=Response,
    responses=DRIVE_STREAM,
    summary="Resume and watch",
)
async def resume_stream(
    service: ServiceOf,
    principal: Driver,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[ResumeBody, _RESUME],
    request_context: ContextQuery = None,
    accept: Accept = "",
) -> Response:
    """Resume a suspension, and answer with what happens from then on."""
    with service.streams.place() as place:
        handle = await service.resume(workflow_id, run_id, principal, with_context(body, request_context))
        events = aiter(handle.observe_stream(after=handle.mark.last_event))
        return EventResponse(events, framing=framing_of(accept, principal), place=place)


@router.get("/runs/{run_id:path}/events", response_class=Response, responses=_FIND, summary="Watch any run")
async def events(
    *,
    service: ServiceOf,
    principal: Reader,
    run_id: AnyRunId,
    after: Annotated[int, Query(ge=0, le=_LAST, description="`seq` of the event after which it begins.")] = 0,
    wait: Annotated[bool, Query(description="Whether to wait for more, until the run rests.")] = True,
    follow: Annotated[bool, Query(description="Whether to go on after that, for ever.")] = False,
    accept: Accept = "",
    last_event_id: LastEventId = None,
) -> Response:
    """The events of a run in our own form. A reader that was cut off goes on after the last `seq` that it has."""
    await service.find(run_id, principal)
    handle, begin = service.outlast.run(run_id), last_event_id or after
    shown = handle.observe_stream(after=begin, follow=follow) if wait else handle.events(after=begin)
    framing = framing_of(accept, principal, plain_event)
    with service.streams.place() as place:
        return EventResponse(aiter(shown), framing=framing, place=place)


def _is_rest(event: StreamEvent) -> bool:
    return event.type == "workflow-finish"


def _is_end(event: StreamEvent) -> bool:
    return _is_rest(event) and RunStatus(str(event.payload["workflow_status"])).is_terminal
