"""Restarting: rules 12.3 and 21. A failed or canceled run goes on from its unfinished nodes, in the next execution."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from behaviour.bench import Bench, begin, statuses
from eventually import eventually
from outlast import (
    InputError,
    ReadContext,
    RunNotFoundError,
    RunStateError,
    StepContext,
    Workflow,
    step,
)
from outlast.engines.capability import Capability

pytestmark = pytest.mark.requires(Capability.REWINDING)


class World:
    """What bodies do, and how often they were called."""

    def __init__(self) -> None:
        self.is_broken = True
        self.calls: Counter[str] = Counter()

    def steps(self) -> tuple[Any, Any, Any]:
        @step
        async def first(x: int, ctx: StepContext) -> int:
            self.calls[ctx.path] += 1
            return x + 1

        @step
        async def second(x: int, ctx: StepContext) -> int:
            self.calls[ctx.path] += 1
            if self.is_broken:
                raise ConnectionError("down")
            return x * 10

        @step
        async def third(x: int, ctx: StepContext) -> list[int]:
            self.calls[ctx.path] += 1
            return [x, ctx.execution]

        return first, second, third


async def test_failed_run_goes_on_from_the_node_that_failed(bench: Bench) -> None:
    """12.3: earlier results are kept; `ctx.execution` and the result say which execution it is."""
    world = World()
    first, second, third = world.steps()
    workflow = Workflow("w", input=int, output=list[int]).then(first).then(second).then(third).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        failed = await started.result()
        world.is_broken = False

        result = await started.restart()

    assert (failed.status, failed.execution) == ("failed", 0)
    assert (result.status, result.execution, result.result) == ("success", 1, [20, 1])
    assert statuses(result) == dict.fromkeys(("first", "second", "third"), "success")
    assert world.calls == {"first": 1, "second": 2, "third": 1}


async def test_earlier_execution_stays_readable(bench: Bench) -> None:
    """12.3: the journal forgets nothing; 4: an execution that has ended never changes."""
    world = World()
    first, second, third = world.steps()
    workflow = Workflow("w", input=int).then(first).then(second).then(third).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        before = await started.result()
        journal = await bench.journal(started.run_id)
        world.is_broken = False
        await started.restart()

        earlier = await app.run(started.run_id).result(execution=0)
        snapshot = await app.run(started.run_id).snapshot(execution=0)

    assert earlier.to_dict() == snapshot.to_dict() == before.to_dict()
    assert (earlier.status, earlier.execution, statuses(earlier)) == (
        "failed",
        0,
        {"first": "success", "second": "failed"},
    )
    after = await bench.journal(started.run_id)
    assert after[: len(journal)] == journal
    assert {record.execution for record in after[len(journal) :]} == {1}


async def test_unknown_execution_is_refused(bench: Bench) -> None:
    """12.3: every execution has a number; asking for another one is an error of the caller's."""
    workflow = Workflow("w", input=int).then(World().steps()[0]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        with pytest.raises(InputError, match="executions 0 to 0, not 1"):
            await started.result(execution=1)
        for wrong in ("0", 0.0, True):
            with pytest.raises(InputError, match="executions 0 to 0, not"):
                await started.result(execution=wrong)  # type: ignore[arg-type]


async def test_result_is_waited_for_until_a_rest_or_the_end(bench: Bench) -> None:
    """17: a word that means neither is refused, not taken for one of them."""
    async with bench.app() as app:
        with pytest.raises(InputError, match="until is not valid: 'finished' is none of rest, end"):
            await app.run("run").result(until="finished")  # type: ignore[arg-type]


async def test_canceled_run_goes_on_with_the_body_that_was_canceled(bench: Bench) -> None:
    """12.3: `restart` takes failed and canceled runs; the run is not canceled any more."""
    entered, gate = asyncio.Event(), asyncio.Event()

    @step
    async def wait(x: int, ctx: StepContext) -> int:
        entered.set()
        if ctx.execution == 0:
            await ctx.canceled
        return x

    workflow = Workflow("w", input=int).then(World().steps()[0]).then(wait).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await entered.wait()
        await started.cancel("too early")
        canceled = await started.result()
        gate.set()

        result = await started.restart()

    assert (canceled.status, canceled.cancel_reason) == ("canceled", "too early")
    assert (result.status, result.result, result.cancel_reason) == ("success", 2, None)


async def test_items_and_children_that_ended_well_are_kept(bench: Bench) -> None:
    """12.3: inside lists, blocks and nested workflows, too, only what is not finished runs again."""
    world = World()
    first, second, _ = world.steps()

    @step
    async def each(x: int, ctx: StepContext) -> int:
        world.calls[ctx.path] += 1
        if world.is_broken and x == 2:
            raise ValueError(x)
        return x * 2

    child = Workflow("child", input=int).then(first).then(second).commit()
    items = Workflow("items", input=int).map(lambda ctx: [1, 2, 3], id="list").foreach(each, concurrency=3).commit()
    workflow = Workflow("w", input=int).parallel([child, items]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        assert (await started.result()).status == "failed"
        world.is_broken = False

        result = await started.restart()

    assert result.result == {"child": 20, "items": [2, 4, 6]}
    again = {"child.second", "items.each[1]"}
    assert {path for path, count in world.calls.items() if count == 2} == again


async def test_loop_goes_on_in_the_pass_that_failed(bench: Bench) -> None:
    """12.3, 5.4: passes that ended are kept, with what they gave; `ctx.iteration_count` goes on counting."""
    world = World()
    counts: list[int | None] = []

    @step
    async def poll(x: int, ctx: StepContext) -> int:
        world.calls[ctx.path] += 1
        if world.is_broken and x == 3:
            raise ConnectionError("down")
        return x + 1

    def is_enough(ctx: ReadContext[int]) -> bool:
        counts.append(ctx.iteration_count)
        return ctx.input == 5

    workflow = Workflow("w", input=int, output=int).dountil(poll, is_enough).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        assert (await started.result()).error_path == "poll#3"
        world.is_broken = False

        result = await started.restart()

    assert (result.status, result.result, result.steps["poll#3"].payload) == ("success", 5, 3)
    assert world.calls == {"poll#1": 1, "poll#2": 1, "poll#3": 2, "poll#4": 1}
    assert counts == [1, 2, 3, 4]


async def test_step_that_failed_after_it_was_resumed_gets_the_same_data(bench: Bench) -> None:
    """12.3: what somebody answered is not asked again."""
    seen: list[object] = []

    @step
    async def approve(x: int, ctx: StepContext) -> str:
        if not ctx.resumed:
            ctx.suspend("please")
        seen.append((ctx.resume_data, ctx.suspend_data))
        if len(seen) == 1:
            raise ConnectionError("down")
        return "done"

    workflow = Workflow("w", input=int).then(approve).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        assert (await started.resume("yes")).status == "failed"

        result = await started.restart()

    assert result.result == "done"
    assert seen == [("yes", "please")] * 2


async def test_failed_condition_is_asked_again(bench: Bench) -> None:
    """12.3: a node that failed because of its condition is not finished; answers that were given are kept."""
    world, asked = World(), Counter[str]()

    def right(ctx: ReadContext[int]) -> bool:
        asked["right"] += 1
        return True

    def wrong(ctx: ReadContext[int]) -> bool:
        asked["wrong"] += 1
        if world.is_broken:
            raise LookupError("no")
        return False

    first = world.steps()[0]
    workflow = Workflow("w", input=int).branch([(right, first), (wrong, first.clone(id="other"))]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        assert (await started.result()).status == "failed"
        world.is_broken = False

        result = await started.restart()

    assert result.result == {"first": 2}
    assert asked == {"right": 1, "wrong": 2}


async def test_restart_of_a_run_that_did_not_fail_is_refused(bench: Bench) -> None:
    """21: a verb that does not fit the run's status raises `RunStateError`, with status."""
    world = World()
    entered, gate = asyncio.Event(), asyncio.Event()

    @step
    async def wait(x: int) -> int:
        entered.set()
        await gate.wait()
        return x

    workflow = Workflow("w", input=int).then(wait).commit()
    asking = Workflow("asking").wait_for("answer").commit()
    async with bench.app(workflow, asking) as app:
        running = await begin(app, workflow, 1)
        await entered.wait()
        suspended = await begin(app, asking)
        await suspended.result()
        pending = await begin(app, workflow, 1, delay=3600)
        for run, status in ((running, "running"), (suspended, "suspended"), (pending, "pending")):
            with pytest.raises(RunStateError) as refused:
                await run.restart()
            assert (refused.value.verb, refused.value.status) == ("restart", status)
        gate.set()
        await running.result()
        with pytest.raises(RunStateError, match="cannot restart while the run is success"):
            await running.restart()
        with pytest.raises(RunNotFoundError):
            await app.run("nobody").restart()
    assert world.calls == {}


async def test_of_several_that_restart_a_run_one_wins(bench: Bench) -> None:
    """12.3: the execution is opened once, also when two processes race."""
    world = World()
    first, second, third = world.steps()
    workflow = Workflow("w", input=int).then(first).then(second).then(third).commit()
    async with bench.app(workflow) as app, bench.app(workflow) as other:
        started = await begin(app, workflow, 1)
        await started.result()
        world.is_broken = False

        callers = [each.run(started.run_id).restart_async() for each in (app, other) * 5]
        answers = await asyncio.gather(*callers, return_exceptions=True)
        result = await started.result()

    refused = [each for each in answers if isinstance(each, BaseException)]
    assert len(refused) == 9
    assert all(isinstance(each, RunStateError) for each in refused)
    assert (result.execution, world.calls["second"]) == (1, 2)


async def test_restart_is_durable_and_any_worker_picks_it_up(bench: Bench) -> None:
    """3.1: when `restart_async` returns, the execution will be driven, whatever happens to this process."""
    world = World()
    first, second, third = world.steps()
    workflow = Workflow("w", input=int).then(first).then(second).then(third).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
    world.is_broken = False
    async with bench.app(workflow, worker=False) as app:
        again = await app.run(started.run_id).restart_async()
        assert await again.status() == "pending"
        assert "waits for a worker" in await again.why()
        waiting = await again.snapshot()
        assert (waiting.status, waiting.execution, waiting.error) == ("pending", 1, None)
        assert statuses(waiting) == {"first": "success"}
        with pytest.raises(TimeoutError):
            await app.run(started.run_id).result(timeout=0.05)

    async with bench.app(workflow) as app:
        result = await app.run(started.run_id).result()

    assert (result.status, result.execution) == ("success", 1)


@pytest.mark.requires(Capability.ENDING_WITHOUT_WORKER)
async def test_pending_execution_can_be_canceled_and_restarted(bench: Bench) -> None:
    """10, 12.3: an execution that no worker has begun ends at once; the next one goes on from the same place."""
    world = World()
    first, second, third = world.steps()
    workflow = Workflow("w", input=int).then(first).then(second).then(third).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
    async with bench.app(workflow, worker=False) as app:
        handle = app.run(started.run_id)
        await handle.restart_async()
        await handle.cancel()
        canceled = await handle.result()
        world.is_broken = False
        await handle.restart_async()
    async with bench.app(workflow) as app:
        result = await app.run(started.run_id).result()

    assert (canceled.status, canceled.execution) == ("canceled", 1)
    assert (result.status, result.execution, world.calls["first"]) == ("success", 2, 1)


async def test_waiter_of_a_restarted_run_never_gets_the_old_end(bench: Bench) -> None:
    """3.4: truthful at the moment of reading: from the moment it is restarted, the run is not at its end."""
    gate = asyncio.Event()

    @step
    async def fail_once(x: int, ctx: StepContext) -> int:
        if ctx.execution == 0:
            raise ValueError(x)
        await gate.wait()
        return x

    workflow = Workflow("w", input=int).then(fail_once).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        await started.restart_async()
        reader = asyncio.ensure_future(app.run(started.run_id).result())
        await eventually(started.why)
        assert not reader.done()
        gate.set()
        result = await reader

    assert (result.status, result.execution) == ("success", 1)


async def test_request_context_of_a_restart_wins(bench: Bench) -> None:
    """21: the caller's entries win, the stored ones fill gaps, also after a crash."""

    @step
    async def fail_once(x: int, ctx: StepContext) -> dict[str, Any]:
        if ctx.execution == 0:
            raise ValueError(x)
        return dict(ctx.request_context)

    workflow = Workflow("w", input=int).then(fail_once).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1, request_context={"tenant": "a", "token": "old"})
        await started.result()

        result = await started.restart(request_context={"token": "new"})

    assert result.result == {"tenant": "a", "token": "new"}


@pytest.mark.slow
async def test_restarted_run_has_its_whole_time_again(bench: Bench) -> None:
    """9.3, 12.3: the timeout of the workflow counts for each execution."""

    @step
    async def linger(x: int, ctx: StepContext) -> int:
        if ctx.execution == 0:
            await ctx.canceled
        return x

    workflow = Workflow("w", input=int, timeout=1).then(linger).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        late = await started.result()

        result = await started.restart()

    assert late.error is not None
    assert late.error.type == "RunTimedOutError"
    assert (result.status, result.result) == ("success", 1)


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend()


async def test_run_that_was_canceled_and_restarted_can_be_canceled_again(bench: Bench) -> None:
    """10, 12.3: a cancel is one of its execution; that of the one before does not stand in its way."""
    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        await started.cancel("first")
        await started.result(until="end")
        waiting = await started.restart()
        outcome = await started.cancel("second")
        result = await started.result(until="end")
        earlier = await started.snapshot(execution=0)

    assert (waiting.status, str(outcome)) == ("suspended", "requested")
    assert (result.status, result.execution, result.cancel_reason) == ("canceled", 1, "second")
    assert (earlier.status, earlier.cancel_reason) == ("canceled", "first")


async def test_bodies_of_each_execution_are_canceled(bench: Bench) -> None:
    """10, 12.3: whoever drives the run is told each time, and not only the first time that somebody cancels it."""
    entered: list[int] = []

    @step
    async def hold(x: Any, ctx: StepContext) -> None:
        entered.append(ctx.execution)
        await ctx.canceled
        raise ConnectionError("not finished")

    workflow = Workflow("w").then(hold).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        for execution, reason in enumerate(["first", "second", "third"]):
            await eventually(lambda: entered == list(range(execution + 1)))  # noqa: B023 - called in this pass
            outcome = await started.cancel(reason)
            result = await started.result(until="end", timeout=60)
            assert (str(outcome), result.status, result.cancel_reason) == ("requested", "canceled", reason)
            if execution < 2:
                await started.restart_async()


async def test_step_that_is_suspended_in_each_execution_is_resumed_in_each(bench: Bench) -> None:
    """7.2, 12.3: one suspension is resumed once, and that of another execution is another one."""
    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        first = await started.resume("first")
        waiting = await started.time_travel(ask)
        second = await started.resume("second")

    assert (first.result, waiting.status, second.result) == ("first", "suspended", "second")
