"""Deleting runs in small pieces, so that no other write waits long for it.

The row of a deleted run stays for a while, stripped, with the status `deleted`: the unique index on run ids then
refuses to start the id again, and a start has nothing more to ask. `head` counts the events that are still to be
removed, so that a sweep finds what a crash, or a long journal, left over.

A step ends when its time is over, not when it has done so many rows: how long a row takes depends on how large its
values are, on how many places of the file it touches, and on the disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from outlast.core.status import RunStatus
from outlast.errors import OutlastError
from outlast.storage.keeping import Sweep, refuse_to_delete
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.sql import many, one

__all__ = ["DELETED", "Candidate", "DeleteRun", "Scan", "StepTime", "SweepRuns", "Swept", "select_candidates"]

DELETED: Final = "deleted"
"""Status of a row that only keeps its id from being used again."""

STEP_S: Final = 0.005
"""How long a step goes on before it ends with the piece that it is at."""
_RUNS: Final = 200
"""How many runs one step deletes at most."""
_RUNS_AT_ONCE: Final = 16
"""How many runs are a piece, if they are short."""
_EVENTS_AT_ONCE: Final = 64
"""How many events are a piece."""


class Scan(NamedTuple):
    """What a sweep looks for."""

    after: int
    """Only runs with a larger key."""
    ended_before_ms: int | None
    """Runs that ended earlier may be deleted."""
    deleted_before_ms: int
    """Runs that were deleted earlier may be forgotten."""
    said_before_ms: int | None
    """What was said in runs of which the latest event is older may be removed."""
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


class Swept(NamedTuple):
    """What a step did, and how far it came."""

    sweep: Sweep
    """What it did."""
    after: int
    """Nothing is left to do about runs up to this key."""


class StepTime:
    """The time that a step has."""

    def __init__(self) -> None:
        self._until = time.monotonic() + STEP_S

    @property
    def is_over(self) -> bool:
        """Whether the step is to end."""
        return time.monotonic() >= self._until


def select_candidates(connection: sqlite3.Connection, scan: Scan) -> list[Candidate]:
    """Return the next rows to do something about."""
    values = (scan.after, _before(scan), scan.now_ms, scan.deleted_before_ms, _RUNS)
    rows = connection.execute(one("select_sweepable"), values).fetchall()
    return [Candidate(key, head, status == DELETED) for key, head, status in rows]


class DeleteRun(Operation["OutlastError | None"]):
    """Deletes a run that has ended. Answers why not."""

    pages: ClassVar[int] = 50

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
            _strip(connection, [key], now_ms=self._now_ms)
            _remove_journals(connection, [(key, head)], StepTime())
            self._was_deleted = True
        return refusal

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Look whether the run is gone; having changed nothing is true without any commit."""
        return not self._was_deleted or connection.execute(one("find_run"), (self._run_id,)).fetchone() is None


class SweepRuns(Operation[Swept]):
    """Deletes old runs, removes what is left of deleted ones, and forgets ids, as far as its time goes."""

    is_long: ClassVar[bool] = True
    pages: ClassVar[int] = 250
    """Runs of different resources are in different leaves of the index."""

    def __init__(self, candidates: Sequence[Candidate], scan: Scan) -> None:
        self._candidates = candidates
        self._scan = scan

    def apply(self, connection: sqlite3.Connection) -> Swept:
        """Do what the rows still allow: they were read before this transaction."""
        time_left, candidates = StepTime(), self._candidates
        deleted = forgotten = 0
        after = self._scan.after
        for start in range(0, len(candidates), _RUNS_AT_ONCE):
            if start and time_left.is_over:
                break
            piece = candidates[start : start + _RUNS_AT_ONCE]
            kept = self._delete(connection, [each.key for each in piece if not each.is_deleted])
            forgotten += _forget(connection, [each.key for each in piece if each.is_deleted and each.head == 0])
            deleted += len(kept)
            ended = {*kept, *(each.key for each in piece if each.is_deleted)}
            left = [(each.key, each.head) for each in piece if each.head and each.key in ended]
            cut = _remove_journals(connection, left, time_left)
            if cut is not None:  # it goes on with this one
                after = cut - 1
                break
            after = piece[-1].key
        return Swept(Sweep(deleted=deleted, forgotten=forgotten), after)

    def _delete(self, connection: sqlite3.Connection, keys: Sequence[int]) -> list[int]:
        """Make tombstones of those of some runs that may still be deleted; return them."""
        if not keys:
            return []
        values = (_before(self._scan), self._scan.now_ms, *keys)
        kept: list[int] = [
            key for (key,) in connection.execute(many("recheck_sweepable", len(keys)), values).fetchall()
        ]
        if kept:
            _strip(connection, kept, now_ms=self._scan.now_ms)
        return kept


def _before(scan: Scan) -> int:
    return -1 if scan.ended_before_ms is None else scan.ended_before_ms


def _strip(connection: sqlite3.Connection, keys: Sequence[int], *, now_ms: int) -> None:
    """Leave nothing of ended runs but their ids and their events."""
    connection.execute(many("strip_runs", len(keys)), (now_ms, *keys))
    for name in ("drop_inbox", "drop_tags", "drop_outbox", "drop_holds", "drop_start_deadlines", "drop_flows"):
        connection.execute(many(name, len(keys)), keys)


def _forget(connection: sqlite3.Connection, keys: Sequence[int]) -> int:
    if keys:
        for name in ("drop_identities", "forget_runs"):
            connection.execute(many(name, len(keys)), keys)
    return len(keys)


def _remove_journals(
    connection: sqlite3.Connection, journals: Sequence[tuple[int, int]], time_left: StepTime
) -> int | None:
    """Remove events of deleted runs, given their keys and heads; return the run at which the time was over."""
    if sum(head for _, head in journals) <= _EVENTS_AT_ONCE:
        _remove_events(connection, [key for key, _ in journals], rest=0)
        return None
    for key, head in journals:
        rest = head
        while rest > 0:
            if rest < head and time_left.is_over:
                return key
            rest = max(0, rest - _EVENTS_AT_ONCE)
            _remove_events(connection, [key], rest=rest)
    return None


def _remove_events(connection: sqlite3.Connection, keys: Sequence[int], *, rest: int) -> None:
    if keys:
        for name in ("drop_events", "drop_stream_events", "shorten_runs"):
            connection.execute(many(name, len(keys)), (rest, *keys))
