"""A run that no worker begins in time: rule 9.3 and `StartDeadlineError` of rule 4."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from eventually import eventually
from outlast import InputError, NeverStartedError, RunHandle, StartDeadlineError, StepContext, Workflow, step
from outlast.engines.capability import Capability

HOUR = timedelta(hours=1)
CALLED: list[str] = []


@step
async def act(x: Any) -> str:
    CALLED.append("act")
    return "done"


WORKFLOW = Workflow("w").then(act).commit()


@pytest.fixture(autouse=True)
def _nothing_was_called() -> None:
    CALLED.clear()


async def _ended(handle: RunHandle[Any]) -> Any:
    result = await handle.snapshot()
    return result if result.status.is_terminal else None


def _failure(result: Any) -> tuple[str, str | None, str]:
    return str(result.status), result.error and result.error.type, result.error_path


MISSED = ("failed", "StartDeadlineError", "")


async def test_run_that_a_worker_begins_in_time_is_not_touched(bench: Bench) -> None:
    """9.3: the deadline is that of the start, not of the run; nothing is left of it."""

    @step
    async def longer(x: Any) -> str:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        await eventually(lambda: clock.offset)
        return "done"

    workflow, clock = Workflow("w").then(longer).commit(), Clock()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, run_id="run", start_within=HOUR)
        clock.offset = 2 * HOUR
        result = await started.result(timeout=30)

    assert result.result == "done"
    assert [record.type for record in await bench.journal("run")].count("start-timed-out") == 0


async def test_run_fails_at_its_deadline_without_a_worker(bench: Bench) -> None:
    """9.3, 4: also when no worker was alive at the deadline: whoever looks next ends it, and waiters learn of it."""
    clock = Clock()
    async with bench.app(WORKFLOW, worker=False, clock=clock) as app:
        started = await begin(app, WORKFLOW, run_id="run", start_within=HOUR)
        waiting = asyncio.create_task(started.result(timeout=30))
        before = await started.why()
        clock.offset = 2 * HOUR
        result = await waiting
        why = await started.why()

    assert "it fails unless a worker begins it until" in before
    assert _failure(result) == MISSED
    assert why.startswith("the run has failed with StartDeadlineError: no worker began the run until")
    assert [record.type for record in await bench.journal("run")] == ["run-started", "start-timed-out", "run-finished"]
    with pytest.raises(StartDeadlineError, match="no worker began the run until"):
        result.unwrap()


@pytest.mark.parametrize("look", ["snapshot", "status", "why", "result"])
async def test_whoever_looks_after_the_deadline_sees_it_failed(bench: Bench, look: str) -> None:
    """9.3: nobody ever sees a run pending whose deadline is over."""
    clock = Clock()
    async with bench.app(WORKFLOW, worker=False) as app:
        await begin(app, WORKFLOW, run_id="run", start_within=HOUR)
    clock.offset = 2 * HOUR
    async with bench.app(WORKFLOW, worker=False, clock=clock) as app:
        seen = await getattr(app.run("run"), look)()

    assert "failed" in str(seen.status if look in ("snapshot", "result") else seen)


async def test_worker_that_comes_too_late_calls_nothing(bench: Bench) -> None:
    """9.3: a run not begun until then ends `failed`, whoever takes it first."""
    clock = Clock()
    async with bench.app(WORKFLOW, worker=False) as app:
        await begin(app, WORKFLOW, run_id="run", start_within=HOUR)
    clock.offset = 2 * HOUR
    async with bench.app(WORKFLOW, clock=clock) as app:
        result = await app.run("run").result(timeout=30)

    assert (_failure(result), CALLED) == (MISSED, [])


@pytest.mark.parametrize("limit", ["max_runs", "max_steps"])
@pytest.mark.requires(Capability.RUN_SLOTS)
async def test_run_that_waits_for_a_slot_of_a_busy_worker_fails(bench: Bench, limit: str) -> None:
    """9.3, 19: a slot that comes too late does not begin the run."""
    release = asyncio.Event()

    @step
    async def hold(x: Any, ctx: StepContext) -> None:
        await release.wait()

    holding = Workflow("holding").then(hold).commit()
    async with bench.app(WORKFLOW, holding, **{limit: 1}) as app:
        first = await begin(app, holding)
        started = await begin(app, WORKFLOW, start_within=0.05)
        result = await started.result(timeout=30)
        release.set()
        await first.result()
        after = await begin(app, WORKFLOW)
        await after.result()

    assert (_failure(result), CALLED) == (MISSED, ["act"])


async def test_deadline_counts_from_when_a_delayed_run_may_start(bench: Bench) -> None:
    """2.2, 9.3: the delay does not use up the time that a worker has."""
    clock = Clock()
    async with bench.app(WORKFLOW, worker=False, clock=clock) as app:
        started = await begin(app, WORKFLOW, run_id="run", delay=HOUR, start_within=HOUR)
        clock.offset = 1.5 * HOUR
        waiting = await started.status()
    async with bench.app(WORKFLOW, clock=clock) as app:
        result = await app.run("run").result(timeout=30)

    assert (waiting, result.result) == ("pending", "done")


async def test_run_that_crashed_before_its_first_step_fails_when_it_is_taken_too_late(bench: Bench) -> None:
    """9.3: what has begun is what is recorded to have begun."""
    clock, release = Clock(), asyncio.Event()

    @step
    async def hold(x: Any, ctx: StepContext) -> None:
        await release.wait()

    holding = Workflow("holding").then(hold).commit()
    async with bench.app(WORKFLOW, holding, max_steps=1, drain=timedelta(0)) as app:
        await begin(app, holding)
        await begin(app, WORKFLOW, run_id="run", start_within=HOUR)
    clock.offset = 2 * HOUR
    async with bench.app(WORKFLOW, worker=False, clock=clock) as app:
        result = await eventually(lambda: _ended(app.run("run")))

    assert (_failure(result), CALLED) == (MISSED, [])


async def test_recorded_run_that_nobody_starts_fails_without_a_worker(bench: Bench) -> None:
    """2.1, 4: a never-started record ends `failed`, also while no worker lives."""
    clock = Clock()
    async with bench.app(WORKFLOW, worker=False, clock=clock) as app:
        await app.record_run(WORKFLOW, run_id="run", start_within=HOUR)
        waiting = asyncio.create_task(app.run("run").result(timeout=30))
        clock.offset = 2 * HOUR
        result = await waiting

    with pytest.raises(NeverStartedError):
        result.unwrap()


async def test_recorded_run_that_was_started_in_time_is_not_ended_by_a_bystander(bench: Bench) -> None:
    """2.1: the start is recorded, although no worker has seen it yet."""
    clock = Clock()
    async with bench.app(WORKFLOW, worker=False, clock=clock) as app:
        run = await app.record_run(WORKFLOW, run_id="run", start_within=HOUR)
        await run.start_async()
        clock.offset = 2 * HOUR
        status = await app.run("run").status()
    async with bench.app(WORKFLOW, clock=clock) as app:
        result = await app.run("run").result(timeout=30)

    assert (status, result.result) == ("pending", "done")


@pytest.mark.parametrize("within", [0, -1, float("nan"), float("inf"), "soon", True, timedelta(seconds=-1)])
async def test_unusable_deadline_is_refused(bench: Bench, within: Any) -> None:
    """2.3: nothing is recorded."""
    async with bench.app(WORKFLOW, worker=False) as app:
        with pytest.raises(InputError, match="start_within"):
            await begin(app, WORKFLOW, run_id="run", start_within=within)

    assert await bench.row("run") is None


async def test_run_recovered_after_its_own_deadline_calls_no_body(bench: Bench) -> None:
    """9.3: the timeout of the run is looked at before anything is called again."""
    entered: list[bool] = []

    @step
    async def hold(x: Any, ctx: StepContext) -> None:
        entered.append(ctx.recovered)
        await ctx.canceled

    workflow, clock = Workflow("w", timeout=HOUR).then(hold).commit(), Clock()
    async with bench.app(workflow, drain=timedelta(0)) as app:
        await begin(app, workflow, run_id="run")
        await eventually(lambda: entered)
    clock.offset = 2 * HOUR
    async with bench.app(workflow, clock=clock) as app:
        result = await app.run("run").result(timeout=30)

    assert (_failure(result), entered) == (("failed", "RunTimedOutError", ""), [False])
    assert result.steps["hold"].status == "canceled"
    assert [record.type for record in await bench.journal("run")][-3:] == [
        "run-timed-out",
        "step-canceled",
        "run-finished",
    ]
