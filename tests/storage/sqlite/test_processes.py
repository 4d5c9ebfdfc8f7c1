"""Real processes on one file: racing, starving, killed, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from eventually import eventually
from outlast.storage.sqlite import SqliteStore
from outlast.storage.sqlite.connection import Synchronous
from outlast.testing.conformance.scenario import NOW, find, hold

CHILD = Path(__file__).with_name("child.py")

both = pytest.mark.parametrize("durability", ["full", pytest.param("normal", marks=pytest.mark.slow)])


@asynccontextmanager
async def child(command: str, path: Path, durability: str = "normal") -> AsyncGenerator[Process]:
    arguments = [sys.executable, "-X", "faulthandler", str(CHILD), command, str(path), durability]
    process = await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def heard(process: Process) -> list[str]:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().split()


def tell(process: Process, word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n".encode())


@asynccontextmanager
async def opened(path: Path, durability: Synchronous = "normal") -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(path, durability=durability, allow_network_filesystem=True)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.slow
@both
async def test_racing_processes_each_win_a_run_once_and_never_meet_a_lock_error(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "store.db"
    async with child("race", path, durability) as first, child("race", path, durability) as second:
        for process in (first, second):
            assert await heard(process) == ["ready"]
        for process in (first, second):
            tell(process, "go")

        said = [await heard(first), await heard(second)]

    won = [dict(pair.split("=") for pair in words) for words in said]
    assert {key for words in won for key in words} <= {"Receipt", "RunExistsError"}
    assert sum(int(words.get("Receipt", 0)) for words in won) == 200
    async with opened(path) as store:
        for number in range(200):
            row = await find(store, f"run-{number}")
            assert [record.seq for record in await store.load_records(row.key)] == list(range(1, 12))


@pytest.mark.slow
@both
async def test_busy_process_does_not_starve_one_that_starts_runs(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "store.db"
    async with child("busy", path, durability) as busy:
        assert await heard(busy) == ["ready"]

        async with child("starts", path, durability) as starter:
            word, slowest_ms = await heard(starter)

        assert word == "slowest"
        # SQLite's own busy handler takes seconds here; the bound leaves room for a loaded machine.
        assert int(slowest_ms) < 500


@both
async def test_killed_worker_is_buried_at_once_and_loses_nothing(tmp_path: Path, durability: Synchronous) -> None:
    path = tmp_path / "store.db"
    async with opened(path, durability) as store:
        async with child("own", path, durability) as owner:
            assert (await heard(owner))[0] == "ready"
            tell(owner, "append")
            assert await heard(owner) == ["Receipt"]
            assert await store.bury_dead_workers(now_ms=NOW) == 0

            owner.kill()
            await owner.wait()

        assert await store.bury_dead_workers(now_ms=NOW) == 1
        row = await find(store)
        assert (row.owner, row.head, row.ready_at_ms) == (None, 2, NOW)
        assert not list(Path(f"{path}.workers").iterdir())


@pytest.mark.slow
async def test_stopped_worker_is_buried_when_its_lease_is_over_and_refused_when_it_wakes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store, child("own", path) as owner:
        _, worker = await heard(owner)
        os.kill(owner.pid, signal.SIGSTOP)
        assert await store.bury_dead_workers(now_ms=NOW) == 0
        # As if its lease were over: the clock of leases cannot be set.
        store.renew_lease(type((await store.list_workers())[0].key)(int(worker)), timedelta(0))

        assert await store.bury_dead_workers(now_ms=NOW) == 1
        os.kill(owner.pid, signal.SIGCONT)

        tell(owner, "append")
        assert await heard(owner) == ["StaleRunError"]
        tell(owner, "renew")
        assert await heard(owner) == ["False"]
        assert (await find(store)).head == 1


@pytest.mark.slow
@both
async def test_kill_at_any_moment_leaves_a_whole_journal(tmp_path: Path, durability: Synchronous) -> None:
    path = tmp_path / "store.db"
    for _ in range(5):
        async with child("busy", path, durability) as busy:
            assert await heard(busy) == ["ready"]
            busy.kill()
        async with opened(path, durability) as store:
            assert await store.bury_dead_workers(now_ms=NOW) >= 1
            for number in range(50):
                row = await find(store, f"busy-{number}")
                journal = await store.load_records(row.key)
                assert [record.seq for record in journal] == list(range(1, row.head + 1))
            integrity = await store_integrity(path)
            assert integrity == "ok"
        path = path.with_name(f"next-{path.name}")


async def store_integrity(path: Path) -> str:
    check = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", check, str(path), stdout=PIPE)
    output, _ = await process.communicate()
    return output.decode().strip()


@pytest.mark.slow
async def test_change_by_another_process_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store, child("own", path) as owner:
        assert (await heard(owner))[0] == "ready"
        store.has_changed()
        assert not store.has_changed()

        tell(owner, "append")
        assert await heard(owner) == ["Receipt"]

        assert store.has_changed()
        await hold(store, "mine")
        assert not store.has_changed()


@pytest.mark.slow
async def test_two_processes_create_one_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with child("own", path) as first, child("race", path) as second:
        assert (await heard(first))[0] == "ready"
        assert await heard(second) == ["ready"]

    async with opened(path) as store:
        await eventually(lambda: store.bury_dead_workers(now_ms=NOW))
        assert (await find(store)).head == 1
