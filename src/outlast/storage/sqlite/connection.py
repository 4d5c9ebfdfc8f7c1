"""Connections: how each is opened, and what SQLite's errors mean to a caller."""

from __future__ import annotations

import sqlite3
import sys
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from outlast.errors import ConfigurationError, StoreError, StoreUnavailableError

__all__ = ["Synchronous", "connect", "require_sqlite", "rollback", "translate"]

Synchronous: TypeAlias = Literal["full", "normal"]
"""What a commit waits for: the disk, or the operating system."""

_OLDEST: Final = (3, 35, 0)  # UPDATE ... FROM is of 3.33, RETURNING of 3.35

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another program holds it locked; end that program's transaction",
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_IOERR: "the disk reports an error; look at the system's log",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the permissions of the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that it is still there",
}
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def require_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Refuse a SQLite library that is too old.

    Raises:
        ConfigurationError: Install a newer SQLite, or a Python that brings one.
    """
    if version < _OLDEST:
        have, want = (".".join(map(str, numbers)) for numbers in (version, _OLDEST))
        raise ConfigurationError(f"SQLite {have} is too old; Outlast needs {want} or newer")


def connect(
    path: str,
    *,
    mode: Literal["ro", "rw", "rwc"] = "rw",
    synchronous: Synchronous = "normal",
    timeout: float = 5.0,
    is_reader: bool = False,
) -> sqlite3.Connection:
    """Open a connection of which all settings are explicit. May move between threads, one at a time."""
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode={mode}",
        uri=True,
        timeout=timeout,  # for foreign programs only: writers of Outlast wait for each other at the writer lock
        isolation_level=None,  # transactions begin and end where the code says so
        check_same_thread=False,
        cached_statements=256,  # every size of every multi-row statement stays compiled
    )
    # FULL waits for the disk at each commit; NORMAL only at checkpoints, so that only a power loss can undo commits.
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # A checkpoint inside a commit would stop everybody who waits for it: the maintenance thread makes them.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    # The fence joins a table that lives for one statement; on disk, creating it costs more than the update.
    connection.execute("PRAGMA temp_store = memory")
    # The file may come from anywhere: its schema must not call functions.
    connection.execute("PRAGMA trusted_schema = off")
    # 16 MB: the upper pages of the trees of a million runs.
    connection.execute("PRAGMA cache_size = -16000")
    if is_reader:
        connection.execute("PRAGMA query_only = on")
    if sys.platform == "darwin" and synchronous == "full":
        # There, fsync does not reach the disk without this.
        connection.execute("PRAGMA fullfsync = on")
    return connection


def rollback(connection: sqlite3.Connection) -> None:
    """Undo what is not committed. SQLite may have done so already after an error of the disk."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def translate(error: sqlite3.Error, path: str) -> StoreError:
    """Return what an error of SQLite means to the caller."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in _DAMAGED:
        return StoreError(f"{path} is damaged: {error}; restore it from a backup")
    if primary in _ADVICE:
        return StoreUnavailableError(f"{path}: {error}: {_ADVICE[primary]}, then try again")
    if isinstance(error, sqlite3.OperationalError):
        return StoreUnavailableError(f"{path}: {error}; try again")
    return StoreError(f"{path}: {error}")
