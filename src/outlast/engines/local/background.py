"""Tasks that go on as long as their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

__all__ = ["Background"]


class Background:
    """The tasks of an engine. Each works until it is stopped."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        """Those that were begun."""

    def begin(self, work: Coroutine[object, object, None], *, name: str) -> None:
        """Let something work from now on."""
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def stop(self) -> None:
        """End all of them, and wait until they have ended."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
