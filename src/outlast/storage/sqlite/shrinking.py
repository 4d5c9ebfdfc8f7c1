"""Giving free pages back to the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Final

from outlast.storage.sqlite.keeping import StepTime
from outlast.storage.sqlite.locks import WriterLock

__all__ = ["give_back"]

_PAGES: Final = 256
"""How many pages one step gives back at most: 1 MB."""
_PAGES_AT_ONCE: Final = 32
_SPARE_PAGES: Final = 1_024
"""How many free pages a store keeps, because new runs need them again: 4 MB."""
_PATIENCE_S: Final = 1.0


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
                _shrink(connection, min(_PAGES, before - _SPARE_PAGES))
        after = _free_pages(connection)
    return before - after, after <= _SPARE_PAGES or after >= before


def _shrink(connection: sqlite3.Connection, pages: int) -> None:
    time_left = StepTime()
    while pages > 0:
        # As a script: it moves a page with each step, and `execute` makes one step where there are no columns.
        some = min(pages, _PAGES_AT_ONCE)
        connection.executescript(f"BEGIN IMMEDIATE; PRAGMA incremental_vacuum({some}); COMMIT")
        pages -= some
        if time_left.is_over:
            return


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])
