"""The schedules at a server, with the verbs of `app.schedules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

from outlast.client.encode import query_of
from outlast.client.transport import Transport
from outlast.errors import ScheduleNotFoundError
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import JSON
from outlast.instant import from_ms, to_ms
from outlast.schedule_info import ScheduleInfo, SchedulePage, Trigger
from outlast.scheduling.plan import ScheduleStatus
from outlast.scheduling.schedule import Schedule, recorded_schedule
from outlast.scheduling.wire import arguments_of, wire_of
from outlast.starting import encode_value
from outlast.values import JsonValue, decode

__all__ = ["RemoteSchedules"]


class RemoteSchedules:
    """The schedules in the store of a server; made by `client.schedules`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self, workflow: CommittedWorkflow[Any, Any] | str, schedule: Schedule, *, id: str | None = None
    ) -> ScheduleInfo:
        """Record a schedule; see `Schedules.create`. Only with an id is it safe to do again if there is no answer.

        Raises:
            InputError: The id or a value does not fit, or no time is left. Nothing was recorded.
            ScheduleExistsError: The id is taken.
            ClientError: The server has no such workflow, or the token does not allow it.
            ServerUnavailableError: The server did not answer.
        """
        known = workflow if isinstance(workflow, CommittedWorkflow) else None
        body: dict[str, JsonValue] = {
            "workflowId": workflow if isinstance(workflow, str) else workflow.id,
            **_body_of(schedule, known),
        }
        if id is not None:
            body["id"] = id
        return _info(await self._transport.request("POST", "/schedules", body=body, is_repeatable=False))

    async def get(self, id: str) -> ScheduleInfo | None:
        """Return a schedule, or None if there is none of this id.

        Raises:
            ServerUnavailableError: The server did not answer.
        """
        try:
            return _info(await self._transport.request("GET", _path(id), is_repeatable=True))
        except ScheduleNotFoundError:
            return None

    async def list(
        self,
        workflow: CommittedWorkflow[Any, Any] | str | None = None,
        *,
        status: ScheduleStatus | None = None,
        resource_id: str | None = None,
        after: str | None = None,
        per_page: int = 100,
    ) -> SchedulePage:
        """Return a page of the schedules, in the order of their ids; see `Schedules.list`.

        Raises:
            ClientError: A condition cannot be meant.
            ServerUnavailableError: The server did not answer.
        """
        query = query_of(
            workflowId=workflow.id if isinstance(workflow, CommittedWorkflow) else workflow,
            status=status,
            resourceId=resource_id,
            after=after,
            perPage=per_page,
        )
        page = await self._transport.request("GET", "/schedules", query=query, is_repeatable=True)
        rows = cast("Sequence[Mapping[str, JsonValue]]", page["schedules"])
        return SchedulePage(schedules=tuple(_info(row) for row in rows), after=cast("str | None", page["after"]))

    async def update(self, id: str, schedule: Schedule) -> ScheduleInfo:
        """Change what a schedule says, as a whole; see `Schedules.update`.

        Raises:
            InputError: A value does not fit, or no time is left. Nothing was changed.
            ScheduleNotFoundError: There is none of this id.
            ScheduleStateError: It stands in code, where it is to be changed.
            ServerUnavailableError: The server did not answer.
        """
        body = _body_of(schedule, None)
        return _info(await self._transport.request("PATCH", _path(id), body=body, is_repeatable=True))

    async def pause(self, id: str) -> ScheduleInfo:
        """Let a schedule fire no more until it is resumed. Idempotent.

        Raises:
            ScheduleNotFoundError: There is none of this id.
            ScheduleStateError: It was retired.
            ServerUnavailableError: The server did not answer.
        """
        return _info(await self._transport.request("POST", f"{_path(id)}/pause", body={}, is_repeatable=True))

    async def resume(self, id: str) -> ScheduleInfo:
        """Let a paused schedule fire again, from now on. Idempotent.

        Raises:
            ScheduleNotFoundError: There is none of this id.
            ScheduleStateError: It was retired.
            ServerUnavailableError: The server did not answer.
        """
        return _info(await self._transport.request("POST", f"{_path(id)}/resume", body={}, is_repeatable=True))

    async def delete(self, id: str) -> None:
        """Forget a schedule and its history; its runs stay. Idempotent.

        Raises:
            ScheduleStateError: It stands in code, from which it is to be removed.
            ServerUnavailableError: The server did not answer.
        """
        try:
            await self._transport.request("DELETE", _path(id), is_repeatable=True)
        except ScheduleNotFoundError:
            return

    async def run_now(self, id: str) -> Trigger:
        """Start a run of a schedule at once; see `Schedules.run_now`.

        Raises:
            ScheduleNotFoundError: There is none of this id.
            InputError: What it says does not fit the workflow any more. Nothing was recorded.
            ServerUnavailableError: The server did not answer; `triggers` tells whether it was started.
        """
        claim = await self._transport.request("POST", f"{_path(id)}/run", body={}, is_repeatable=False)
        number = int(str(claim["number"]))
        (trigger,) = await self.triggers(id, before=number + 1, limit=1)
        return trigger

    async def triggers(
        self,
        id: str,
        *,
        before: int | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        limit: int = 100,
    ) -> tuple[Trigger, ...]:
        """Return what became of the times of a schedule, the latest first; see `Schedules.triggers`.

        Raises:
            ScheduleNotFoundError: There is none of this id.
            ClientError: A condition cannot be meant.
            ServerUnavailableError: The server did not answer.
        """
        query = query_of(
            before=before,
            fromActualFireAt=None if from_date is None else to_ms(from_date),
            toActualFireAt=None if to_date is None else to_ms(to_date),
            limit=limit,
        )
        answer = await self._transport.request("GET", f"{_path(id)}/triggers", query=query, is_repeatable=True)
        return tuple(_trigger(each) for each in cast("Sequence[Mapping[str, JsonValue]]", answer["triggers"]))


