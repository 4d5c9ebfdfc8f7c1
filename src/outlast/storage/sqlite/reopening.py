"""The next execution of a run that nobody owns, opened by a process that does not drive it."""

from __future__ import annotations

import sqlite3

from outlast.core.status import RunStatus
from outlast.storage.base import Reopening
from outlast.storage.sqlite import flow
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.recording import JSON, EventRows, add_events, insert_events
from outlast.storage.sqlite.sql import one

__all__ = ["Reopen"]


class Reopen(Operation[bool]):
    """Opens the next execution of a run if it rests as it was read. Answers whether it did."""

    def __init__(self, reopening: Reopening) -> None:
        self._reopening = reopening
        self._was_reopened = False

    def apply(self, connection: sqlite3.Connection) -> bool:
        """Compare and set the row; the events follow only if it was as expected."""
        reopening = self._reopening
        last = reopening.records[-1]
        becomes = (last.seq, RunStatus.PENDING.value, last.execution, last.at_ms, last.at_ms)
        was = (reopening.run, reopening.head)
        self._was_reopened = connection.execute(one("reopen_run"), (*becomes, *was)).rowcount == 1
        if self._was_reopened:
            events = EventRows([], [])
            add_events(events, reopening.run, reopening.records)
            insert_events(connection, events)
            if reopening.is_limited:
                connection.execute(one("begin_flow_again"), (reopening.run,))
                flow.place(connection, reopening.run)
        return self._was_reopened

    def proves(self, connection: sqlite3.Connection) -> bool:
        """Look for the very event: somebody else's may have the same place, but says something else."""
        if not self._was_reopened:
            return False
        last = self._reopening.records[-1]
        body = None if last.body is None else JSON + last.body
        row = (self._reopening.run, last.seq, last.type, last.at_ms, body)
        return connection.execute(one("is_recorded"), row).fetchone() is not None

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Say whether nothing was changed, which is true without any commit."""
        return not self._was_reopened
