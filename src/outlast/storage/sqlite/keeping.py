"""Deleting runs in small pieces, so that no other write waits long for it, and giving pages back to the disk.

The row of a deleted run stays for a while, stripped, with the status `deleted`: the unique index on run ids then
refuses to start the id again, and a start has nothing more to ask. `head` counts the events that are still to be
removed, so that a sweep finds what a crash, or a long journal, left over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import ClassVar, Final, NamedTuple

from outlast.core.status import RunStatus
from outlast.errors import OutlastError
from outlast.storage.keeping import Sweep, refuse_to_delete
from outlast.storage.sqlite.locks import WriterLock
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.sql import SqlValue, chunks, many, one

__all__ = ["DELETED", "Candidate", "DeleteRun", "Scan", "SweepRuns", "give_back", "select_candidates"]

DELETED: Final = "deleted"
"""Status of a row that only keeps its id from being used again."""

_RUNS: Final = 200
"""How many runs one step deletes at most."""
_EVENTS: Final = 1_500
"""How many events one step removes at most: a few milliseconds of work."""
_PAGES: Final = 256
"""How many pages one step gives back at most: 1 MB."""
_SPARE_PAGES: Final = 1_024
"""How many free pages a store keeps, because new runs need them again: 4 MB."""
_PATIENCE_S: Final = 1.0


class Scan(NamedTuple):
    """What a sweep looks for."""

    after: int
    """Only runs with a larger key."""
    ended_before_ms: int | None
    """Runs that ended earlier may be deleted."""
    deleted_before_ms: int
    """Runs that were deleted earlier may be forgotten."""
    now_ms: int
    """The time."""


class Candidate(NamedTuple):
    """A row that a sweep may do something about."""

    key: int
    """Key of the run."""
    head: int
    """How many events it has."""
    is_deleted: bool
    """Whether only its id, and perhaps some of its events, are left."""

    @property
    def is_done_at_once(self) -> bool:
        """Whether one step is enough for it."""
        return self.head <= _EVENTS


def select_candidates(connection: sqlite3.Connection, scan: Scan) -> list[Candidate]:
    """Return the next rows to do something about: as many as one step can do."""
    values = (scan.after, _before(scan), scan.now_ms, scan.deleted_before_ms, _RUNS)
    rows = connection.execute(one("select_sweepable"), values).fetchall()
    chosen: list[Candidate] = []
    events = 0
    for key, head, status in rows:
        events += head
        if chosen and events > _EVENTS:
            break
        chosen.append(Candidate(key, head, status == DELETED))
    return chosen


class DeleteRun(Operation["OutlastError | None"]):
    """Deletes a run that has ended. Answers why not."""

    pages: ClassVar[int] = _EVENTS // 32

    def __init__(self, run_id: str, *, now_ms: int) -> None:
        self._run_id = run_id
        self._now_ms = now_ms
        self._was_deleted = False

    def apply(self, connection: sqlite3.Connection) -> OutlastError | None:
        """Look whether it may be deleted, and do it; what is left of a long journal, a sweep removes."""
        self._was_deleted = False
        row = connection.execute(one("select_deletable"), (self._run_id,)).fetchone()
        key, status, head, is_asked, has_outbox = row or (0, None, 0, 0, 0)
        known = None if status is None else RunStatus(status)
        refusal = refuse_to_delete(self._run_id, known, is_asked=bool(is_asked), has_outbox=bool(has_outbox))
        if refusal is None:
            _strip(connection, [key], rest=max(0, head - _EVENTS), now_ms=self._now_ms)
            self._was_deleted = True
        return refusal

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Look whether the run is gone; having changed nothing is true without any commit."""
        return not self._was_deleted or connection.execute(one("find_run"), (self._run_id,)).fetchone() is None


class SweepRuns(Operation[Sweep]):
    """Deletes old runs, removes what is left of deleted ones, and forgets ids."""

    is_long: ClassVar[bool] = True
    pages: ClassVar[int] = _EVENTS // 32

    def __init__(self, candidates: Sequence[Candidate], scan: Scan) -> None:
        self._candidates = candidates
        self._scan = scan

    def apply(self, connection: sqlite3.Connection) -> Sweep:
        """Do what the rows still allow: they were read before this transaction."""
        scan = self._scan
        finished = [each for each in self._candidates if not each.is_deleted]
        kept = _keys(connection, "recheck_sweepable", [each.key for each in finished], (_before(scan), scan.now_ms))
        rest = max(0, sum(each.head for each in finished) - _EVENTS)  # above 0 only for a single long run
        _strip(connection, kept, rest=rest, now_ms=scan.now_ms)
        for each in self._candidates:
            if each.is_deleted and each.head > 0:
                _remove_events(connection, [each.key], rest=max(0, each.head - _EVENTS))
        gone = [each.key for each in self._candidates if each.is_deleted and each.head == 0]
        for start, size in chunks(len(gone)):
            connection.execute(many("drop_identities", size), gone[start : start + size])
            connection.execute(many("forget_runs", size), gone[start : start + size])
        return Sweep(deleted=len(kept), forgotten=len(gone))


def give_back(connect: Callable[[], sqlite3.Connection], lock: WriterLock) -> tuple[int, bool]:
    """Move pages from the end of the file into holes, and cut it; return how many, and whether that was all.

    Raises:
        StoreUnavailableError: Another process does not let go of the writer lock.
        sqlite3.Error: Nothing was changed.
    """
    with closing(connect()) as connection:
        before = _free_pages(connection)
        if before > _SPARE_PAGES:
            with lock.held(within=_PATIENCE_S):
                pages = min(_PAGES, before - _SPARE_PAGES)
                # As a script: it moves a page with each step, and `execute` makes one step where there are no columns.
                connection.executescript(f"BEGIN IMMEDIATE; PRAGMA incremental_vacuum({pages}); COMMIT")
        after = _free_pages(connection)
    return before - after, after <= _SPARE_PAGES or after >= before


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _before(scan: Scan) -> int:
    return -1 if scan.ended_before_ms is None else scan.ended_before_ms


def _strip(connection: sqlite3.Connection, keys: Sequence[int], *, rest: int, now_ms: int) -> None:
    """Leave nothing of ended runs but their ids, and the first `rest` events if there are too many for one step."""
    for start, size in chunks(len(keys)):
        some = list(keys[start : start + size])
        connection.execute(many("strip_runs", size), (now_ms, *some))
        for name in ("drop_inbox", "drop_tags", "drop_outbox", "drop_holds", "drop_start_deadlines"):
            connection.execute(many(name, size), some)
    _remove_events(connection, keys, rest=rest)


def _remove_events(connection: sqlite3.Connection, keys: Sequence[int], *, rest: int) -> None:
    for start, size in chunks(len(keys)):
        some = list(keys[start : start + size])
        for name in ("drop_events", "drop_stream_events", "shorten_runs"):
            connection.execute(many(name, size), (rest, *some))


def _keys(connection: sqlite3.Connection, name: str, keys: Sequence[int], values: tuple[SqlValue, ...]) -> list[int]:
    found: list[int] = []
    for start, size in chunks(len(keys)):
        rows = connection.execute(many(name, size), (*values, *keys[start : start + size])).fetchall()
        found += (key for (key,) in rows)
    return found
