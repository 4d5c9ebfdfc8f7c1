"""A run that rests costs this process nothing: neither memory nor a timer that keeps it there."""

from __future__ import annotations

import asyncio
import gc

import pytest

from engines.place import Place
from eventually import eventually
from outlast import Outlast, StepContext, Workflow, step
from outlast.engines.local.live import LiveRun


@step
async def ask(x: int, ctx: StepContext) -> int:
    return ctx.resume_data if ctx.resumed else ctx.suspend()


@step
def ask_in_thread(x: int, ctx: StepContext) -> int:
    return ctx.resume_data if ctx.resumed else ctx.suspend()


def is_held(run_id: str) -> bool:
    gc.collect()
    return is_there(run_id)


def is_there(run_id: str) -> bool:
    return any(isinstance(each, LiveRun) and each.run_id == run_id for each in gc.get_objects())


@step
async def pass_on(x: int) -> int:
    return x


async def start(app: Outlast, workflow_id: str) -> str:
    """Start a run in a frame of its own, so that the test itself holds nothing."""
    workflow = next(each for each in WORKFLOWS if each.id == workflow_id)
    return (await (await app.create_run(workflow)).start_async(input_data=1)).run_id


async def forever(x: int, ctx: StepContext) -> int:
    await ctx.canceled
    raise asyncio.CancelledError


WORKFLOWS = [
    Workflow("asks", input=int).then(ask).commit(),
    Workflow("asks-in-thread", input=int).then(ask_in_thread).commit(),
    Workflow("waits", input=int).wait_for("answer").commit(),
    Workflow("sleeps", input=int).sleep(86_400).commit(),
    Workflow("runs-through", input=int).then(pass_on).commit(),
    Workflow("runs", input=int).then(step(forever)).commit(),
]


@pytest.mark.parametrize(
    "workflow_id",
    ["asks", *(pytest.param(each, marks=pytest.mark.slow) for each in ("asks-in-thread", "waits", "sleeps"))],
)
async def test_run_at_rest_is_not_held_in_memory(place: Place, workflow_id: str) -> None:
    """7.1, 11: suspended or asleep, a run holds no memory, task or thread, and at once."""
    async with place.app(*WORKFLOWS) as app:
        run_id = await start(app, workflow_id)

        await eventually(lambda: not is_held(run_id), within=3)


async def test_canceled_run_is_not_held_in_memory(place: Place) -> None:
    """10: once it ended, nothing waits for the grace period of its bodies any more."""
    async with place.app(*WORKFLOWS) as app:
        run_id = await start(app, "runs")
        await app.run(run_id).cancel()
        assert (await app.run(run_id).result()).status == "canceled"

        await eventually(lambda: not is_held(run_id), within=3)


async def test_ended_run_needs_no_garbage_collection(place: Place) -> None:
    """19: what a run held goes when it ends, not some time later: a burst of runs costs no memory that waits."""
    async with place.app(*WORKFLOWS) as app:
        gc.collect()
        gc.disable()
        try:
            run_id = await start(app, "runs-through")
            assert (await app.run(run_id).result()).status == "success"

            await eventually(lambda: not is_there(run_id), within=3)
        finally:
            gc.enable()
