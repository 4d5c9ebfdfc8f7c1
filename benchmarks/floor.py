"""The floors: the same runs without an engine. What is left is the journal and a coroutine per run.

A floor checks no types, keeps no state that could be recovered, and reads nothing back. It says what the file allows.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.journal import (
    Journal,
    JournalInThread,
    JournalPerTurn,
    JournalPerWrite,
    Value,
    Write,
    connect,
)
from benchmarks.subject import Open, Sizes, Subject, System

__all__ = ["FLOORS"]


class FloorRun:
    """The rows of one run, in order."""

    def __init__(self, journal: Journal, key: int) -> None:
        self._journal = journal
        self._key = key
        self._head = 0

    async def record(self, *events: tuple[str, str, bytes | None], status: str = "running") -> None:
        now, before = time.time_ns() // 1_000_000, self._head
        self._head += len(events)
        rows: list[tuple[Value, ...]] = [
            (self._key, before + place, kind, now, path, payload)
            for place, (kind, path, payload) in enumerate(events, start=1)
        ]
        if before == 0:
            await self._journal.write(
                Write(rows, (self._key, f"run-{self._key:020}", self._head, now, now), is_new=True)
            )
        else:
            owner = 1 if status == "running" else None
            await self._journal.write(Write(rows, (status, owner, self._head, now, self._key, before), is_new=False))


class FloorStarted:
    def __init__(self, task: asyncio.Task[int]) -> None:
        self._task = task

    async def result(self) -> int:
        return await self._task

    async def look_back(self) -> dict[str, float]:
        return {}


class FloorSubject:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._keys = count(1)

    async def start(self, steps: int, n: int) -> FloorStarted:
        run = FloorRun(self._journal, next(self._keys))
        await run.record(("run-started", "", pack(n)), ("step-started", "add0", None))
        return FloorStarted(asyncio.create_task(drive(run, steps, n)))

    async def map(self, numbers: Sequence[int], width: int) -> list[int]:
        run = FloorRun(self._journal, next(self._keys))
        outputs = [0] * len(numbers)
        waiting = iter(range(min(width, len(numbers)), len(numbers)))
        first = [("step-started", f"add[{index}]", None) for index in range(min(width, len(numbers)))]
        await run.record(("run-started", "", pack(len(numbers))), ("block-opened", "add", None), *first)

        async def lane(index: int | None) -> None:
            while index is not None:
                outputs[index] = await add(numbers[index])
                events = [("step-succeeded", f"add[{index}]", pack(outputs[index]))]
                index = next(waiting, None)
                if index is not None:
                    events.append(("step-started", f"add[{index}]", None))
                await run.record(*events)

        await asyncio.gather(*(lane(index) for index in range(len(first))))
        await run.record(("block-succeeded", "add", None), ("run-finished", "", None), status="success")
        return outputs


async def drive(run: FloorRun, steps: int, n: int) -> int:
    for index in range(steps):
        n = await add(n)
        ended = ("step-succeeded", f"add{index}", pack(n))
        if index + 1 < steps:
            await run.record(ended, ("step-started", f"add{index + 1}", None))
        else:
            await run.record(ended, ("run-finished", "", None), status="success")
    return n


async def add(n: int) -> int:
    return n + 1


def pack(n: int) -> bytes:
    return b'\0{"n":%d}' % n


@asynccontextmanager
async def open_floor(
    make: Callable[[sqlite3.Connection], Journal], synchronous: str, directory: Path, _sizes: Sizes
) -> AsyncIterator[Subject]:
    journal = make(connect(directory / "floor.db", synchronous))
    try:
        yield FloorSubject(journal)
    finally:
        journal.close()


FLOORS: dict[System, Open] = {
    System(key=f"{key}-{synchronous}", label=f"floor: {label}", disk=disk, is_floor=True): partial(
        open_floor, make, synchronous
    )
    for synchronous, disk in (("full", "fsync"), ("normal", "no fsync"))
    for key, label, make in (
        ("thread", "group commit, thread", JournalInThread),
        ("turn", "commit per loop turn", JournalPerTurn),
        ("write", "commit per write", JournalPerWrite),
    )
}
