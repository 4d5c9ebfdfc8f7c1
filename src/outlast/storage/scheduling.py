"""Schedules and the history of their firings: a part of the contract of `base.py`.

A store compares, counts and writes; what a schedule does next is decided by whoever writes. So a row is changed only by
somebody who knows its latest version, and one change may record runs: the claim of a firing, its trigger and its run
are one transaction, however many schedulers there are (rule 16.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from outlast.core.status import RunStatus
from outlast.immutable import immutable
from outlast.storage.keys import ScheduleKey
from outlast.storage.rows import NewRun
from outlast.values import encode

__all__ = [
    "KEPT_TRIGGERS",
    "TAKEN",
    "KeptSchedules",
    "NewSchedule",
    "Outcome",
    "ScheduleChange",
    "ScheduleQuery",
    "ScheduleRow",
    "ScheduleStore",
    "TriggerKind",
    "TriggerQuery",
    "TriggerRow",
    "Upcoming",
    "cancel_body",
    "cancel_request",
]

Outcome: TypeAlias = Literal["fired", "queued", "skipped", "failed"]
"""A run was recorded; it waits for one to end; there is no run; or a run was refused."""
TriggerKind: TypeAlias = Literal["schedule", "manual"]
"""Whether its time had come, or somebody asked for it."""

KEPT_TRIGGERS: Final = 1_000
"""How many triggers of a schedule are kept: the latest."""
TAKEN: Final = "a run with this id was recorded before: the time was fired already"
"""Why a firing whose run id is taken is skipped."""


@immutable
class NewSchedule:
    """A schedule about to be recorded."""

    id: str
    """Id that callers know it by; unique among the schedules that are kept."""
    workflow_id: str
    """What it starts."""
    is_declared: bool
    """Whether it stands in the code of the workflow."""
    status: str
    """Its status, as the writer calls it."""
    due_at_ms: int | None
    """When somebody has to look at it; None for never."""
    plan: bytes
    """What was said of it, as JSON."""
    memory: bytes
    """Where it stands, as JSON."""
    at_ms: int
    """When it is recorded."""


@immutable
class ScheduleRow:
    """A schedule."""

    key: ScheduleKey
    """The store's number for it; never used twice."""
    version: int
    """Grows with each change."""
    id: str
    """Id that callers know it by."""
    workflow_id: str
    """What it starts."""
    is_declared: bool
    """Whether it stands in the code of the workflow."""
    status: str
    """Its status, as the writer calls it."""
    due_at_ms: int | None
    """When somebody has to look at it; None for never."""
    is_waiting: bool
    """Whether a firing of it waits for a run to end."""
    plan: bytes
    """What was said of it, as JSON."""
    memory: bytes
    """Where it stands, as JSON."""
    last_number: int
    """Number of its latest trigger; 0 without any."""
    created_at_ms: int
    """When it was recorded."""
    updated_at_ms: int
    """When it was changed last, other than by firing."""

    @classmethod
    def of(cls, new: NewSchedule, key: ScheduleKey) -> ScheduleRow:
        """Return a schedule as it is when it was just recorded."""
        return cls(
            key=key,
            version=1,
            id=new.id,
            workflow_id=new.workflow_id,
            is_declared=new.is_declared,
            status=new.status,
            due_at_ms=new.due_at_ms,
            is_waiting=False,
            plan=new.plan,
            memory=new.memory,
            last_number=0,
            created_at_ms=new.at_ms,
            updated_at_ms=new.at_ms,
        )

    @property
    def last_forgotten(self) -> int:
        """Number of the latest trigger that is not kept any more; 0 or less if all of them are."""
        return self.last_number - KEPT_TRIGGERS

    def changed(self, change: ScheduleChange) -> ScheduleRow:
        """Return it as it is after a change that named its version."""
        return replace(
            self,
            version=self.version + 1,
            status=change.status,
            due_at_ms=change.due_at_ms,
            is_waiting=change.is_waiting,
            plan=self.plan if change.plan is None else change.plan,
            memory=change.memory,
            last_number=max(self.last_number, change.last_number),
            updated_at_ms=change.at_ms if change.is_edit else self.updated_at_ms,
        )


@immutable
class TriggerRow:
    """What became of a time of a schedule, or of several that were missed together."""

    number: int
    """1 for the first trigger of a schedule, and so on."""
    kind: TriggerKind
    """Whether its time had come, or somebody asked for it."""
    scheduled_at_ms: int
    """The time, or the first of them."""
    until_ms: int
    """The time, or the last of them."""
    count: int | None
    """How many there are; None for very many."""
    at_ms: int
    """When it was decided."""
    outcome: Outcome
    """What became of it."""
    run_id: str | None = None
    """The run that was recorded."""
    reason: str = ""
    """Why there is no run, or not yet."""

    @property
    def lag_ms(self) -> int | None:
        """How long after its time it was decided; None where somebody asked for it."""
        return max(0, self.at_ms - self.scheduled_at_ms) if self.kind == "schedule" else None

    def taken(self) -> TriggerRow:
        """Return it as it is recorded when the id of its run is taken."""
        return replace(self, outcome="skipped", reason=TAKEN)


