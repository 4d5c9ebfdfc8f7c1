"""Bodies in flight: async ones as tasks, sync ones in threads, all within one number of slots."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from outlast.core.commands import RunStep
from outlast.engines.clock import current_body
from outlast.engines.local.live import Body, LiveRun
from outlast.engines.options import DriveOptions
from outlast.engines.outcomes import Calling
from outlast.engines.perform import Call, Outcome, Raised, perform_async, perform_sync, took_too_long
from outlast.engines.threads import BodyThreads
from outlast.engines.voice import Voice, entry_of
from outlast.failures import FailureInfo, describe_exception
from outlast.graph.context import StepContext
from outlast.graph.saying import Saying

__all__ = ["Bodies"]

_log = logging.getLogger("outlast.worker")

_THREAD_PAUSE_S: Final = 0.1
_FLUSH_AFTER: Final = 0.02
"""Seconds until what bodies say is handed to the writer."""


class Bodies:
    """Starts bodies and reports what became of them."""

    def __init__(
        self,
        options: DriveOptions,
        *,
        report: Callable[[Body, Outcome], None],
        flush: Callable[[LiveRun], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._slots = self._free = options.max_steps
        self._clock = options.clock
        self._grace = options.grace.total_seconds()
        self._queue: deque[tuple[LiveRun, RunStep]] = deque()
        self._threads = BodyThreads(options.max_threads)
        self._report = report
        self._flush = flush
        self._now_ms = options.now_ms
        self._most_said = options.max_stream_events
        self._voices = threading.Lock()
        self._beginnings = threading.Lock()
        self._is_short_of_threads = False
        self._tasks: set[Body] = set()
        """Those whose task has not ended, also if nobody waits for their outcome any more; and those that are lost."""

    @property
    def running(self) -> int:
        """How many slots are taken."""
        return self._slots - self._free

    @property
    def queued(self) -> int:
        """How many steps wait for a slot. May be asked on any thread."""
        queue = tuple(self._queue)
        return sum(not run.is_gone and run.state.open.get(each.path) is each for run, each in queue)

    def take_slot(self) -> bool:
        """Take a slot for a step, if one is free."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def queue(self, run: LiveRun, command: RunStep) -> None:
        """Remember a step for which no slot was free."""
        self._queue.append((run, command))

    def give_slot(self, *, is_draining: bool) -> tuple[LiveRun, RunStep] | None:
        """Give a slot back, and return the step whose turn it is, if any; its slot is then taken."""
        while self._queue and not is_draining:
            run, command = self._queue.popleft()
            if not run.is_gone and run.state.open.get(command.path) is command:
                return run, command
        self._free += 1
        return None

    def start(self, run: LiveRun, command: Calling, call: Call, timeout_ms: int | None) -> None:
        """Call the body of a command whose start is durable."""
        body = Body(run, command, timeout_ms)
        run.bodies[command.path] = body
        context = self._context.copy()
        if run.trail is not None:
            context.run(run.trail.enter, run.place_of(command))
        if self._clock.marks_bodies:
            context.run(current_body.set, body)
        if call.function.is_async:
            name = f"outlast {run.run_id} {command.path}"
            body.task = self._loop.create_task(self._perform(body, call), name=name, context=context)
            self._tasks.add(body)
            body.has_begun = True
            self._limit_time(body)
        else:
            self._submit(body, partial(self._perform_in_thread, body, call), context)

    def _submit(self, body: Body, work: Callable[[], None], context: contextvars.Context) -> None:
        """Let a body wait for a thread, also while the system gives none at all."""
        if body.is_over:
            return
        try:
            body.thread_call = self._threads.submit(work, context)
        except RuntimeError as error:
            if not self._is_short_of_threads:
                _log.warning("sync bodies wait until the system gives a thread: %s", error)
            self._is_short_of_threads = True
            self._loop.call_later(_THREAD_PAUSE_S, self._submit, body, work, context)
        else:
            self._is_short_of_threads = False

    def _limit_time(self, body: Body) -> None:
        if body.timeout_ms is not None and not body.is_over:
            body.timer = self._clock.call_later(body.timeout_ms / 1000, self._took_too_long, body)

    def evaluate(self, call: Call) -> Outcome:
        """Call a sync function on the loop, at once."""
        return self._context.copy().run(perform_sync, call)

    def abandon(self, body: Body) -> None:
        """Stop waiting for a body: its task is canceled, its thread left to itself and replaced."""
        with self._beginnings:
            self._end(body)
        if body.task is not None:
            body.task.cancel()
            body.task.add_done_callback(lambda _: self._tasks.discard(body))  # it may end before it began
        elif body.has_begun and body.thread_call is not None:
            self._threads.give_up(body.thread_call)

    def withdraw(self, body: Body) -> bool:
        """Take a body back that waits for a thread; False if it is called by now."""
        with self._beginnings:
            if not body.has_begun:
                self._end(body)
        return not body.has_begun

    def lost(self) -> list[Body]:
        """Return those that never report an outcome, because other code than the engine's ended their tasks."""
        return [body for body in self._tasks if body.task is not None and body.task.done() and not body.is_over]

    def discard(self, run: LiveRun) -> None:
        """Abandon the bodies of a run that is gone."""
        if run.voice is not None:
            run.voice.close()
        for body in list(run.bodies.values()):
            self.abandon(body)

    async def close(self) -> None:
        """Wait for the canceled tasks to end, and let the threads go."""
        tasks = [body.task for body in self._tasks if body.task is not None]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=5.0)
        finally:
            self._threads.close(timeout=0.2)

    async def _perform(self, body: Body, call: Call) -> None:
        outcome = await perform_async(call, partial(self._watch, body))
        self._tasks.discard(body)  # not a callback of the task: that costs a turn of the loop
        self._ended(body, outcome)

    def _watch(self, body: Body, context: StepContext) -> None:
        context.watch_signal(partial(self._signaled, body))
        context.listen(partial(self._say, body))

    def _signaled(self, body: Body) -> None:
        body.insistence = self._clock.call_later(self._grace, self._insist, body)

    def _insist(self, body: Body) -> None:
        """A body that asked to leave goes on: it swallowed the signal."""
        if not body.is_over:
            message = (
                f"'{body.command.path}' called suspend, bail or abort and went on for {self._grace:g} s; "
                "do not catch BaseException around these calls, or raise it again"
            )
            self._give_up(body, FailureInfo(type="SignalSwallowedError", message=message, is_retryable=False))

    def _took_too_long(self, body: Body) -> None:
        if not body.is_over:
            self._give_up(body, took_too_long(body.command.path, body.timeout_ms))

    def _give_up(self, body: Body, failure: FailureInfo) -> None:
        self.abandon(body)
        self._report(body, Raised(failure))

    def _perform_in_thread(self, body: Body, call: Call) -> None:
        with self._beginnings:
            if body.is_over:  # while it waited for a thread
                return
            body.has_begun = True
        if body.timeout_ms is not None:
            self._tell_loop(self._limit_time, body)
        try:
            outcome = perform_sync(call, partial(self._watch_in_thread, body))
        except KeyboardInterrupt as error:  # never of the interpreter here: that interrupts the main thread only
            outcome = Raised(describe_exception(error))
        self._tell_loop(self._ended, body, outcome)

    def _watch_in_thread(self, body: Body, context: StepContext) -> None:
        context.watch_signal(partial(self._tell_loop, self._signaled, body))
        context.listen(partial(self._say, body))

    def _say(self, body: Body, saying: Saying) -> Awaitable[None]:
        """Queue what a body says; called in whatever thread it says it."""
        run = body.run
        with self._voices:
            if run.voice is None:
                run.voice = Voice(
                    self._loop,
                    record=run.say,
                    flush=partial(self._flush, run),
                    flush_after=lambda: _FLUSH_AFTER,
                    said=run.said,
                    most=self._most_said,
                )
        command = body.command
        attempt = command.attempt if isinstance(command, RunStep) else 0
        return run.voice.put(body, *entry_of(command.path, attempt, saying, self._now_ms()))

    def _tell_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop was closed while the body ran: what it says belongs to nobody
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _ended(self, body: Body, outcome: Outcome) -> None:
        if not body.is_over:
            self._end(body)
            self._report(body, outcome)

    def _end(self, body: Body) -> None:
        body.is_over = True
        for timer in (body.timer, body.insistence):
            if timer is not None:
                timer.cancel()  # it would keep the whole run in memory until it fires
        body.run.bodies.pop(body.command.path, None)
