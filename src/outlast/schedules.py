"""The schedules of an app as programs see them: read, made, paused and tried at run time (rule 16.1)."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal, cast, get_args

from outlast.declaring import new_schedule
from outlast.engines.scheduling import ScheduleDesk
from outlast.errors import (
    InputError,
    Problem,
    ScheduleExistsError,
    ScheduleNotFoundError,
    ScheduleStateError,
)
from outlast.firing import Claim, change_of, open_plan, run_once
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.scheduled import DECLARED
from outlast.ids import run_ids
from outlast.instant import to_ms
from outlast.known import id_of, known_workflow
from outlast.schedule_info import ScheduleInfo, SchedulePage, Trigger, info_of, trigger_of
from outlast.scheduling.cron import CronError
from outlast.scheduling.plan import Memory, Plan, ScheduleStatus, plan_of
from outlast.scheduling.schedule import Schedule
from outlast.sealing import disclosed
from outlast.starting import check_run_id, check_text, make_request
from outlast.storage.scheduling import (
    ScheduleChange,
    ScheduleQuery,
    ScheduleRow,
    TriggerQuery,
)
from outlast.values import decode

__all__ = ["Schedules"]

_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LONGEST_ID: Final = 100
_MOST: Final = 1_000


class Schedules:
    """The schedules in the store of an app; made by `app.schedules`. Any process can use it, worker or not."""

    def __init__(
        self,
        desk: ScheduleDesk,
        workflows: Mapping[str, CommittedWorkflow[Any, Any]],
        check_open: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._check_open = check_open
        self._store = desk.store
        self._workflows = workflows

    async def create(
        self, workflow: CommittedWorkflow[Any, Any] | str, schedule: Schedule, *, id: str | None = None
    ) -> ScheduleInfo:
        """Record a schedule. From then on workers fire it.

        Args:
            workflow: What it starts.
            schedule: When, and with what.
            id: Its id, 1 to 100 letters, digits, dots, dashes and underscores; a new one if none is given.

        Raises:
            InputError: The id or a value does not fit, or no time is left. Nothing was recorded.
            ScheduleExistsError: The id is taken.
            UnattachedWorkflowError: The app does not know the workflow.
            StoreUnavailableError: It is not known to be recorded; `get` tells.
        """
        self._check_open()
        schedule_id = _checked_id(id) if id is not None else f"schedule_{run_ids.next()}"
        known = known_workflow(workflow, self._workflows)
        plan = self._plan(known, schedule)
        now_ms = self._desk.options.now_ms()
        memory = Memory(next_ms=_next(plan, now_ms))
        new = new_schedule(schedule_id, known.id, plan, memory, now_ms=now_ms, is_declared=False)
        if not await self._store.insert(new):
            raise ScheduleExistsError(schedule_id)
        await self._desk.notice()
        return await self._load(schedule_id)

    async def get(self, id: str) -> ScheduleInfo | None:
        """Return a schedule, or None if there is none of this id.

        Raises:
            StoreUnavailableError: The store did not answer; try again.
        """
        row = await self._seek(id)
        return None if row is None else info_of(row)

    async def list(
        self,
        workflow: CommittedWorkflow[Any, Any] | str | None = None,
        *,
        status: ScheduleStatus | None = None,
        resource_id: str | None = None,
        after: str | None = None,
        per_page: int = 100,
    ) -> SchedulePage:
        """Return a page of the schedules, in the order of their ids.

        Args:
            workflow: Only those of this workflow, or of this workflow id.
            status: Only those with this status.
            resource_id: Only those whose runs are this one's.
            after: `SchedulePage.after` of the page before.
            per_page: How many at most, up to 1,000.

        Raises:
            InputError: A condition cannot be meant.
            StoreUnavailableError: The store did not answer; try again.
        """
        self._check_open()
        if after is not None:
            check_run_id(after, "after")
        if status is not None and status not in get_args(ScheduleStatus):
            raise InputError(
                "status", (Problem("", f"{status!r:.60} is none of {', '.join(get_args(ScheduleStatus))}"),)
            )
        limit = _checked_limit(per_page, "per_page")
        workflow_id = id_of(workflow)
        found: builtins.list[ScheduleInfo] = []
        query = ScheduleQuery(workflow_id=workflow_id, status=status, after=after, limit=limit + 1)
        while len(found) <= limit:
            rows = await self._store.select(query)
            known = [info_of(row) for row in rows]
            found += (each for each in known if resource_id in (None, each.schedule.resource_id))
            if len(rows) <= limit:
                break
            query = replace(query, after=rows[-1].id)
        page = tuple(found[:limit])
        return SchedulePage(schedules=page, after=page[-1].id if len(found) > limit else None)

    async def update(self, id: str, change: Schedule | Callable[[Schedule], Schedule]) -> ScheduleInfo:
        """Change what a schedule says; only of one that was made at run time.

        A new timing counts from now; other changes keep the next time. A paused schedule stays paused.

        Args:
            id: Its id.
            change: What it says from now on; or a function that makes it of what it says, such as
                `lambda known: replace(known, cron="0 9 * * *")`, which may be called several times.

        Raises:
            InputError: A value does not fit, or no time is left. Nothing was changed.
            ScheduleNotFoundError: There is none of this id.
            ScheduleStateError: It stands in code, where it is to be changed.
            UnattachedWorkflowError: The app does not know its workflow.
        """

        def changed(row: ScheduleRow) -> ScheduleChange:
            _refuse_declared(row, "update")
            claim, now_ms = Claim.of(row), self._desk.options.now_ms()
            known = disclosed(self._desk.options.sealers.get(row.workflow_id), open_plan, claim.plan)
            wanted = change(known.to_schedule()) if callable(change) else change
            plan = self._plan(known_workflow(row.workflow_id, self._workflows), wanted)
            if plan.timing != claim.plan.timing:
                claim.memory = replace(claim.memory, next_ms=_next(plan, now_ms))
            return change_of(claim, now_ms, plan=plan, is_edit=True)

        return await self._change(id, changed)

    async def pause(self, id: str) -> ScheduleInfo:
        """Let a schedule fire no more until it is resumed; firings that wait go on waiting. Idempotent.

        Raises:
            ScheduleNotFoundError: There is none of this id.
            ScheduleStateError: It was retired.
        """

        def changed(row: ScheduleRow) -> ScheduleChange | None:
            _refuse_retired(row, "pause")
            claim = Claim.of(row)
            if claim.memory.is_paused:
                return None
            claim.memory = replace(claim.memory, is_paused=True)
            return change_of(claim, self._desk.options.now_ms(), is_edit=True)

        return await self._change(id, changed)

    async def resume(self, id: str) -> ScheduleInfo:
        """Let a paused schedule fire again, from now on: times that passed meanwhile are not caught up. Idempotent.

        Raises:
            InputError: This machine has no data of its time zone, so it cannot tell the next time. Nothing was changed.
            ScheduleNotFoundError: There is none of this id.
            ScheduleStateError: It was retired.
        """

        def changed(row: ScheduleRow) -> ScheduleChange | None:
            _refuse_retired(row, "resume")
            claim, now_ms = Claim.of(row), self._desk.options.now_ms()
            if not claim.memory.is_paused:
                return None
            claim.memory = replace(claim.memory, is_paused=False, next_ms=_next_after(claim.plan, now_ms))
            return change_of(claim, now_ms, is_edit=True)

        return await self._change(id, changed)

    async def delete(self, id: str) -> None:
        """Forget a schedule and its triggers; its runs stay. Idempotent.

        Raises:
            ScheduleStateError: It stands in code, from which it is to be removed. A retired one can be deleted.
            StoreUnavailableError: It is not known to be gone; the same call again is safe.
        """
        row = await self._seek(id)
        if row is None:
            return
        if row.status != "retired":
            _refuse_declared(row, "delete")
        await self._store.delete(id)

    async def run_now(self, id: str) -> Trigger:
        """Start a run of a schedule at once, also of a paused one, whatever its overlap policy; its times stay.

        When it returns, the run is durable.

        Raises:
            ScheduleNotFoundError: There is none of this id.
            InputError: What it says does not fit the workflow any more. Nothing was recorded.
            UnattachedWorkflowError: The app does not know its workflow.
            StoreUnavailableError: It is not known to be started; `triggers` tells.
        """
        run_id = f"sched_{id}_{run_ids.next()}"
        while True:
            row = await self._find(id)
            change = run_once(self._desk, row, known_workflow(row.workflow_id, self._workflows), run_id)
            if (await self._store.change([change]))[0]:
                await self._desk.notice()
                return trigger_of(row.id, change.triggers[0])

    async def triggers(
        self,
        id: str,
        *,
        before: int | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        limit: int = 100,
    ) -> tuple[Trigger, ...]:
        """Return what became of the times of a schedule, the latest first; the latest thousand are kept.

        Args:
            id: Its id.
            before: Only those with a smaller number, for the next page.
            from_date: Only those decided at this time or later.
            to_date: Only those decided at this time or earlier.
            limit: How many at most, up to 1,000.

        Raises:
            ScheduleNotFoundError: There is none of this id.
            InputError: A condition cannot be meant.
            StoreUnavailableError: The store did not answer; try again.
        """
        row = await self._find(id)
        query = TriggerQuery(
            row.key,
            before=before,
            from_ms=_checked_instant(from_date, "from_date") or 0,
            to_ms=_checked_instant(to_date, "to_date"),
            limit=_checked_limit(limit, "limit"),
        )
        return tuple(trigger_of(row.id, each) for each in await self._store.list_triggers(query))

    def _plan(self, workflow: CommittedWorkflow[Any, Any], schedule: Schedule) -> Plan:
        """Return what is kept of a schedule, its values checked as those of every start."""
        if not isinstance(cast("object", schedule), Schedule):
            reason = f"a Schedule is needed, as Schedule('0 9 * * *'), not {schedule!r:.60}"
            raise InputError("schedule", (Problem("", reason),))
        if schedule.id:
            reason = "ids tell the schedules in code apart; give this one as create(..., id=...)"
            raise InputError("schedule", (Problem("id", reason),))
        request = disclosed(
            self._desk.options.sealers.get(workflow.id),
            make_request,
            workflow,
            run_id="checked",
            resource_id=_checked_resource(schedule.resource_id),
            input_data=schedule.input_data,
            initial_state=schedule.initial_state,
            request_context=schedule.request_context,
            tags=schedule.tags,
            unstored=self._desk.options.unstored_context,
        )
        return plan_of(
            schedule,
            input=decode(request.input),
            state=None if schedule.initial_state is None else dict(request.state),
            request_context=request.request_context,
        )

    async def _seek(self, id: str) -> ScheduleRow | None:
        self._check_open()
        check_run_id(id, "id")
        return await self._store.find(id)

    async def _find(self, id: str) -> ScheduleRow:
        row = await self._seek(id)
        if row is None:
            raise ScheduleNotFoundError(id)
        return row

    async def _load(self, id: str) -> ScheduleInfo:
        return info_of(await self._find(id))

    async def _change(self, id: str, changed: Callable[[ScheduleRow], ScheduleChange | None]) -> ScheduleInfo:
        """Change a schedule as it is at that moment, however many others change it."""
        while True:
            row = await self._find(id)
            change = changed(row)
            if change is None:
                return info_of(row)
            if (await self._store.change([change]))[0]:
                await self._desk.notice()
                return await self._load(id)


def _next_after(plan: Plan, now_ms: int) -> int | None:
    try:
        return plan.timing.next_after(now_ms)
    except CronError as error:
        raise InputError("schedule", (Problem("", str(error)),)) from None


def _next(plan: Plan, now_ms: int) -> int:
    next_ms = _next_after(plan, now_ms)
    if next_ms is None:
        raise InputError("schedule", (Problem("", "no time of it is left: all of them are over"),))
    return next_ms


def _refuse_declared(row: ScheduleRow, verb: Literal["update", "delete"]) -> None:
    if row.is_declared:
        reason = f"it stands in the code of workflow '{row.workflow_id}'; {verb} it there, or pause it here"
        raise ScheduleStateError(row.id, verb, reason)


def _refuse_retired(row: ScheduleRow, verb: str) -> None:
    if row.status == "retired":
        raise ScheduleStateError(row.id, verb, f"it is not in the code of workflow '{row.workflow_id}' any more")


def _checked_id(id: object) -> str:
    if not isinstance(id, str) or len(id) > _LONGEST_ID or _ID.fullmatch(id) is None:
        reason = f"needs 1 to {_LONGEST_ID} letters, digits, dots, dashes and underscores, not {id!r:.60}"
        raise InputError("id", (Problem("", reason),))
    if id.startswith(DECLARED):
        raise InputError("id", (Problem("", f"'{DECLARED}...' is for schedules in code; choose another one"),))
    return id


def _checked_resource(resource_id: object) -> str | None:
    if resource_id is not None:
        check_text(resource_id, "resource_id")
    return cast("str | None", resource_id)


def _checked_limit(limit: object, name: str) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MOST:
        raise InputError(name, (Problem("", f"a whole number from 1 to {_MOST:,} is needed, not {limit!r:.60}"),))
    return limit


def _checked_instant(at: object, name: str) -> int | None:
    if at is None:
        return None
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise InputError(name, (Problem("", f"a datetime with a time zone is needed, not {at!r:.60}"),))
    return to_ms(at)