@immutable
class ScheduleChange:
    """What somebody who read a schedule writes to it, in one piece."""

    key: ScheduleKey
    """The schedule."""
    version: int
    """Its version as it was read."""
    status: str
    """Its status from now on."""
    due_at_ms: int | None
    """When somebody has to look at it; None for never."""
    memory: bytes
    """Where it stands from now on."""
    at_ms: int
    """The time."""
    is_waiting: bool = False
    """Whether a firing of it waits for a run to end."""
    plan: bytes | None = None
    """What is said of it from now on; None leaves it as it is."""
    is_edit: bool = False
    """Whether somebody changed it, so that `updated_at_ms` is the time; a firing leaves it."""
    triggers: Sequence[TriggerRow] = ()
    """New triggers, numbered from the latest one on, and earlier ones as they are now."""
    runs: Sequence[NewRun] = ()
    """The runs of triggers whose `run_id` names them; without owner."""
    cancels: Sequence[str] = ()
    """Ids of runs that are asked to cancel. One that has ended or is not kept is passed over."""

    @property
    def last_number(self) -> int:
        """Number of the latest of its triggers; 0 without any."""
        return max((each.number for each in self.triggers), default=0)


@immutable
class ScheduleQuery:
    """Which schedules are asked for."""

    workflow_id: str | None = None
    """Only those of this workflow."""
    status: str | None = None
    """Only those with this status."""
    is_declared: bool | None = None
    """Only those that stand in code, or only the others."""
    after: str | None = None
    """Only those with a larger id."""
    limit: int = 100
    """How many at most."""

    def matches(self, row: ScheduleRow) -> bool:
        """Say whether a schedule is one of those asked for, wherever the page ends."""
        return (
            self.workflow_id in (None, row.workflow_id)
            and self.status in (None, row.status)
            and self.is_declared in (None, row.is_declared)
            and row.id > (self.after or "")
        )


@immutable
class TriggerQuery:
    """Which triggers of a schedule are asked for."""

    schedule: ScheduleKey
    """The schedule."""
    before: int | None = None
    """Only those with a smaller number."""
    from_ms: int = 0
    """Only those decided at this time or later."""
    to_ms: int | None = None
    """Only those decided at this time or earlier."""
    limit: int = 100
    """How many at most."""

    def select(self, triggers: Iterable[TriggerRow]) -> list[TriggerRow]:
        """Return those of a schedule's triggers that are asked for, the latest first."""
        found = (
            each
            for each in triggers
            if (self.before is None or each.number < self.before)
            and each.at_ms >= self.from_ms
            and (self.to_ms is None or each.at_ms <= self.to_ms)
        )
        return sorted(found, key=lambda each: each.number, reverse=True)[: self.limit]


class Upcoming(NamedTuple):
    """What schedulers have to do."""

    due_at_ms: int | None
    """When somebody has to look at a schedule; None for never."""
    is_waiting: bool
    """Whether firings wait for runs to end."""


class KeptSchedules(Protocol):
    """Schedules and their triggers. What is written is durable when the call returns."""

    async def insert(self, schedule: NewSchedule) -> bool:
        """Record a schedule; False, and nothing is changed, if its id is taken.

        Raises:
            StoreUnavailableError: It is not known to be recorded; reading it tells.
        """
        ...

    async def find(self, schedule_id: str) -> ScheduleRow | None:
        """Return a schedule, or None if there is none of this id."""
        ...

    async def select(self, query: ScheduleQuery) -> list[ScheduleRow]:
        """Return the schedules that match, in the order of their ids."""
        ...

    async def change(self, changes: Sequence[ScheduleChange]) -> list[bool]:
        """Change schedules, all in one transaction; say for each whether it was changed.

        Guarantees:
            A schedule is changed only if it is there and its version is the one named; then its version is one higher,
            and its triggers, runs and requests to cancel are recorded with it. Else it is left as it is, and the other
            changes are not affected. A run whose id is taken is not recorded, and its trigger is `skipped` with the
            reason `TAKEN`. Of each schedule the latest `KEPT_TRIGGERS` are kept.

        Raises:
            StoreUnavailableError: It is not known what was changed; reading tells. The same changes again are safe: at
                most one of the two calls does anything.
        """
        ...

    async def delete(self, schedule_id: str) -> bool:
        """Forget a schedule and its triggers; its runs stay. False if there is none of this id.

        Raises:
            StoreUnavailableError: It is not known to be gone; the same call again is safe.
        """
        ...

    async def list_triggers(self, query: TriggerQuery) -> list[TriggerRow]:
        """Return the triggers that match, the latest first."""
        ...


class ScheduleStore(KeptSchedules, Protocol):
    """Schedules that schedulers look through for what is due."""

    async def next_due(self, workflow_ids: Sequence[str]) -> Upcoming:
        """Return when somebody has to look at a schedule of these workflows."""
        ...

    async def list_due(self, workflow_ids: Sequence[str], *, now_ms: int, limit: int) -> list[ScheduleRow]:
        """Return the schedules of these workflows that are due, those due for the longest time first."""
        ...

    async def list_waiting(
        self, workflow_ids: Sequence[str], *, after: ScheduleKey | None, limit: int
    ) -> list[ScheduleRow]:
        """Return the schedules of these workflows that are `is_waiting` and have a key over `after`, by key."""
        ...


def cancel_request(status: RunStatus, execution: int, schedule_id: str) -> tuple[str, bytes] | None:
    """Return topic and body of the inbox row that cancels a run for a later firing; None if it has ended."""
    if status.is_terminal:
        return None
    return f"cancel:{execution}", cancel_body(schedule_id)


def cancel_body(schedule_id: str) -> bytes:
    """Return what a run is told that is canceled for a later firing of a schedule."""
    return encode({"reason": f"a later firing of schedule '{schedule_id}' takes its place (overlap='cancel')"})
