"""Reading off the event loop: a few threads with connections of their own, and how rows become values."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.errors import StoreError, StoreUnavailableError
from outlast.storage.base import GraphKey, GraphRow, Head, InboxKey, InboxRow, RunKey, RunRow, WorkerKey
from outlast.storage.sqlite.connection import translate
from outlast.storage.sqlite.recording import JSON
from outlast.storage.sqlite.sql import chunks, many, one
from outlast.storage.sqlite.thread import LoopThread, post

__all__ = ["Readers", "graph_row", "inbox_row", "read_events", "read_heads", "read_journals", "record_of", "run_row"]

T = TypeVar("T")

_THREADS: Final = 2


class Readers:
    """A pool of threads for everything that may block and is not a commit."""

    def __init__(self, path: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[LoopThread] = []

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on a connection of the thread that it comes to.

        Raises:
            StoreError: What SQLite reported, translated.
        """
        if len(self._threads) < _THREADS:
            self._add_thread()
        future: asyncio.Future[T] = self._loop.create_future()
        self._work.put((query, future))
        return await future

    async def call(self, function: Callable[[], T]) -> T:
        """Run something that blocks and needs no connection.

        Raises:
            StoreError: What the function raises.
        """
        return await self.read(_WithoutConnection(function))

    def stop(self) -> None:
        """Let the threads end after what they do."""
        for _ in self._threads:
            self._work.put(None)

    async def join(self) -> None:
        """Wait until they have ended."""
        for thread in self._threads:
            await thread.join()

    def _add_thread(self) -> None:
        try:
            self._threads.append(LoopThread(f"outlast-reader-{len(self._threads)}", self._serve))
        except StoreUnavailableError:
            if not self._threads:  # else it waits for one of those that are there
                raise

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        while (work := self._work.get()) is not None:
            query, future = work
            try:
                if isinstance(query, _WithoutConnection):
                    value = query.function()
                else:
                    connection = connection or self._connect()
                    value = query(connection)
            except sqlite3.Error as error:
                translated = translate(error, self._path)
                translated.__cause__ = error
                post(self._loop, _deliver, future, None, translated)
            except Exception as error:  # noqa: BLE001 - belongs to whoever asked, not to this thread
                post(self._loop, _deliver, future, None, error)
            else:
                post(self._loop, _deliver, future, value, None)
            del work, query, future  # nothing of it stays alive while the thread waits
        if connection is not None:
            connection.close()


class _WithoutConnection:
    """A function in the shape of a query."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function

    def __call__(self, connection: sqlite3.Connection) -> Any:  # noqa: ANN401 - whatever the function returns
        return self.function()


_Work: TypeAlias = "tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]"


def _deliver(future: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if future.done():  # nobody waits any more
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def run_row(row: tuple[Any, ...]) -> RunRow:
    """Read a row of `runs`."""
    return RunRow(
        key=RunKey(row[0]),
        run_id=row[1],
        workflow_id=row[2],
        graph=GraphKey(row[3]),
        resource_id=row[4],
        status=RunStatus(row[5]),
        execution=row[6],
        epoch=row[7],
        owner=None if row[8] is None else WorkerKey(row[8]),
        head=row[9],
        ready_at_ms=row[10],
        created_at_ms=row[11],
        updated_at_ms=row[12],
        is_limited=bool(row[13]),
    )


def graph_row(row: tuple[Any, ...]) -> GraphRow:
    """Read a row of `graphs`, without its document."""
    key, workflow_id, fingerprint = row
    return GraphRow(key=GraphKey(key), workflow_id=workflow_id, fingerprint=fingerprint)


def inbox_row(row: tuple[Any, ...]) -> InboxRow:
    """Read a row of `inbox`."""
    return InboxRow(key=InboxKey(row[0]), run=RunKey(row[1]), kind=row[2], topic=row[3], at_ms=row[4], body=row[5])


def read_events(
    connection: sqlite3.Connection, name: str, place: tuple[int, int, int], limit: int, most_bytes: int | None
) -> list[Record]:
    """Read events of a run, after and until; only as many as it takes to reach `most_bytes` of bodies and payloads.

    Raises:
        StoreError: A value is encoded in a way that this version does not know; update Outlast.
    """
    values = (*place, *place, limit) if name == "load_records" else (*place, limit)  # once for each table
    cursor = connection.execute(one(name), values)
    if most_bytes is None:
        return [record_of(row) for row in cursor.fetchall()]
    records: list[Record] = []
    for row in cursor:
        records.append(record_of(row))
        most_bytes -= len(records[-1].body or b"") + len(records[-1].payload or b"")
        if most_bytes <= 0:
            break
    cursor.close()  # else the connection goes on reading the file as it is now
    return records


def read_heads(connection: sqlite3.Connection, runs: Sequence[RunKey]) -> dict[RunKey, Head]:
    """Read how far the journals of some runs go."""
    heads: dict[RunKey, Head] = {}
    for start, size in chunks(len(runs)):
        rows = connection.execute(many("load_heads", size), runs[start : start + size])
        heads.update((RunKey(key), Head(seq, RunStatus(status))) for key, seq, status in rows.fetchall())
    return heads


def read_journals(connection: sqlite3.Connection, runs: Sequence[RunKey]) -> dict[RunKey, list[Record]]:
    """Read all facts of some runs.

    Raises:
        StoreError: A value is encoded in a way that this version does not know; update Outlast.
    """
    journals: dict[RunKey, list[Record]] = {run: [] for run in runs}
    keys = list(journals)
    for start, size in chunks(len(keys)):
        rows = connection.execute(many("load_journals", size), keys[start : start + size])
        for row in rows.fetchall():
            journals[row[0]].append(record_of(row[1:]))
    return journals


def record_of(row: tuple[Any, ...]) -> Record:
    """Read a row of `events`.

    Raises:
        StoreError: A value is encoded in a way that this version does not know; update Outlast.
    """
    seq, execution, is_fact, kind, version, at_ms, path, attempt, body, payload = row
    return Record(seq, execution, bool(is_fact), kind, version, at_ms, path, attempt, _decoded(body), _decoded(payload))


def _decoded(stored: bytes | None) -> bytes | None:
    if stored is None:
        return None
    if stored[:1] != JSON:
        raise StoreError(
            f"an event is stored in encoding {stored[:1].hex() or '(none)'}, unknown to this Outlast; update it"
        )
    return stored[1:]
