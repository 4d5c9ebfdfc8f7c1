"""Which store a path or a word means."""

from __future__ import annotations

import os
from typing import Literal

from outlast.errors import ConfigurationError
from outlast.storage.base import Store

__all__ = ["make_store"]


def make_store(store: str | os.PathLike[str] | Store, durability: Literal["full", "normal"]) -> Store:
    """Return the store at a place: a path, `sqlite:///path`, `memory`, or a store itself.

    Raises:
        ConfigurationError: There is no such durability.
    """
    if durability not in ("full", "normal"):
        message = f"durability={durability!r}: use 'full' (survives power loss) or 'normal' (survives a killed process)"
        raise ConfigurationError(message)
    if isinstance(store, str | os.PathLike):
        location = os.fspath(store)
        if location == "memory":
            from outlast.storage.memory import MemoryStore  # noqa: PLC0415 - loaded where it is chosen

            return MemoryStore()
        from outlast.storage.sqlite import SqliteStore  # noqa: PLC0415 - as above

        return SqliteStore(location.removeprefix("sqlite:///"), durability=durability)
    return store
