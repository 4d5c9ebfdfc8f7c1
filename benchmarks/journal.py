"""The floors' journal: the rows that Outlast writes, put into an SQLite file by as little code as possible.

Three ways to commit them. In each, `write` returns when the row is committed: at the disk with `synchronous=FULL`, at
the operating system with `NORMAL`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, Protocol

__all__ = ["Journal", "JournalInThread", "JournalPerTurn", "JournalPerWrite", "Write", "connect"]

# The tables of Outlast with their indexes, as far as these workloads touch them.
SCHEMA = """
CREATE TABLE runs (
  key INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, workflow_id TEXT NOT NULL, graph INTEGER NOT NULL,
  resource_id TEXT, status TEXT NOT NULL, execution INTEGER NOT NULL, epoch INTEGER NOT NULL, owner INTEGER,
  head INTEGER NOT NULL, ready_at_ms INTEGER, created_at_ms INTEGER NOT NULL, updated_at_ms INTEGER NOT NULL
);
CREATE INDEX runs_claimable ON runs (graph, ready_at_ms) WHERE owner IS NULL AND ready_at_ms IS NOT NULL;
CREATE INDEX runs_owned ON runs (owner) WHERE owner IS NOT NULL;
CREATE TABLE events (
  run_key INTEGER NOT NULL, seq INTEGER NOT NULL, execution INTEGER NOT NULL, class INTEGER NOT NULL,
  type TEXT NOT NULL, v INTEGER NOT NULL, at_ms INTEGER NOT NULL, path TEXT NOT NULL, attempt INTEGER NOT NULL,
  body BLOB, payload BLOB, PRIMARY KEY (run_key, seq)
) WITHOUT ROWID;
"""
INSERT_RUN = "INSERT INTO runs VALUES (?, ?, 'chain', 1, NULL, 'running', 0, 1, 1, ?, NULL, ?, ?)"
INSERT_EVENT = "INSERT INTO events VALUES (?, ?, 0, 1, ?, 1, ?, ?, 0, NULL, ?)"
# The fence of an owned write: the row must still look as its writer believes.
UPDATE_RUN = """
UPDATE runs SET status = ?, owner = ?, head = ?, updated_at_ms = ?
WHERE key = ? AND owner = 1 AND epoch = 1 AND head = ?
"""

Value = str | bytes | int | None


class Write(NamedTuple):
    """What one commit records of one run: events, and the run's row, which is new or updated."""

    events: list[tuple[Value, ...]]
    row: tuple[Value, ...]
    is_new: bool


class Journal(Protocol):
    """A way to commit."""

    async def write(self, write: Write) -> None: ...

    def close(self) -> None: ...


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.executescript(SCHEMA)
    return connection


def record(connection: sqlite3.Connection, writes: Sequence[Write]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    inserts = [write.row for write in writes if write.is_new]
    updates = [write.row for write in writes if not write.is_new]
    if inserts:
        connection.executemany(INSERT_RUN, inserts)
    if updates and (changed := connection.executemany(UPDATE_RUN, updates).rowcount) != len(updates):
        raise RuntimeError(f"the fence let {changed} of {len(updates)} writes pass")
    connection.executemany(INSERT_EVENT, [event for write in writes for event in write.events])
    connection.execute("COMMIT")


class JournalPerWrite:
    """One commit per write, on the event loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def write(self, write: Write) -> None:
        record(self._connection, [write])
        await asyncio.sleep(0)  # the others' turn, as with every other journal

    def close(self) -> None:
        self._connection.close()


class JournalPerTurn:
    """All writes of one turn of the event loop in one commit, on the loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Write, asyncio.Future[None]]] = []

    async def write(self, write: Write) -> None:
        future = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append((write, future))
        await future

    def close(self) -> None:
        self._connection.close()

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        settle(batch, attempt(self._connection, batch))


class JournalInThread:
    """All writes that wait in one commit, in a thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[tuple[Write, asyncio.Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="floor-writer")
        self._thread.start()

    async def write(self, write: Write) -> None:
        future = self._loop.create_future()
        self._waiting.put((write, future))
        await future

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()
        self._connection.close()

    def _serve(self) -> None:
        is_open = True
        while is_open:
            batch = []
            item = self._waiting.get()
            while item is not None:
                batch.append(item)
                if self._waiting.empty():
                    break
                item = self._waiting.get()
            is_open = item is not None
            if batch:
                self._loop.call_soon_threadsafe(settle, batch, attempt(self._connection, batch))


def attempt(connection: sqlite3.Connection, batch: Sequence[tuple[Write, asyncio.Future[None]]]) -> Exception | None:
    try:
        record(connection, [write for write, _ in batch])
    except Exception as error:  # noqa: BLE001 - whoever waits for the write raises it; else nobody would wake them
        return error
    return None


def settle(batch: Sequence[tuple[Write, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, future in batch:
        if future.done():  # canceled: another write of the workload failed
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
