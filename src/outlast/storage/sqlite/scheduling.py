"""Schedules in the SQLite file: `outlast.storage.scheduling.ScheduleStore`, whose guarantees are written there."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Final, Protocol, TypeVar

from outlast.core.status import RunStatus
from outlast.errors import OutlastError
from outlast.storage.keys import ScheduleKey
from outlast.storage.scheduling import (
    KEPT_TRIGGERS,
    NewSchedule,
    ScheduleChange,
    ScheduleQuery,
    ScheduleRow,
    TriggerQuery,
    TriggerRow,
    Upcoming,
    cancel_request,
)
from outlast.storage.sqlite.insertion import insert_pending
from outlast.storage.sqlite.operation import Operation, Post
from outlast.storage.sqlite.recording import JSON
from outlast.storage.sqlite.sql import SqlValue, many, one

__all__ = ["SqliteSchedules"]

T = TypeVar("T")

_LARGEST: Final = 2**63 - 1


class _Perform(Protocol):
    """Hands an operation to the writer and waits for its answer."""

    async def __call__(self, operation: Operation[T]) -> T: ...


class SqliteSchedules:
    """The schedules of one store."""

    def __init__(
        self,
        *,
        perform: _Perform,
        read: Callable[[str, tuple[SqlValue, ...]], Awaitable[list[tuple[Any, ...]]]],
        refuse_runs: Callable[[], OutlastError | None],
    ) -> None:
        """Work for a store.

        Args:
            perform: Hands an operation to the writer and waits for its answer.
            read: Runs a statement, given as its text, and returns its rows.
            refuse_runs: Says why no new run may be recorded now, if so.
        """
        self._perform = perform
        self._read = read
        self._refuse_runs = refuse_runs

    async def insert(self, schedule: NewSchedule) -> bool:
        """Record a schedule; False if its id is taken."""
        return await self._perform(_Insert(schedule))

    async def find(self, schedule_id: str) -> ScheduleRow | None:
        """Return a schedule, or None if there is none of this id."""
        rows = await self._read(one("find_schedule"), (schedule_id,))
        return _row(rows[0]) if rows else None

    async def select(self, query: ScheduleQuery) -> list[ScheduleRow]:
        """Return the schedules that match, in the order of their ids."""
        is_declared = None if query.is_declared is None else int(query.is_declared)
        values = (query.workflow_id, query.status, is_declared, query.after or "", query.limit)
        return [_row(row) for row in await self._read(one("list_schedules"), values)]

    async def change(self, changes: Sequence[ScheduleChange]) -> list[bool]:
        """Change schedules that are as they were read, with their triggers and runs, in one transaction.

        Raises:
            StoreUnavailableError: It is not known what was changed, or the disk is full; reading tells.
        """
        refusal = self._refuse_runs() if any(change.runs for change in changes) else None
        if refusal is not None:
            raise refusal
        return await self._perform(_Change(changes))

    async def delete(self, schedule_id: str) -> bool:
        """Forget a schedule and its triggers; its runs stay."""
        return await self._perform(_Delete(schedule_id))

    async def next_due(self, workflow_ids: Sequence[str]) -> Upcoming:
        """Return when somebody has to look at a schedule of these workflows."""
        if not workflow_ids:
            return Upcoming(None, is_waiting=False)
        ((due_at_ms, is_waiting),) = await self._read(many("next_schedule_due", len(workflow_ids)), tuple(workflow_ids))
        return Upcoming(due_at_ms, bool(is_waiting))

    async def list_due(self, workflow_ids: Sequence[str], *, now_ms: int, limit: int) -> list[ScheduleRow]:
        """Return the schedules of these workflows that are due, those due for the longest time first."""
        if not workflow_ids:
            return []
        statement = many("list_due_schedules", len(workflow_ids))
        return [_row(row) for row in await self._read(statement, (*workflow_ids, now_ms, limit, limit))]

    async def list_waiting(
        self, workflow_ids: Sequence[str], *, after: ScheduleKey | None, limit: int
    ) -> list[ScheduleRow]:
        """Return the schedules of these workflows of which a firing waits, by key."""
        if not workflow_ids:
            return []
        statement = many("list_waiting_schedules", len(workflow_ids))
        return [_row(row) for row in await self._read(statement, (*workflow_ids, after or 0, limit, limit))]

    async def list_triggers(self, query: TriggerQuery) -> list[TriggerRow]:
        """Return the triggers that match, the latest first."""
        before = _LARGEST if query.before is None else query.before
        to_ms = _LARGEST if query.to_ms is None else query.to_ms
        values = (query.schedule, before, query.from_ms, to_ms, query.limit)
        return [TriggerRow(*row) for row in await self._read(one("list_triggers"), values)]


class _Insert(Operation[bool]):
    """Records a schedule. Answers whether its id was free."""

    def __init__(self, schedule: NewSchedule) -> None:
        self._schedule = schedule

    def apply(self, connection: sqlite3.Connection) -> bool:
        """Insert the row unless the id is taken."""
        new = self._schedule
        values = (new.id, new.workflow_id, int(new.is_declared), new.status, new.due_at_ms)
        blobs = (JSON + new.plan, JSON + new.memory)
        return connection.execute(one("insert_schedule"), (*values, *blobs, new.at_ms, new.at_ms)).rowcount == 1


class _Change(Operation[list[bool]]):
    """Changes schedules that are as they were read. Answers which were."""

    is_long: ClassVar[bool] = True

    def __init__(self, changes: Sequence[ScheduleChange]) -> None:
        self._changes = changes

    def apply(self, connection: sqlite3.Connection) -> list[bool]:
        """Claim one after the other, and record what comes with each."""
        return [self._apply_one(connection, change) for change in self._changes]

    def _apply_one(self, connection: sqlite3.Connection, change: ScheduleChange) -> bool:
        claimed = connection.execute(
            one("change_schedule"),
            (
                change.status,
                change.due_at_ms,
                int(change.is_waiting),
                None if change.plan is None else JSON + change.plan,
                JSON + change.memory,
                change.last_number,
                change.at_ms if change.is_edit else None,
                change.key,
                change.version,
            ),
        ).fetchone()
        if claimed is None:
            return False
        schedule_id, last_number = claimed
        taken = {run.run_id for run in change.runs if insert_pending(connection, run) is None}
        for trigger in change.triggers:
            each = trigger.taken() if trigger.run_id in taken else trigger
            when = (each.scheduled_at_ms, each.until_ms, each.count, each.at_ms)
            fate = (each.outcome, each.run_id, each.reason)
            connection.execute(one("put_trigger"), (change.key, each.number, each.kind, *when, *fate))
        if last_number > KEPT_TRIGGERS:
            connection.execute(one("drop_old_triggers"), (change.key, last_number - KEPT_TRIGGERS))
        for run_id in change.cancels:
            _cancel(connection, run_id, schedule_id=schedule_id, at_ms=change.at_ms)
        return True


def _cancel(connection: sqlite3.Connection, run_id: str, *, schedule_id: str, at_ms: int) -> None:
    row = connection.execute(one("find_cancelable"), (run_id,)).fetchone()
    request = None if row is None else cancel_request(RunStatus(row[0]), row[1], schedule_id)
    if request is not None:
        topic, body = request
        Post(run_id, kind="cancel", topic=topic, at_ms=at_ms, body=body).apply(connection)


class _Delete(Operation[bool]):
    """Forgets a schedule. Answers whether it was there."""

    def __init__(self, schedule_id: str) -> None:
        self._schedule_id = schedule_id

    def apply(self, connection: sqlite3.Connection) -> bool:
        """Delete the row and its triggers."""
        row = connection.execute(one("delete_schedule"), (self._schedule_id,)).fetchone()
        if row is not None:
            connection.execute(one("delete_triggers"), (row[0],))
        return row is not None


def _row(row: tuple[Any, ...]) -> ScheduleRow:
    key, version, id, workflow_id, declared, status, due_at_ms, waiting, plan, memory, *rest = row
    return ScheduleRow(
        ScheduleKey(key),
        version,
        id,
        workflow_id,
        bool(declared),
        status,
        due_at_ms,
        bool(waiting),
        plan[1:],
        memory[1:],
        *rest,
    )
