"""The scheduler of a process: it brings declared schedules into the store, and fires those that are due.

Any number of schedulers may work on one store. Each reads what is due, decides, and writes its decision on the
condition that the schedule is still as it was read: one of them succeeds, the others have done nothing (rule 16.2).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from outlast.declaring import ScheduleDeclarer
from outlast.engines.background import Background
from outlast.engines.scheduling import PolledDesk
from outlast.errors import StoreError
from outlast.firing import fire, put_off
from outlast.graph.committed import CommittedWorkflow
from outlast.storage.keys import ScheduleKey
from outlast.storage.scheduling import ScheduleChange, ScheduleRow

__all__ = ["Scheduler"]

_log = logging.getLogger("outlast.scheduler")

_ROWS_AT_ONCE: Final = 100
_RUNS_AT_ONCE: Final = 200
"""How many runs one transaction records, about."""
_LONGEST_WAIT_S: Final = 1.0
"""While there is a time to wait for: the wall clock may be set meanwhile."""
_AFTER_FAULT_S: Final = 1.0


class Scheduler:
    """Fires the schedules of the workflows that this process knows."""

    def __init__(self, desk: PolledDesk, workflows: Mapping[str, CommittedWorkflow[Any, Any]]) -> None:
        self._desk = desk
        self._workflows = workflows
        self._ids = tuple(workflows)
        self._background = Background()

    async def open(self) -> None:
        """Bring the declared schedules into the store, and begin to work.

        Raises:
            StoreUnavailableError: The store did not answer; try again.
        """
        await ScheduleDeclarer(self._desk, self._workflows).declare()
        self._background.begin(self._work_for_ever, name="outlast-scheduler")

    async def close(self) -> None:
        """Stop. What is not recorded by then, another scheduler fires."""
        await self._background.stop()

    async def _work_for_ever(self) -> None:
        while True:
            try:
                due_at_ms = await self.look()
            except StoreError as error:
                _log.warning("schedules could not be fired now, trying again: %s", error)
                await asyncio.sleep(_AFTER_FAULT_S)
                continue
            except Exception:  # noqa: BLE001 - the scheduler's outer loop: it must go on whatever happened
                _log.exception("a fault while firing schedules; the scheduler goes on")
                await asyncio.sleep(_AFTER_FAULT_S)
                continue
            await self._wait_until(due_at_ms)

    async def _wait_until(self, due_at_ms: int | None) -> None:
        """Wait until a schedule is due, or until the store may have changed."""
        if due_at_ms is None:
            await self._desk.wait(None)
            return
        loop = asyncio.get_running_loop()
        while (left_ms := due_at_ms - self._desk.options.now_ms()) > 0:
            seconds = min(left_ms / 1000, _LONGEST_WAIT_S)
            until = loop.time() + seconds
            await self._desk.wait(seconds)
            if loop.time() < until:
                return  # told of a change

    async def look(self) -> int | None:
        """Fire what is due and what waited, and return when the next schedule is due; None for never.

        Raises:
            StoreUnavailableError: It is not known what of the last transaction is recorded; looking again tells.
        """
        store = self._desk.store
        while True:
            upcoming = await store.next_due(self._ids)
            has_written = upcoming.is_waiting and await self._look_at_waiting()
            if upcoming.due_at_ms is not None and upcoming.due_at_ms <= self._desk.options.now_ms():
                rows = await store.list_due(self._ids, now_ms=self._desk.options.now_ms(), limit=_ROWS_AT_ONCE)
                has_written = await self._fire(rows) or has_written
            elif not has_written:
                return upcoming.due_at_ms

    async def _look_at_waiting(self) -> bool:
        """Let firings happen that waited for a run that has ended; say whether there were any."""
        has_written = False
        after: ScheduleKey | None = None
        while True:
            rows = await self._desk.store.list_waiting(self._ids, after=after, limit=_ROWS_AT_ONCE)
            if not rows:
                return has_written
            after = rows[-1].key
            has_written = await self._fire(rows) or has_written

    async def _fire(self, rows: Sequence[ScheduleRow]) -> bool:
        """Decide about schedules and record it; say whether anything was to be recorded."""
        has_written = False
        changes: list[ScheduleChange] = []
        for row in rows:
            change = await self._decide(row)
            if change is not None:
                changes.append(change)
            if sum(len(each.runs) for each in changes) >= _RUNS_AT_ONCE:
                await self._write(changes)
                has_written, changes = True, []
        if changes:
            await self._write(changes)
        return has_written or bool(changes)

    async def _decide(self, row: ScheduleRow) -> ScheduleChange | None:
        try:
            return await fire(self._desk, row, self._workflows[row.workflow_id])
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be read must not stop the others
            _log.error(
                "schedule '%s' is left to another scheduler for a minute: %s: %s", row.id, type(error).__name__, error
            )
            return put_off(row, self._desk.options.now_ms())

    async def _write(self, changes: Sequence[ScheduleChange]) -> None:
        changed = await self._desk.store.change(changes)
        done = [change for change, was_changed in zip(changes, changed, strict=True) if was_changed]
        await self._desk.notice([run_id for change in done for run_id in change.cancels])
