"""Schedules in memory: `outlast.storage.scheduling.ScheduleStore`, whose guarantees are written there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Protocol, TypeVar, TypeVarTuple

from outlast.errors import OutlastError, RunExistsError
from outlast.immutable import new_dict
from outlast.storage.base import NewRun, Receipt
from outlast.storage.keys import ScheduleKey
from outlast.storage.memory.table import Run
from outlast.storage.scheduling import (
    NewSchedule,
    ScheduleChange,
    ScheduleQuery,
    ScheduleRow,
    TriggerQuery,
    TriggerRow,
    Upcoming,
    cancel_request,
)

__all__ = ["MemorySchedules", "ScheduleTable"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(slots=True)
class _Entry:
    row: ScheduleRow
    triggers: dict[int, TriggerRow] = field(default_factory=new_dict)


class ScheduleTable:
    """The schedules of a database. Whoever calls holds its lock."""

    def __init__(
        self,
        insert: Callable[[NewRun], Receipt | RunExistsError],
        find_run: Callable[[str], Run | None],
        post: Callable[[str, str, str, int, bytes], object],
    ) -> None:
        """Begin without schedules.

        Args:
            insert: Records a run.
            find_run: Returns a run by its id.
            post: Puts a request into the inbox of a run.
        """
        self._insert_run = insert
        self._find_run = find_run
        self._post = post
        self._entries: dict[str, _Entry] = {}
        self._keyed: dict[ScheduleKey, _Entry] = {}
        self._last_key = 0

    def would_insert(self, new: NewSchedule) -> bool:
        """Say whether the id is free."""
        return new.id not in self._entries

    def insert(self, new: NewSchedule) -> bool:
        """Record a schedule; False if its id is taken."""
        if not self.would_insert(new):
            return False
        self._last_key += 1
        row = ScheduleRow.of(new, ScheduleKey(self._last_key))
        self._entries[new.id] = self._keyed[row.key] = _Entry(row)
        return True

    def would_delete(self, schedule_id: str) -> bool:
        """Say whether there is one of this id."""
        return schedule_id in self._entries

    def delete(self, schedule_id: str) -> bool:
        """Forget a schedule and its triggers."""
        entry = self._entries.pop(schedule_id, None)
        if entry is None:
            return False
        del self._keyed[entry.row.key]
        return True

    def would_change(self, changes: Sequence[ScheduleChange]) -> bool:
        """Say whether one of the schedules is as it was read."""
        return any(self._find(change) is not None for change in changes)

    def change(self, changes: Sequence[ScheduleChange]) -> list[bool]:
        """Change the schedules that are as they were read."""
        return [self._change(change) for change in changes]

    def _change(self, change: ScheduleChange) -> bool:
        entry = self._find(change)
        if entry is None:
            return False
        taken = {run.run_id for run in change.runs if isinstance(self._insert_run(run), RunExistsError)}
        for trigger in change.triggers:
            entry.triggers[trigger.number] = trigger.taken() if trigger.run_id in taken else trigger
        entry.row = entry.row.changed(change)
        for number in [number for number in entry.triggers if number <= entry.row.last_forgotten]:
            del entry.triggers[number]
        for run_id in change.cancels:
            self._cancel(run_id, entry.row.id, change.at_ms)
        return True

    def _cancel(self, run_id: str, schedule_id: str, at_ms: int) -> None:
        run = self._find_run(run_id)
        request = None if run is None else cancel_request(run.status, run.execution, schedule_id)
        if request is not None:
            topic, body = request
            self._post(run_id, "cancel", topic, at_ms, body)

    def _find(self, change: ScheduleChange) -> _Entry | None:
        entry = self._keyed.get(change.key)
        return entry if entry is not None and entry.row.version == change.version else None

    def find(self, schedule_id: str) -> ScheduleRow | None:
        """Return a schedule, or None if there is none of this id."""
        entry = self._entries.get(schedule_id)
        return None if entry is None else entry.row

    def rows(self) -> list[ScheduleRow]:
        """Return all schedules."""
        return [entry.row for entry in self._entries.values()]

    def triggers_of(self, schedule: ScheduleKey) -> list[TriggerRow]:
        """Return the triggers of a schedule."""
        entry = self._keyed.get(schedule)
        return [] if entry is None else list(entry.triggers.values())


class _Write(Protocol):
    """Hands a write to the committer and waits for its answer."""

    async def __call__(
        self, changes: Callable[[*Ts], bool], apply: Callable[[*Ts], T | OutlastError], *args: *Ts
    ) -> T: ...


class MemorySchedules:
    """The schedules of one store."""

    def __init__(
        self, table: ScheduleTable, *, write: _Write, reading: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """Work for a store.

        Args:
            table: The data.
            write: Hands a write to the committer and waits for its answer.
            reading: Gives the lock of the database, if the store is open.
        """
        self._table = table
        self._write = write
        self._reading = reading

    async def insert(self, schedule: NewSchedule) -> bool:
        """Record a schedule; False if its id is taken."""
        return await self._write(self._table.would_insert, self._table.insert, schedule)

    async def find(self, schedule_id: str) -> ScheduleRow | None:
        """Return a schedule, or None if there is none of this id."""
        with self._reading():
            return self._table.find(schedule_id)

    async def select(self, query: ScheduleQuery) -> list[ScheduleRow]:
        """Return the schedules that match, in the order of their ids."""
        with self._reading():
            rows = sorted(self._table.rows(), key=lambda row: row.id)
        return [row for row in rows if query.matches(row)][: query.limit]

    async def change(self, changes: Sequence[ScheduleChange]) -> list[bool]:
        """Change schedules that are as they were read, with their triggers and runs, in one transaction."""
        return await self._write(self._table.would_change, self._table.change, changes)

    async def delete(self, schedule_id: str) -> bool:
        """Forget a schedule and its triggers; its runs stay."""
        return await self._write(self._table.would_delete, self._table.delete, schedule_id)

    async def next_due(self, workflow_ids: Sequence[str]) -> Upcoming:
        """Return when somebody has to look at a schedule of these workflows."""
        rows = self._rows_of(workflow_ids)
        due = [row.due_at_ms for row in rows if row.due_at_ms is not None]
        return Upcoming(min(due, default=None), any(row.is_waiting for row in rows))

    async def list_due(self, workflow_ids: Sequence[str], *, now_ms: int, limit: int) -> list[ScheduleRow]:
        """Return the schedules of these workflows that are due, those due for the longest time first."""
        due = [
            (row.due_at_ms, row.key, row)
            for row in self._rows_of(workflow_ids)
            if row.due_at_ms is not None and row.due_at_ms <= now_ms
        ]
        return [row for _, _, row in sorted(due, key=itemgetter(0, 1))[:limit]]

    async def list_waiting(
        self, workflow_ids: Sequence[str], *, after: ScheduleKey | None, limit: int
    ) -> list[ScheduleRow]:
        """Return the schedules of these workflows of which a firing waits, by key."""
        waiting = [row for row in self._rows_of(workflow_ids) if row.is_waiting and row.key > (after or 0)]
        return sorted(waiting, key=lambda row: row.key)[:limit]

    async def list_triggers(self, query: TriggerQuery) -> list[TriggerRow]:
        """Return the triggers that match, the latest first."""
        with self._reading():
            return query.select(self._table.triggers_of(query.schedule))

    def _rows_of(self, workflow_ids: Sequence[str]) -> list[ScheduleRow]:
        with self._reading():
            return [row for row in self._table.rows() if row.workflow_id in workflow_ids]
