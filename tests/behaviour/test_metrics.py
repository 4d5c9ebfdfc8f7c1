"""Numbers that every engine has: starts, and attempts of steps by how they ended."""

from __future__ import annotations

from behaviour.bench import Bench, begin
from metered import Numbers
from outlast import Retry, StepContext, Workflow, step
from outlast.engines.metrics import RUNS_STARTED, STEP_DURATION


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
