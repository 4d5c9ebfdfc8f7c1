"""Per-step mode: rule 12.6. A run pauses after each top-level node; `step` does the next one."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from behaviour.bench import Bench, begin, statuses
from eventually import eventually
from outlast import ResumeTargetError, RunHandle, RunStateError, StartedRun, StepContext, Workflow, step
from outlast.engines.capability import Capability

calls: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def fresh() -> None:
    calls.clear()


@step
async def add(x: int, ctx: StepContext) -> int:
    calls[ctx.path] += 1
    return x + 1


@step
async def total(parts: dict[str, int], ctx: StepContext) -> int:
    calls[ctx.path] += 1
    return sum(parts.values())


CHILD = Workflow("child", input=int, output=int).then(add).then(add.clone(id="again")).commit()
WORKFLOW = (
    Workflow("w", input=int, output=int)
    .then(add)
    .then(CHILD)
    .parallel([add.clone(id="p"), CHILD.clone(id="q")], id="both")
    .then(total)
    .commit()
)


async def test_run_pauses_after_each_top_level_node(bench: Bench) -> None:
    """12.6: `per_step=True` stops as `paused` after each node; nested workflows and blocks are one node."""
    async with bench.app(WORKFLOW) as app:
        run = await app.create_run(WORKFLOW)
        paused = [await run.start(input_data=1, per_step=True)]
        handle = app.run(run.run_id)
        paused += [await handle.step(), await handle.step()]
        result = await handle.step()

    assert [(each.status, each.result, each.error) for each in paused] == [("paused", None, None)] * 3
    assert [list(each.steps) for each in paused] == [
        ["add"],
        ["add", "child", "child.add", "child.again"],
        ["add", "child", "child.add", "child.again", "p", "q", "q.add", "q.again"],
    ]
    assert (result.status, result.result) == ("success", 11)
    assert set(calls.values()) == {1}


async def test_paused_run_can_be_let_go(bench: Bench) -> None:
    """12.6: without per-step mode it goes on to its end."""
    async with bench.app(WORKFLOW) as app:
        started = await begin(app, WORKFLOW, 1, per_step=True)
        await started.result()

        result = await started.step(per_step=False)

    assert (result.status, result.result) == ("success", 11)


async def test_pause_is_explained_and_holds_nothing(bench: Bench) -> None:
    """4: every wait has a sentence. A paused run holds no memory, task or thread."""
    async with bench.app(WORKFLOW) as app:
        started = await begin(app, WORKFLOW, 1, per_step=True)
        await started.result()

        why = await started.why()
        live = bench.live(app)

    assert why == "the run is paused before 'child' and waits for somebody to call `step`"
    assert live == []


async def test_pause_outlives_the_process(bench: Bench) -> None:
    """3.1, 12.6: a paused run stays paused over restarts, and any process may let it go on."""
    async with bench.app(WORKFLOW) as app:
        started = await begin(app, WORKFLOW, 1, per_step=True)
        await started.result()
    async with bench.app(WORKFLOW, worker=False) as app:
        handle = app.run(started.run_id)
        assert (await handle.result()).status == "paused"
        await handle.step_async()
    async with bench.app(WORKFLOW) as app:
        handle = app.run(started.run_id)
        await eventually(lambda: _has_done(handle, "child"))
        result = await handle.step()

    assert (result.status, statuses(result)["q"]) == ("paused", "success")
    assert calls["add"] == 1


async def _has_done(run: RunHandle[Any], path: str) -> bool:
    result = await run.snapshot()
    return result.status == "paused" and path in result.steps


async def test_one_pause_is_ended_once(bench: Bench) -> None:
    """21: a verb that does not fit the run's status raises `RunStateError`; of several callers one wins."""
    async with bench.app(WORKFLOW) as app, bench.app(WORKFLOW) as other:
        started = await begin(app, WORKFLOW, 1, per_step=True)
        await started.result()

        steps = [each.run(started.run_id).step_async() for each in (app, other) * 4]
        answers = await asyncio.gather(*steps, return_exceptions=True)
        (winner,) = [each for each in answers if isinstance(each, StartedRun)]
        result = await winner.result()

    refused = [each for each in answers if isinstance(each, BaseException)]
    assert len(refused) == 7
    assert all(isinstance(each, RunStateError) for each in refused)
    assert (result.status, "child" in result.steps, "p" in result.steps) == ("paused", True, False)


async def test_verbs_that_do_not_fit_a_pause_are_refused(bench: Bench) -> None:
    """21: a paused run cannot be resumed or restarted, and one that is not paused takes no step."""
    async with bench.app(WORKFLOW) as app:
        started = await begin(app, WORKFLOW, 1, per_step=True)
        await started.result()
        with pytest.raises((RunStateError, ResumeTargetError)):
            await started.resume("data")
        with pytest.raises(RunStateError, match="cannot restart while the run is paused"):
            await started.restart()
        await started.step(per_step=False)
        with pytest.raises(RunStateError, match="cannot step while the run is success"):
            await started.step()


@pytest.mark.requires(Capability.REWINDING)
async def test_paused_run_can_be_canceled_and_time_travelled(bench: Bench) -> None:
    """10, 12.3: a paused run rests."""
    async with bench.app(WORKFLOW) as app:
        started = await begin(app, WORKFLOW, 1, per_step=True)
        await started.result()
        again = await started.time_travel(add, input_data=10, per_step=True)
        await started.cancel()
        canceled = await started.result()

    assert (again.status, again.execution, again.steps["add"].output) == ("paused", 1, 11)
    assert canceled.status == "canceled"


@pytest.mark.requires(Capability.REWINDING)
async def test_time_travel_into_a_nested_workflow_pauses_after_that(bench: Bench) -> None:
    """12.6: it stops after the top-level node in which the target stands."""
    async with bench.app(WORKFLOW) as app:
        run = await app.create_run(WORKFLOW)
        result = await run.time_travel("child.again", input_data=5, per_step=True)
        ended = await app.run(run.run_id).step(per_step=False)

    assert (result.status, result.steps["child"].output) == ("paused", 6)
    assert ended.result == 7 + 8


async def test_suspension_within_a_node_comes_before_the_pause(bench: Bench) -> None:
    """4: suspended before paused; the resumed node ends, and then the run pauses."""

    @step
    async def ask(x: int, ctx: StepContext) -> Any:
        return ctx.resume_data if ctx.resumed else ctx.suspend()

    workflow = Workflow("asking", input=int).then(ask).map(lambda ctx: ctx.input, id="out").commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1, per_step=True)
        suspended = await started.result()
        paused = await started.resume("yes")
        ended = await started.step()

    assert (suspended.status, paused.status, ended.status, ended.result) == ("suspended", "paused", "success", "yes")


@pytest.mark.requires(Capability.PENDING_RECORDS)
async def test_recorded_run_can_be_started_step_by_step(bench: Bench) -> None:
    """2.1, 12.6: `per_step` is kept with the start, however the run was recorded."""
    async with bench.app(WORKFLOW) as app:
        run = await app.record_run(WORKFLOW)
        result = await run.start(input_data=1, per_step=True)

    assert result.status == "paused"
