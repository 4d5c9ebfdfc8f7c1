"""Removing what bodies said before their runs are deleted: from the first event on, and with a notice in its place.

The notice is the last event of those that are removed, stripped. So it has a place in the order already, a reader meets
it where something is missing, and a sweep that ends halfway leaves a journal that says so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from outlast.core.chunk import ENTRIES_REMOVED, removal_of
from outlast.core.record import Record
from outlast.storage.keeping import Sweep
from outlast.storage.sqlite.keeping import Scan, StepTime, Swept
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.sql import one

__all__ = ["Said", "SilenceRuns", "select_said"]

_RUNS: Final = 50
"""How many runs one step silences at most."""
_EVENTS_AT_ONCE: Final = 64
"""How many events are a piece, if they are small."""
_BYTES_AT_ONCE: Final = 256 * 1024
"""After how many bytes a piece ends."""


class Said(NamedTuple):
    """The beginning of what was said in a run: one piece of work."""

    run: int
    """Key of the run."""
    until: int
    """`seq` of the last event of the piece."""
    events: int
    """How many events that are, notices of earlier pieces not counted."""
    is_all: bool
    """Whether nothing is behind it."""


def select_said(connection: sqlite3.Connection, scan: Scan) -> list[Said]:
    """Return the next pieces: of each run to which nothing has happened for long enough, the first ones."""
    if scan.said_before_ms is None:
        return []
    runs = connection.execute(one("select_talkative"), (scan.after, scan.said_before_ms, _RUNS)).fetchall()
    pieces: list[Said] = []
    for (run,) in runs:
        pieces += _pieces(connection, run)
        if len(pieces) >= _RUNS:
            break
    return pieces


def _pieces(connection: sqlite3.Connection, run: int) -> list[Said]:
    most = _EVENTS_AT_ONCE * _RUNS
    rows = connection.execute(one("measure_said"), (run, most + 1)).fetchall()
    pieces: list[Said] = []
    events = size = count = 0
    for index, (seq, kind, length) in enumerate(rows[:most], start=1):
        events, size, count = events + (kind != ENTRIES_REMOVED), size + length, count + 1
        is_all = index == len(rows)
        if is_all or count == _EVENTS_AT_ONCE or size >= _BYTES_AT_ONCE:
            pieces.append(Said(run, seq, events, is_all))
            events = size = count = 0
    return pieces


class SilenceRuns(Operation[Swept]):
    """Removes pieces of what was said, as far as its time goes."""

    is_long: ClassVar[bool] = True
    pages: ClassVar[int] = 100

    def __init__(self, pieces: Sequence[Said], scan: Scan) -> None:
        self._pieces = pieces
        self._scan = scan

    def apply(self, connection: sqlite3.Connection) -> Swept:
        """Do what the rows still allow: they were read before this transaction."""
        time_left, after, silenced = StepTime(), self._scan.after, 0
        for index, piece in enumerate(self._pieces):
            if index and time_left.is_over:
                break
            is_at_rest = connection.execute(one("is_silent"), (piece.run, self._scan.said_before_ms)).fetchone()
            if is_at_rest is not None:
                silenced += piece.events
                self._remove(connection, piece)
            after = piece.run if piece.is_all or is_at_rest is None else piece.run - 1
        return Swept(Sweep(silenced=silenced), after)

    def _remove(self, connection: sqlite3.Connection, piece: Said) -> None:
        place = (piece.run, piece.until)
        connection.execute(one("drop_said"), place)
        seq, execution, at_ms = connection.execute(one("select_said"), place).fetchone()
        notice = removal_of(Record(seq, execution, False, "", 0, at_ms, "", 0, None, None))  # noqa: FBT003
        values = (notice.type, notice.version, notice.path, notice.attempt, notice.body, notice.payload)
        connection.execute(one("replace_said"), (*values, *place))
