"""Schedules and their triggers as the wire has them: with how the runs stand that they started."""

from __future__ import annotations

from outlast.core.status import RunStatus
from outlast.errors import RunNotFoundError
from outlast.schedule_info import ScheduleInfo, Trigger
from outlast.server.auth import Principal
from outlast.server.service import Service
from outlast.values import JsonValue

__all__ = ["schedule_body", "trigger_body"]


async def schedule_body(service: Service, principal: Principal, info: ScheduleInfo) -> dict[str, JsonValue]:
    """Return a schedule, with `lastRun` if the run of its latest firing is kept."""
    return await _with_run(service, principal, info.to_dict(), info.last_run_id, "lastRun")


async def trigger_body(service: Service, principal: Principal, trigger: Trigger) -> dict[str, JsonValue]:
    """Return what became of a time, with `run` if there is one and it is kept."""
    return await _with_run(service, principal, trigger.to_dict(), trigger.run_id, "run")


async def _with_run(
    service: Service, principal: Principal, body: dict[str, JsonValue], run_id: str | None, key: str
) -> dict[str, JsonValue]:
    if run_id is None:
        return body
    run = await service.outlast.engine.summarize_run(run_id)
    if run is None or (principal.resource_id is not None and run.resource_id != principal.resource_id):
        return body
    told: dict[str, JsonValue] = {"status": run.status.value, "startedAt": run.created_at_ms}
    if run.status.is_terminal:
        told["completedAt"] = run.updated_at_ms
        told["durationMs"] = run.updated_at_ms - run.created_at_ms
    if run.status is RunStatus.FAILED:
        told |= await _failure(service, run_id)
    return {**body, key: told}


async def _failure(service: Service, run_id: str) -> dict[str, JsonValue]:
    try:
        result = await service.outlast.run(run_id).masked().snapshot()
    except RunNotFoundError:  # deleted meanwhile
        return {}
    return {} if result.error is None else {"error": result.error.message}
