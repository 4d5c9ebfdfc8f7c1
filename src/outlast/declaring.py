"""Schedules that stand in code, brought into the store when a worker opens (rule 16.3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from outlast.engines.scheduling import ScheduleDesk
from outlast.errors import DefinitionError
from outlast.firing import Claim, change_of, drop_queue, status_of
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.scheduled import declared_id, declared_plan
from outlast.scheduling.plan import Memory, Plan
from outlast.storage.scheduling import NewSchedule, ScheduleChange, ScheduleQuery, ScheduleRow

__all__ = ["ScheduleDeclarer", "new_schedule"]

_log = logging.getLogger("outlast.scheduler")

_PAGE: Final = 1_000


class ScheduleDeclarer:
    """Makes the store say of schedules what the code of this process says.

    Changed timing gives a new next time, counted from now; any other change keeps it. What users did stays: a paused
    schedule stays paused. A schedule that is not in the code of its workflow any more is retired, and its history kept;
    one that comes back goes on. Workflows that this process does not know are left alone.
    """

    def __init__(self, desk: ScheduleDesk, workflows: Mapping[str, CommittedWorkflow[Any, Any]]) -> None:
        self._desk = desk
        self._store = desk.store
        self._workflows = workflows

    async def declare(self) -> None:
        """Bring the store up to date; it may be done by several processes at once.

        Raises:
            DefinitionError: A schedule of another workflow in the store has the id of one of these.
            StoreUnavailableError: The store did not answer; try again.
        """
        wanted = {
            declared_id(workflow.id, schedule): (workflow, declared_plan(workflow, schedule))
            for workflow in self._workflows.values()
            for schedule in workflow.schedules
        }
        known = {row.id: row for row in await self._load_known()}
        for id, (workflow, plan) in wanted.items():
            row = known.get(id)
            while row is None or not await self._agree(row, workflow.id, plan):
                if row is None and await self._insert(id, workflow.id, plan):
                    break
                row = await self._store.find(id)  # somebody was faster
        for id, row in known.items():
            if id not in wanted:
                await self._retire(row)

    async def _load_known(self) -> list[ScheduleRow]:
        rows: list[ScheduleRow] = []
        while True:
            after = rows[-1].id if rows else None
            page = await self._store.select(ScheduleQuery(is_declared=True, after=after, limit=_PAGE))
            rows += page
            if len(page) < _PAGE:
                return [row for row in rows if row.workflow_id in self._workflows]

    async def _insert(self, id: str, workflow_id: str, plan: Plan) -> bool:
        now_ms = self._desk.options.now_ms()
        memory = Memory(next_ms=plan.timing.next_after(now_ms))
        _log.info("schedule '%s' is new", id)
        return await self._store.insert(new_schedule(id, workflow_id, plan, memory, now_ms=now_ms, is_declared=True))

    async def _agree(self, row: ScheduleRow, workflow_id: str, plan: Plan) -> bool:
        """Bring a schedule up to date; False if somebody else changed it meanwhile."""
        if row.workflow_id != workflow_id:  # `b` of `a`, and the only one of `a__b`
            raise DefinitionError(
                f"a schedule of workflow '{workflow_id}' would be called '{row.id}', as one of workflow "
                f"'{row.workflow_id}' in this store is; give it another id: Schedule(id=...)"
            )
        claim, now_ms = Claim.of(row), self._desk.options.now_ms()
        is_back = row.status == "retired"
        if row.plan == plan.to_bytes() and not is_back:
            return True
        if is_back or plan.timing != claim.plan.timing:
            claim.memory = replace(claim.memory, next_ms=plan.timing.next_after(now_ms))
        _log.info("schedule '%s' is %s", row.id, "back" if is_back else "changed")
        return await self._change(change_of(claim, now_ms, plan=plan, is_edit=True))

    async def _retire(self, row: ScheduleRow) -> None:
        while row.status != "retired":
            claim, now_ms = Claim.of(row), self._desk.options.now_ms()
            drop_queue(claim, now_ms, "the schedule is not in the code any more")
            claim.memory = replace(claim.memory, next_ms=None)
            change = replace(change_of(claim, now_ms, is_edit=True), status="retired", due_at_ms=None)
            if await self._change(change):
                _log.info("schedule '%s' is not in the code any more and was retired", row.id)
                return
            again = await self._store.find(row.id)
            if again is None:
                return
            row = again

    async def _change(self, change: ScheduleChange) -> bool:
        return (await self._store.change([change]))[0]


def new_schedule(
    id: str, workflow_id: str, plan: Plan, memory: Memory, *, now_ms: int, is_declared: bool
) -> NewSchedule:
    """Return a schedule about to be recorded."""
    return NewSchedule(
        id=id,
        workflow_id=workflow_id,
        is_declared=is_declared,
        status=status_of(memory),
        due_at_ms=None if memory.next_ms is None else plan.timing.due_at(id, memory.next_ms),
        plan=plan.to_bytes(),
        memory=memory.to_bytes(),
        at_ms=now_ms,
    )
