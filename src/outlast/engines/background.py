"""Tasks that go on as long as their owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final, TypeAlias

__all__ = ["Background"]

Work: TypeAlias = Callable[[], Coroutine[object, object, None]]

_log = logging.getLogger("outlast.worker")

_PAUSE_S: Final = 0.1


class Background:
    """The tasks of an owner. Each works until it is stopped; one that ends by itself begins anew.

    What works for ever handles its own errors. But other code may cancel all tasks of a loop, as `asyncio.run` does
    after an interrupt, and then the owner still has to be left in good order.
    """

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        """Those that were begun and have not ended."""
        self._is_stopping = False

    def begin(self, work: Work, *, name: str) -> None:
        """Let something work from now on."""
        self._is_stopping = False
        self._begin(work, name)

    async def stop(self) -> None:
        """End all of them, and wait until they have ended."""
        self._is_stopping = True
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    def _begin(self, work: Work, name: str) -> None:
        task = asyncio.get_running_loop().create_task(work(), name=name)
        self.tasks.append(task)
        task.add_done_callback(partial(self._ended, work, name))

    def _ended(self, work: Work, name: str, task: asyncio.Task[None]) -> None:
        self.tasks.remove(task)
        if not self._is_stopping:
            error = None if task.cancelled() else task.exception()
            _log.error("task %s was ended by other code than Outlast's; it begins anew", name, exc_info=error)
            # Not at once: whoever cancels all tasks until none is left must come to an end.
            task.get_loop().call_later(_PAUSE_S, self._begin_anew, work, name)

    def _begin_anew(self, work: Work, name: str) -> None:
        if not self._is_stopping:
            self._begin(work, name)
