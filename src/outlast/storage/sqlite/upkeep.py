"""What an operator does with the file of a store, beside the processes that use it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from outlast.errors import ConfigurationError, SchemaVersionError, StoreError
from outlast.immutable import immutable
from outlast.storage.sqlite.connection import connect, translate
from outlast.storage.sqlite.locks import WriterLock
from outlast.storage.sqlite.schema import VERSION, prepare, read_version
from outlast.storage.sqlite.workers import read_lives

__all__ = ["StoreInfo", "back_up", "describe", "migrate", "vacuum"]

_PATIENCE_S: Final = 30.0
_STEP_PAGES: Final = 2_000
"""How many pages are given back while the writers wait: 8 MB, some milliseconds."""


@immutable(kw_only=True)
class StoreInfo:
    """What a file holds, at one moment."""

    path: str
    """Where it is, resolved."""
    version: int
    """Its schema."""
    size: int
    """Bytes of the database."""
    log_size: int
    """Bytes of its write-ahead log."""
    free: int
    """Bytes of the database that `vacuum` would give back."""
    graphs: int
    """Graphs that are stored."""
    events: int
    """Events of all journals."""
    runs: Mapping[str, int]
    """How many runs there are, by status."""
    workers: int
    """Workers that are alive."""


def describe(path: str) -> StoreInfo:
    """Look at a store without changing it. It counts events one by one: some seconds for a hundred million.

    Raises:
        SchemaVersionError: Not a store of this version; `migrate` brings an older one up to date.
        StoreError: It cannot be read; the message says what to do.
    """
    path = os.path.realpath(path)
    version = read_version(path)
    if version < VERSION:
        raise SchemaVersionError(
            f"{path} has schema version {version}, and this Outlast reads version {VERSION}; migrate it first"
        )
    with _connected(path, is_reader=True) as connection:
        connection.execute("BEGIN")  # all of it at one moment
        page, free = (_pragma(connection, name) for name in ("page_size", "freelist_count"))
        return StoreInfo(
            path=path,
            version=version,
            size=Path(path).stat().st_size,
            log_size=_size(f"{path}-wal"),
            free=page * free,
            graphs=_count(connection, "graphs"),
            events=_count(connection, "events"),
            runs=dict(
                connection.execute("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status").fetchall()
            ),
            workers=sum(not life.is_dead(path) for life in read_lives(connection)),
        )


def migrate(path: str) -> tuple[int, int]:
    """Bring a store up to the schema of this version, as opening it would; return the version before and now.

    Raises:
        SchemaVersionError: Not a store, or a newer one.
        StoreError: It cannot be written; the message says what to do.
    """
    path = os.path.realpath(path)
    before = read_version(path)
    prepare(path, allow_network_filesystem=False)
    return before, VERSION


def vacuum(path: str) -> int:
    """Give the room of deleted rows back to the disk, and cut the log; return how many bytes the files lost.

    Workers may go on meanwhile; they wait for moments only.

    Raises:
        StoreError: It cannot be written; the message says what to do.
    """
    path = os.path.realpath(path)
    read_version(path)
    before = Path(path).stat().st_size + _size(f"{path}-wal")
    lock = WriterLock(path)
    try:
        with _connected(path) as connection:
            while _pragma(connection, "freelist_count"):
                with lock.held(within=_PATIENCE_S):
                    # As a script: it moves a page with each step, and `execute` makes one step only.
                    connection.executescript(f"BEGIN IMMEDIATE; PRAGMA incremental_vacuum({_STEP_PAGES}); COMMIT")
            with lock.held(within=_PATIENCE_S):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        lock.close()
    return before - Path(path).stat().st_size - _size(f"{path}-wal")


def back_up(path: str, target: str) -> int:
    """Copy a store as it is at one moment, while others use it, and check the copy; return its size in bytes.

    The copy appears whole or not at all. What was in flight goes on in whichever of the two is opened; open one only.

    Raises:
        ConfigurationError: There is a file at the target, or it cannot be written.
        StoreError: The store cannot be read, or the copy is damaged.
    """
    path = os.path.realpath(path)
    read_version(path)
    if Path(target).exists():
        raise ConfigurationError(f"{target} is there already; choose another path, or remove it first")
    partial = f"{target}.partial"
    try:
        Path(partial).touch()  # fails here, where it is plain that the target is to blame
        with _connected(path, is_reader=True) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)  # all pages in one step: one moment, and writers go on beside a reader
            verdict = copy.execute("PRAGMA quick_check").fetchone()[0]
        if verdict != "ok":
            raise StoreError(f"the copy of {path} is damaged: {verdict}; the store may be, too")
        _sync(partial)
        Path(partial).rename(target)
        _sync(str(Path(target).resolve().parent))
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error}") from error
    finally:
        Path(partial).unlink(missing_ok=True)
    return Path(target).stat().st_size


@contextmanager
def _connected(path: str, *, is_reader: bool = False) -> Generator[sqlite3.Connection]:
    try:
        with closing(connect(path, is_reader=is_reader)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise translate(error, path) from error


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _count(connection: sqlite3.Connection, table: str) -> int:
    count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own names
    return count


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


def _sync(path: str) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
