"""The behaviour suite on a real Temporal server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from temporalio.service import RPCError

from behaviour.bench import Bench, Clock
from eventually import eventually
from outlast import CommittedWorkflow, Outlast, RunNotFoundError
from outlast.core.record import Record
from outlast.engines.base import GraphInFlight, StartRequest
from outlast.engines.options import DriveOptions
from outlast.engines.temporal import TemporalEngine
from outlast.engines.temporal.desk import TemporalDesk
from outlast.engines.temporal.engine import BoundEngine
from outlast.engines.temporal.keeper import LOOK_NOW
from outlast.engines.temporal.lacks import LACKS
from outlast.engines.temporal.schedules import keeper_id
from outlast.engines.temporal.tidings import SPANS
from outlast.storage.base import Store
from outlast.storage.listing import RunCount, RunListing, RunQuery
from outlast.storage.scheduling import ScheduleQuery
from temporal_server import TemporalServer

__all__ = ["TemporalBench"]


def _no_store(*arguments: object) -> Store:
    pytest.skip("runs are not in a store of ours")


class _CaughtUp(BoundEngine):
    """Reads lists when the server has made visible what its runs have come to: tests compare them with that."""

    started: set[str]
    schedule_clock: Clock | None
    _moving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Tell keepers when the clock of the schedules is moved: their own timers are the server's."""
        await super().open()
        if self.schedule_clock is not None:
            self._moving = asyncio.create_task(self._tell_of_moves(self.schedule_clock))

    def _make_desk(self, options: DriveOptions) -> TemporalDesk:
        clock = self.schedule_clock
        return super()._make_desk(options if clock is None else replace(options, clock=clock))

    async def _tell_of_moves(self, clock: Clock) -> None:
        told: timedelta | None = None
        while True:
            if clock.offset != told:
                told = clock.offset
                for row in await self.schedules.store.select(ScheduleQuery(limit=1_000)):
                    keeper = self._connected.get_workflow_handle(keeper_id(self._place.prefix, row.id))
                    with suppress(RPCError):  # it was deleted
                        await keeper.signal(LOOK_NOW)
            await asyncio.sleep(0.02)  # noqa: TID251 - a clock that is moved tells nobody

    async def close(self) -> int:
        """Leave when the spans of the runs are exported: that is done beside them."""
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.wait([self._moving])
        if self._worker is not None:
            for run_id in self.started:
                await eventually(partial(self._is_exported, run_id), within=20)
        return await super().close()

    async def _is_exported(self, run_id: str) -> bool:
        reading = await self._read(run_id)
        return reading is None or not any(each.kind == SPANS for each in reading.untold)

    async def _start(self, request: StartRequest, memo: Mapping[str, Any]) -> None:
        await super()._start(request, memo)
        self.started.add(request.run_id)

    async def list_runs(self, query: RunQuery) -> RunListing:
        await eventually(self._has_caught_up, within=20)
        return await super().list_runs(query)

    async def count_runs(self, workflow_id: str | None = None) -> Sequence[RunCount]:
        await eventually(self._has_caught_up, within=20)
        return await super().count_runs(workflow_id)

    async def list_in_flight(self) -> Sequence[GraphInFlight]:
        await eventually(self._has_caught_up, within=20)
        return await super().list_in_flight()

    async def _has_caught_up(self) -> bool:
        listed = {row.run_id: row.status for row in (await super().list_runs(RunQuery(limit=1_000))).runs}
        found = {each: await self.summarize_run(each) for each in self.started}
        return listed == {each: row.status for each, row in found.items() if row is not None}


class TemporalBench(Bench):
    """One set of runs on a shared server: a prefix and a task queue of its own."""

    lacks = LACKS

    def __init__(self, server: TemporalServer) -> None:
        name = uuid.uuid4().hex[:12]
        self.store = _no_store
        self._started: set[str] = set()
        self.engine = TemporalEngine(server.address, task_queue=name, prefix=f"{name}-")

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
        if clock is not None:
            pytest.skip("the clock of a Temporal server cannot be moved")
        if options.get("on_exit") == "finish":
            pytest.skip("runs go on with other workers, so no process can wait for them to end")
        if grace is not None:
            options["grace"] = grace
        app = Outlast(workflows, engine=self.engine, lease=timedelta(seconds=2), **options)
        changed = replace(app._options, **({} if hook_delay is None else {"hook_delay": hook_delay}))  # noqa: SLF001
        app._engine = engine = _CaughtUp(self.engine._place, workflows, changed)  # noqa: SLF001
        engine.started, engine.schedule_clock = self._started, schedule_clock
        return app

    def live(self, app: Outlast) -> list[str]:
        return []

    def voices(self, app: Outlast) -> int:
        worker = app._engine._worker  # noqa: SLF001
        return 0 if worker is None else worker.activities.mouths

    def is_awaited(self, app: Outlast) -> bool:
        pytest.skip("each waiter follows the server by itself")

    def is_watching(self, app: Outlast) -> bool:
        pytest.skip("each reader follows the server by itself")

    def timers(self, app: Outlast, run_id: str) -> dict[str, Any]:
        pytest.skip("timers are the server's")

    async def deliveries(self, run_id: str) -> list[Any]:
        async with self.app(worker=False) as app:
            return list(await app._engine.list_deliveries(run_id))  # noqa: SLF001

    async def row(self, run_id: str) -> Any:
        async with self.app(worker=False) as app:
            return await app._engine.load_history(run_id)  # noqa: SLF001

    async def journal(self, run_id: str) -> list[Record]:
        async with self.app(worker=False) as app:
            try:
                journal = await app._engine.open_journal(run_id)  # noqa: SLF001
            except RunNotFoundError:
                return []
            return list(await journal.load_records(after=0, limit=100_000, most_bytes=2**30))
