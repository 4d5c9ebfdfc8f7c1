"""A worker: it drives runs and calls the bodies of this process's workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import Worker

from outlast.engines.options import DriveOptions
from outlast.engines.telemetry import Tracer
from outlast.engines.temporal.activities import Activities
from outlast.engines.temporal.desk import TemporalDesk
from outlast.engines.temporal.ends import CountedEnds
from outlast.engines.temporal.flow import OutlastRun
from outlast.engines.temporal.holding import HeldKey, Holding
from outlast.engines.temporal.keeper import ScheduleKeeper
from outlast.engines.temporal.keeper_activities import LeftToOthers, Looking
from outlast.engines.temporal.place import Place
from outlast.engines.temporal.telling import Telling
from outlast.engines.threads import BodyThreads
from outlast.graph.committed import CommittedWorkflow

__all__ = ["THROTTLE", "WORKFLOWS", "TemporalWorker", "activities_of"]

_STICKY: Final = timedelta(seconds=2)
"""How long a run waits for the worker that drove it last before any other one may take it."""
THROTTLE: Final = timedelta(milliseconds=200)
"""Heartbeats bring the news of a cancel, so the SDK must not hold them back for long."""
WORKFLOWS: Final = (OutlastRun, HeldKey, ScheduleKeeper)
"""What every worker drives."""


def activities_of(
    client: Client, calls: Activities, telling: Telling, looking: Looking | LeftToOthers
) -> list[Callable[..., Any]]:
    """Return all that the workflows ask of a worker."""
    return [calls.call, calls.ask, telling.tell, looking.look, looking.await_ends, Holding(client).has_ended]


class TemporalWorker:
    """One worker of this process."""

    def __init__(
        self,
        client: Client,
        place: Place,
        workflows: Sequence[CommittedWorkflow[Any, Any]],
        options: DriveOptions,
        tracer: Tracer | None,
        desk: TemporalDesk,
    ) -> None:
        self._threads = BodyThreads(options.max_threads)
        meter = options.find_meter()
        sealers, timeout = options.sealers, options.hook_timeout
        self.activities = activities = Activities(
            client,
            workflows,
            now_ms=options.now_ms,
            threads=self._threads,
            sealers=sealers,
            tracer=tracer,
            meter=meter,
            most_said=options.max_stream_events,
        )
        self._telling = Telling(client, workflows, hook_timeout=timeout, sealers=sealers, tracer=tracer)
        self._looking = looking = Looking(client, desk)
        self._worker = Worker(
            client,
            task_queue=place.task_queue,
            workflows=WORKFLOWS,
            activities=activities_of(client, activities, self._telling, looking),
            interceptors=[] if meter is None else [CountedEnds(meter)],
            max_cached_workflows=options.max_runs,
            max_concurrent_activities=options.max_steps,
            max_heartbeat_throttle_interval=THROTTLE,
            default_heartbeat_throttle_interval=THROTTLE,
            sticky_queue_schedule_to_start_timeout=_STICKY,
            graceful_shutdown_timeout=options.drain,
        )
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to ask for work."""
        self._running = asyncio.create_task(self._worker.run(), name="outlast temporal worker")

    async def stop(self) -> None:
        """Ask for no more work, let bodies in flight end within `drain`, hand the others back."""
        await self._worker.shutdown()
        if self._running is not None:
            await self._running
        await self._telling.close()
        await self._looking.close()
        self._threads.close(timeout=0.2)
