"""Time, as an engine sees it: an argument, so that a test can bring a clock of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Final, Protocol, TypeVarTuple

__all__ = ["WALL_CLOCK", "Clock", "Timed", "Timer", "WallClock", "current_body"]

Ts = TypeVarTuple("Ts")

current_body: ContextVar[object | None] = ContextVar("outlast_current_body", default=None)
"""The call of user code in which this code runs. Set only under a clock that asks for it with `marks_bodies`."""


class Timer(Protocol):
    """What will be called later."""

    def cancel(self) -> None:
        """Do not call it any more. Idempotent."""
        ...


class Timed(Protocol):
    """An engine, as a clock that jumps must know it: time may pass at once only while nothing happens."""

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for a run and nobody has an answer under way: only time, or others, help them."""
        ...

    @property
    def turns(self) -> int:
        """Grows whenever something changes."""
        ...

    @property
    def bodies(self) -> Collection[object]:
        """The calls of user code in flight."""
        ...

    def why_busy(self, is_asleep: Callable[[object], bool]) -> str | None:
        """Say what happens here just now, apart from bodies for which `is_asleep` holds; None if nothing does."""
        ...

    async def next_due(self) -> int | None:
        """Return when something happens by itself, in milliseconds since 1970; not later than now if it does now."""
        ...

    def time_jumped(self) -> None:
        """Look at once at what is due."""
        ...


class Clock(Protocol):
    """Tells the time of runs. Leases do not follow it: `monotonic` and `repeat` go on whatever it shows."""

    @property
    def marks_bodies(self) -> bool:
        """Whether `current_body` is set for the bodies of steps."""
        ...

    def now_ms(self) -> int:
        """Return the time as journals keep it: milliseconds since 1970, UTC. May be called from any thread."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets. May be called from any thread."""
        ...

    def call_later(self, seconds: float, callback: Callable[[*Ts], object], *args: *Ts) -> Timer:
        """Call something on the running loop once this time has passed on this clock."""
        ...

    def repeat(self, seconds: float, call: Callable[[], bool]) -> Callable[[], None]:
        """Call something every so many real seconds, however busy the loop is, until it returns False.

        Returns what ends it; that waits for a call in progress, unless the call itself does it.
        """
        ...

    def attach(self, engine: Timed) -> None:
        """Note that an engine goes by this clock, on the running loop."""
        ...

    async def detach(self, engine: Timed) -> None:
        """Note that an engine is closed. Idempotent."""
        ...


class WallClock:
    """The clock on the wall: the default."""

    @property
    def marks_bodies(self) -> bool:
        """Nobody asks which body is running."""
        return False

    def now_ms(self) -> int:
        """Return the time of the machine, which may be set forward and back."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[*Ts], object], *args: *Ts) -> Timer:
        """Leave it to the running loop."""
        return asyncio.get_running_loop().call_later(seconds, callback, *args)

    def repeat(self, seconds: float, call: Callable[[], bool]) -> Callable[[], None]:
        """Call it in a thread of its own."""
        stopped = threading.Event()

        def go_on() -> None:
            while not stopped.wait(seconds):
                if not call():
                    return

        thread = threading.Thread(target=go_on, name="outlast-heartbeat", daemon=True)

        def stop() -> None:
            stopped.set()
            if threading.current_thread() is not thread:
                thread.join()

        thread.start()
        return stop

    def attach(self, engine: Timed) -> None:
        """Nothing depends on who looks at the wall."""

    async def detach(self, engine: Timed) -> None:
        """Nothing depends on who looks at the wall."""


WALL_CLOCK: Final = WallClock()
