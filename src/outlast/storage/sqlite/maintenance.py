"""Checkpoints, off the path of commits: a thread moves the write-ahead log into the database and lets it start anew."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final

from outlast.errors import StoreUnavailableError
from outlast.storage.sqlite.locks import WriterLock
from outlast.storage.sqlite.schema import VERSION
from outlast.storage.sqlite.thread import LoopThread

__all__ = ["Maintenance"]

_PAGES: Final = 2_000
"""How long the log may grow before it is checkpointed: 8 MB. Half of it costs a tenth of the throughput."""
_LITTLE: Final = 32
"""So few pages are copied again while writers go on."""
_ROUNDS: Final = 10
_PATIENCE_S: Final = 1.0


class Maintenance:
    """The thread, and the count of pages that wakes it."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], lock: WriterLock) -> None:
        self._connect = connect
        self._lock = lock
        self._pages = 0
        self._is_stopping = False
        self._is_copying = False
        self._wake = threading.Event()
        self._thread = LoopThread("outlast-checkpoint", self._serve)

    def note(self, pages: int) -> None:
        """Count pages of the log; a guess is enough. Called by whoever commits."""
        self._pages += pages
        if self._pages >= _PAGES:
            self._wake.set()

    def is_due(self) -> bool:
        """Say whether the log is long, or just being copied."""
        return self._wake.is_set() or self._is_copying

    def stop(self) -> None:
        """Let the thread end after the checkpoint that it may be at."""
        self._is_stopping = True
        self._wake.set()

    async def join(self) -> None:
        """Wait until it has ended."""
        await self._thread.join()

    def _serve(self) -> None:
        with closing(self._lock):
            self._wake.wait()
            while not self._is_stopping:
                try:
                    with closing(self._connect()) as connection:
                        self._checkpoint_whenever_due(connection)
                except (sqlite3.Error, OSError, StoreUnavailableError):
                    # The log only gets longer, and the next write asks again; commits report what is wrong.
                    self._wake.clear()
                    self._wake.wait()

    def _checkpoint_whenever_due(self, connection: sqlite3.Connection) -> None:
        while not self._is_stopping:
            self._is_copying = True
            self._wake.clear()
            self._pages = 0
            try:
                self._checkpoint(connection)
            finally:
                self._is_copying = False
            if not self._is_stopping:
                self._wake.wait()

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        pages, _ = _copy_pages(connection)
        if pages < _PAGES // 2:  # the guess was too high: nothing to gain from stopping the writers
            self._pages += pages
            return
        self._catch_up(connection, pages)
        # Most of the log is copied. For the small rest the writers wait, so that the log can start from its beginning:
        # a file that is reused costs less than one that grows or is cut.
        with self._lock.held(within=_PATIENCE_S):
            pages, copied = _copy_pages(connection)
            if pages == copied:
                # The first write after that syncs the new head of the log. This one does it, so no commit has to.
                connection.execute(f"PRAGMA user_version = {VERSION}")

    def _catch_up(self, connection: sqlite3.Connection, pages: int) -> None:
        """Copy what was written meanwhile until nothing was: then the writers need not wait for the disk.

        Where much is written that never comes. There they wait for each other all the time, and this would only add.
        """
        for _ in range(_ROUNDS):
            if self._pages > _LITTLE:
                return
            before, (pages, _) = pages, _copy_pages(connection)
            if not 0 < pages - before <= _LITTLE:
                return


def _copy_pages(connection: sqlite3.Connection) -> tuple[int, int]:
    # PASSIVE waits for nobody: readers of old pages only make it end early.
    _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return pages, copied
