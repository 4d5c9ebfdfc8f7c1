"""The one store on a machine that sweeps: it goes over the runs from the oldest on, then gives room back."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

from outlast.storage.keeping import Sweep
from outlast.storage.sqlite.keeping import Scan, SweepRuns, give_back, select_candidates
from outlast.storage.sqlite.locks import TurnLock, WriterLock
from outlast.storage.sqlite.readers import Readers

__all__ = ["Sweeper"]

_PAGE_BYTES = 4_096


class Sweeper:
    """Where a sweep stands."""

    def __init__(
        self,
        *,
        turn: TurnLock,
        lock: WriterLock,
        readers: Readers,
        connect: Callable[[], sqlite3.Connection],
        on_written: Callable[[int], None],
    ) -> None:
        self._turn = turn
        self._lock = lock
        self._readers = readers
        self._connect = connect
        self._on_written = on_written
        self._after = 0
        self._has_seen_all = False

    async def step(self, scan: Scan, perform: Callable[[SweepRuns], Awaitable[Sweep]]) -> Sweep | None:
        """Do one step; None if another store has the turn."""
        if not self._turn.try_acquire():
            return None
        if not self._has_seen_all:
            scan = scan._replace(after=self._after)
            candidates = await self._readers.read(lambda connection: select_candidates(connection, scan))
            if candidates:
                sweep = await perform(SweepRuns(candidates, scan))
                last = candidates[-1]
                self._after = last.key if last.is_done_at_once else last.key - 1
                return sweep
            self._after, self._has_seen_all = 0, True
        pages, is_done = await self._readers.call(lambda: give_back(self._connect, self._lock))
        self._on_written(pages // 4)  # of free pages at the end of the file nothing is written
        self._has_seen_all = not is_done
        return Sweep(freed_bytes=pages * _PAGE_BYTES, is_done=is_done)

    def close(self) -> None:
        """Let another store sweep."""
        self._turn.release()
        self._lock.close()
