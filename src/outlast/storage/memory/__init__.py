"""The store that lives in memory: the yardstick for every other store, and a fast one for tests and short programs."""

from __future__ import annotations

from outlast.storage.memory.database import MemoryDatabase
from outlast.storage.memory.store import MemoryStore

__all__ = ["MemoryDatabase", "MemoryStore"]
