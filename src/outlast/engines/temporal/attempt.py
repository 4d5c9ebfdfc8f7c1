"""One call of a body in an activity: its time limit, its grace periods, and its thread if it is not async."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from outlast.engines.perform import (
    Bailed,
    Call,
    Outcome,
    Raised,
    Returned,
    Suspended,
    perform_async,
    perform_sync,
    took_too_long,
)
from outlast.engines.temporal.mouth import Speaker
from outlast.engines.threads import BodyThreads, ThreadCall
from outlast.failures import FailureInfo, describe_exception
from outlast.graph.context import StepContext

__all__ = ["Attempt"]

_WORDS: Final[Mapping[type[object], str]] = {
    Returned: "success",
    Bailed: "bailed",
    Raised: "failed",
    Suspended: "suspended",
}
"""The outcomes as metrics call them; a body that aborted its run, or that was left, was canceled."""


class Attempt:
    """A body that is called once. Everything but the body itself happens on the event loop."""

    def __init__(
        self,
        path: str,
        *,
        timeout_ms: int | None,
        grace_ms: int,
        threads: BodyThreads,
        enter: Callable[[], None] | None = None,
        speaker: Speaker | None = None,
    ) -> None:
        self.path = path
        """What is called."""
        self._timeout_ms = timeout_ms
        self._grace = grace_ms / 1000
        self._threads = threads
        self._enter = enter
        self.speaker = speaker
        """Takes what the body says; None if it is no step."""
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[Outcome | None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._thread_call: ThreadCall | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self.canceled = asyncio.Event()
        """Set when the run is to end; the body can see it."""

    def start(self, call: Call) -> None:
        """Call the body."""
        context = contextvars.copy_context()
        if self._enter is not None:
            context.run(self._enter)
        if call.function.is_async:
            self._task = self._loop.create_task(self._perform(call), name=f"outlast {self.path}", context=context)
        else:
            self._thread_call = self._threads.submit(partial(self._perform_in_thread, call), context)
        if self._timeout_ms is not None:
            self._after(self._timeout_ms / 1000, self._took_too_long)

    async def outcome(self) -> Outcome | None:
        """Wait until the body has ended or is left behind; None if it was stopped."""
        return await asyncio.shield(self._outcome)

    @property
    def how(self) -> str | None:
        """How the body ended, in the words of metrics; None if it was not called or has not ended."""
        if not self._outcome.done():
            return None
        return _WORDS.get(type(self._outcome.result()), "canceled")

    def cancel(self) -> None:
        """Tell the body that the run ends, and leave it when its grace period is over."""
        if not self.canceled.is_set():
            self.canceled.set()
            self._after(self._grace, self.stop)

    def stop(self) -> None:
        """Leave the body at once."""
        if not self._outcome.done():
            self._leave(None)

    async def close(self) -> None:
        """Let go of timers, and wait for a canceled task to end."""
        for timer in self._timers:
            timer.cancel()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=self._grace)

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, callback))

    async def _perform(self, call: Call) -> None:
        self._ended(await perform_async(call, self._watch))

    def _perform_in_thread(self, call: Call) -> None:
        try:
            outcome = perform_sync(call, self._watch_in_thread)
        except KeyboardInterrupt as error:  # never of the interpreter here: that interrupts the main thread only
            outcome = Raised(describe_exception(error))
        with suppress(RuntimeError):  # the loop was closed while the body ran: what it says belongs to nobody
            self._loop.call_soon_threadsafe(self._ended, outcome)

    def _watch(self, context: StepContext) -> None:
        context.watch_signal(self._signaled)
        self._listen(context)

    def _watch_in_thread(self, context: StepContext) -> None:
        context.watch_signal(self._signaled_in_thread)
        self._listen(context)

    def _listen(self, context: StepContext) -> None:
        if self.speaker is not None:
            context.listen(self.speaker.say)

    def _signaled_in_thread(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._signaled)

    def _signaled(self) -> None:
        self._after(self._grace, self._insist)

    def _insist(self) -> None:
        """A body that asked to leave goes on: it swallowed the signal."""
        message = (
            f"'{self.path}' called suspend, bail or abort and went on for {self._grace:g} s; "
            "do not catch BaseException around these calls, or raise it again"
        )
        self._fail(FailureInfo(type="SignalSwallowedError", message=message, is_retryable=False))

    def _took_too_long(self) -> None:
        self._fail(took_too_long(self.path, self._timeout_ms))

    def _fail(self, failure: FailureInfo) -> None:
        if not self._outcome.done():
            self._leave(Raised(failure))

    def _leave(self, outcome: Outcome | None) -> None:
        self._outcome.set_result(outcome)
        if self.speaker is not None:
            self.speaker.is_over = True
        if self._task is not None:
            self._task.cancel()
        elif self._thread_call is not None:
            self._threads.give_up(self._thread_call)

    def _ended(self, outcome: Outcome) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)
