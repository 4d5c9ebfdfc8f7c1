"""DBOS on SQLite, as it comes and with the journal mode and disk policies of Outlast, and on PostgreSQL if it is there.

A run is a workflow, and each step and each item a `run_step_async`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy
from dbos import DBOS, WorkflowHandleAsync

from benchmarks.peers.postgres import find_programs, serve
from benchmarks.subject import Open, Sizes, Subject, System

__all__ = ["DBOS_SYSTEMS"]


async def add(n: int) -> int:
    return n + 1


@DBOS.workflow()
async def chain(steps: int, n: int) -> int:
    for _ in range(steps):
        n = await DBOS.run_step_async(None, add, n)
    return n


@DBOS.workflow()
async def mapping(numbers: list[int], width: int) -> list[int]:
    # Steps are numbered when they begin, so all begin in the order of the items, and the first `width` run at a time.
    places = asyncio.Semaphore(width)

    async def place(n: int) -> int:
        async with places:
            return await add(n)

    return list(await asyncio.gather(*(DBOS.run_step_async(None, place, n) for n in numbers)))


class DbosStarted:
    def __init__(self, handle: WorkflowHandleAsync[int]) -> None:
        self._handle = handle

    async def result(self) -> int:
        # It asks the database once a second unless told otherwise.
        return await self._handle.get_result(polling_interval_sec=0.001)

    async def look_back(self) -> dict[str, float]:
        return {}


class DbosSubject:
    async def start(self, steps: int, n: int) -> DbosStarted:
        return DbosStarted(await DBOS.start_workflow_async(chain, steps, n))

    async def map(self, numbers: Sequence[int], width: int) -> list[int]:
        handle = await DBOS.start_workflow_async(mapping, list(numbers), width)
        return await handle.get_result(polling_interval_sec=0.001)


@asynccontextmanager
async def open_on_sqlite(pragmas: Sequence[str], directory: Path, _: Sizes) -> AsyncIterator[Subject]:
    url = f"sqlite:///{directory / 'dbos.db'}"
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": 30})

    @sqlalchemy.event.listens_for(engine, "connect")
    def set_policy(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    try:
        with launch(url, {"system_database_engine": engine} if pragmas else {}):
            yield DbosSubject()
    finally:
        engine.dispose()


@asynccontextmanager
async def open_on_postgres(programs: Path, directory: Path, _: Sizes) -> AsyncIterator[Subject]:
    with serve(programs, directory) as url, launch(url, {}):
        yield DbosSubject()


@contextmanager
def launch(url: str, options: dict[str, Any]) -> Iterator[None]:
    logging.getLogger("dbos").setLevel(logging.ERROR)
    config: Any = {"name": "benchmarks", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False}
    DBOS(config={**config, **options})
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


DBOS_SYSTEMS: dict[System, Open] = {
    System(key="dbos", label="DBOS, SQLite as it comes", disk="fsync", is_peer=True): partial(open_on_sqlite, []),
    System(key="dbos-wal", label="DBOS, SQLite WAL", disk="fsync", is_peer=True): partial(
        open_on_sqlite, ["journal_mode = wal", "synchronous = full"]
    ),
    System(key="dbos-wal-normal", label="DBOS, SQLite WAL", disk="no fsync", is_peer=True): partial(
        open_on_sqlite, ["journal_mode = wal", "synchronous = normal"]
    ),
}

POSTGRES = find_programs()
if POSTGRES is not None:
    DBOS_SYSTEMS[System(key="dbos-postgres", label="DBOS, PostgreSQL", disk="fsync", is_peer=True)] = partial(
        open_on_postgres, POSTGRES
    )
