"""Numbers that every engine has: starts, and attempts of steps by how they ended."""

from __future__ import annotations

from behaviour.bench import Bench, begin
from eventually import eventually
from metered import Numbers
from outlast import NonRetryableError, Retry, Schedule, StepContext, Workflow, step
from outlast.engines.metrics import RUNS_ENDED, RUNS_REOPENED, RUNS_STARTED, SCHEDULE_LAG, STEP_DURATION


@step
async def add_one(n: int) -> int:
    return n + 1


@step(retries=Retry(limit=1, delay=0.001))
def fail_once(n: int, ctx: StepContext) -> int:
    if ctx.attempt == 0:
        raise ValueError("not yet")
    return n


@step(resume=bool)
async def approve(n: int, ctx: StepContext) -> int:
    if not ctx.resumed:
        ctx.suspend("please")
    return n


@step
async def stop_early(n: int, ctx: StepContext) -> int:
    ctx.bail(n)


WORKFLOW = (
    Workflow("all", input=int)
    .then(fail_once)
    .map(lambda ctx: [1, 2, 3], id="list")
    .foreach(add_one)
    .map(lambda ctx: 1, id="one")
    .then(Workflow("child", input=int, output=int).then(approve).then(stop_early).commit())
    .commit()
)


async def test_starts_and_attempts_are_counted_on_every_engine(bench: Bench) -> None:
    """Items are one step, maps are none, and a step that is resumed is called once more."""
    numbers = Numbers()
    async with bench.app(WORKFLOW, metrics=numbers.provider) as app:
        started = await begin(app, WORKFLOW, 1)
        await started.result()
        await app.run(started.run_id).resume(resume_data=True)

    assert numbers.of(RUNS_STARTED) == {("all",): 1}
    assert numbers.of(STEP_DURATION) == {
        ("all", "fail_once", "failed"): 1,
        ("all", "fail_once", "success"): 1,
        ("all", "add_one", "success"): 3,
        ("all", "child.approve", "suspended"): 1,
        ("all", "child.approve", "success"): 1,
        ("all", "child.stop_early", "bailed"): 1,
    }
    assert numbers.sum_of(STEP_DURATION) > 0


@step
async def fail_below_ten(n: int) -> int:
    if n < 10:
        raise NonRetryableError("too small")
    return n


SMALL = Workflow("small", input=int).then(fail_below_ten).commit()
ASK = Workflow("ask", input=int).wait_for("word", resume=str).commit()


async def test_ends_and_later_executions_are_counted_on_every_engine(bench: Bench) -> None:
    """By how they ended; a fork is a run that was started."""
    numbers = Numbers()
    async with bench.app(SMALL, ASK, metrics=numbers.provider) as app:
        await (await begin(app, SMALL, 10)).result()
        failed = await begin(app, SMALL, 1)
        await failed.result()
        await failed.restart()
        canceled = await begin(app, ASK, 1)
        await canceled.result()
        await canceled.cancel()
        await canceled.result(until="end")

        async def are_counted() -> bool:
            return numbers.total(RUNS_ENDED) == 4

        await eventually(are_counted, within=20)

    assert numbers.of(RUNS_STARTED) == {("small",): 2, ("ask",): 1}
    assert numbers.of(RUNS_REOPENED) == {("small",): 1}
    assert numbers.of(RUNS_ENDED) == {("small", "success"): 1, ("small", "failed"): 2, ("ask", "canceled"): 1}


async def test_run_that_waits_when_its_worker_leaves_has_not_ended(bench: Bench) -> None:
    """What ends is counted, and by the worker that ends it."""
    former, latter = Numbers(), Numbers()
    async with bench.app(ASK, metrics=former.provider) as app:
        started = await begin(app, ASK, 1)
        await started.result()
    async with bench.app(ASK, metrics=latter.provider) as app:
        await app.run(started.run_id).resume("word")

        async def is_counted() -> bool:
            return latter.of(RUNS_ENDED) == {("ask", "success"): 1}

        await eventually(is_counted, within=20)

    assert former.of(RUNS_ENDED) == {}
    assert latter.of(RUNS_STARTED) == {}


async def test_lateness_of_schedules_is_measured_on_every_engine(bench: Bench) -> None:
    """Once for each firing; a run that somebody asked for is not late."""
    numbers = Numbers()
    async with bench.app(SMALL, metrics=numbers.provider) as app:
        await app.schedules.create(SMALL, Schedule(every=1, input_data=10, overlap="allow"), id="often")

        async def has_fired() -> bool:
            return any(each.kind == "schedule" for each in await app.schedules.triggers("often"))

        await eventually(has_fired, within=30)
        await app.schedules.pause("often")
        await app.schedules.run_now("often")
        triggers = await app.schedules.triggers("often")
        await app.schedules.delete("often")

    assert numbers.total(SCHEDULE_LAG) == len([each for each in triggers if each.kind == "schedule"])
    assert numbers.total(RUNS_STARTED) == len([each for each in triggers if each.run_id])
