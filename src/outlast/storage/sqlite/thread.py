"""Threads that belong to an event loop: they report to it, and it can wait for their end without yet another thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from outlast.errors import StoreUnavailableError

__all__ = ["LoopThread", "post"]


class LoopThread:
    """A daemon thread. Created and started on the loop it reports to.

    Raises:
        StoreUnavailableError: The system gives no thread just now.
    """

    def __init__(self, name: str, serve: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._serve = serve
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            message = f"a thread of the store could not be started: {error}; nothing was recorded, try again"
            raise StoreUnavailableError(message) from error

    async def join(self, *, within: float | None = None) -> bool:
        """Wait until the thread has ended, which somebody told it to; say whether it did."""
        try:
            async with asyncio.timeout(within):
                await self._ended.wait()
        except TimeoutError:
            return False
        self._thread.join()
        return True

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            post(self._loop, self._ended.set)


def post(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *values: Any) -> None:  # noqa: ANN401
    """Call something on a loop from any thread; nothing happens if the loop was closed, for then nobody waits."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *values)
