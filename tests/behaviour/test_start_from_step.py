"""Starting other workflows from a step: the same call starts one run, however often the body is called."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, begin
from eventually import eventually
from outlast import CommittedWorkflow, InputError, Retry, StartedRun, StepContext, Workflow, step
from outlast.ids import derive_run_id

AT_ONCE = timedelta()


@step
async def add_one(x: int) -> int:
    return x + 1


CHILD = Workflow("child", input=int, output=int).then(add_one).commit()
OTHER = CHILD.clone(id="other")


def parent(body: Any, **options: Any) -> CommittedWorkflow[Any, Any]:
    return Workflow("parent", **options).then(body).commit()


async def test_step_starts_a_run_of_its_own(bench: Bench) -> None:
    """3.1: with the promise of `start_async`; its id follows from run, path, workflow and number; 2.1 inside bodies."""

    @step
    async def start(x: int, ctx: StepContext) -> str:
        started: StartedRun[int] = await ctx.start_async(CHILD, input_data=x, tags=["of a step"])
        return started.run_id

    workflow = parent(start)
    async with bench.app(workflow, CHILD) as app, bench.app(workflow, CHILD):
        run = await app.create_run(workflow, run_id="run", resource_id="ada")
        run_id = (await run.start(input_data=1)).unwrap()
        result = await app.run(run_id).result(timeout=30)

    assert (result.workflow_id, result.result, result.resource_id) == ("child", 2, "ada")
    assert run_id == derive_run_id("run", "start", "child", "number:0")


async def test_sync_step_starts_a_run(bench: Bench) -> None:
    """6: a sync step uses `ctx.blocking`."""

    @step
    def start(x: int, ctx: StepContext) -> str:
        started: StartedRun[int] = ctx.blocking.start_async(CHILD, input_data=x, resource_id="eve")
        return started.run_id

    workflow = parent(start)
    async with bench.app(workflow, CHILD) as app, bench.app(workflow, CHILD):
        run_id = (await (await begin(app, workflow, 1)).result()).unwrap()
        result = await app.run(run_id).result(timeout=30)

    assert (result.result, result.resource_id) == (2, "eve")


async def test_calls_of_one_body_start_one_run_each(bench: Bench) -> None:
    """The number is counted per workflow; a key names a start whatever its number is."""

    @step
    async def start(x: int, ctx: StepContext) -> list[str]:
        started = [
            await ctx.start_async(CHILD, input_data=1),
            await ctx.start_async(OTHER, input_data=2),
            await ctx.start_async(CHILD, input_data=3),
            await ctx.start_async(CHILD, input_data=4, key="four"),
            await ctx.start_async(CHILD, input_data=5, key="four"),
        ]
        return [each.run_id for each in started]

    workflow = parent(start)
    async with bench.app(workflow, CHILD, OTHER) as app:
        run_ids = (await (await begin(app, workflow, 1, run_id="run")).result()).unwrap()
        results = [await app.run(run_id).result(timeout=30) for run_id in run_ids]

    assert [each.result for each in results] == [2, 3, 4, 5, 5]
    names = [("child", "number:0"), ("other", "number:0"), ("child", "number:1")] + 2 * [("child", "key:four")]
    assert run_ids == [derive_run_id("run", "start", *name) for name in names]


async def test_another_attempt_gets_the_same_run(bench: Bench) -> None:
    """A retry does not start it twice, whatever the input is now."""
    run_ids: list[str] = []

    @step(retries=Retry(limit=2, delay=AT_ONCE))
    async def start(x: int, ctx: StepContext) -> int:
        started = await ctx.start_async(CHILD, input_data=ctx.attempt)
        run_ids.append(started.run_id)
        if ctx.attempt < 2:
            raise ConnectionError("again")
        return (await started.result()).unwrap()

    workflow = parent(start)
    async with bench.app(workflow, CHILD) as app:
        result = await (await begin(app, workflow, 1)).result(timeout=30)

    assert (result.result, len(run_ids), len(set(run_ids))) == (1, 3, 1)


async def test_passes_items_and_nested_workflows_start_runs_of_their_own(bench: Bench) -> None:
    """The id follows from the path, which names pass and item."""

    @step
    async def start(x: int, ctx: StepContext) -> str:
        return (await ctx.start_async(CHILD, input_data=x)).run_id

    @step
    async def count(x: int, ctx: StepContext) -> int:
        await ctx.start_async(CHILD, input_data=x)
        return x + 1

    each = Workflow("each", input=list[int]).foreach(start, concurrency=2).commit()
    loop = Workflow("loop", input=int).dountil(count, lambda ctx: ctx.input == 3).commit()
    async with bench.app(each, loop, CHILD) as app:
        run_ids = (await (await begin(app, each, [1, 1, 1])).result()).unwrap()
        await (await begin(app, loop, 0, run_id="loop")).result()
        ids = [derive_run_id("loop", f"count#{n}", "child", "number:0") for n in (1, 2, 3)]
        results = [(await app.run(run_id).result(timeout=30)).result for run_id in [*run_ids, *ids]]

    assert results == [2, 2, 2, 1, 2, 3]
    assert len(set(run_ids)) == 3


async def test_step_that_runs_again_after_its_process_left_gets_the_same_run(bench: Bench) -> None:
    """12.1: the step that was running runs again; the other run was started once."""
    run_ids: list[str] = []
    gate = asyncio.Event()

    @step
    async def start(x: int, ctx: StepContext) -> bool:
        run_ids.append((await ctx.start_async(CHILD, input_data=x)).run_id)
        await gate.wait()
        return ctx.recovered

    workflow = parent(start)
    async with bench.app(workflow, CHILD, drain=AT_ONCE) as app:
        await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: run_ids)
    gate.set()
    async with bench.app(workflow, CHILD) as app:
        result = await app.run("run").result(timeout=30)
        child = await app.run(run_ids[0]).result(timeout=30)

    assert (result.result, child.result) == (True, 2)
    assert run_ids == [run_ids[0]] * 2


async def test_step_may_start_runs_while_its_app_is_left(bench: Bench) -> None:
    """3.6: bodies in flight end within `drain`, so what they may do still works."""
    entered, leaving = asyncio.Event(), asyncio.Event()

    @step
    async def start(x: int, ctx: StepContext) -> str:
        entered.set()
        await leaving.wait()
        return (await ctx.start_async(CHILD, input_data=x)).run_id

    workflow = parent(start)
    async with bench.app(workflow, CHILD) as app:
        await begin(app, workflow, 1, run_id="run")
        await entered.wait()
        asyncio.get_running_loop().call_later(0.05, leaving.set)
    async with bench.app(workflow, CHILD) as app:
        result = await app.run("run").result(timeout=30)
        child = await app.run(result.unwrap()).result(timeout=30)

    assert (result.status, result.steps["start"].attempts, child.result) == ("success", 1, 2)


async def test_bad_input_fails_the_step(bench: Bench) -> None:
    """3.3: nothing is recorded, and the step can handle it."""

    @step
    async def start(x: int, ctx: StepContext) -> str:
        with pytest.raises(InputError):
            await ctx.start_async(CHILD, input_data="seven")  # type: ignore[arg-type]
        await ctx.start_async(CHILD, input_data="seven")  # type: ignore[arg-type]
        return ""

    workflow = parent(start)
    async with bench.app(workflow, CHILD) as app:
        result = await (await begin(app, workflow, 1)).result()

    assert result.error is not None
    assert (result.error.type, result.error_path) == ("InputError", "start")
    assert "input_data" in result.error.message


async def test_workflow_that_the_app_does_not_know_fails_the_step(bench: Bench) -> None:
    """2.1: with a message that says what to do."""

    @step
    async def start(x: int, ctx: StepContext) -> str:
        return (await ctx.start_async(CHILD, input_data=x)).run_id

    result = await bench.run(parent(start), 1)

    assert result.error is not None
    assert result.error.type == "UnattachedWorkflowError"
    assert "workflow 'child' is not one of this app's" in result.error.message
