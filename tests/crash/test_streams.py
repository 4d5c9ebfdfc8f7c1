"""Streams of runs in other processes: readers that are cut off, and processes that die while they speak."""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from chance import first_seed
from crash.processes import Nursery
from crash.worker_process import CHATTER, CHUNKS
from outlast import Outlast, StreamEvent
from outlast.storage.sqlite import SqliteStore
from outlast.values import decode

LONG = 600.0


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[Outlast]:
    """Open an app that drives nothing: all that it sees is done by other processes."""
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    async with Outlast([CHATTER], store=store, worker=False) as app:
        yield app


async def read_a_little(app: Outlast, seen: list[StreamEvent], chance: random.Random) -> bool:
    """Read from the last event on, and be cut off at any moment; say whether the stream ended by itself."""
    count = chance.randrange(1, 5)
    patience = chance.choice((0.001, 0.01, 5.0))
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            async for event in app.run("run").observe_stream(after=seen[-1].seq if seen else 0):
                seen.append(event)
                count -= 1
                if count == 0:
                    return False
            return True
    return False


@pytest.mark.timeout(120)
@pytest.mark.parametrize("connections_at_least", [100, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_reader_that_reconnects_again_and_again_sees_each_event_once(
    nursery: Nursery, tmp_path: Path, connections_at_least: int
) -> None:
    """14.2: everything from its offset, in order, once, from another process, during the run."""
    chance = random.Random(first_seed())
    path, seen, connections, is_over = tmp_path / "store.db", [], 0, False
    items = 90 * connections_at_least // 1_000
    async with nursery.open(path, lease=LONG, max_recoveries=50) as process, reading(path) as app:
        process.do(
            "start", workflow="chatter", run_id="run", input=list(range(items)), effects=str(tmp_path / "effects")
        )
        await process.event("started", run_id="run")
        while not is_over:
            is_over = await read_a_little(app, seen, chance)
            connections += 1
        every = [event async for event in app.run("run").events()]

    print(f"{len(every)} events over {connections} connections")
    assert seen == every
    assert connections > connections_at_least
    assert sum(event.type == "workflow-step-output" for event in every) == items * CHUNKS


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_outcome_is_never_recorded_before_what_its_body_said(nursery: Nursery, tmp_path: Path) -> None:
    """14.1, 14.3: SIGKILL while chunks are written, again and again; the lost calls are told apart."""
    chance = random.Random(first_seed())
    path, effects = tmp_path / "store.db", str(tmp_path / "effects")
    async with reading(path) as app:
        for kill in range(6):
            async with nursery.open(path, lease=LONG, max_recoveries=50) as process:
                if kill == 0:
                    process.do("start", workflow="chatter", run_id="run", input=list(range(6)), effects=effects)
                    await process.event("started", run_id="run")
                head = [event.seq async for event in app.run("run").events()][-1]
                left = chance.randrange(1, 60)
                async for _ in app.run("run").observe_stream(after=head, follow=True):
                    left -= 1
                    if left == 0:
                        break
                await process.kill()
                if (await app.run("run").status()).is_terminal:
                    break
        async with nursery.open(path, lease=LONG, max_recoveries=50):
            result = await app.run("run").result(timeout=20)
        every = [event async for event in app.run("run").events()]

    assert result.result == list(range(6))
    starts = [event for event in every if event.type == "workflow-step-start" and call_of(event)]
    assert any(event.payload["recovered"] for event in starts)
    for start in starts:
        chunks = [event for event in every if event.type == "workflow-step-output" and call_of(event) == call_of(start)]
        assert [event.payload["output"] for event in chunks] == list(range(len(chunks)))
        assert all(event.seq > start.seq for event in chunks)
    for end in [event for event in every if event.type == "workflow-step-result" and call_of(event)]:
        chunks = [event for event in every if event.type == "workflow-step-output" and call_of(event) == call_of(end)]
        assert len(chunks) == CHUNKS
        assert all(event.seq < end.seq for event in chunks)


def call_of(event: StreamEvent) -> object:
    return event.payload.get("step_call_id")


async def test_journal_has_no_gap_and_no_number_twice(nursery: Nursery, tmp_path: Path) -> None:
    """14.1: facts and stream events share one order, also when a process dies between them."""
    path, effects = tmp_path / "store.db", str(tmp_path / "effects")
    async with reading(path) as app:
        async with nursery.open(path, lease=LONG, max_recoveries=50) as process:
            process.do("start", workflow="chatter", run_id="run", input=[1, 2], effects=effects)
            await process.event("started", run_id="run")
            async for event in app.run("run").observe_stream():
                if event.type == "workflow-step-output":
                    break
            await process.kill()
        async with nursery.open(path, lease=LONG, max_recoveries=50):
            await app.run("run").result(timeout=20)
    store = SqliteStore(path, allow_network_filesystem=True)
    await store.open()
    row = await store.find_run("run")
    assert row is not None
    records = await store.load_records(row.key)
    await store.close()

    assert [record.seq for record in records] == list(range(1, row.head + 1))
    assert {decode(record.payload or b"") for record in records if not record.is_fact} == set(range(CHUNKS))
