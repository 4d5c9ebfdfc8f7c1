"""Threads that belong to an event loop: they report to it, and it can wait for their end without yet another thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

__all__ = ["LoopThread"]


class LoopThread:
    """A daemon thread. Created and started on the loop it reports to."""

    def __init__(self, name: str, serve: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._serve = serve
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def join(self) -> None:
        """Wait until the thread has ended; somebody told it to."""
        await self._ended
        self._thread.join()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop was closed first: nobody waits
                self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
