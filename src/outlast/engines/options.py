"""What an app sets about how its runs are driven, whatever the engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from outlast.engines.clock import WALL_CLOCK, Clock
from outlast.engines.telemetry import Tracer
from outlast.errors import ConfigurationError
from outlast.immutable import immutable, new_dict
from outlast.sealing import Sealer

if TYPE_CHECKING:
    from outlast.engines.metrics import Meter
    from outlast.engines.scheduling import Firing

__all__ = ["DriveOptions"]


@immutable(kw_only=True)
class DriveOptions:
    """How runs are driven; each option has a default that suits one process with mostly short steps."""

    is_worker: bool = True
    """Whether this process drives runs; if not it only starts and reads them."""
    on_exit: Literal["drain", "finish"] = "drain"
    """On leaving: give the runs back, or wait until nothing that this process could run is left."""
    drain: timedelta = timedelta(seconds=10)
    """How long bodies in flight may take to end on leaving."""
    lease: timedelta = timedelta(seconds=15)
    """After how long without a sign of life a worker that still holds its lock is taken for dead."""
    max_runs: int = 1_000
    """How many runs this process drives at a time; more wait in the store."""
    concurrency: int | None = None
    """How many runs of this app's workflows go on at a time, in all processes over the store; None for any number."""
    max_steps: int = 1_000
    """How many steps run at a time in this process."""
    max_threads: int = min(32, (os.cpu_count() or 1) + 4)
    """How many sync bodies run at a time in this process."""
    grace: timedelta = timedelta(seconds=5)
    """How long a body may go on after the run was canceled, or after it asked to suspend, bail or abort."""
    max_recoveries: int = 5
    """How often processes may end by themselves while they call bodies of one run before it fails as poison."""
    hook_timeout: timedelta = timedelta(seconds=30)
    """How long one call of `on_finish` or `on_error` may take."""
    hook_delay: timedelta = timedelta(seconds=1)
    """How long after the first failed call of such a hook it is called again; four times as long each time after."""
    max_stream_events: int = 1_000_000
    """How many events the bodies of one run may write, progress and data included."""
    retention: timedelta | None = timedelta(days=30)
    """How long ended runs are kept; None for ever."""
    stream_retention: timedelta | None = None
    """How long what the bodies of a run said is kept after the run's latest event; None for as long as the run."""
    identity_ttl: timedelta = timedelta(days=30)
    """How long the id of a deleted run cannot be started again."""
    find_tracer: Callable[[], Tracer | None] = lambda: None
    """Finds what takes the spans, when the engine is opened; None for nobody."""
    find_meter: Callable[[], Meter | None] = lambda: None
    """Finds what takes the numbers, when the engine is opened; None for nobody."""
    sealers: Mapping[str, Sealer] = field(default_factory=new_dict)
    """What seals the values of the workflows that have sensitive types, by their ids."""
    unstored_context: frozenset[str] = frozenset()
    """Keys of request contexts that are not recorded."""
    firing: Firing | None = None
    """What schedules do, for engines that keep the time themselves; None where no schedule is fired."""
    clock: Clock = WALL_CLOCK
    """The clock of the runs: due times, and the times in their journals."""

    @property
    def now_ms(self) -> Callable[[], int]:
        """What tells the time, in milliseconds since 1970."""
        return self.clock.now_ms

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: The message names the option and what it may be.
        """
        self._check_numbers()
        self._check_times()
        if self.is_worker not in (True, False):
            message = f"worker={self.is_worker!r:.60} must be True or False"
            raise ConfigurationError(message)
        if not hasattr(self.clock, "now_ms"):
            message = f"clock={self.clock!r:.60} is no clock; leave it out, or give a VirtualClock() in tests"
            raise ConfigurationError(message)
        if self.on_exit not in ("drain", "finish"):
            message = f"on_exit={self.on_exit!r} must be 'drain' or 'finish'"
            raise ConfigurationError(message)

    def _check_numbers(self) -> None:
        for name in ("max_runs", "concurrency", "max_steps", "max_recoveries", "max_stream_events"):
            value: object = getattr(self, name)
            if value is None and name == "concurrency":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                message = f"{name}={value!r:.60} must be a whole number of at least 1"
                raise ConfigurationError(message)

    def _check_times(self) -> None:
        for name in ("lease", "drain", "grace", "hook_timeout", "retention", "stream_retention", "identity_ttl"):
            value: object = getattr(self, name)
            if value is None and name in ("retention", "stream_retention"):
                continue
            if not isinstance(value, timedelta):
                message = f"{name}={value!r:.60} must be a timedelta, as {name}=timedelta(seconds=30)"
                raise ConfigurationError(message)
            if value < timedelta():
                message = f"{name}={value} must not be below zero"
                raise ConfigurationError(message)
        if self.lease < timedelta(seconds=1):
            message = f"lease={self.lease} must be at least a second: a busy machine delays heartbeats"
            raise ConfigurationError(message)
        if self.hook_timeout == timedelta():
            message = f"hook_timeout={self.hook_timeout} must be above zero"
            raise ConfigurationError(message)
