"""A hundred thousand runs that wait cost rows in a file, and neither memory nor time."""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from eventually import eventually
from load.measure import needs_proc, resident_megabytes
from outlast import CommittedWorkflow, Outlast, StepContext, Workflow, step
from outlast.storage.sqlite import SqliteStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), needs_proc]

RUNS = 100_000
BATCH = 1_000


@step
async def ask(x: int, ctx: StepContext) -> int:
    if not ctx.resumed:
        ctx.suspend()
    return x + ctx.resume_data


WORKFLOWS = {
    "suspended": Workflow("suspended", input=int, output=int).then(ask).commit(),
    "sleeping": Workflow("sleeping", input=int, output=int).sleep(timedelta(days=1)).commit(),
}


@dataclass(frozen=True)
class Figures:
    """What was seen with all runs at rest."""

    live: int
    """Runs that the engine holds in memory."""
    growth_megabytes: float
    """Memory that the second half of the runs took."""
    idle: float
    """Share of one CPU taken while nothing happens."""
    bytes_per_run: float
    """What the file has grown by for each run."""
    resumed: Any
    """Result of one run that was resumed; None for those that sleep."""


@pytest.fixture(scope="module", params=list(WORKFLOWS))
def figures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Figures:
    return asyncio.run(fill(WORKFLOWS[request.param], tmp_path_factory.mktemp(request.param) / "store.db"))


async def fill(workflow: CommittedWorkflow[int, int], path: Path) -> Figures:
    """Start all the runs, and look at the process when the half and when all of them rest."""
    began = time.perf_counter()
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    async with Outlast([workflow], store=store) as app:
        await start(app, workflow, 0, RUNS // 2)
        half = resident_megabytes()
        await start(app, workflow, RUNS // 2, RUNS)
        full = resident_megabytes()
        started = time.perf_counter()
        live = len(live_runs(app))
        idle = await idle_share()
        resumed = None
        if workflow.id == "suspended":
            moment = time.perf_counter()
            resumed = (await app.run("run-77").resume(1_000)).result
            print(f"\nresumed and ended one of {RUNS} within {(time.perf_counter() - moment) * 1_000:.1f} ms")
    size = sum(each.stat().st_size for each in path.parent.iterdir())
    figures = Figures(live, full - half, idle, size / RUNS, resumed)
    print(f"\n{RUNS} {workflow.id} runs in {started - began:.1f} s, {full:.0f} MB resident: {figures}")
    return figures


async def start(app: Outlast, workflow: CommittedWorkflow[int, int], begin: int, end: int) -> None:
    """Start runs batch by batch, and wait until the engine has let go of them."""

    async def start_one(number: int) -> None:
        run = await app.create_run(workflow, run_id=f"run-{number}")
        await run.start_async(input_data=number)

    for first in range(begin, end, BATCH):
        await asyncio.gather(*(start_one(number) for number in range(first, first + BATCH)))
    await eventually(lambda: not live_runs(app), within=60)


def live_runs(app: Outlast) -> list[str]:
    worker = app._engine._worker  # noqa: SLF001
    return [] if worker is None else list(worker.live)


async def idle_share() -> float:
    """Return the share of a CPU that the process takes in most seconds; in the first one it may still tidy up."""
    return median([await share_of_a_second() for _ in range(5)])


async def share_of_a_second() -> float:
    wall, spent = time.perf_counter(), time.process_time()
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=1)
    return (time.process_time() - spent) / (time.perf_counter() - wall)


def test_resting_runs_are_not_held_in_memory(figures: Figures) -> None:
    """7.1, 11: at rest a run holds no memory, task or thread."""
    assert figures.live == 0


def test_resting_runs_do_not_make_the_process_grow(figures: Figures) -> None:
    """7.1, 11: whatever is kept per run is kept in the file."""
    assert figures.growth_megabytes < 20


def test_resting_runs_take_no_time(figures: Figures) -> None:
    """7.1, 11: nobody looks at what is not due."""
    assert figures.idle < 0.1


def test_resting_runs_take_little_room_on_disk(figures: Figures) -> None:
    """19: 100,000 runs are rows."""
    assert figures.bytes_per_run <= 1_536


@pytest.mark.parametrize("figures", ["suspended"], indirect=True)
def test_one_of_many_suspended_runs_can_be_resumed(figures: Figures) -> None:
    """7.2: resuming finds one run among many."""
    assert figures.resumed == 1_077
