"""What deleting leaves in the file, and how the file becomes smaller."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from outlast.core.status import RunStatus
from outlast.storage.base import Receipt
from outlast.storage.sqlite import SqliteStore, keeping, sweeper
from outlast.storage.sqlite.locks import WriterLock
from outlast.storage.sqlite.maintenance import Maintenance
from outlast.storage.sqlite.upkeep import vacuum
from outlast.testing.conformance.scenario import LEASE, NOW, Held, append, insert, new_run, records

LATER = NOW + 1_000
RUNS = 500


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


async def fill(store: SqliteStore, runs: int, *, payload: bytes) -> None:
    """Record runs that have ended, with a tag and a request that was taken."""
    graph = await store.ensure_graph("orders", "v1", b"{}")
    worker = await store.register_worker(workflows=["orders"], lease=LEASE)
    for number in range(runs):
        journal = records(1, 2, payload=payload)
        run = new_run(graph, f"r{number}", owner=worker, journal=journal)._replace(tags=("red",))
        receipt = await insert(store, run)
        assert isinstance(receipt, Receipt)
        held = Held(store=store, worker=worker, graph=graph, key=receipt.run, epoch=receipt.epoch)
        await store.post(f"r{number}", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")
        taken = [row.key for row in await store.list_inbox(worker)]
        write = held.write(3, 1, status=RunStatus.CANCELED, is_released=True, inbox_taken=taken)
        assert isinstance(await append(store, write), Receipt)


@pytest.mark.slow
async def test_file_becomes_smaller_and_keeps_nothing_but_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """17: gives disk back; a deleted run leaves a tombstone."""
    monkeypatch.setattr(keeping, "STEP_S", 60.0)  # else the number of steps is that of a busy machine
    path = tmp_path / "store.db"
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    await store.open()
    await fill(store, RUNS, payload=b'"%s"' % (b"x" * 20_000))
    freed = deleted = steps = 0
    while True:
        steps += 1
        step = await store.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER)
        assert step is not None
        freed, deleted = freed + step.freed_bytes, deleted + step.deleted
        if step.is_done:
            break
    await store.close()
    size = path.stat().st_size

    assert deleted == RUNS
    assert freed > 10_000_000
    assert steps < 40  # 20 MB, a megabyte at a time
    assert size < 6_000_000
    for table in ("events", "stream_events", "inbox", "run_tags", "outbox", "identity_keys"):
        assert rows(path, f"SELECT count(*) FROM {table}") == [(0,)]
    kept = "SELECT DISTINCT status, workflow_id, resource_id, graph, owner, head, ready_at_ms FROM runs"
    assert rows(path, kept) == [("deleted", "", None, 0, None, 0, None)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def test_spare_pages_are_kept_for_the_next_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """17: a store that is cleared a little is not rewritten for it."""
    monkeypatch.setattr(keeping, "STEP_S", 60.0)
    path = tmp_path / "store.db"
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    await store.open()
    await fill(store, 20, payload=b'"x"')

    steps = [await store.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER) for _ in range(2)]

    await store.close()
    assert [(step.deleted, step.freed_bytes, step.is_done) for step in steps if step] == [(20, 0, False), (0, 0, True)]


async def test_vacuum_holds_the_writers_up_for_few_large_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step gives many pages back: one page each time would take the writer lock a million times for 4 GB."""
    path = tmp_path / "outlast.db"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE ballast (data BLOB)")
        connection.execute("INSERT INTO ballast VALUES (zeroblob(10000000))")
        connection.commit()
        connection.execute("DROP TABLE ballast")
        connection.commit()
    held = WriterLock.held
    times: list[float] = []

    def counted(lock: WriterLock, *, within: float) -> Any:
        times.append(within)
        return held(lock, within=within)

    monkeypatch.setattr(WriterLock, "held", counted)
    gained = vacuum(str(path))

    assert gained > 9_000_000
    assert len(times) <= 4


async def test_step_of_a_sweep_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """17: others may write between two steps; each step does one piece at least, so that a sweep always ends."""
    monkeypatch.setattr(keeping, "STEP_S", 0.0)
    store = SqliteStore(tmp_path / "store.db", durability="normal", allow_network_filesystem=True)
    await store.open()
    await fill(store, 40, payload=b'"x"')

    steps = [await store.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER) for _ in range(4)]

    await store.close()
    assert [(step.deleted, step.is_done) for step in steps if step] == [(16, False), (16, False), (8, False), (0, True)]


async def test_long_journal_is_removed_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """17: `head` counts what is left of a deleted run, so that a step may end in the middle of it."""
    monkeypatch.setattr(keeping, "STEP_S", 0.0)
    path = tmp_path / "store.db"
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    await store.open()
    graph = await store.ensure_graph("orders", "v1", b"{}")
    worker = await store.register_worker(workflows=["orders"], lease=LEASE)
    receipt = await insert(store, new_run(graph, owner=worker, journal=records(1, 150)))
    assert isinstance(receipt, Receipt)
    held = Held(store=store, worker=worker, graph=graph, key=receipt.run, epoch=receipt.epoch)
    await append(store, held.write(151, status=RunStatus.SUCCESS, is_released=True))

    left: list[Any] = []
    for _ in range(3):
        await store.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER)
        left += rows(path, "SELECT head, (SELECT count(*) FROM events) FROM runs")

    await store.close()
    assert left == [(87, 87), (23, 23), (0, 0)]


async def test_sweep_waits_while_the_log_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """17: what is written meanwhile is copied while all writers wait, so it must be little."""
    looks = [True, True, True]
    monkeypatch.setattr(Maintenance, "is_due", lambda _: bool(looks) and looks.pop())
    store = SqliteStore(tmp_path / "store.db", durability="normal", allow_network_filesystem=True)
    await store.open()
    await fill(store, 1, payload=b'"x"')

    step = await store.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER)

    await store.close()
    assert step is not None
    assert (step.deleted, looks) == (1, [])


async def test_sweep_is_not_held_up_for_ever_by_a_log_that_stays_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """17: a reader of another program may keep the log from being copied; old runs go all the same."""
    monkeypatch.setattr(Maintenance, "is_due", lambda _: True)
    monkeypatch.setattr(sweeper, "_LOOKS", 2)
    store = SqliteStore(tmp_path / "store.db", durability="normal", allow_network_filesystem=True)
    await store.open()
    await fill(store, 1, payload=b'"x"')

    step = await store.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER)

    await store.close()
    assert step is not None
    assert step.deleted == 1
