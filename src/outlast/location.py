"""Which store a path or a word means."""

from __future__ import annotations

import os
from typing import Literal

from outlast.errors import ConfigurationError
from outlast.storage.base import Store

__all__ = ["make_store", "refuse_local_options"]


def make_store(store: str | os.PathLike[str] | Store, durability: Literal["full", "normal"]) -> Store:
    """Return the store at a place: a path, `sqlite:///path`, `memory`, or a store itself.

    Raises:
        ConfigurationError: There is no such durability, the text names no file, or this system has no locks for one.
    """
    if durability not in ("full", "normal"):
        message = f"durability={durability!r}: use 'full' (survives power loss) or 'normal' (survives a killed process)"
        raise ConfigurationError(message)
    if isinstance(store, str | os.PathLike):
        location = os.fspath(store)
        if location == "memory":
            from outlast.storage.memory import MemoryStore  # noqa: PLC0415 - loaded where it is chosen

            return MemoryStore()
        return _sqlite_store(_path_of(location), durability)
    if not hasattr(store, "open"):
        message = f"store={store!r:.60} is no store; give the path of a file, or 'memory'"
        raise ConfigurationError(message)
    return store


def refuse_local_options(store: object, durability: object, *, is_clocked: bool) -> None:
    """Refuse what is for the local engine where another one is chosen.

    Raises:
        ConfigurationError: A place or a clock was given.
    """
    if store is not None or durability is not None:
        message = "store and durability are for the local engine; leave them out with engine=..."
        raise ConfigurationError(message)
    if is_clocked:
        message = "the runs of this engine go by a clock of its own; clock= is for the local engine"
        raise ConfigurationError(message)


def _path_of(location: str) -> str:
    path = location.removeprefix("sqlite:///")
    if path in ("", ":memory:"):  # SQLite takes both for a database that only one connection sees
        message = f"store={location!r} names no file; give a path, or 'memory' for runs that end with the process"
        raise ConfigurationError(message)
    if path.lower() == "memory":
        message = f"store={location!r} would be a file; write 'memory' for runs that end with the process"
        raise ConfigurationError(message)
    if "://" in path:
        message = f"store={location!r} is not the path of a file; give one, 'sqlite:///path', or 'memory'"
        raise ConfigurationError(message)
    return path


def _sqlite_store(path: str, durability: Literal["full", "normal"]) -> Store:
    try:
        from outlast.storage.sqlite import SqliteStore  # noqa: PLC0415 - loaded where it is chosen
    except ModuleNotFoundError as error:
        if error.name != "fcntl":
            raise
        message = f"store={path!r}: a file needs the locks of Linux or macOS; on Windows use WSL, or store='memory'"
        raise ConfigurationError(message) from error
    return SqliteStore(path, durability=durability)
