"""Calls of the hooks that are told of a rest: async ones as tasks, sync ones in threads, each with a timeout."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import suppress
from datetime import timedelta
from functools import partial

from outlast.engines.perform import Call, Outcome, Raised, is_done, perform_async, perform_sync
from outlast.engines.threads import BodyThreads, ThreadCall
from outlast.failures import FailureInfo, describe_exception
from outlast.graph.context import StepContext
from outlast.graph.function import Function
from outlast.sealing import Disclosure

__all__ = ["HookCalls"]


class HookCalls:
    """Calls hooks and says what became of them."""

    def __init__(self, limit: int, timeout: timedelta) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._timeout = timeout
        self._threads = BodyThreads(limit)
        self._left: set[asyncio.Task[Outcome]] = set()

    async def call(
        self, function: Function, kind: str, told: object, disclosure: Disclosure | None
    ) -> FailureInfo | None:
        """Call a hook; return why it failed, or None if it did not. One that takes too long is left to itself."""
        call = Call(function, b"null", f"hook '{kind}'", b"{}", lambda _: told, is_done, disclosure=disclosure)
        performed: asyncio.Future[Outcome] = self._in_task(call) if function.is_async else self._loop.create_future()
        thread_call = None if function.is_async else self._in_thread(call, performed)
        is_late = True
        try:
            done, _ = await asyncio.wait([performed], timeout=self._timeout.total_seconds())
            is_late = not done
        finally:
            if is_late:
                performed.cancel()
                if thread_call is not None:
                    self._threads.give_up(thread_call)
        if is_late:
            return FailureInfo(type="HookTimeoutError", message=f"'{kind}' took longer than {self._timeout}")
        if performed.cancelled():
            return FailureInfo(
                type="CancelledError", message=f"other code than Outlast's canceled the task of '{kind}'"
            )
        outcome = performed.result()
        return outcome.failure if isinstance(outcome, Raised) else None

    async def close(self) -> None:
        """Wait a moment for the calls that were canceled, and let the threads go."""
        try:
            if self._left:
                await asyncio.wait(self._left, timeout=1.0)
        finally:
            self._threads.close(timeout=0.2)

    def _in_task(self, call: Call) -> asyncio.Future[Outcome]:
        task = self._loop.create_task(
            perform_async(call, _watch_nothing), name=f"outlast {call.subject}", context=self._context.copy()
        )
        self._left.add(task)
        task.add_done_callback(self._left.discard)
        return task

    def _in_thread(self, call: Call, performed: asyncio.Future[Outcome]) -> ThreadCall:
        return self._threads.submit(partial(self._perform, call, performed), self._context.copy())

    def _perform(self, call: Call, performed: asyncio.Future[Outcome]) -> None:
        try:
            outcome = perform_sync(call)
        except KeyboardInterrupt as error:  # never of the interpreter here: that interrupts the main thread only
            outcome = Raised(describe_exception(error))
        with suppress(RuntimeError):  # the loop was closed while the hook ran: what it says belongs to nobody
            self._loop.call_soon_threadsafe(_deliver, performed, outcome)


def _watch_nothing(context: StepContext) -> None:
    """Have no interest in signals: a hook has no context to ask for them."""


def _deliver(performed: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not performed.done():
        performed.set_result(outcome)
