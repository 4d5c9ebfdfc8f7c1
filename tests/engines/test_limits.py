"""Bounds: a worker takes what it has room for, and the rest proceeds later. Rule 19."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from engines.place import Place, one_step
from eventually import eventually
from outlast import Retry, StepContext, Workflow, step


class Crowd:
    """Bodies that count how many of them run at a time, and wait at a gate."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.paths: list[str] = []
        self.gate = asyncio.Event()

    async def enter(self, path: str) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        self.paths.append(path)
        await self.gate.wait()
        self.running -= 1


async def test_runs_over_max_runs_wait_and_proceed(place: Place) -> None:
    """19: a worker holds at most `max_runs` live runs and claims only into free slots; the others are rows."""
    crowd = Crowd()

    @step
    async def stay(x: int, ctx: StepContext) -> int:
        await crowd.enter(ctx.path)
        return x

    workflow = one_step(stay)
    async with place.app(workflow, max_runs=3) as app:
        starts = [await (await app.create_run(workflow)).start_async(input_data=number) for number in range(10)]
        await eventually(lambda: crowd.running == 3)
        statuses = [await started.status() for started in starts]
        crowd.gate.set()
        results = [await started.result() for started in starts]

    assert sorted(statuses) == ["pending"] * 7 + ["running"] * 3
    assert [result.result for result in results] == list(range(10))
    assert crowd.most == 3


async def test_steps_over_max_steps_wait_and_proceed(place: Place) -> None:
    """19: at most `max_steps` bodies."""
    crowd = Crowd()

    @step
    async def stay(x: int, ctx: StepContext) -> int:
        await crowd.enter(ctx.path)
        return x

    workflow = Workflow("w", input=list[int]).foreach(stay, concurrency=10).commit()
    async with place.app(workflow, max_steps=4) as app:
        starts = [await (await app.create_run(workflow)).start_async(input_data=[1, 2, 3]) for _ in range(5)]
        await eventually(lambda: crowd.running == 4)
        crowd.gate.set()
        results = [await started.result() for started in starts]

    assert [result.result for result in results] == [[1, 2, 3]] * 5
    assert crowd.most == 4


async def test_slot_of_a_failed_attempt_is_free_during_its_delay(place: Place) -> None:
    """19, 9.1: a run that waits for its next attempt holds no slot."""

    @step
    async def flaky(x: int, ctx: StepContext) -> int:
        if x == 0 and ctx.attempt == 0:
            raise OSError
        return x

    workflow = Workflow("w", input=int, retries=2).then(flaky).commit()
    async with place.app(workflow, max_runs=2, max_steps=1) as app:
        runs = [await app.create_run(workflow) for _ in range(8)]
        results = await asyncio.gather(*(run.start(input_data=number % 2) for number, run in enumerate(runs)))

    assert [result.result for result in results] == [0, 1] * 4


async def test_drain_starts_no_more_bodies(place: Place) -> None:
    """3.6: bodies in flight may end; those that wait for a slot are left to the next worker."""
    crowd = Crowd()

    @step
    async def stay(x: int, ctx: StepContext) -> int:
        await crowd.enter(ctx.path)
        return x

    children = [stay.clone(id=each) for each in "abc"]
    workflow = Workflow("w", input=int).parallel(children).commit()
    async with place.app(workflow, max_steps=1, drain=timedelta(seconds=5)) as app:
        await (await app.create_run(workflow, run_id="run")).start_async(input_data=1)
        await eventually(lambda: crowd.running == 1)
        asyncio.get_running_loop().call_later(0.05, crowd.gate.set)
    during_drain = list(crowd.paths)
    async with place.app(workflow) as app:
        result = await app.run("run").result()

    assert during_drain == ["a"]
    assert (result.result, sorted(crowd.paths)) == ({"a": 1, "b": 1, "c": 1}, ["a", "b", "c"])


async def test_thread_bodies_beyond_the_threads_wait_and_proceed(place: Place) -> None:
    """9.3: sync bodies run in bounded threads; more of them wait."""

    @step
    def square(x: int) -> int:
        return x * x

    workflow = Workflow("w", input=list[int]).foreach(square, concurrency=200).commit()

    assert (await place.run(workflow, list(range(200)))).result == [x * x for x in range(200)]


async def test_run_that_waits_long_gives_its_slot_back(place: Place) -> None:
    """11, 19: asleep for long, a run holds no slot, no task and no owner."""

    @step(retries=Retry(limit=1, delay=timedelta(hours=1)))
    async def later(x: int) -> int:
        if x:
            raise OSError
        return x

    workflow = one_step(later)
    async with place.app(workflow, max_runs=1) as app:
        for number in range(3):
            await (await app.create_run(workflow, run_id=f"asleep-{number}")).start_async(input_data=1)
        awake = await (await app.create_run(workflow)).start_async(input_data=0)
        result = await awake.result(timeout=5)
        rows = [await place.row(f"asleep-{number}") for number in range(3)]

    assert result.status == "success"
    assert {(row.status, row.owner) for row in rows if row is not None} == {("waiting", None)}
