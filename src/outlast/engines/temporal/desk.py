"""Schedules on Temporal: keepers hold them, and the runs that they claim are started outside, once each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from temporalio.client import Client

from outlast.core.status import RunStatus
from outlast.engines.base import StartRequest
from outlast.engines.metrics import SCHEDULE_LAG, Meter
from outlast.engines.options import DriveOptions
from outlast.engines.scheduling import Firing, PolledDesk
from outlast.engines.temporal.kept import Beginning, Done, Kept, place_of
from outlast.engines.temporal.place import Place
from outlast.engines.temporal.rpc import translated
from outlast.engines.temporal.schedules import TemporalSchedules
from outlast.errors import (
    InputError,
    PayloadTooLargeError,
    Problem,
    RunExistsError,
    RunNotFoundError,
    StoreUnavailableError,
    UnsupportedByEngineError,
)
from outlast.graph.committed import CommittedWorkflow
from outlast.storage.base import GraphKey, NewRun
from outlast.storage.scheduling import ScheduleRow, TriggerRow, cancel_body

__all__ = ["TemporalDesk"]

_FIRING: Final = "outlast-firing"
"""Entry of the memo of a run that a schedule started: for which firing."""


class TemporalDesk:
    """Implements `outlast.engines.scheduling.ScheduleDesk`; the guarantees are written there."""

    def __init__(  # noqa: PLR0913 - what an engine lends it, all but the first by name
        self,
        client: Client,
        place: Place,
        workflows: Sequence[CommittedWorkflow[Any, Any]],
        options: DriveOptions,
        *,
        check: Callable[[StartRequest], None],
        start: Callable[[StartRequest, Mapping[str, str]], Awaitable[None]],
        cancel: Callable[[str, bytes], Awaitable[object]],
        meter: Meter | None,
        find_status: Callable[[str], Awaitable[RunStatus | None]],
    ) -> None:
        """Work for an engine.

        Args:
            client: The server.
            place: The names that the app uses there.
            workflows: The workflows of this process.
            options: Its options.
            check: Refuses what cannot be started.
            start: Starts a run with a memo.
            cancel: Cancels a run, with a body that says why.
            meter: Measures how late firings are; None for nobody.
            find_status: Returns the status of a run; None if the server does not know it.
        """
        self._client = client
        self._place = place
        self._workflows = {workflow.id: workflow for workflow in workflows}
        self._options = options
        self._check = check
        self._start = start
        self._cancel = cancel
        self._meter = meter
        self._find_status = find_status
        self._has_declared = asyncio.Event()
        self._store = TemporalSchedules(client, place, settle=self._settle)

    @property
    def store(self) -> TemporalSchedules:
        """Where schedules are kept."""
        return self._store

    @property
    def polled(self) -> PolledDesk | None:
        """Nothing: keepers wake workers."""
        return None

    @property
    def options(self) -> DriveOptions:
        """What the app sets."""
        return self._options

    def prepare(self, request: StartRequest) -> NewRun:
        """Return what names a run; whoever starts it makes its start message.

        Raises:
            InputError: The server or the engine would refuse it.
        """
        try:
            self._check(request)
        except (PayloadTooLargeError, UnsupportedByEngineError) as error:
            raise InputError("schedule", (Problem("", str(error)),)) from error
        return NewRun(
            run_id=request.run_id,
            workflow_id=request.workflow.id,
            graph=GraphKey(0),
            resource_id=request.resource_id,
            created_at_ms=self._options.now_ms(),
            status=RunStatus.PENDING,
            owner=None,
            records=(),
        )

    def workflow_id(self, run_id: str) -> str:
        """Return the id of the workflow of a run."""
        return self._place.prefix + run_id

    async def is_active(self, run_id: str) -> bool:
        """Say whether a run is kept and has not ended."""
        status = await self._find_status(run_id)
        return status is not None and not status.is_terminal

    async def notice(self, canceled: Sequence[str] = ()) -> None:
        """Do nothing: the server tells keepers and runs."""

    def begin(self) -> None:
        """Let keepers have this process fire: what its code says is recorded."""
        self._has_declared.set()

    async def look(self, schedule_id: str) -> tuple[int, int | None]:
        """Do what a schedule has to do now; return its version then, and in how many milliseconds it is due again.

        Raises:
            StoreUnavailableError: This process cannot do it now, or does not know the workflow; another one may.
        """
        await self._has_declared.wait()
        while True:
            kept = await self._store.load(schedule_id)
            if kept is None:
                return 0, None  # deleted: its keeper is gone, too
            if not kept.is_settled:
                await self._store.settle(kept)
                continue
            row, now_ms = kept.row, self._options.now_ms()
            is_due = row.due_at_ms is not None and row.due_at_ms <= now_ms
            change = None
            if is_due or row.is_waiting:
                change = await self._firing.decide(self, row, self._workflow(row.workflow_id))
            if change is None:
                return row.version, None if row.due_at_ms is None else row.due_at_ms - now_ms
            await self._store.change([change])

    async def _settle(self, kept: Kept) -> Done:
        """Start the runs that are claimed, and cancel those that are to be canceled."""
        triggers = [await self._begin(kept.row, each) for each in kept.beginnings.values()]
        for run_id in kept.cancels:
            with suppress(RunNotFoundError):  # it has ended, and is not kept any more
                await self._cancel(run_id, cancel_body(kept.row.id))
        return Done(triggers, list(kept.cancels))

    async def _begin(self, row: ScheduleRow, beginning: Beginning) -> TriggerRow:
        """Start a run, unless it is there; return the firing as it turned out."""
        trigger = beginning.trigger
        assert trigger.run_id is not None  # noqa: S101 - firings name their runs
        plan = row.plan if beginning.plan is None else beginning.plan
        part, _ = place_of(row.key)
        firing = f"{part}:{trigger.number}"
        try:
            request = self._firing.make_request(self, self._workflow(row.workflow_id), plan, trigger.run_id)
            await self._start(request, {_FIRING: firing})
        except RunExistsError:
            if await self._firing_of(trigger.run_id) != firing:
                return trigger.taken()
        except (InputError, PayloadTooLargeError, UnsupportedByEngineError) as error:
            return replace(trigger, outcome="failed", run_id=None, reason=str(error))
        else:
            self._measure(row, trigger)
        return trigger

    def _measure(self, row: ScheduleRow, trigger: TriggerRow) -> None:
        if self._meter is not None and (lag_ms := trigger.lag_ms) is not None:
            self._meter.record(SCHEDULE_LAG, lag_ms / 1000, row.workflow_id)

    async def _firing_of(self, run_id: str) -> str:
        """Return for which firing a run was started first."""
        handle = self._client.get_workflow_handle(self.workflow_id(run_id))
        with translated(run_id), suppress(RunNotFoundError):
            return await (await handle.describe()).memo_value(_FIRING, "", type_hint=str)
        return ""

    @property
    def _firing(self) -> Firing:
        if self._options.firing is None:
            raise StoreUnavailableError("this process fires no schedules; a worker of an app does")
        return self._options.firing

    def _workflow(self, workflow_id: str) -> CommittedWorkflow[Any, Any]:
        known = self._workflows.get(workflow_id)
        if known is None:
            raise StoreUnavailableError(f"no workflow '{workflow_id}' in this process; a worker that has it fires it")
        return known
