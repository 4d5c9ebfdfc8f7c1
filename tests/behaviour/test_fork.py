"""Forks: rule 12.4. The same as a time travel, as a new run; the old one is left as it is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from behaviour.bench import Bench, begin, statuses
from outlast import InputError, OutputOptions, RunExistsError, RunNotFoundError, StepContext, Workflow, step
from outlast.engines.capability import Capability

pytestmark = pytest.mark.requires(Capability.REWINDING)


class Cart(BaseModel):
    total: int


@step
async def price(n: int) -> Cart:
    return Cart(total=n * 100)


@step
async def look(cart: Cart, ctx: StepContext) -> dict[str, Any]:
    ctx.set_state({"seen": cart.total})
    earlier = await ctx.get_step_result(price)
    return {"total": cart.total, "init": await ctx.get_init_data(), "earlier": earlier and earlier.total}


@step
async def approve(seen: dict[str, Any], ctx: StepContext) -> Any:
    if not ctx.resumed:
        ctx.suspend("please")
    return {**seen, "answer": ctx.resume_data, "context": dict(ctx.request_context), "execution": ctx.execution}


ORDER = Workflow("order", input=int).then(price).then(look).then(approve).commit()


async def test_fork_is_a_new_run_and_the_old_one_is_left_as_it_is(bench: Bench) -> None:
    """12.4: `fork` does the same as a new run and leaves the old one untouched, whatever it does."""
    async with bench.app(ORDER) as app:
        run = await app.create_run(ORDER, resource_id="me")
        started = await run.start_async(input_data=3, request_context={"tenant": "a"})
        before = await started.result()
        journal = await bench.journal(run.run_id)

        forked = await started.fork(look, input_data=Cart(total=7))
        ended = await app.run(forked.run_id).resume("yes")
        after = await started.result()

    assert forked.run_id != run.run_id
    assert (forked.status, forked.execution, forked.input, forked.resource_id) == ("suspended", 0, 3, "me")
    assert ended.result == {
        "total": 7,
        "init": 3,
        "earlier": 300,
        "answer": "yes",
        "context": {"tenant": "a"},
        "execution": 0,
    }
    assert after.to_dict() == before.to_dict()
    assert await bench.journal(run.run_id) == journal


async def test_fork_copies_the_results_that_it_keeps(bench: Bench) -> None:
    """12.4: it needs nothing of the old run any more, also not for later executions of its own."""

    @step
    async def fail_once(x: Any, ctx: StepContext) -> Any:
        if ctx.execution == 0:
            raise ConnectionError("down")
        return x

    items = Workflow("items", input=list[int]).foreach(price, concurrency=2).map(lambda ctx: len(ctx.input), id="count")
    workflow = Workflow("w", input=list[int]).then(items.commit()).then(fail_once).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1, 2])
        await started.result()

        forked = await started.fork_async("items.count", run_id="copy")
        failed = await forked.result()
        result = await forked.restart()

    assert (failed.run_id, failed.status) == ("copy", "failed")
    assert (result.status, result.result) == ("success", 2)
    assert result.steps["items.price"].output == [{"total": 100}, {"total": 200}]
    assert {"items.price": "success", "items.count": "success"}.items() <= statuses(result).items()


async def test_fork_keeps_how_results_are_shown_and_the_state(bench: Bench) -> None:
    """8, 12.4: the state is as the kept nodes left it."""
    async with bench.app(ORDER) as app:
        started = await begin(app, ORDER, 3, initial_state={"n": 1}, output_options=OutputOptions(include_state=True))
        await started.result()
        at_look = await started.fork("look")
        at_approve = await started.fork("approve", resume_data="yes")
        given = await started.fork("approve", initial_state={"seen": 0})

    assert (at_look.state, at_approve.state, given.state) == ({"n": 1, "seen": 300}, {"n": 1, "seen": 300}, {"seen": 0})
    assert at_approve.status == "success"


async def test_active_run_can_be_forked(bench: Bench) -> None:
    """12.4: a fork changes nothing of the old run, so it may be taken while that one runs."""
    entered, gate = asyncio.Event(), asyncio.Event()

    @step
    async def wait(cart: Cart, ctx: StepContext) -> int:
        entered.set()
        if ctx.run_id != "copy":
            await gate.wait()
        return cart.total

    workflow = Workflow("w", input=int).then(price).then(wait).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await entered.wait()

        forked = await started.fork(wait, run_id="copy")
        gate.set()
        original = await started.result()

    assert (forked.result, original.result) == (100, 100)


async def test_bad_forks_are_refused_before_anything_is_written(bench: Bench) -> None:
    """12.4: the input of a fork is validated, and its id is one that nobody has."""
    async with bench.app(ORDER) as app:
        started = await begin(app, ORDER, 3)
        await started.result()
        with pytest.raises(InputError, match="total"):
            await started.fork(look, input_data={"total": "x"}, run_id="copy")
        with pytest.raises(InputError, match="no node"):
            await started.fork("nothing", run_id="copy")
        with pytest.raises(InputError, match="run_id"):
            await started.fork(look, run_id="")
        with pytest.raises(RunExistsError):
            await started.fork(look, run_id=started.run_id)
        with pytest.raises(RunNotFoundError):
            await app.run("nobody").fork(look)

        assert await bench.journal("copy") == []


async def test_fork_that_is_recorded_survives_its_process(bench: Bench) -> None:
    """3.1: when `fork_async` returns, the new run will be driven, whatever happens to this process."""
    async with bench.app(ORDER) as app:
        started = await begin(app, ORDER, 3)
        await started.result()
    async with bench.app(ORDER, worker=False) as app:
        forked = await app.run(started.run_id).fork_async(look)
        assert await forked.status() == "pending"

    async with bench.app(ORDER, drain=timedelta()) as app:
        result = await app.run(forked.run_id).result()

    assert (result.status, result.suspended) == ("suspended", ["approve"])
