"""For programs that make their workers of Temporal themselves: what drives runs, as a plugin of the SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, cast

from temporalio.plugin import SimplePlugin
from temporalio.worker import Worker, WorkerConfig

from outlast.engines.clock import WALL_CLOCK
from outlast.engines.options import DriveOptions
from outlast.engines.temporal.activities import Activities
from outlast.engines.temporal.keeper_activities import LeftToOthers
from outlast.engines.temporal.telling import Telling
from outlast.engines.temporal.worker import THROTTLE, WORKFLOWS, activities_of
from outlast.engines.threads import BodyThreads
from outlast.graph.committed import CommittedWorkflow
from outlast.keys import Keyring
from outlast.known import known_workflows
from outlast.sensitivity import sealers_of

__all__ = ["OutlastPlugin"]


class OutlastPlugin(SimplePlugin):
    """Lets a worker of yours drive runs, beside what else it does: `Worker(client, plugins=[OutlastPlugin([order])])`.

    Runs are started and read with an app that is no worker, on the same task queue. The plugin brings the dynamic
    workflow and the dynamic activity of the worker, so it can have no others; named ones are fine.

    Each plugin is for one worker. It exports no spans and fires no schedules; let one process that enters the app be a
    worker for that.
    """

    def __init__(
        self,
        workflows: Sequence[CommittedWorkflow[Any, Any]],
        *,
        max_threads: int | None = None,
        hook_timeout: timedelta = timedelta(seconds=30),
        keys: Keyring | None = None,
    ) -> None:
        """Say what the worker can do.

        Args:
            workflows: The committed workflows whose functions it calls.
            max_threads: How many sync bodies run at a time; None for as many as suit the machine.
            hook_timeout: How long one call of `on_finish` or `on_error` may take.
            keys: The keys of sensitive data, as for `Outlast`.

        Raises:
            ConfigurationError: A workflow declares sensitive types, and there are no keys.
            DefinitionError: Something in `workflows` is not a committed workflow, or two have the same id.
        """
        known = known_workflows(workflows)
        self._workflows = list(known.values())
        self._sealers = sealers_of(known, keys)
        super().__init__("outlast", workflows=WORKFLOWS)  # pyright: ignore[reportUnknownMemberType]
        self._max_threads = max_threads or DriveOptions().max_threads
        self._hook_timeout = hook_timeout
        self._threads: BodyThreads | None = None
        self._telling: Telling | None = None

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """Add what drives runs. News of a cancel come with heartbeats, so these are not held back for long."""
        configured = cast("dict[str, Any]", super().configure_worker(config))
        self._threads = BodyThreads(self._max_threads)
        client = configured["client"]
        sealers = self._sealers
        calls = Activities(
            client,
            self._workflows,
            now_ms=WALL_CLOCK.now_ms,
            threads=self._threads,
            sealers=sealers,
            tracer=None,
            meter=None,
            most_said=DriveOptions().max_stream_events,
        )
        timeout = self._hook_timeout
        self._telling = Telling(client, self._workflows, hook_timeout=timeout, sealers=sealers, tracer=None)
        ours = activities_of(client, calls, self._telling, LeftToOthers())
        configured["activities"] = [*configured.get("activities", ()), *ours]
        for name in ("max_heartbeat_throttle_interval", "default_heartbeat_throttle_interval"):
            configured[name] = min(THROTTLE, configured.get(name, THROTTLE))
        return cast("WorkerConfig", configured)

    async def run_worker(
        self,
        worker: Worker,
        next: Callable[[Worker], Awaitable[None]],  # noqa: A002 - the SDK's name
    ) -> None:
        """Run the worker, and let go of the threads of sync bodies when it ends."""
        try:
            await super().run_worker(worker, next)
        finally:
            if self._telling is not None:
                await self._telling.close()
            if self._threads is not None:
                self._threads.close(timeout=0.2)
