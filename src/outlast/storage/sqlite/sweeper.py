"""The one store on a machine that sweeps: it goes over the runs from the oldest on, twice, then gives room back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, TypeAlias

from outlast.storage.keeping import Sweep
from outlast.storage.sqlite.keeping import Scan, SweepRuns, Swept, select_candidates
from outlast.storage.sqlite.locks import TurnLock, WriterLock
from outlast.storage.sqlite.readers import Readers
from outlast.storage.sqlite.shrinking import give_back
from outlast.storage.sqlite.silencing import SilenceRuns, select_said

__all__ = ["Sweeper"]

_PAGE_BYTES: Final = 4_096
_LOOK_S: Final = 0.005
_LOOKS: Final = 200

_Phase: TypeAlias = Literal["runs", "said", "pages"]
_NEXT: Final[Mapping[_Phase, _Phase]] = {"runs": "said", "said": "pages"}


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
        is_log_long: Callable[[], bool],
    ) -> None:
        self._turn = turn
        self._lock = lock
        self._readers = readers
        self._connect = connect
        self._on_written = on_written
        self._is_log_long = is_log_long
        self._after = 0
        self._phase: _Phase = "runs"

    async def step(self, scan: Scan, perform: Callable[[SweepRuns | SilenceRuns], Awaitable[Swept]]) -> Sweep | None:
        """Do one step; None if another store has the turn."""
        if not self._turn.try_acquire():
            return None
        await self._let_log_be_copied()
        for phase, work in (("runs", self._find_runs), ("said", self._find_said)):
            if self._phase == phase:
                operation = await work(scan._replace(after=self._after))
                if operation is not None:
                    swept = await perform(operation)
                    self._after = swept.after
                    return swept.sweep
                self._after, self._phase = 0, _NEXT[self._phase]
        pages, is_done = await self._readers.call(lambda: give_back(self._connect, self._lock))
        self._on_written(pages // 4)  # of free pages at the end of the file nothing is written
        if is_done:
            self._phase = "runs"
        return Sweep(freed_bytes=pages * _PAGE_BYTES, is_done=is_done)

    async def _find_runs(self, scan: Scan) -> SweepRuns | None:
        found = await self._readers.read(lambda connection: select_candidates(connection, scan))
        return SweepRuns(found, scan) if found else None

    async def _find_said(self, scan: Scan) -> SilenceRuns | None:
        found = await self._readers.read(lambda connection: select_said(connection, scan))
        return SilenceRuns(found, scan) if found else None

    async def _let_log_be_copied(self) -> None:
        """Write nothing while the log is checkpointed, for a while at least: its rest is copied under the lock."""
        for _ in range(_LOOKS):
            if not self._is_log_long():
                return
            await asyncio.sleep(_LOOK_S)

    def close(self) -> None:
        """Let another store sweep."""
        self._turn.release()
        self._lock.close()
