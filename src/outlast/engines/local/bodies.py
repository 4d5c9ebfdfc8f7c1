"""Bodies in flight: async ones as tasks, sync ones in threads, all within one number of slots."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from outlast.core.commands import RunMap, RunStep
from outlast.engines.local.live import LiveRun, Lookup
from outlast.engines.local.options import LocalOptions
from outlast.engines.local.threads import BodyThreads
from outlast.engines.perform import Outcome, perform_async, perform_sync
from outlast.graph.context import ReadContext
from outlast.graph.function import Function

__all__ = ["Bodies", "Call"]

Call: TypeAlias = RunStep | RunMap
"""A command to call user code."""

Report: TypeAlias = Callable[[LiveRun, Call, Outcome], None]
"""Told on the loop what became of a body; never for a run that is gone."""


class Bodies:
    """Starts bodies and reports what became of them."""

    def __init__(self, options: LocalOptions, *, report: Report) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._free = options.max_steps
        self._queue: deque[tuple[LiveRun, RunStep]] = deque()
        self._threads = BodyThreads(options.max_threads)
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_threads = 0

    @property
    def in_flight(self) -> int:
        """How many bodies run now."""
        return len(self._tasks) + self._in_threads

    def take_slot(self) -> bool:
        """Take a slot for a step, if one is free."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def queue(self, run: LiveRun, command: RunStep) -> None:
        """Remember a step for which no slot was free."""
        self._queue.append((run, command))

    def give_slot(self) -> tuple[LiveRun, RunStep] | None:
        """Give a slot back, and return the step whose turn it is, if any; its slot is then taken."""
        while self._queue:
            run, command = self._queue.popleft()
            if not run.is_gone:
                return run, command
        self._free += 1
        return None

    def start(self, run: LiveRun, command: Call) -> None:
        """Call the body of a command whose start is durable."""
        function = run.program.functions[command.function]
        if function.is_async:
            coroutine = self._perform(run, command, function)
            name = f"outlast {run.run_id} {command.path}"
            task = self._loop.create_task(coroutine, name=name, context=self._context.copy())
            run.bodies[command.path] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            run.bodies[command.path] = None
            self._in_threads += 1
            self._threads.submit(partial(self._perform_in_thread, run, command, function), self._context.copy())

    def evaluate(self, run: LiveRun, command: RunMap, function: Function) -> Outcome:
        """Call a sync map on the loop, at once."""
        raw = run.resolver.resolve(command.input)
        make_context = partial(self._make_context, run, command)
        return self._context.copy().run(perform_sync, function, raw, make_context, _subject(command))

    def discard(self, run: LiveRun) -> None:
        """Cancel the bodies of a run that is gone; nothing of theirs is reported any more."""
        for task in run.bodies.values():
            if task is not None:
                task.cancel()
        run.bodies.clear()

    async def close(self) -> None:
        """Wait for the canceled tasks to end, and let the threads go."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)
        self._threads.close(timeout=0.2)

    async def _perform(self, run: LiveRun, command: Call, function: Function) -> None:
        raw = run.resolver.resolve(command.input)
        make_context = partial(self._make_context, run, command)
        outcome = await perform_async(function, raw, make_context, _subject(command))
        self._ended(run, command, outcome)

    def _perform_in_thread(self, run: LiveRun, command: Call, function: Function) -> None:
        raw = run.resolver.resolve(command.input)
        make_context = partial(self._make_context, run, command)
        outcome = perform_sync(function, raw, make_context, _subject(command))
        try:
            self._loop.call_soon_threadsafe(self._thread_ended, run, command, outcome)
        except RuntimeError:  # the loop was closed while the body ran: its late outcome belongs to nobody
            return

    def _thread_ended(self, run: LiveRun, command: Call, outcome: Outcome) -> None:
        self._in_threads -= 1
        self._ended(run, command, outcome)

    def _ended(self, run: LiveRun, command: Call, outcome: Outcome) -> None:
        if not run.is_gone:
            del run.bodies[command.path]
            self._report(run, command, outcome)

    def _make_context(self, run: LiveRun, command: Call, value: object) -> ReadContext[object]:
        lookup = Lookup(run, self._loop)
        if isinstance(command, RunStep):
            return run.step_context(command, value, lookup)
        return run.context(command.path, value, lookup)


def _subject(command: Call) -> str:
    return f"{'step' if isinstance(command, RunStep) else 'map'} '{command.path}'"
