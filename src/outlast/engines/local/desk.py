"""Schedules on the local engine: they lie in the store beside the runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from outlast.engines.base import StartRequest
from outlast.engines.local.limits import AppLimits
from outlast.engines.local.metered import metered_schedules
from outlast.engines.local.pending import pending_run
from outlast.engines.local.program import ProgramShelf
from outlast.engines.local.worker import Worker
from outlast.engines.metrics import Meter
from outlast.engines.options import DriveOptions
from outlast.engines.scheduling import PolledDesk
from outlast.storage.base import NewRun, RunRow, Store
from outlast.storage.scheduling import ScheduleStore

__all__ = ["LocalDesk"]


class LocalDesk:
    """Implements `outlast.engines.scheduling.ScheduleDesk`; the guarantees are written there."""

    def __init__(
        self,
        store: Store,
        shelf: ProgramShelf,
        options: DriveOptions,
        limits: AppLimits,
        *,
        look_up: Callable[[str], Awaitable[RunRow | None]],
        wake: Callable[[], None],
    ) -> None:
        """Work for an engine.

        Args:
            store: Its store.
            shelf: Its programs.
            options: Its options.
            limits: What it sets for all its runs.
            look_up: Returns the row of a run; one that is to end and that nobody drives is ended first.
            wake: Makes the engine look at the store at once.
        """
        self._store = store
        self._shelf = shelf
        self._options = options
        self._limits = limits
        self._look_up = look_up
        self._wake = wake
        self._is_stale = False
        self._told = asyncio.Event()
        self.worker: Worker | None = None
        """Drives runs; None in a process that is no worker."""
        self.meter: Meter | None = None
        """Counts the firings; None for nobody."""

    @property
    def store(self) -> ScheduleStore:
        """Where schedules are kept."""
        schedules = self._store.schedules
        return schedules if self.meter is None else metered_schedules(schedules, self.meter)

    @property
    def polled(self) -> PolledDesk:
        """What schedulers of this process look at: the store."""
        return self

    @property
    def options(self) -> DriveOptions:
        """What the app sets."""
        return self._options

    def prepare(self, request: StartRequest) -> NewRun:
        """Return a run as it is recorded for whoever claims it, on the graph of this process's code."""
        request = self._limits.applied_to(request)
        return pending_run(request, self._shelf.current(request.workflow.id).key, self._options.now_ms())

    async def is_active(self, run_id: str) -> bool:
        """Say whether a run is kept and has not ended."""
        row = await self._look_up(run_id)
        return row is not None and not row.status.is_terminal

    async def notice(self, canceled: Sequence[str] = ()) -> None:
        """Look at once at what was just recorded: at new runs, and at those that were asked to cancel."""
        for run_id in canceled:
            if self.worker is not None and run_id in self.worker.live:
                await self.worker.look_into_inbox()
            await self._look_up(run_id)
        self._wake()
        self._told.set()

    def begin(self) -> None:
        """Do nothing: the schedulers of this process fire."""

    async def next_due(self) -> int | None:
        """Return when this process fires next; None for never."""
        return (await self.store.next_due(self._shelf.workflow_ids)).due_at_ms if self._options.is_worker else None

    async def wait(self, seconds: float | None) -> None:
        """Wait until the store may have changed, or until a time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
        self._told.clear()

    def note_change(self) -> None:
        """Note that somebody wrote to the store."""
        self._is_stale = True

    def tell(self) -> None:
        """Wake who waits, if somebody wrote since the last call."""
        if self._is_stale:
            self._is_stale = False
            self._told.set()
