"""A store that tells how long its writes take and what they add up to, for apps whose numbers somebody takes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter
from typing import cast

from outlast.core.record import Record
from outlast.engines.metrics import COMMIT_DURATION, JOURNAL_BYTES, RUNS_STARTED, SCHEDULE_LAG, TAKEOVERS, Meter
from outlast.errors import OutlastError, StoreError
from outlast.storage.base import Append, NewRun, Receipt, Settle, Store
from outlast.storage.identity import Admission, Identity
from outlast.storage.scheduling import ScheduleChange, ScheduleStore, TriggerQuery

__all__ = ["metered", "metered_schedules"]

_CREATED = "run-created"


def metered(store: Store, meter: Meter) -> Store:
    """Return a store that does what another one does, and tells of it."""
    return cast(Store, _MeteredStore(store, meter))


def metered_schedules(store: ScheduleStore, meter: Meter) -> ScheduleStore:
    """The same for schedules."""
    return cast(ScheduleStore, _MeteredSchedules(store, meter))


class _MeteredStore:
    """Passes on all but a few calls as they are: what is refused is not told, and what is told is durable."""

    def __init__(self, store: Store, meter: Meter) -> None:
        self._store = store
        self._meter = meter

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def insert(self, run: NewRun, settle: Settle) -> None:
        """Record a new run together with the beginning of its journal."""
        begun = perf_counter()

        def settled(result: Receipt | OutlastError) -> None:
            if isinstance(result, Receipt):
                self._inserted(begun, run)
            settle(result)

        self._store.insert(run, settled)

    def append(self, write: Append, settle: Settle) -> None:
        """Add events to the journal of an owned run, and optionally give the run up."""
        begun = perf_counter()

        def settled(result: Receipt | OutlastError) -> None:
            if isinstance(result, Receipt) and write.records:
                self._wrote(begun, write.records)
            settle(result)

        self._store.append(write, settled)

    async def insert_once(self, run: NewRun, identity: Identity) -> Admission:
        """Record a new run, without owner, unless its key stands for another one."""
        begun = perf_counter()
        admission = await self._store.insert_once(run, identity)
        if admission.is_new:
            self._inserted(begun, run)
        return admission

    async def bury_dead_workers(self, *, now_ms: int) -> int:
        """End the lives whose process is gone or whose lease is over; their runs become claimable at `now_ms`."""
        freed = await self._store.bury_dead_workers(now_ms=now_ms)
        if freed:
            self._meter.add(TAKEOVERS, freed)
        return freed

    def _inserted(self, begun: float, run: NewRun) -> None:
        self._wrote(begun, run.records)
        if run.records[0].type != _CREATED:
            self._meter.add(RUNS_STARTED, 1, run.workflow_id)

    def _wrote(self, begun: float, records: Sequence[Record]) -> None:
        self._meter.record(COMMIT_DURATION, perf_counter() - begun)
        self._meter.add(JOURNAL_BYTES, _size_of(records))


class _MeteredSchedules:
    """The part of a store that keeps schedules, likewise."""

    def __init__(self, store: ScheduleStore, meter: Meter) -> None:
        self._store = store
        self._meter = meter

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def change(self, changes: Sequence[ScheduleChange]) -> list[bool]:
        """Change schedules, all in one transaction; say for each whether it was changed."""
        changed = await self._store.change(changes)
        for change, was_changed in zip(changes, changed, strict=True):
            if was_changed and change.runs:
                with suppress(StoreError):  # it is recorded all the same; only nobody counts it
                    await self._fired(change)
        return changed

    async def _fired(self, change: ScheduleChange) -> None:
        """Tell of the runs that were recorded: the store leaves out those whose ids are taken, and notes that."""
        newest = change.last_number
        oldest = min(each.number for each in change.triggers)
        query = TriggerQuery(change.key, before=newest + 1, limit=newest - oldest + 1)
        kept = await self._store.list_triggers(query)
        started = {each.run_id: each for each in kept if each.outcome == "fired" and each.run_id is not None}
        for run in change.runs:
            trigger = started.get(run.run_id)
            if trigger is not None:
                self._meter.add(RUNS_STARTED, 1, run.workflow_id)
                self._meter.add(JOURNAL_BYTES, _size_of(run.records))
                if (lag_ms := trigger.lag_ms) is not None:
                    self._meter.record(SCHEDULE_LAG, lag_ms / 1000, run.workflow_id)


def _size_of(records: Sequence[Record]) -> int:
    size = 0
    for each in records:
        size += len(each.body or b"") + len(each.payload or b"")
    return size
