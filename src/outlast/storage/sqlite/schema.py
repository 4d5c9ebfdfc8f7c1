"""Whose file it is, and bringing it up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from outlast.errors import ConfigurationError, NetworkFilesystemError, SchemaVersionError
from outlast.storage.sqlite.connection import connect, translate
from outlast.storage.sqlite.filesystem import filesystem_type, is_network, read_mounts
from outlast.storage.sqlite.locks import WriterLock
from outlast.storage.sqlite.sql import read_text

__all__ = ["APPLICATION_ID", "VERSION", "prepare", "read_version"]

APPLICATION_ID: Final = int.from_bytes(b"OUTL", "big")
"""Stands in the header of every store."""

_MIGRATIONS: Final = ("0001_first.sql",)

VERSION: Final = len(_MIGRATIONS)
"""The schema that this version of Outlast reads and writes."""

_PATIENCE_S: Final = 30.0
_KNOWS_EFFECTIVE_IDS: Final = os.access in os.supports_effective_ids
"""Whether the system tells what the user may do whom the process acts for, not only the one who started it."""


class _Header(NamedTuple):
    """What a file says about itself."""

    application_id: int
    version: int
    has_tables: bool
    is_wal: bool


def prepare(path: str, *, allow_network_filesystem: bool) -> None:
    """Make the file at a path a store of this version. Nothing is written before every reason to refuse is checked.

    Raises:
        ConfigurationError: The path cannot be used; choose another or mend what the message says.
        NetworkFilesystemError: Move the file to a local disk.
        SchemaVersionError: Not a store, or a newer one; choose another path or update Outlast.
        StoreUnavailableError: The file did not answer; try again.
    """
    _check_place(path)
    if not allow_network_filesystem:
        _check_filesystem(path)
    try:
        if _is_there(path):
            _check_untouched(path)
            if _is_current(path):
                return
        _bring_up_to_date(path)
    except sqlite3.Error as error:
        raise _refusal(error, path) from error


def read_version(path: str) -> int:
    """Return the schema of a store, without changing anything.

    Raises:
        ConfigurationError: There is no such file, or it cannot be opened.
        SchemaVersionError: Not a store, or a newer one; choose another path or update Outlast.
        StoreUnavailableError: The file did not answer; try again.
    """
    if not _is_there(path):
        raise ConfigurationError(f"{path}: there is no store; check the path")
    try:
        _check_untouched(path)
        with closing(connect(path)) as connection:
            header = _read_header(connection)
    except sqlite3.Error as error:
        raise _refusal(error, path) from error
    _check_header(header, path)
    return header.version


def _check_place(path: str) -> None:
    parent = Path(path).parent
    if not parent.is_dir():
        raise ConfigurationError(f"{path}: there is no directory {parent}; create it, or choose another path")
    if Path(path).is_dir():
        raise ConfigurationError(f"{path} is a directory; choose the path of a file")
    # The directory too, because the log and the locks lie beside the file.
    for needed in (parent, Path(path)):
        if needed.exists() and not os.access(needed, os.W_OK, effective_ids=_KNOWS_EFFECTIVE_IDS):
            raise ConfigurationError(f"{needed} cannot be written by this user; change its permissions")


def _check_filesystem(path: str) -> None:
    kind = filesystem_type(path, read_mounts())
    if kind is not None and is_network(kind):
        raise NetworkFilesystemError(
            f"{path} lies on a network file system ({kind}), where locks cannot be trusted; move it to a local disk, "
            "or set allow_network_filesystem=True if only one machine ever opens it"
        )


def _is_there(path: str) -> bool:
    return Path(path).exists() and Path(path).stat().st_size > 0


def _check_untouched(path: str) -> None:
    # Immutable: reads the file as it is and creates nothing beside it. What is still in its log, the next check sees.
    uri = f"file:{quote(path)}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            header = _read_header(connection)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise
        return  # a living store looks damaged to somebody who ignores its log
    _check_header(header, path)


def _is_current(path: str) -> bool:
    with closing(connect(path)) as connection:
        header = _read_header(connection)
    _check_header(header, path)
    return header.version == VERSION and header.is_wal


def _read_header(connection: sqlite3.Connection) -> _Header:
    connection.execute("BEGIN")  # one moment for all answers: another process may be making the tables
    try:
        return _Header(
            application_id=connection.execute("PRAGMA application_id").fetchone()[0],
            version=connection.execute("PRAGMA user_version").fetchone()[0],
            has_tables=connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0] == 1,
            is_wal=connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal",
        )
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _check_header(header: _Header, path: str) -> None:
    if header.application_id != APPLICATION_ID:
        if header.application_id or header.version or header.has_tables:
            raise SchemaVersionError(f"{path} is not an Outlast store but another SQLite database; choose another path")
    elif header.version > VERSION:
        raise SchemaVersionError(
            f"{path} has schema version {header.version}, and this Outlast knows versions up to {VERSION}; "
            "update Outlast, or choose another path"
        )


def _bring_up_to_date(path: str) -> None:
    lock = WriterLock(path)
    try:
        with lock.held(within=_PATIENCE_S), closing(connect(path, mode="rwc", synchronous="full")) as connection:
            header = _read_header(connection)
            _check_header(header, path)
            if not header.has_tables:
                # The page of most disks and of the kernel's cache; room is given back in steps, never by a rewrite.
                connection.execute("PRAGMA page_size = 4096")
                connection.execute("PRAGMA auto_vacuum = incremental")
            _switch_to_wal(connection, path)
            for version, name in enumerate(_MIGRATIONS[header.version :], start=header.version + 1):
                _migrate(connection, name, version)
    finally:
        lock.close()


def _switch_to_wal(connection: sqlite3.Connection, path: str) -> None:
    # One writer beside readers that never wait, and a commit that appends to one file.
    mode = connection.execute("PRAGMA journal_mode = wal").fetchone()[0]
    if mode != "wal":
        raise ConfigurationError(
            f"{path}: this file system has no shared memory for a write-ahead log; use a local disk"
        )


def _migrate(connection: sqlite3.Connection, name: str, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(name):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _statements(name: str) -> Iterator[str]:
    text = read_text(f"migrations/{name}")
    statement = ""
    for line in text.splitlines():
        code = line.partition("--")[0].rstrip()
        statement += code + "\n" if code else ""
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _refusal(error: sqlite3.Error, path: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return SchemaVersionError(f"{path} is not an Outlast store, and not an SQLite database; choose another path")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return ConfigurationError(f"{path} cannot be opened for writing: {error}; check its permissions")
    return translate(error, path)
