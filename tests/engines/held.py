"""A store that takes what runs write when a test lets it."""

from __future__ import annotations

import asyncio
from collections import deque

from outlast.storage.base import Append, Settle
from outlast.storage.memory import MemoryStore

__all__ = ["HeldStore"]


class HeldStore(MemoryStore):
    """Takes what is appended to journals when the test lets it, one piece at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.is_holding = False
        self.held: deque[tuple[Append, Settle]] = deque()

    def append(self, write: Append, settle: Settle) -> None:
        if self.is_holding:
            self.held.append((write, settle))
        else:
            super().append(write, settle)

    async def let_one_through(self) -> None:
        """Record the oldest piece, and let everybody do what follows from that."""
        super().append(*self.held.popleft())
        for _ in range(20):
            await asyncio.sleep(0)  # noqa: TID251 - turns of the loop, not time
