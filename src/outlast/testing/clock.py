"""A clock for tests: it stands still while something happens, and jumps to the next due time when nothing does."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import logging
import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVarTuple

from outlast.engines.clock import Timed, Timer, WallClock, current_body
from outlast.errors import ConfigurationError

__all__ = ["VirtualClock"]

Ts = TypeVarTuple("Ts")

_log = logging.getLogger("outlast.testing")

_LOOK_S = 0.001
_TURNS = 5
"""How many turns of the loop nothing may happen before time passes: what was just answered goes on in the next turn."""
_COMPLAIN_AFTER_S = 5.0
_PATIENCE_S = 30.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class _VirtualTimer:
    """A call to be made once the clock shows its time."""

    def __init__(self, due_ms: int, call: Callable[[], object]) -> None:
        self.due_ms = due_ms
        self._call = call
        self._context = contextvars.copy_context()
        self.real: asyncio.TimerHandle | None = None
        self.is_over = False

    def cancel(self) -> None:
        """Do not call it any more."""
        self.is_over = True
        if self.real is not None:
            self.real.cancel()

    def fire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call it in the next turn of the loop, in the context in which it was asked for."""
        if self.real is not None:
            self.real.cancel()
        loop.call_soon(self._fired, context=self._context)

    def _fired(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._call()


class VirtualClock(WallClock):
    """The time of runs in a test, as `Outlast([...], store="memory", clock=clock)`.

    Due times are met in their order, each exactly: sleeps, delays, retries, deadlines, timeouts, new tries of hooks.
    Nothing global is patched: `time.time`, `asyncio.sleep` and the leases of workers go on as ever.

    Guarantees:
        With `jumps`, time passes only while somebody waits for a run (`start`, `resume`, `result`, a stream) or in
        `sleep`, and nothing else can happen: no step is being called but such as wait in `sleep`, everything is
        recorded, nothing is due. Then the clock shows the next due time at once. Without `jumps` it stands still but
        for `advance`. While a step is being called, its timeout and its grace period last at most as long as on the
        clock on the wall, so a body that hangs by itself hangs no longer than it would without this clock.
    """

    def __init__(self, start: datetime | None = None, *, jumps: bool = True) -> None:
        """Show `start`, or the time at which the clock is made.

        Args:
            start: A time with a zone.
            jumps: Whether it passes by itself.

        Raises:
            ConfigurationError: `start` has no time zone.
        """
        if start is not None and start.tzinfo is None:
            message = f"start needs a time zone, as datetime(2030, 1, 1, tzinfo=UTC), not {start!r}"
            raise ConfigurationError(message)
        self._now_ms = super().now_ms() if start is None else (start - _EPOCH) // _MS
        self._jumps = jumps
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engines: list[Timed] = []
        self._timers: list[tuple[int, int, _VirtualTimer]] = []
        self._numbers = count()
        self._asleep: dict[object, int] = {}
        self._sleepers = 0
        self._blocked: set[threading.Event] = set()
        self._is_advancing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def marks_bodies(self) -> bool:
        """It must know which body sleeps."""
        return True

    def now(self) -> datetime:
        """Return what the clock shows, in UTC."""
        return _EPOCH + self._now_ms * _MS

    def now_ms(self) -> int:
        """Return what the clock shows, in milliseconds since 1970."""
        return self._now_ms

    async def sleep(self, duration: float | timedelta) -> None:
        """Wait until so many seconds have passed on this clock.

        For the fakes that bodies call in a test, as a service that takes an hour to answer, and for the test itself. It
        needs an open app that goes by this clock.
        """
        body = current_body.get()
        self._fall_asleep(body)
        try:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            timer = self._arm(_seconds(duration), _settle, woken)
            try:
                await woken
            finally:
                timer.cancel()
        finally:
            self._wake_up(body)

    def block(self, duration: float | timedelta) -> None:
        """As `sleep`, for sync bodies, which run in a thread.

        Raises:
            RuntimeError: No app is open that goes by this clock, or it was called on the loop that it would stop.
        """
        loop = self._loop
        if loop is None or _is_running(loop):
            message = "block() is for sync steps of an open app that goes by this clock; elsewhere, await sleep()"
            raise RuntimeError(message)
        body, woken = current_body.get(), threading.Event()

        def arm() -> None:
            self._fall_asleep(body)
            self._arm(_seconds(duration), wake_up)

        def wake_up() -> None:
            self._wake_up(body)
            woken.set()

        self._blocked.add(woken)
        loop.call_soon_threadsafe(arm)
        woken.wait()
        self._blocked.discard(woken)

    async def advance(self, by: float | timedelta) -> None:
        """Let so many seconds pass: meet every due time on the way, and return when nothing happens any more.

        Bodies that are in flight when it is called may go on meanwhile; those that begin on the way are waited for.

        Raises:
            TimeoutError: Something went on for 30 real seconds; the message says what.
            ValueError: Time does not go back.
        """
        target = self._now_ms + round(_seconds(by) * 1000)
        if target < self._now_ms:
            raise ValueError(f"time does not go back, not even by {by}")
        self._is_advancing = True
        try:
            in_flight = {body for engine in self._engines for body in engine.bodies}
            while True:
                due = await self._until_quiet(in_flight)
                if due is None or due > target:
                    break
                self._jump(due)
            self._jump(target)
            await self._until_quiet(in_flight)
        finally:
            self._is_advancing = False

    def call_later(self, seconds: float, callback: Callable[[*Ts], object], *args: *Ts) -> Timer:
        """Call something once this time has passed on this clock; or really, while a body is being called."""
        return self._arm(seconds, callback, *args, is_real=True)

    def attach(self, engine: Timed) -> None:
        """Note that an engine goes by this clock.

        Raises:
            ConfigurationError: Another event loop goes by it.
        """
        loop = asyncio.get_running_loop()
        if self._engines and self._loop is not loop:
            message = "apps of two event loops cannot go by one virtual clock; make one for each"
            raise ConfigurationError(message)
        self._loop = loop
        self._engines.append(engine)
        if self._task is None and self._jumps:
            self._task = loop.create_task(self._jump_for_ever(), name="outlast-virtual-clock")

    async def detach(self, engine: Timed) -> None:
        """Note that an engine is closed; with the last one, time stands still."""
        if engine in self._engines:
            self._engines.remove(engine)
        if not self._engines and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])
        if not self._engines:
            for woken in list(self._blocked):
                woken.set()  # nobody waits for that body any more, and its thread must not stay

    def _arm(
        self, seconds: float, callback: Callable[[*Ts], object], *args: *Ts, is_real: bool = False
    ) -> _VirtualTimer:
        loop = asyncio.get_running_loop()
        due_ms = self._now_ms + max(0, -round(-seconds * 1000))
        timer = _VirtualTimer(due_ms, lambda: callback(*args))
        if due_ms <= self._now_ms:
            timer.fire(loop)
        else:
            heapq.heappush(self._timers, (due_ms, next(self._numbers), timer))
            if is_real:
                timer.real = loop.call_later(seconds, self._really_over, timer, seconds)
        return timer

    def _really_over(self, timer: _VirtualTimer, seconds: float) -> None:
        """If a body that does not sleep on this clock is at work, time has really passed. Else one may be, later on."""
        if timer.is_over or timer.due_ms <= self._now_ms:
            return
        if self._bodies_at_work() <= set(self._asleep):
            again = max(seconds, _LOOK_S)
            timer.real = asyncio.get_running_loop().call_later(again, self._really_over, timer, seconds)
        else:
            self._jump(timer.due_ms)

    def _bodies_at_work(self) -> set[object]:
        return {body for engine in self._engines for body in engine.bodies}

    def _fall_asleep(self, body: object | None) -> None:
        self._sleepers += body is None
        if body is not None:
            self._asleep[body] = self._asleep.get(body, 0) + 1

    def _wake_up(self, body: object | None) -> None:
        self._sleepers -= body is None
        if body is not None:
            self._asleep[body] -= 1
            if not self._asleep[body]:
                del self._asleep[body]

    async def _jump_for_ever(self) -> None:
        """Let time pass whenever nothing else can happen and somebody waits."""
        complaint = _Complaint()
        while True:
            await asyncio.sleep(_LOOK_S)
            if not self._may_jump():
                complaint.forget()
                continue
            complaint.note(self._why_busy(self._asleep), self.monotonic())
            due = await self._next_due(self._asleep)
            if due is not None and due > self._now_ms and self._may_jump():
                self._jump(due)

    def _may_jump(self) -> bool:
        if self._is_advancing:
            return False
        return self._sleepers > 0 or any(engine.is_waited_for for engine in self._engines)

    def _why_busy(self, asleep: Collection[object]) -> str | None:
        reasons = (engine.why_busy(asleep.__contains__) for engine in self._engines)
        return next((reason for reason in reasons if reason is not None), None)

    async def _until_quiet(self, in_flight: Collection[object]) -> int | None:
        """Wait until nothing happens, and return the next due time."""
        give_up_at = self.monotonic() + _PATIENCE_S
        while True:
            asleep = {*self._asleep, *in_flight}
            due = await self._next_due(asleep)
            if due is None or due > self._now_ms:
                return due
            if self.monotonic() > give_up_at:
                reason = self._why_busy({*self._asleep, *in_flight}) or "something is due that nobody does"
                raise TimeoutError(f"the clock cannot go on for {_PATIENCE_S:g} s: {reason}")
            await asyncio.sleep(_LOOK_S)

    async def _next_due(self, asleep: Collection[object]) -> int | None:
        """Return when something happens by itself; now, if it does now; None if nothing ever does."""
        turns = [engine.turns for engine in self._engines]
        for _ in range(_TURNS):
            if self._why_busy(asleep) is not None:
                return self._now_ms
            await asyncio.sleep(0)
        dues = [await engine.next_due() for engine in self._engines]
        if self._why_busy(asleep) is not None or turns != [engine.turns for engine in self._engines]:
            return self._now_ms
        while self._timers and self._timers[0][2].is_over:
            heapq.heappop(self._timers)
        if self._timers:
            dues.append(self._timers[0][0])
        return min((due for due in dues if due is not None), default=None)

    def _jump(self, to_ms: int) -> None:
        """Show another time, and let everybody know."""
        self._now_ms = max(self._now_ms, to_ms)
        loop = asyncio.get_running_loop()
        while self._timers and self._timers[0][0] <= self._now_ms:
            heapq.heappop(self._timers)[2].fire(loop)
        for engine in self._engines:
            engine.time_jumped()


class _Complaint:
    """Says why the clock stands still, once for each reason that lasts."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._since = 0.0
        self._is_told = False

    def forget(self) -> None:
        """The clock need not go on."""
        self._reason = None

    def note(self, reason: str | None, now: float) -> None:
        """Note why it cannot go on just now, if so."""
        if reason != self._reason:
            self._reason, self._since, self._is_told = reason, now, False
        if reason is not None and not self._is_told and now - self._since > _COMPLAIN_AFTER_S:
            self._is_told = True
            _log.warning(
                "the virtual clock stands still for %.0f s: %s; a fake that is to take time awaits clock.sleep(...)",
                now - self._since,
                reason,
            )


def _seconds(duration: float | timedelta) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def _settle(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
