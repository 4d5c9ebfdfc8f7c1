"""What a clock that jumps must know of this engine: whether anything happens just now, and what happens next."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from outlast.engines.clock import Clock
from outlast.engines.local.deliveries import Deliveries
from outlast.engines.local.desk import LocalDesk
from outlast.engines.local.program import ProgramShelf
from outlast.engines.local.rests import Rests
from outlast.engines.local.watching import Watch
from outlast.engines.local.worker import Worker
from outlast.storage.base import Store

__all__ = ["Asking", "Timing"]


class Asking:
    """Counts who is inside of it."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0
        """How many are."""

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1


class Timing:
    """Implements `outlast.engines.clock.Timed` for an engine. Under the clock on the wall nobody asks it anything."""

    def __init__(
        self,
        store: Store,
        shelf: ProgramShelf,
        clock: Clock,
        *,
        rests: Rests,
        watch: Watch,
        desk: LocalDesk,
        is_looking: Callable[[], bool],
        jumped: Callable[[], None],
    ) -> None:
        """Know an engine by its parts.

        Args:
            store: Its store.
            shelf: Its programs.
            clock: Its clock.
            rests: Those who wait for runs to rest.
            watch: Those who read journals.
            desk: Where schedules are kept.
            is_looking: Says whether the engine looks, or is about to look, at what changed in the store.
            jumped: Makes the engine look at what is due.
        """
        self._store = store
        self._shelf = shelf
        self._clock = clock
        self._rests = rests
        self._watch = watch
        self._desk = desk
        self._is_looking = is_looking
        self._jumped = jumped
        self.asking: Final = Asking()
        """Entered by whoever hands something over that is not recorded yet."""
        self.turns = 0
        """Grows whenever something changes."""
        self.worker: Worker | None = None
        """Drives runs; None in a process that is no worker."""
        self.deliveries: Deliveries | None = None
        """Tells hooks; None in a process that is no worker."""

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for a run, and nobody has an answer under way."""
        waits = (self._rests.waits, self._watch.waits)
        return any(waits) and all(each.is_parked for wait in waits for each in wait)

    @property
    def bodies(self) -> Collection[object]:
        """The calls of user code in flight."""
        if self.worker is None:
            return ()
        return [body for run in self.worker.live.values() for body in run.bodies.values()]

    def why_busy(self, is_asleep: Callable[[object], bool]) -> str | None:
        """Say what happens here just now; None if nothing does."""
        if self.asking.count:
            return "something is handed over to the store"
        if self._is_looking():
            return "the engine looks at what changed in the store"
        return None if self.worker is None else self.worker.why_busy(is_asleep)

    async def next_due(self) -> int | None:
        """Return when something happens by itself; not later than now if it happens now."""
        now = self._clock.now_ms()
        dues = [await self._store.next_start_by()]
        ready_at = await self._store.next_ready_at(self._shelf.keys)
        # What is ready and cannot be taken here waits for somebody else, or for a slot; it does not stop the time.
        if ready_at is not None and (ready_at > now or (self.worker is not None and self.worker.free > 0)):
            dues.append(ready_at)
        dues.append(await self._desk.next_due())
        if self.deliveries is not None:
            dues.append(await self.deliveries.next_due())
        return min((due for due in dues if due is not None), default=None)

    def time_jumped(self) -> None:
        """Look at once at what is due."""
        self._jumped()
