"""Waiting until a run rests: for those who ask for results, whatever process drives the run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from outlast.core.status import RunStatus
from outlast.engines.base import History
from outlast.engines.local.live import LiveRun
from outlast.errors import OutlastError, RunNotFoundError
from outlast.storage.base import RunKey, RunRow, RunStore

__all__ = ["Rests", "Waiter"]


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who waits for a run to rest."""

    after: int
    told: asyncio.Future[History | None]
    run: RunKey | None = None
    """The run's number, as far as this waiter looked it up."""
    has_looked: bool = False
    """Whether it has looked at the run, and found nothing to tell."""

    @property
    def is_parked(self) -> bool:
        """Whether nothing is told yet, nor being looked up."""
        return self.has_looked and not self.told.done()

    def park(self) -> asyncio.Future[History | None]:
        """Return what is done when something is told."""
        self.has_looked = True
        return self.told

    def tell(self, history: History | None) -> None:
        """Tell what became of the run; None to look again."""
        if not self.told.done():
            self.told.set_result(history)


class Rests:
    """Those of this process who wait for runs to rest: to end, or to wait for somebody from outside."""

    def __init__(
        self,
        store: RunStore,
        *,
        look_up: Callable[[str], Awaitable[RunRow | None]],
        load: Callable[[str], Awaitable[History | None]],
        is_live: Callable[[str], bool],
        patience: Callable[[RunRow], Awaitable[float | None]],
    ) -> None:
        """Wait for runs of a store.

        Args:
            store: The store.
            look_up: Finds the row of a run; one that is to end and that nobody drives is ended first.
            load: Loads what is recorded of a run.
            is_live: Says whether this process drives a run: then it tells by itself.
            patience: Says after how many seconds to look again at a run, although nobody tells of it; None for never.
        """
        self._store = store
        self._look_up = look_up
        self._load = load
        self._is_live = is_live
        self._patience = patience
        self._waiters: dict[str, list[Waiter]] = {}

    @property
    def is_watching(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiters)

    @property
    def waits(self) -> Sequence[Waiter]:
        """All who wait."""
        return [each for waiters in self._waiters.values() for each in waiters]

    async def wait(self, run_id: str, *, after: int) -> History:
        """Return the history of a run once it rests, at an event after `after` or at its end.

        Raises:
            RunNotFoundError: Its id is not known.
        """
        waiters = self._waiters.setdefault(run_id, [])
        try:
            while True:
                waiter = Waiter(after, asyncio.get_running_loop().create_future())
                waiters.append(waiter)
                try:
                    # A run of this process ends while somebody waits for it, more often than not.
                    history = await (waiter.park() if self._is_live(run_id) else self._look_once(run_id, waiter))
                finally:
                    waiters.remove(waiter)
                # Somebody may have resumed it between the two reads: only what is returned counts.
                if history is not None and _has_come_to_rest(history.status, history.head, after):
                    return history
        finally:
            if not waiters:
                self._waiters.pop(run_id, None)

    async def _look_once(self, run_id: str, waiter: Waiter) -> History | None:
        """Return what is told of a run that this process does not drive; None if it is to be looked at again."""
        row = await self._look_up(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        if _has_come_to_rest(row.status, row.head, waiter.after):
            return await self._load_known(run_id)
        waiter.run = row.key
        patience = await self._patience(row)
        if patience is None:
            return await waiter.park()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                return await waiter.park()
        return None

    def came_to_rest(self, run: LiveRun) -> None:
        """A run was given up by this process: ended, or left to a timer."""
        waiters = self._waiters.get(run.run_id)
        if not waiters:
            return
        status = run.state.status()
        if not status.is_rest:
            return
        history = None
        if run.records is not None:
            history = History(
                run.run_id,
                run.workflow_id,
                run.resource_id,
                run.execution,
                status,
                run.created_at_ms,
                run.program.graph,
                run.head,
                run.records,
            )
        for waiter in waiters:
            waiter.tell(history)

    async def look(self) -> None:
        """Wake those who wait for runs that other processes drive. One query, however many runs they are."""
        others = {run_id: waiters for run_id, waiters in self._waiters.items() if not self._is_live(run_id)}
        for run_id, waiters in others.items():
            if any(waiter.run is None for waiter in waiters):
                await self._find_number(run_id, waiters)
        by_run: dict[RunKey, list[Waiter]] = {}
        for waiter in (each for waiters in others.values() for each in waiters):
            if waiter.run is not None:
                by_run.setdefault(waiter.run, []).append(waiter)
        heads = await self._store.load_heads(list(by_run)) if by_run else {}
        for run, known in by_run.items():
            head = heads.get(run)
            for waiter in known:
                if head is None or _has_come_to_rest(head.status, head.seq, waiter.after):
                    waiter.tell(None)

    def look_again(self) -> None:
        """Let all look again who wait for runs that this process does not drive: time has passed."""
        for run_id in [each for each in self._waiters if not self._is_live(each)]:
            for waiter in self._waiters[run_id]:
                waiter.tell(None)

    async def _find_number(self, run_id: str, waiters: Sequence[Waiter]) -> None:
        """Find out the number of a run that is just being looked up, or that was this process's own until lately."""
        row = await self._store.find_run(run_id)
        for waiter in waiters:
            if row is None:
                waiter.tell(None)
            else:
                waiter.run = row.key

    def close(self, error: OutlastError) -> None:
        """Tell everybody that the app is closed."""
        for waiter in [each for waiters in self._waiters.values() for each in waiters if not each.told.done()]:
            waiter.told.set_exception(error)

    async def _load_known(self, run_id: str) -> History:
        history = await self._load(run_id)
        if history is None:
            raise RunNotFoundError(run_id)
        return history


def _has_come_to_rest(status: RunStatus, head: int, after: int) -> bool:
    return status.is_terminal or (status.is_rest and head > after)
