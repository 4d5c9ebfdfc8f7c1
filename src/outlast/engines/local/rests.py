"""Waiting until a run rests: for those who ask for results, whatever process drives the run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from outlast.core.status import RunStatus
from outlast.engines.base import History
from outlast.engines.local.live import LiveRun
from outlast.errors import OutlastError, RunNotFoundError
from outlast.storage.base import RunRow, RunStore

__all__ = ["Rests"]


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
        self._waiters: dict[str, list[asyncio.Future[History | None]]] = {}

    @property
    def is_watching(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiters)

    async def wait(self, run_id: str, *, after: int) -> History:
        """Return the history of a run once it rests, at an event after `after` or at its end.

        Raises:
            RunNotFoundError: Its id is not known.
        """
        waiters = self._waiters.setdefault(run_id, [])
        try:
            while True:
                waiter: asyncio.Future[History | None] = asyncio.get_running_loop().create_future()
                waiters.append(waiter)
                try:
                    history = await self._wait_once(run_id, waiter, after)
                finally:
                    waiters.remove(waiter)
                # Somebody may have resumed it between the two reads: only what is returned counts.
                if history is not None and _has_come_to_rest(history.status, history.head, after):
                    return history
        finally:
            if not waiters:
                self._waiters.pop(run_id, None)

    async def _wait_once(self, run_id: str, waiter: asyncio.Future[History | None], after: int) -> History | None:
        """Return what is told of a run; None if it is to be looked at again."""
        if self._is_live(run_id):
            return await waiter
        row = await self._look_up(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        if _has_come_to_rest(row.status, row.head, after):
            return await self._load_known(run_id)
        patience = await self._patience(row)
        if patience is None:
            return await waiter
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                return await waiter
        return None

    def came_to_rest(self, run: LiveRun) -> None:
        """A run was given up by this process: ended, or left to a timer."""
        waiters = self._waiters.get(run.run_id)
        if not waiters or not run.state.status().is_rest:
            return
        history = None
        if run.records is not None:
            history = History(
                run_id=run.run_id,
                workflow_id=run.workflow_id,
                resource_id=run.resource_id,
                execution=run.execution,
                status=run.state.status(),
                created_at_ms=run.created_at_ms,
                graph=run.program.graph,
                head=run.head,
                records=run.records,
            )
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(history)

    async def look(self) -> None:
        """Wake those who wait for runs that other processes drive."""
        for run_id in [each for each in self._waiters if not self._is_live(each)]:
            row = await self._store.find_run(run_id)
            if row is None or row.status.is_rest:
                for waiter in self._waiters.get(run_id, []):
                    if not waiter.done():
                        waiter.set_result(None)

    def close(self, error: OutlastError) -> None:
        """Tell everybody that the app is closed."""
        for waiter in [each for waiters in self._waiters.values() for each in waiters if not each.done()]:
            waiter.set_exception(error)

    async def _load_known(self, run_id: str) -> History:
        history = await self._load(run_id)
        if history is None:
            raise RunNotFoundError(run_id)
        return history


def _has_come_to_rest(status: RunStatus, head: int, after: int) -> bool:
    return status.is_terminal or (status.is_rest and head > after)