def _path(id: str) -> str:
    return f"/schedules/{quote(id, safe='')}"


def _body_of(schedule: Schedule, workflow: CommittedWorkflow[Any, Any] | None) -> dict[str, JsonValue]:
    """Return what a schedule says; its values as JSON of the workflow's types, where the program has them."""
    schema = JSON if workflow is None else workflow.input
    context = JSON if workflow is None else workflow.request_context
    given: object = dict[str, JsonValue]() if schedule.request_context is None else schedule.request_context
    return {
        **wire_of(schedule),
        "inputData": decode(encode_value(schema, schedule.input_data, "input_data")),
        "initialState": decode(encode_value(JSON, schedule.initial_state, "initial_state")),
        "requestContext": decode(encode_value(context, given, "request_context")),
    }


def _info(wire: Mapping[str, JsonValue]) -> ScheduleInfo:
    return ScheduleInfo(
        id=str(wire["id"]),
        workflow_id=str(wire["workflowId"]),
        schedule=recorded_schedule(arguments_of(wire)),
        is_declared=bool(wire["declared"]),
        status=cast("ScheduleStatus", wire["status"]),
        next_at=_instant(wire, "nextFireAt"),
        last_at=_instant(wire, "lastFireAt"),
        last_run_id=cast("str | None", wire.get("lastRunId")),
        waiting=int(str(wire["waiting"])),
        created_at=from_ms(int(str(wire["createdAt"]))),
        updated_at=from_ms(int(str(wire["updatedAt"]))),
    )


def _trigger(wire: Mapping[str, JsonValue]) -> Trigger:
    count = wire.get("count")
    return Trigger(
        number=int(str(wire["number"])),
        schedule_id=str(wire["scheduleId"]),
        kind="manual" if wire["triggerKind"] == "manual" else "schedule",
        scheduled_at=from_ms(int(str(wire["scheduledFireAt"]))),
        until=from_ms(int(str(wire["until"]))),
        count=None if count is None else int(str(count)),
        at=from_ms(int(str(wire["actualFireAt"]))),
        outcome=cast("Any", wire["outcome"]),
        run_id=cast("str | None", wire.get("runId")),
        reason=str(wire.get("reason", "")),
    )


def _instant(wire: Mapping[str, JsonValue], key: str) -> datetime | None:
    value = wire.get(key)
    return None if value is None else from_ms(int(str(value)))
