"""What is shown of schedules: how they stand, and what became of their times."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from outlast.immutable import frozen
from outlast.instant import from_ms, to_ms
from outlast.scheduling.plan import Memory, Plan, ScheduleStatus
from outlast.scheduling.schedule import Schedule
from outlast.scheduling.wire import wire_of
from outlast.sealing import masked
from outlast.storage.scheduling import Outcome, ScheduleRow, TriggerKind, TriggerRow
from outlast.values import JsonValue

__all__ = ["ScheduleInfo", "SchedulePage", "Trigger", "info_of", "trigger_of"]


@frozen
class ScheduleInfo:
    """A schedule as it is kept."""

    id: str
    """Its id: `wf_<workflow>` or `wf_<workflow>__<id>` if it stands in code."""
    workflow_id: str
    """What it starts."""
    schedule: Schedule
    """What was said of it, its values as plain JSON; without `id`, which is above."""
    is_declared: bool
    """Whether it stands in the code of the workflow."""
    status: ScheduleStatus
    """`active`; `paused`; `ended` (no time is left); or `retired` (not in the code any more)."""
    next_at: datetime | None
    """The next time that it fires for, without jitter; None unless it is active."""
    last_at: datetime | None
    """The time of its latest firing; None before the first."""
    last_run_id: str | None
    """The run of that firing."""
    waiting: int
    """How many firings wait for a run to end."""
    created_at: datetime
    """When it was recorded."""
    updated_at: datetime
    """When it was changed last, other than by firing."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return it as JSON: keys in camelCase, times in milliseconds since 1970; what there is none of is left out."""
        known: dict[str, JsonValue] = {
            "id": self.id,
            "workflowId": self.workflow_id,
            **wire_of(self.schedule),
            "declared": self.is_declared,
            "status": self.status,
            "nextFireAt": _ms(self.next_at),
            "lastFireAt": _ms(self.last_at),
            "lastRunId": self.last_run_id,
            "waiting": self.waiting,
            "createdAt": _ms(self.created_at),
            "updatedAt": _ms(self.updated_at),
        }
        return {key: value for key, value in known.items() if value is not None}


@frozen
class SchedulePage:
    """Some of the schedules, in the order of their ids."""

    schedules: tuple[ScheduleInfo, ...]
    """The schedules."""
    after: str | None
    """What to ask the next page with; None if this is the last one."""


@frozen
class Trigger:
    """What became of one time of a schedule, or of several that were missed together."""

    number: int
    """1 for the first one of the schedule, and so on."""
    schedule_id: str
    """Id of the schedule."""
    kind: TriggerKind
    """`schedule`: its time had come; `manual`: somebody asked for it."""
    scheduled_at: datetime
    """The time, or the first of them."""
    until: datetime
    """The time, or the last of them."""
    count: int | None
    """How many times these are; None for more than a thousand."""
    at: datetime
    """When it was decided."""
    outcome: Outcome
    """`fired`: there is a run; `queued`: it waits; `skipped`: no run; `failed`: its values were refused."""
    run_id: str | None
    """The run."""
    reason: str
    """Why there is no run, or not yet; empty if there is one."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return it as JSON: keys in camelCase, times in milliseconds since 1970; what there is none of is left out."""
        known: dict[str, JsonValue] = {
            "id": f"{self.schedule_id}:{self.number}",
            "number": self.number,
            "scheduleId": self.schedule_id,
            "triggerKind": self.kind,
            "scheduledFireAt": _ms(self.scheduled_at),
            "until": _ms(self.until),
            "count": self.count,
            "actualFireAt": _ms(self.at),
            "outcome": self.outcome,
            "runId": self.run_id,
            "reason": self.reason or None,
        }
        return {key: value for key, value in known.items() if value is not None}


def info_of(row: ScheduleRow) -> ScheduleInfo:
    """Return a schedule as it is kept, its sensitive values masked."""
    plan, memory = Plan.from_bytes(masked(row.plan)), Memory.from_bytes(row.memory)
    next_ms = memory.next_ms if row.status == "active" else None
    return ScheduleInfo(
        id=row.id,
        workflow_id=row.workflow_id,
        schedule=plan.to_schedule(),
        is_declared=row.is_declared,
        status=cast("ScheduleStatus", row.status),
        next_at=None if next_ms is None else from_ms(next_ms),
        last_at=None if memory.last_ms is None else from_ms(memory.last_ms),
        last_run_id=memory.last_run_id,
        waiting=len(memory.queued),
        created_at=from_ms(row.created_at_ms),
        updated_at=from_ms(row.updated_at_ms),
    )


def trigger_of(schedule_id: str, row: TriggerRow) -> Trigger:
    """Return what became of times of a schedule."""
    return Trigger(
        number=row.number,
        schedule_id=schedule_id,
        kind=row.kind,
        scheduled_at=from_ms(row.scheduled_at_ms),
        until=from_ms(row.until_ms),
        count=row.count,
        at=from_ms(row.at_ms),
        outcome=row.outcome,
        run_id=row.run_id,
        reason=row.reason,
    )


def _ms(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)
