"""What a process does for runs that nobody drives: it ends those that are to end, so that this takes no worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from outlast.core.codec import UnknownEventError, encode_event
from outlast.core.commands import AwaitDeadline
from outlast.core.events import Fact, RunTimedOut, StartTimedOut
from outlast.core.flow.ending import DEADLINE_PATH, START_PATH
from outlast.core.outside import end_from_outside
from outlast.core.state import JournalMismatchError, RunState
from outlast.core.status import RunStatus
from outlast.core.view import fold_state
from outlast.engines.asking import fact_asked_for
from outlast.engines.local.deliveries import deliveries_of
from outlast.engines.local.program import ProgramShelf
from outlast.engines.metrics import RUNS_ENDED, Meter
from outlast.engines.telemetry import Tracer, export_ended
from outlast.graph.document import UnknownGraphError
from outlast.storage.base import Ending, InboxRow, RunRow, Store

__all__ = ["Bystander"]

_log = logging.getLogger("outlast.worker")

_LATE_AT_ONCE = 500
_LIMITED_LOOK = 1.0
_UNREADABLE_LOOK_MS = 1_000
_MOST_UNREADABLE = 10_000

_Asked: TypeAlias = tuple[str, bytes]
"""Kind and body of a request."""


class Bystander:
    """Ends runs without driving them.

    What it records is what a worker would have recorded. The store compares the run with what was read here, so a
    worker that claims the run meanwhile wins, and is told through the inbox.
    """

    def __init__(self, store: Store, shelf: ProgramShelf, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._shelf = shelf
        self._now_ms = now_ms
        self.tracer: Tracer | None = None
        """Takes the spans that end with the runs; None for nobody."""
        self.meter: Meter | None = None
        """Counts the ends; None for nobody."""
        self._next_start_by: int | None = None
        self.is_stale = True
        """Whether the store may know of a start that is late earlier than the one known here."""
        self._late_again_at = 0
        self._unreadable: dict[str, int] = {}

    async def cancel(self, run_id: str, body: bytes) -> bool:
        """End a run as canceled if nobody owns it; say whether it has ended so."""
        row = await self._store.find_run(run_id)
        if row is None or row.owner is not None or row.status.is_terminal:
            return False
        return bool(await self._end(row, await self._store.list_requests(row.key), [("cancel", body)]))

    async def settle(self, row: RunRow) -> bool:
        """End a run that nobody owns if it was canceled or its time is over; say whether the row is out of date now.

        It is, too, if somebody else ended or claimed the run at this moment. A run whose inbox holds something, or one
        of whose times has come, is claimable: one that is not yet claimable is left alone.
        """
        if row.owner is not None or row.status.is_terminal:
            return False
        if row.ready_at_ms is None or row.ready_at_ms > self._now_ms():
            return False
        requests = await self._store.list_requests(row.key)
        is_asked = any(request.kind == "cancel" for request in requests)
        if row.status is RunStatus.PENDING or is_asked or await self._has_time_limit(row):
            return await self._end(row, requests) is not None
        return False

    async def take_left_cancels(self) -> None:
        """End the canceled runs that nobody drives.

        Somebody who cancels a run that a worker holds leaves that to the worker, and looks once more whether it still
        holds the run. A worker that goes away gives its runs back and looks then. So one of the two sees what the other
        has done.
        """
        for run_id in await self._store.list_left_cancels():
            row = await self._store.find_run(run_id)
            if row is not None:
                await self.settle(row)

    async def patience(self, row: RunRow) -> float | None:
        """Return after how many seconds to look at a run again although nobody tells of it; None for never.

        A run whose time is over fails when somebody looks, and it may be that nobody but a waiter does.
        """
        if not await self._has_time_limit(row):
            return None
        left_ms = 0 if row.ready_at_ms is None else row.ready_at_ms - self._now_ms()
        return max(left_ms / 1000, _LIMITED_LOOK)

    async def _has_time_limit(self, row: RunRow) -> bool:
        """Say whether the run fails by itself unless it ends in time (rule 9.3)."""
        try:
            graph = await self._shelf.load_graph(row.graph)
        except UnknownGraphError:  # left to somebody who can read it
            return False
        return graph.root.timeout_ms is not None

    async def end_late_starts(self) -> bool:
        """End the runs that no worker began in time; say whether there were any."""
        now = self._now_ms()
        if now < self._late_again_at:
            return False
        if self.is_stale:
            self.is_stale = False
            self._next_start_by = await self._store.next_start_by()
        if self._next_start_by is None or self._next_start_by > now:
            return False
        self.is_stale = True
        # So many more, that those which are left to others never stand in the way of the rest.
        late = await self._store.list_late_starts(now_ms=now, limit=_LATE_AT_ONCE + len(self._unreadable))
        news = [run_id for run_id in late if run_id not in self._unreadable]
        if late and not news:
            self._late_again_at = now + _UNREADABLE_LOOK_MS
            return False
        rows = [await self._store.find_run(run_id) for run_id in news]
        ended = [
            await self._end(row, await self._store.list_requests(row.key))
            for row in rows
            if row is not None and row.owner is None
        ]
        return any(ended)

    async def _end(self, row: RunRow, requests: Sequence[InboxRow], more: Sequence[_Asked] = ()) -> bool | None:
        """End a run; say whether it was done, and not refused because the run has changed. None: it is not to end."""
        if self._unreadable.get(row.run_id) == row.head:
            return None
        asked = [*((request.kind, request.body) for request in requests), *more]
        try:
            graph = await self._shelf.load_graph(row.graph)
            earlier = await self._store.load_facts(row.key, until=row.head)
            state = fold_state(graph, earlier)
            facts = end_from_outside(state, _facts_of(state, asked, self._now_ms()))
        except (UnknownEventError, UnknownGraphError, JournalMismatchError) as error:
            self._leave(row, error)
            return None
        if facts is None:
            return None
        status, now, execution = state.status(), self._now_ms(), row.execution
        records = [
            encode_event(event, seq=seq, execution=execution, payload=payload)
            for seq, (event, payload) in enumerate(facts, start=row.head + 1)
        ]
        was_ended = await self._store.end_run(
            Ending(
                run=row.key,
                epoch=row.epoch,
                head=row.head,
                records=records,
                status=status,
                inbox_taken=[request.key for request in requests],
                is_limited=row.is_limited,
                outbox=deliveries_of(graph, status, seq=row.head + len(facts), execution=execution, now_ms=now),
            )
        )
        if was_ended and self.tracer is not None:
            export_ended(self.tracer, row.run_id, graph, [*earlier, *records], after=row.head)
        if was_ended and self.meter is not None:
            self.meter.add(RUNS_ENDED, 1, graph.workflow_id, status.value)
        return was_ended

    def _leave(self, row: RunRow, error: Exception) -> None:
        """Note that a run cannot be read here as it is: this process does not learn to, so that once is enough."""
        _log.warning("run %s is left to a worker that can read it: %s", row.run_id, error)
        if len(self._unreadable) >= _MOST_UNREADABLE:
            del self._unreadable[next(iter(self._unreadable))]
        self._unreadable[row.run_id] = row.head


def _facts_of(state: RunState, asked: Sequence[_Asked], now_ms: int) -> Iterator[Fact]:
    """Read the requests in their order, each as it is when those before it are folded; then look at the clock."""
    for kind, body in asked:
        fact = fact_asked_for(state, kind, body, now_ms)
        if fact is not None:
            yield fact
    for path, event in ((START_PATH, StartTimedOut), (DEADLINE_PATH, RunTimedOut)):
        deadline = state.open.get(path)
        if isinstance(deadline, AwaitDeadline) and deadline.due_at_ms <= now_ms:
            yield event(now_ms, path), None
