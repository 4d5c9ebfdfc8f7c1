"""Which store a path or a word means."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from outlast.errors import ConfigurationError
from outlast.storage.base import Store

__all__ = ["MakeStore", "occupy", "refuse_local_options", "store_maker", "vacate"]

MakeStore: TypeAlias = Callable[[], Store]
"""Makes the store of an app and of each of its copies."""

_occupied: weakref.WeakSet[Store] = weakref.WeakSet()


def store_maker(store: str | os.PathLike[str] | Store, durability: Literal["full", "normal"]) -> MakeStore:
    """Return what makes the store at a place: a path, `sqlite:///path`, `memory`, or a store itself.

    Each that it makes is one more on the same data, except of a store itself: that is for one open app at a time.

    Raises:
        ConfigurationError: There is no such durability, the text names no file, or this system has no locks for one.
    """
    if durability not in ("full", "normal"):
        message = f"durability={durability!r}: use 'full' (survives power loss) or 'normal' (survives a killed process)"
        raise ConfigurationError(message)
    if isinstance(store, str | os.PathLike):
        location = os.fspath(store)
        if location == "memory":
            from outlast.storage.memory import MemoryDatabase, MemoryStore  # noqa: PLC0415 - loaded where it is chosen

            return partial(MemoryStore, MemoryDatabase())
        return _sqlite_maker(_path_of(location), durability)
    if not hasattr(store, "open"):
        message = f"store={store!r:.60} is no store; give the path of a file, or 'memory'"
        raise ConfigurationError(message)
    return lambda: store


def occupy(store: Store | None) -> None:
    """Note that an app opens a store, which alone closes it again; None for an engine without one.

    Raises:
        ConfigurationError: Another app has it open.
    """
    if store is None:
        return
    if store in _occupied:
        message = "this store is open in another app, which would close it for both; give each app one of its own"
        raise ConfigurationError(message)
    _occupied.add(store)


def vacate(store: Store | None) -> None:
    """Note that the app that had a store has let go of it."""
    if store is not None:
        _occupied.discard(store)


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


def _sqlite_maker(path: str, durability: Literal["full", "normal"]) -> MakeStore:
    try:
        from outlast.storage.sqlite import SqliteStore  # noqa: PLC0415 - loaded where it is chosen
    except ModuleNotFoundError as error:
        if error.name != "fcntl":
            raise
        message = f"store={path!r}: a file needs the locks of Linux or macOS; on Windows use WSL, or store='memory'"
        raise ConfigurationError(message) from error
    return partial(SqliteStore, os.path.realpath(path), durability=durability)  # wherever the program goes meanwhile
