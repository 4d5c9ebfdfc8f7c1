"""A simulated process: the real app, engine and worker over the real memory store, with a clock and a fate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast

from outlast import CommittedWorkflow, Outlast, StoreError
from outlast.engines.clock import WallClock
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.testing.faults import Killed
from simulation.seeded_loop import PROCESS, SeededLoop, heart_of

__all__ = ["Doom", "SimulatedProcess", "the_loop"]

T0 = 1_767_225_600_000
LEASE = timedelta(seconds=1)

Doom: TypeAlias = Literal["before", "after", "lost", "failed"]
"""What happens at the next commit: death before or after it, its answer lost, or the disk full."""


def the_loop() -> SeededLoop:
    return cast(SeededLoop, asyncio.get_running_loop())


class SimulatedClock(WallClock):
    """The wall clock of one process, which somebody may set; leases go by the time of the loop."""

    def __init__(self, loop: SeededLoop, process: str) -> None:
        self._loop = loop
        self._process = process
        self.offset = 0.0
        """How many seconds it is ahead."""

    def now_ms(self) -> int:
        return T0 + round((self._loop.time() + self.offset) * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    def repeat(self, seconds: float, call: Callable[[], bool]) -> Callable[[], None]:
        context = copy_context()
        context.run(PROCESS.set, heart_of(self._process))
        stopped = False

        def beat() -> None:
            if not stopped and call():
                self._loop.call_later(seconds, beat, context=context)

        def stop() -> None:
            nonlocal stopped
            stopped = True

        self._loop.call_later(seconds, beat, context=context)
        return stop


class SimulatedProcess:
    """Lives until it is killed or told to leave; what it does beside driving runs is `work`."""

    def __init__(
        self,
        name: str,
        database: MemoryDatabase,
        workflows: Sequence[CommittedWorkflow[Any, Any]],
        *,
        work: Callable[[Outlast], Awaitable[None]],
        **options: Any,
    ) -> None:
        self.name = name
        self.clock = SimulatedClock(the_loop(), name)
        self.doom: Doom | None = None
        self.is_alive = True
        self._database = database
        self._workflows = workflows
        self._work = work
        self._options = options
        context = copy_context()
        context.run(PROCESS.set, name)
        self.task = the_loop().create_task(self._live(), name=name, context=context)

    async def _live(self) -> None:
        store = MemoryStore(self._database, seam=self)
        try:
            async with Outlast(
                self._workflows,
                store=store,
                clock=self.clock,
                lease=LEASE,
                drain=timedelta(),
                grace=timedelta(seconds=1),
                max_recoveries=1_000,
                tracing=False,
                **self._options,
            ) as app:
                await self._work(app)
        except StoreError:  # it could not open or leave in good order: then it ends like that
            self.is_alive = False

    def before_commit(self) -> None:
        if self.doom == "before":
            self._die()
        if self.doom == "failed":
            self.doom = None
            raise OSError("the disk is full")

    def after_commit(self) -> None:
        if self.doom == "after":
            self._die()
        if self.doom == "lost":
            self.doom = None
            raise OSError("the answer is lost")

    def _die(self) -> None:
        """From here on nothing of this process happens, and the kernel lets go of what it held."""
        self.is_alive, self.doom = False, None
        loop = the_loop()
        for each in (self.name, heart_of(self.name)):
            loop.kill(each)
        raise Killed(f"{self.name} is killed")

    def stop(self, seconds: float) -> None:
        """As SIGSTOP and, later, SIGCONT: not even the lease is renewed."""
        for each in (self.name, heart_of(self.name)):
            the_loop().stall(each, seconds)

    def block(self, seconds: float) -> None:
        """As a body that blocks the loop: the lease is renewed all the same."""
        the_loop().stall(self.name, seconds)
