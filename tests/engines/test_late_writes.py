"""A write of a worker that comes late is no other worker: the run goes on (rules 3.1, 3.6)."""

from __future__ import annotations

import asyncio

from engines.held import HeldStore
from eventually import eventually
from outlast import Outlast, StepContext, Workflow, step


async def test_run_that_was_read_before_a_write_of_its_own_came_goes_on() -> None:
    """3.1: other code ended the body, and the run was read again while what that body had said was on its way."""
    store, calls = HeldStore(), 0

    @step
    async def say(value: int, ctx: StepContext) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            ctx.write("said before it was ended")
            await asyncio.Event().wait()
        return value

    workflow = Workflow("late", input=int, output=int).then(say).commit()
    async with Outlast([workflow], store=store) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        store.is_holding = True
        await eventually(lambda: len(store.held) == 1)  # what it says
        (body,) = (task for task in asyncio.all_tasks() if task.get_name() == f"outlast {started.run_id} say")
        body.cancel()
        await eventually(lambda: len(store.held) == 2)  # that it begins once more
        store.is_holding = False
        await store.let_one_through()
        await store.let_one_through()

        assert (await started.result(timeout=20)).result == 1
