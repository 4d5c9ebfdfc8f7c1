"""An end is told when it is durable, also while other writes of its run are on their way (rules 3.5, 12.3)."""

from __future__ import annotations

import asyncio

from engines.held import HeldStore
from eventually import eventually
from outlast import Outlast, RunStatus, StepContext, Workflow, step


async def test_end_is_not_told_because_an_earlier_write_is_durable() -> None:
    """3.5: whoever has the result of a run can go on from it: nobody sees the run in any other status."""
    store, may_end = HeldStore(), asyncio.Event()

    @step
    async def say(value: int, ctx: StepContext) -> int:
        ctx.write("said before the end")
        await may_end.wait()
        return value

    workflow = Workflow("saying", input=int, output=int).then(say).commit()
    async with Outlast([workflow], store=store) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        result = asyncio.create_task(started.result())
        store.is_holding = True
        await eventually(lambda: len(store.held) == 1)  # what it says
        may_end.set()
        await eventually(lambda: len(store.held) == 2)  # that it ended

        await store.let_one_through()
        was_told, status = result.done(), await started.status()
        store.is_holding = False
        await store.let_one_through()

        assert (was_told, status) == (False, RunStatus.RUNNING)
        assert (await result).result == 1
        assert (await started.time_travel("say")).execution == 1


async def test_end_of_a_block_is_not_told_because_the_child_before_is_durable() -> None:
    """3.5: the outcomes of two children may be on their way at once; the run ends with the second."""
    store = HeldStore()
    gates = {name: asyncio.Event() for name in ("left", "right")}

    @step
    async def left(value: int, ctx: StepContext) -> int:
        await gates[ctx.path].wait()
        return value

    workflow = Workflow("block", input=int).parallel([left, left.clone(id="right")], id="both").commit()
    async with Outlast([workflow], store=store) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        result = asyncio.create_task(started.result())
        store.is_holding = True
        for number, gate in enumerate(gates.values(), start=1):
            gate.set()
            await eventually(lambda number=number: len(store.held) == number)

        await store.let_one_through()
        was_told, status = result.done(), await started.status()
        store.is_holding = False
        await store.let_one_through()

        assert (was_told, status) == (False, RunStatus.RUNNING)
        assert (await result).result == {"left": 1, "right": 1}
