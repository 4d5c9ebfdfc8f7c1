"""Schedules on a Temporal server: each is the history of a workflow of its own, its keeper."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from outlast.engines.temporal.apart import largest_message
from outlast.engines.temporal.keeper import KEEP
from outlast.engines.temporal.kept import CHANGE, DONE, Done, Kept, PlannedChange, key_of, place_of
from outlast.engines.temporal.payloads import raw_value, read_payloads
from outlast.engines.temporal.place import Place
from outlast.engines.temporal.reading import CLOSED
from outlast.engines.temporal.rpc import RPC_TIMEOUT, is_missing, translated
from outlast.errors import PayloadTooLargeError, RunNotFoundError, StoreUnavailableError
from outlast.storage.scheduling import NewSchedule, ScheduleChange, ScheduleQuery, ScheduleRow, TriggerQuery, TriggerRow

__all__ = ["TemporalSchedules", "keeper_id", "schedule_of"]

_KEEPER: Final = "outlast-schedule:"
_WORKFLOW: Final = "outlast-workflow"
_DECLARED: Final = "outlast-declared"
"""Entries of the memo of a keeper: what never changes, for lists."""
_READ_AT_ONCE: Final = 20
_LOOKS: Final = 200
"""How many looks there are for a new schedule."""
_LOOK: Final = 0.05
"""Seconds between two looks whether a new schedule is listed, or a change is in its history."""
_HELD_BACK_LOOKS: Final = 400
"""How many looks there are for a change: for longer than the ten seconds that the server waits for a dead worker."""


def keeper_id(prefix: str, schedule_id: str) -> str:
    """Return the id of the workflow that keeps a schedule."""
    return f"{prefix}{_KEEPER}{schedule_id}"


def schedule_of(workflow_id: str) -> str:
    """Return the id of the schedule that a workflow keeps."""
    return workflow_id.partition(_KEEPER)[2]


class _Read(NamedTuple):
    """A schedule, as the history of its keeper says."""

    kept: Kept
    """The schedule."""
    is_open: bool
    """Whether it is still kept."""


class TemporalSchedules:
    """Implements `outlast.storage.scheduling.KeptSchedules`; the guarantees are written there.

    A run of a change is not recorded with it but started after it, by `settle`; until then its trigger is not shown.
    """

    def __init__(self, client: Client, place: Place, *, settle: Callable[[Kept], Awaitable[Done]]) -> None:
        """Work for an app.

        Args:
            client: The server.
            place: The names that the app uses there.
            settle: Starts the runs of a schedule that are claimed, and cancels those that are to be canceled.
        """
        self._client = client
        self._place = place
        self._settle = settle

    async def insert(self, schedule: NewSchedule) -> bool:
        """Record a schedule, and return once lists show it, or after ten seconds; False if its id is taken."""
        message = Kept.of(schedule).to_bytes(most=0)
        self._check_size(len(message))
        with translated():
            try:
                await self._client.start_workflow(
                    KEEP,
                    raw_value(message),
                    id=keeper_id(self._place.prefix, schedule.id),
                    task_queue=self._place.task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    memo={_WORKFLOW: schedule.workflow_id, _DECLARED: schedule.is_declared},
                    rpc_timeout=RPC_TIMEOUT,
                )
            except WorkflowAlreadyStartedError:
                return False
        for _ in range(_LOOKS):
            if schedule.id in await self._list_ids(ScheduleQuery(after=None), only=schedule.id):
                break
            await asyncio.sleep(_LOOK)
        return True

    async def load(self, schedule_id: str) -> Kept | None:
        """Return a schedule with all that is known of it; None if there is none of this id."""
        read = await self._read(schedule_id)
        return read.kept if read is not None and read.is_open else None

    async def find(self, schedule_id: str) -> ScheduleRow | None:
        """Return a schedule, or None if there is none of this id."""
        kept = await self.load(schedule_id)
        return None if kept is None else kept.row

    async def select(self, query: ScheduleQuery) -> list[ScheduleRow]:
        """Return the schedules that match, in the order of their ids."""
        ids = await self._list_ids(query)
        found: list[ScheduleRow] = []
        for first in range(0, len(ids), _READ_AT_ONCE):
            rows = await asyncio.gather(*(self.find(each) for each in ids[first : first + _READ_AT_ONCE]))
            found += (row for row in rows if row is not None and query.matches(row))
            if len(found) >= query.limit:
                break
        return found[: query.limit]

    async def change(self, changes: Sequence[ScheduleChange]) -> list[bool]:
        """Change schedules that are as they were read, then start and cancel runs; each schedule by itself."""
        return [await self._change(each) for each in changes]

    async def delete(self, schedule_id: str) -> bool:
        """Forget a schedule and its triggers; its runs stay, and those that were claimed are started."""
        keeper = self._client.get_workflow_handle(keeper_id(self._place.prefix, schedule_id))
        try:
            with translated(schedule_id):
                await keeper.terminate(reason="the schedule was deleted", rpc_timeout=RPC_TIMEOUT)
        except RunNotFoundError:
            return False
        last = await self._read(schedule_id)
        if last is not None and not last.is_open:
            await self._settle(last.kept)
        return True

    async def list_triggers(self, query: TriggerQuery) -> list[TriggerRow]:
        """Return the triggers that match, the latest first."""
        kept = await self.load(place_of(query.schedule)[1])
        return [] if kept is None or kept.row.key != query.schedule else query.select(kept.triggers.values())

    async def settle(self, kept: Kept) -> None:
        """Do outside what a schedule has claimed to do, and tell its keeper. Whoever does it again does nothing."""
        if kept.is_settled:
            return
        done = await self._settle(kept)
        with suppress(RunNotFoundError):  # deleted meanwhile: nobody needs to know any more
            await self._signal(kept.row.id, DONE, done.to_bytes())
            numbers = {each.number for each in done.triggers}
            await self._read_until(
                kept.row, lambda now: numbers.isdisjoint(now.beginnings) and now.cancels.keys().isdisjoint(done.cancels)
            )

    async def _change(self, change: ScheduleChange) -> bool:
        _, schedule_id = place_of(change.key)
        planned = PlannedChange(uuid.uuid4().hex, replace(change, runs=()))
        message = planned.to_bytes()
        self._check_size(len(message))
        try:
            await self._signal(schedule_id, CHANGE, message)
        except RunNotFoundError:
            return False
        read = await self._read_until(change, lambda now: now.row.version > change.version)
        if read is None:
            return False
        made = read.kept.changes
        if min(made, default=0) > change.version + 1:
            message_of_doubt = f"schedule '{schedule_id}' was changed very often meanwhile; look what it says"
            raise StoreUnavailableError(message_of_doubt)
        if made.get(change.version + 1) != planned.change_id:
            return False
        await self.settle(read.kept)
        return True

    async def _read_until(self, row: ScheduleRow | ScheduleChange, has_come: Callable[[Kept], bool]) -> _Read | None:
        """Read a schedule once its history has what was signaled; None if it is not kept any more.

        While a worker takes up signals, or has just died of it, the server holds later ones back from the history.
        """
        _, schedule_id = place_of(row.key)
        for _ in range(_HELD_BACK_LOOKS):
            read = await self._read(schedule_id)
            if read is None or read.kept.row.key != row.key:
                return None
            if has_come(read.kept):
                return read
            if not read.is_open:
                return None
            await asyncio.sleep(_LOOK)
        raise StoreUnavailableError(f"Temporal has not taken up the change of schedule '{schedule_id}' yet; look again")

    async def _signal(self, schedule_id: str, name: str, message: bytes) -> None:
        keeper = self._client.get_workflow_handle(keeper_id(self._place.prefix, schedule_id))
        with translated(schedule_id):
            await keeper.signal(name, raw_value(message), rpc_timeout=RPC_TIMEOUT)

    async def _read(self, schedule_id: str) -> _Read | None:
        """Return the latest schedule of this id; None if the server knows none."""
        keeper = self._client.get_workflow_handle(keeper_id(self._place.prefix, schedule_id))
        read: _Read | None = None
        with translated():
            try:
                async for event in keeper.fetch_history_events():
                    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                        attributes = event.workflow_execution_started_event_attributes
                        [message] = await read_payloads(self._client.data_converter, attributes.input.payloads)
                        key = key_of(attributes.first_execution_run_id, schedule_id)
                        read = _Read(Kept.from_bytes(message, key), is_open=True)
                    elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                        assert read is not None  # noqa: S101 - histories begin with a start
                        signal = event.workflow_execution_signaled_event_attributes
                        for message in await read_payloads(self._client.data_converter, signal.input.payloads):
                            read.kept.take(signal.signal_name, message)
                    elif read is not None and event.event_type in CLOSED:
                        read = read._replace(is_open=False)
            except RPCError as error:
                if is_missing(error):
                    return None
                raise
        return read

    async def _list_ids(self, query: ScheduleQuery, *, only: str | None = None) -> list[str]:
        """Return the ids of schedules that may match, in order, by what the server has made visible."""
        # A keeper that goes on in another workflow is not visible as a running one for a moment.
        terms = [f"WorkflowType = '{KEEP}'", "ExecutionStatus IN ('Running', 'ContinuedAsNew')"]
        start = keeper_id(self._place.prefix, "")
        terms.append(f"WorkflowId = '{start}{only}'" if only else f"WorkflowId STARTS_WITH '{start}'")
        ids: set[str] = set()
        with translated():
            async for each in self._client.list_workflows(" AND ".join(terms), rpc_timeout=RPC_TIMEOUT):
                schedule_id = each.id.removeprefix(start)
                if query.after is not None and schedule_id <= query.after:
                    continue
                if query.workflow_id is not None and query.workflow_id != await each.memo_value(_WORKFLOW, ""):
                    continue
                if query.is_declared is not None and query.is_declared != await each.memo_value(_DECLARED, False):  # noqa: FBT003 - the default
                    continue
                ids.add(schedule_id)
        return sorted(ids)

    def _check_size(self, size: int) -> None:
        most = largest_message(self._client.data_converter)
        if size > most:
            raise PayloadTooLargeError("a schedule, with the values of its runs", size, most)
