"""What an engine does for schedules: it keeps them, and takes the runs that they start."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from outlast.storage.base import NewRun
from outlast.storage.scheduling import KeptSchedules, ScheduleChange, ScheduleRow, ScheduleStore

if TYPE_CHECKING:
    from outlast.engines.base import StartRequest
    from outlast.engines.options import DriveOptions
    from outlast.graph.committed import CommittedWorkflow

__all__ = ["Firing", "PolledDesk", "ScheduleDesk"]


class ScheduleDesk(Protocol):
    """The part of an engine that schedulers, and those who make schedules, work with."""

    @property
    def store(self) -> KeptSchedules:
        """Where schedules are kept."""
        ...

    @property
    def polled(self) -> PolledDesk | None:
        """What schedulers of this process look at; None where the engine itself keeps the time."""
        ...

    @property
    def options(self) -> DriveOptions:
        """What the app sets: its clock, what seals values, and whether this process fires: whether it is a worker."""
        ...

    def prepare(self, request: StartRequest) -> NewRun:
        """Return a run as it is recorded for whoever claims it."""
        ...

    async def is_active(self, run_id: str) -> bool:
        """Say whether a run is kept and has not ended."""
        ...

    async def notice(self, canceled: Sequence[str] = ()) -> None:
        """Look at once at what was just recorded: new runs, and runs that were asked to cancel."""
        ...

    def begin(self) -> None:
        """Fire from now on, where the engine itself keeps the time: what the code of this process says is recorded."""
        ...


class PolledDesk(ScheduleDesk, Protocol):
    """Where schedulers must look for what is due."""

    @property
    def store(self) -> ScheduleStore:
        """Where schedules are kept."""
        ...

    async def wait(self, seconds: float | None) -> None:
        """Wait until the store may have changed, a few times a second at most, or until a time has passed.

        Costs nothing while nobody writes. None: however long it takes.
        """
        ...


class Firing(Protocol):
    """What a schedule does, for engines that keep the time themselves."""

    def decide(
        self, desk: ScheduleDesk, row: ScheduleRow, workflow: CommittedWorkflow[Any, Any]
    ) -> Awaitable[ScheduleChange | None]:
        """Return what a schedule does now; None for nothing."""
        ...

    def make_request(
        self, desk: ScheduleDesk, workflow: CommittedWorkflow[Any, Any], plan: bytes, run_id: str
    ) -> StartRequest:
        """Return the start of a run of a schedule, validated as every start.

        Raises:
            InputError: What the plan says does not fit the workflow (any more).
        """
        ...
