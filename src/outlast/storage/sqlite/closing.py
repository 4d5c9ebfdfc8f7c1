"""The end of a run that nobody owns, written by a process that does not drive it, and which runs are late to begin."""

from __future__ import annotations

import sqlite3

from outlast.storage.base import Ending
from outlast.storage.sqlite.flow import let_go
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.outbox import insert_deliveries
from outlast.storage.sqlite.recording import EventRows, add_events, insert_events
from outlast.storage.sqlite.sql import chunks, many, one

__all__ = ["End", "ListLateStarts"]


class End(Operation[bool]):
    """Ends a run if nobody owns it and it is as it was read. Answers whether it was."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self._was_ended = False

    def apply(self, connection: sqlite3.Connection) -> bool:
        """Compare and set the row; the events and the inbox follow only if it was as expected."""
        ending = self._ending
        last = ending.records[-1]
        becomes = (last.seq, ending.status.value, last.at_ms)
        was = (ending.run, ending.epoch, ending.head)
        self._was_ended = connection.execute(one("end_run"), (*becomes, *was)).rowcount == 1
        if not self._was_ended:
            return False
        events = EventRows([], [])
        add_events(events, ending.run, ending.records)
        insert_events(connection, events)
        taken = list(ending.inbox_taken)
        for start, size in chunks(len(taken)):
            connection.execute(many("take_inbox", size), taken[start : start + size])
        insert_deliveries(connection, [ending])
        if ending.is_limited:
            let_go(connection, ending.run)  # it may have held places for whoever takes it over
        return True

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Look whether the run has ended as intended; having changed nothing is true without any commit."""
        ending = self._ending
        row = (ending.run, ending.epoch, ending.records[-1].seq, ending.status.value)
        return not self._was_ended or connection.execute(one("is_ended"), row).fetchone() is not None


class ListLateStarts(Operation[list[str]]):
    """Answers which runs nobody has begun in time, and forgets the deadlines of the others."""

    def __init__(self, now_ms: int, limit: int) -> None:
        self._now_ms = now_ms
        self._limit = limit

    def apply(self, connection: sqlite3.Connection) -> list[str]:
        """Forget those whose journal went on, and select the rest."""
        connection.execute(one("forget_begun"), (self._now_ms,))
        rows = connection.execute(one("select_late_starts"), (self._now_ms, self._limit)).fetchall()
        return [run_id for (run_id,) in rows]
