"""Values that a command needs and that were evicted: read again, and then the command is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from outlast.core.commands import Command
from outlast.engines.local.live import LiveRun
from outlast.errors import OutlastError, StoreError, StoreUnavailableError

__all__ = ["Loading"]


class Loading:
    """The reads in flight. However one ends, its run goes on, is read again from the journal, or is left to others."""

    def __init__(
        self,
        *,
        take: Callable[[LiveRun, Sequence[Command]], None],
        on_refused: Callable[[LiveRun, OutlastError], None],
        on_broken: Callable[[LiveRun, Exception], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._take = take
        self._on_refused = on_refused
        self._on_broken = on_broken
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, run: LiveRun, command: Command, missing: list[int]) -> None:
        """Read the values of these events again, and take the command then, if it is still open."""
        run.loading.add(command.path)
        task = self._loop.create_task(run.values.load(missing, run.load_facts), name=f"outlast load {run.run_id}")
        self._tasks.add(task)
        # Not at the end of the task itself: one that other code cancels before its first turn runs no line of it.
        task.add_done_callback(partial(self._ended, run, command))

    def _ended(self, run: LiveRun, command: Command, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = _why_failed(task)  # asked in any case: asyncio reports an exception that nobody looked at
        if run.is_gone:
            return
        if isinstance(error, StoreError):
            self._on_refused(run, error)
        elif error is not None:
            self._on_broken(run, error)
        else:
            run.loading.discard(command.path)
            if run.state.open.get(command.path) is command:
                self._take(run, [command])


def _why_failed(task: asyncio.Task[None]) -> Exception | None:
    if task.cancelled():
        return StoreUnavailableError("reading its values again was ended by a cancellation that is not Outlast's")
    error = task.exception()
    if error is None or isinstance(error, Exception):
        return error
    return StoreUnavailableError(f"reading its values again was ended by {type(error).__name__}")
