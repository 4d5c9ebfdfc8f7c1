"""Real processes, real SIGKILL: nothing that was started is lost, and nothing that was recorded is done again."""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chance import first_seed
from crash.audit import check_effects, check_run
from crash.processes import Nursery
from crash.reference import TEN_STEPS
from eventually import eventually
from outlast.storage.base import Store
from outlast.storage.sqlite import SqliteStore

LONG = 600.0  # a lease that no test lives through: only a free lock can tell that its owner is dead
KILLS = int(os.environ.get("OUTLAST_KILLS", "200"))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    store = SqliteStore(path, allow_network_filesystem=True)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def until_all_ended(path: Path, run_ids: list[str], *, within: float) -> None:
    async with opened(path) as store:
        left = set(run_ids)

        async def have_ended() -> bool:
            for run_id in list(left):
                row = await store.find_run(run_id)
                if row is None or not row.status.is_terminal:
                    return False
                left.discard(run_id)
            return True

        await eventually(have_ended, within=within)


async def check_all(path: Path, effects: Path, run_ids: list[str], *, crashes: int) -> None:
    async with opened(path) as store:
        for run_id in run_ids:
            await check_run(store, run_id)
            check_effects(TEN_STEPS, effects, run_id, crashes=crashes)


async def start_and_kill(nursery: Nursery, path: Path, effects: Path, run_id: str, durability: str) -> None:
    # So many deaths may happen to one run on a slow machine, and it is not poison.
    async with nursery.open(path, lease=LONG, durability=durability, max_recoveries=10 * KILLS) as process:
        process.do("start", workflow="ten", run_id=run_id, input=0, effects=str(effects))
        await process.event("started", run_id=run_id)
        await process.kill()


async def kill_after_start(nursery: Nursery, directory: Path, tries: int, durability: str) -> None:
    """Start a run and kill at once, again and again; the next process on the same file finishes what is left."""
    effects = directory / "effects"
    path = directory / "store.db"
    run_ids = [f"run-{number}" for number in range(tries)]

    for run_id in run_ids:
        await start_and_kill(nursery, path, effects, run_id, durability)
    async with nursery.open(path, lease=LONG, max_recoveries=10 * KILLS):
        await until_all_ended(path, run_ids, within=30)

    await check_all(path, effects, run_ids, crashes=tries)


async def test_started_run_survives_sigkill(nursery: Nursery, tmp_path: Path) -> None:
    """3.1: when `start_async` returns, the run is on disk and will be run, whatever happens to this process."""
    await kill_after_start(nursery, tmp_path, 20, "full")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("durability", ["full", "normal"])
async def test_started_run_survives_sigkill_every_time(nursery: Nursery, tmp_path: Path, durability: str) -> None:
    """3.1: two sequences of kills beside each other; each process also recovers what the ones before it left."""
    directories = [tmp_path / name for name in ("one", "two")]
    for directory in directories:
        directory.mkdir()

    await asyncio.gather(*(kill_after_start(nursery, each, KILLS // 2, durability) for each in directories))

    print(f"{durability}: {KILLS // 2 * 2} of {KILLS // 2 * 2} runs survived")


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_run_of_a_killed_process_is_finished_by_the_very_next_one(nursery: Nursery, tmp_path: Path) -> None:
    """12.1: a process that dies loses its runs at once on the same machine: its lock is free."""
    path, effects = tmp_path / "store.db", tmp_path / "effects"
    for number in range(10):
        run_id = f"run-{number}"
        await start_and_kill(nursery, path, effects, run_id, "full")

        async with nursery.open(path, lease=LONG) as process:
            process.do("result", run_id=run_id)
            result = await process.event("result", run_id=run_id)

        assert (result["status"], result["result"]) == ("success", TEN_STEPS.result)
        async with opened(path) as store:
            await check_run(store, run_id)
        check_effects(TEN_STEPS, effects, run_id, crashes=1)


async def kill_at_random(nursery: Nursery, directory: Path, *, runs: int, rounds: int) -> None:
    chance = random.Random(first_seed())
    path, effects = directory / "store.db", directory / "effects"
    run_ids = [f"run-{number}" for number in range(runs)]
    started: set[str] = set()
    for _ in range(rounds):
        async with nursery.open(path, lease=LONG, max_recoveries=2 * rounds) as process:
            for run_id in run_ids:
                if run_id not in started:
                    process.do("start", workflow="ten", run_id=run_id, input=0, effects=str(effects))
            size = effects.stat().st_size if effects.exists() else 0
            more = chance.randrange(1, runs * 10 * 12 // 3)

            def has_come_far(limit: int = size + more) -> bool:
                return effects.exists() and effects.stat().st_size > limit

            done = asyncio.create_task(eventually(has_come_far, within=1))
            await asyncio.wait([done])
            done.exception()
            for event in await process.kill():
                if event["event"] == "started" or event.get("type") == "RunExistsError":
                    started.add(event["run_id"])

    async with nursery.open(path, lease=LONG, max_recoveries=2 * rounds) as process:
        for run_id in set(run_ids) - started:
            process.do("start", workflow="ten", run_id=run_id, input=0, effects=str(effects))
        await until_all_ended(path, run_ids, within=60)
        await process.close()

    await check_all(path, effects, run_ids, crashes=rounds)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_runs_killed_at_random_moments_all_finish(nursery: Nursery, tmp_path: Path) -> None:
    """12.1: runs go on from the journal: a recorded outcome is never produced again."""
    await kill_at_random(nursery, tmp_path, runs=20, rounds=4)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_two_hundred_runs_killed_at_random_moments_all_finish(nursery: Nursery, tmp_path: Path) -> None:
    """12.1: the same under load, over many rounds of killing."""
    await kill_at_random(nursery, tmp_path, runs=200, rounds=12)
