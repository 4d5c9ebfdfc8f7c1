"""What the behaviour suite asks of an engine: apps over one set of data, and a look behind the scenes.

Another engine runs the suite by giving a fixture `bench` with these methods.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from engines.place import Place
from outlast import CommittedWorkflow, Outlast, RunHandle, StartedRun
from outlast.core.record import Record
from outlast.engines.clock import WallClock
from outlast.engines.local.engine import LocalEngine
from outlast.storage.base import Store

__all__ = ["Bench", "Clock", "begin", "has_status", "statuses"]


class Clock(WallClock):
    """The wall clock, which a test may move."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now_ms(self) -> int:
        return super().now_ms() + self.offset // timedelta(milliseconds=1)


class Bench(Place):
    """One set of data; each app is one more process on it."""

    def app(
        self,
        *workflows: CommittedWorkflow[Any, Any],
        store: Store | None = None,
        grace: timedelta | None = None,
        clock: Clock | None = None,
        schedule_clock: Clock | None = None,
        hook_delay: timedelta | None = None,
        **options: Any,
    ) -> Outlast:
        """Make an app. `grace` is how long bodies may go on; `clock` is what it takes for the time.

        `schedule_clock` is what its schedules take for the time, whatever its runs do.
        `hook_delay` is when a hook that failed is called again.
        """
        store, clock = store or self.store(), clock or schedule_clock
        app = Outlast(workflows, store=store, **options)
        engine = app._engine  # noqa: SLF001
        changed = replace(
            engine._options,  # noqa: SLF001
            **({} if grace is None else {"grace": grace}),
            **({} if hook_delay is None else {"hook_delay": hook_delay}),
            **({} if clock is None else {"clock": clock}),
        )
        app._engine = LocalEngine(store, workflows, changed)  # noqa: SLF001
        return app

    def live(self, app: Outlast) -> list[str]:
        """Return the runs that an app holds in memory."""
        worker = app._engine._worker  # noqa: SLF001
        return [] if worker is None else list(worker.live)

    def voices(self, app: Outlast) -> int:
        """Return how many runs say something in an app."""
        worker = app._engine._worker  # noqa: SLF001
        return 0 if worker is None else sum(run.voice is not None for run in worker.live.values())

    def is_awaited(self, app: Outlast) -> bool:
        """Whether somebody waits in this app for a run to rest."""
        return bool(app._engine._rests.is_watching)  # type: ignore[attr-defined] # noqa: SLF001

    def is_watching(self, app: Outlast) -> bool:
        """Whether somebody waits in this app for journals to grow."""
        return bool(app._engine._watch.is_watching)  # type: ignore[attr-defined] # noqa: SLF001

    def timers(self, app: Outlast, run_id: str) -> dict[str, Any]:
        """Return the timers that an app holds for a run; those of a live run, as they change."""
        worker = app._engine._worker  # type: ignore[attr-defined] # noqa: SLF001
        timers: dict[str, Any] = worker.live[run_id].timers
        return timers

    async def deliveries(self, run_id: str) -> list[Any]:
        """Return the calls of a run's hooks that have not succeeded."""
        store = self.store()
        await store.open()
        try:
            row = await store.find_run(run_id)
            return [] if row is None else await store.list_deliveries(row.key)
        finally:
            await store.close()

    async def journal(self, run_id: str) -> list[Record]:
        """Return all that is recorded of a run."""
        store = self.store()
        await store.open()
        try:
            row = await store.find_run(run_id)
            return [] if row is None else await store.load_records(row.key)
        finally:
            await store.close()


async def begin(
    app: Outlast,
    workflow: CommittedWorkflow[Any, Any],
    input_data: object = None,
    *,
    run_id: str | None = None,
    **options: Any,
) -> StartedRun[Any]:
    """Start a run without waiting for it."""
    run = await app.create_run(workflow, run_id=run_id)
    return await run.start_async(input_data=input_data, **options)


async def has_status(run: RunHandle[Any], status: str) -> bool:
    """Whether a run has this status now."""
    return await run.status() == status


def statuses(result: Any) -> dict[str, str]:
    """Return the statuses of the steps by path."""
    return {path: str(step.status) for path, step in result.steps.items()}
