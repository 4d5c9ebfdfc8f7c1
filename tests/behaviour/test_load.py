"""Many runs at rest, and long ones: rules 7.1, 11 and 19. They cost rows, not memory, and no step gets dearer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from eventually import eventually
from outlast import StepContext, Workflow, step
from outlast.core.record import Record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MANY = 2_000


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The store on disk: what is measured here is what lies in the file."""
    return Bench("sqlite", tmp_path)


@step
async def ask(x: int, ctx: StepContext) -> Any:
    return [x, ctx.resume_data] if ctx.resumed else ctx.suspend({"x": x})


@step
async def add_one(x: int) -> int:
    return x + 1


def size_of(records: Sequence[Record]) -> int:
    return sum(len(record.body or b"") + len(record.payload or b"") for record in records)


async def test_thousands_of_suspended_runs_hold_no_memory_and_each_can_be_resumed(bench: Bench) -> None:
    """7.1: a suspended run holds no memory, task or thread; resuming one among many works at once."""
    workflow = Workflow("w", input=int).then(ask).commit()
    async with bench.app(workflow) as app:
        tasks = len(asyncio.all_tasks())
        runs = [await begin(app, workflow, number) for number in range(MANY)]
        statuses = {str((await run.result()).status) for run in runs}
        await eventually(lambda: not bench.live(app))

        assert statuses == {"suspended"}
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert (await runs[MANY // 2].resume("data")).result == [MANY // 2, "data"]
    async with bench.app(workflow) as app:
        assert bench.live(app) == []
        assert (await app.run(runs[7].run_id).resume("data")).result == [7, "data"]


async def test_thousands_of_sleeping_runs_hold_no_memory_and_all_wake_up(bench: Bench) -> None:
    """11: asleep for long, a run holds no task; when due all go on, within the bounds of the worker."""
    clock = Clock()
    workflow = Workflow("w", input=int).sleep(timedelta(days=900)).then(add_one).commit()
    async with bench.app(workflow, clock=clock) as app:
        runs = [await begin(app, workflow, number) for number in range(MANY)]
        await eventually(lambda: not bench.live(app), within=60)
        statuses = {str(await run.status()) for run in runs}
    clock.offset += timedelta(days=901)
    most = 0
    async with bench.app(workflow, clock=clock, max_runs=100) as app:

        async def all_ended() -> bool:
            nonlocal most
            most = max(most, len(bench.live(app)))
            return bool((await app.run(runs[-1].run_id).status()).is_terminal)

        await eventually(all_ended, within=120)
        results = [await app.run(run.run_id).result(timeout=60) for run in runs]

    assert statuses == {"waiting"}
    assert [result.result for result in results] == list(range(1, MANY + 1))
    assert most <= 100


async def test_loop_of_thousands_of_passes_costs_the_same_per_pass(bench: Bench) -> None:
    """5.4: a pass at the end writes no more bytes than one at the beginning."""
    passes = 3_000
    workflow = Workflow("w", input=int).dountil(add_one, lambda ctx: ctx.iteration_count == passes).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1_000_000, run_id="run")
        result = await started.result(timeout=240)
    by_pass = [record for record in await bench.journal("run") if "#" in record.path]

    tenth = len(by_pass) // 10
    assert result.result == 1_000_000 + passes
    assert size_of(by_pass[-tenth:]) <= 1.1 * size_of(by_pass[:tenth])


async def test_foreach_of_many_items_costs_the_same_per_item(bench: Bench) -> None:
    """5.5: an item at the end writes no more bytes than one at the beginning; no list is written again and again."""
    items = list(range(1_000_000, 1_010_000))
    workflow = Workflow("w", input=list[int]).foreach(add_one, id="each", concurrency=50).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, items, run_id="run")
        result = await started.result(timeout=240)
    by_item = [record for record in await bench.journal("run") if record.path.startswith("each[")]

    tenth = len(by_item) // 10
    assert result.result == [item + 1 for item in items]
    assert size_of(by_item[-tenth:]) <= 1.1 * size_of(by_item[:tenth])


async def test_loop_that_suspends_in_each_pass_goes_on_from_any_of_them(bench: Bench) -> None:
    """7.2, 12.1: a run with a long history is taken over again and again."""

    @step
    async def count(x: int, ctx: StepContext) -> int:
        return x + 1 if ctx.resumed else ctx.suspend()

    workflow = Workflow("w", input=int).dountil(count, lambda ctx: ctx.iteration_count == 100).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 0)
        result = await started.result()
        while result.status == "suspended":
            result = await started.resume()

    assert result.result == 100
