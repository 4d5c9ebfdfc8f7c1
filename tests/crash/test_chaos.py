"""Workers whose commits fail, whose answers are lost, and who are taken for dead while they live: all at once."""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from chance import first_seed
from crash.audit import check_run
from crash.reference import ALL, TEN_STEPS, Reference
from eventually import eventually
from outlast import Outlast
from outlast.errors import RunExistsError, StoreUnavailableError
from outlast.storage.base import CommitSeam, Store
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.storage.sqlite import SqliteStore

REFERENCES = (TEN_STEPS, *ALL)
WORKERS = 3

OpenStore = Callable[[CommitSeam | None], Store]


class Trouble:
    """A seam at which some commits fail and some answers are lost, as long as it lasts."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.is_over = False
        self.strikes = 0

    def before_commit(self) -> None:
        self._strike("disk full")

    def after_commit(self) -> None:
        self._strike("answer lost")

    def _strike(self, what: str) -> None:
        if not self.is_over and self._chance.random() < 0.08:
            self.strikes += 1
            raise OSError(what)


@pytest.fixture(params=["memory", "normal", pytest.param("full", marks=pytest.mark.slow)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    database = MemoryDatabase()
    if request.param == "memory":
        return lambda seam: MemoryStore(database, seam=seam)
    return lambda seam: SqliteStore(
        tmp_path / "store.db", durability=request.param, allow_network_filesystem=True, seam=seam
    )


async def start_surely(app: Outlast, reference: Reference, run_id: str) -> None:
    """Start a run as a careful caller does: again with the same id until it is known to be there."""
    while True:
        run = await app.create_run(reference.workflow, run_id=run_id)
        with suppress(StoreUnavailableError):
            with suppress(RunExistsError):
                await run.start_async(input_data=reference.input)
            return


async def enter(open_store: OpenStore, seam: Trouble) -> Outlast:
    """Open an app, again and again until the trouble lets it."""
    while True:
        workflows = [reference.workflow for reference in REFERENCES]
        app = Outlast(workflows, store=open_store(seam), lease=timedelta(seconds=1), drain=timedelta(0))
        with suppress(StoreUnavailableError):
            return await app.__aenter__()


async def bury_the_living(store: Store, chance: random.Random, trouble: Trouble) -> int:
    """End the lives of workers that are alive, as a stall of theirs would."""
    buried = 0
    while not trouble.is_over:
        workers = await store.list_workers()
        if workers and chance.random() < 0.5:
            await store.retire_worker(chance.choice(workers).key)
            buried += 1
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=chance.random() * 0.02)
    return buried


@pytest.mark.timeout(60)
@pytest.mark.parametrize("runs", [40, pytest.param(600, marks=pytest.mark.slow)])
async def test_runs_survive_whatever_happens_to_their_workers(
    open_store: OpenStore, runs: int, caplog: pytest.LogCaptureFixture
) -> None:
    """12.1: every write is fenced; whatever is refused is read again from the journal; nothing is recorded twice."""
    chance = random.Random(first_seed())
    trouble = Trouble(chance)
    observer = open_store(None)
    await observer.open()
    apps = [await enter(open_store, trouble) for _ in range(WORKERS)]
    adversary = asyncio.create_task(bury_the_living(observer, chance, trouble))
    asked = {f"run-{number}": REFERENCES[number % len(REFERENCES)] for number in range(runs)}

    await asyncio.gather(
        *(
            start_surely(apps[number % WORKERS], reference, run_id)
            for number, (run_id, reference) in enumerate(asked.items())
        )
    )
    await asyncio.wait([adversary], timeout=0.4 if runs < 100 else 1.5)
    trouble.is_over = True
    buried = await adversary
    for run_id, reference in asked.items():
        await eventually(lambda run_id=run_id: has_ended(observer, run_id), within=30)
        await check_run(observer, run_id)
        result = await apps[0].run(run_id).result(timeout=5)
        assert result.result == reference.result
    for app in apps:
        await app.__aexit__(None, None, None)
    await observer.close()

    print(f"{runs} runs survived {trouble.strikes} strikes and {buried} burials")
    assert "a fault in the engine" not in caplog.text
    assert trouble.strikes
    assert buried


async def has_ended(store: Store, run_id: str) -> bool:
    row = await store.find_run(run_id)
    return row is not None and row.status.is_terminal
