"""The timeout of a run as a whole: rules 1.2 and 9.3."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from eventually import eventually
from outlast import CommittedWorkflow, Retry, RunTimedOutError, StepContext, Workflow, step
from outlast.core.codec import decode_event
from outlast.core.events import RunStarted, RunTimedOut

SHORT = timedelta(milliseconds=30)
SOON = timedelta(milliseconds=400)
LATER = timedelta(seconds=2)
"""Enough for a step to begin, also on a server."""
"""Time enough for a step to begin on any engine."""
HOUR = timedelta(hours=1)
AT_ONCE = timedelta()


@step
async def never(x: Any) -> Any:
    raise AssertionError("a step ran that must not run")


@step(retries=Retry(limit=3, delay=HOUR))
async def fail(x: Any) -> Any:
    raise ValueError("again")


RESTING = {
    "sleeping": lambda: Workflow("w", timeout=SHORT).sleep(HOUR).then(never).commit(),
    "suspended": lambda: Workflow("w", timeout=SHORT).wait_for("answer").then(never).commit(),
    "waiting_for_retry": lambda: Workflow("w", timeout=SHORT).then(fail).then(never).commit(),
}
resting = pytest.mark.parametrize("kind", RESTING)


def with_long_timeout(kind: str) -> CommittedWorkflow[Any, Any]:
    builders = {
        "sleeping": lambda w: w.sleep(10 * HOUR),
        "suspended": lambda w: w.wait_for("answer"),
        "waiting_for_retry": lambda w: w.then(fail),
    }
    builder = Workflow("w", timeout=timedelta(minutes=30))
    return builders[kind](builder).then(never).commit()


async def test_body_sees_that_the_run_is_out_of_time_and_may_end(bench: Bench) -> None:
    """9.3, 10: a body in flight sees `ctx.canceled`; what it returns in time is recorded, and the run fails."""
    seen: list[bool] = []

    @step
    async def cooperative(x: Any, ctx: StepContext) -> str:
        await ctx.canceled
        seen.append(bool(ctx.canceled))
        return "done"

    result = await bench.run(Workflow("w", timeout=SOON).then(cooperative).then(never).commit())

    assert seen == [True]
    assert (result.status, list(result.steps), result.steps["cooperative"].output) == (
        "failed",
        ["cooperative"],
        "done",
    )
    assert result.error is not None
    assert result.error.type == "RunTimedOutError"


@pytest.mark.slow
async def test_body_that_ignores_the_flag_is_ended_after_the_grace_period(bench: Bench) -> None:
    """9.3, 10: async bodies get `CancelledError` after the grace period."""
    ended: list[str] = []

    @step
    async def deaf(x: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("canceled")
            raise

    workflow = Workflow("w", timeout=LATER).then(deaf).then(never).commit()
    async with bench.app(workflow, grace=SHORT) as app:
        result = await (await begin(app, workflow)).result(timeout=30)

    assert (result.status, result.steps["deaf"].status, ended) == ("failed", "canceled", ["canceled"])


@pytest.mark.slow
async def test_thread_that_ignores_the_flag_is_left_behind(bench: Bench) -> None:
    """9.3: a timed-out thread is abandoned, and its late result refused."""
    gate = threading.Event()

    @step
    def deaf(x: Any) -> str:
        gate.wait(timeout=20)
        return "late"

    workflow = Workflow("w", timeout=LATER).then(deaf).then(never).commit()
    async with bench.app(workflow, grace=SHORT) as app:
        result = await (await begin(app, workflow, run_id="run")).result(timeout=30)
        before = await bench.journal("run")
        gate.set()

    assert (result.status, result.steps["deaf"].output) == ("failed", None)
    assert await bench.journal("run") == before


async def test_unwrap_raises_run_timed_out_error(bench: Bench) -> None:
    """2.6, 4: a run timeout ends `failed` with `RunTimedOutError`, which `unwrap()` raises."""
    result = await bench.run(RESTING["sleeping"]())

    with pytest.raises(RunTimedOutError, match="did not end until"):
        result.unwrap()


@resting
async def test_run_at_rest_ends_when_its_time_is_over(bench: Bench, kind: str) -> None:
    """9.3: also a run that sleeps, is suspended or waits for its next attempt, although nobody holds it."""
    workflow = RESTING[kind]()
    async with bench.app(workflow) as app:
        result = await (await begin(app, workflow)).result(until="end", timeout=5)

    assert (result.status, result.error and result.error.type) == ("failed", "RunTimedOutError")
    assert "never" not in result.steps


@resting
async def test_evicted_run_ends_as_soon_as_a_worker_lives(bench: Bench, kind: str) -> None:
    """9.3, 12.2: a run at rest for long is in no memory; its time is over all the same, in another process too."""
    workflow, clock = with_long_timeout(kind), Clock()
    async with bench.app(workflow, clock=clock) as app:
        await begin(app, workflow, run_id="run")
        await eventually(lambda: _has_rested(bench, app))
        live = bench.live(app)
    clock.offset = HOUR * 3 / 4
    async with bench.app(workflow, clock=clock) as app:
        result = await app.run("run").result(until="end", timeout=5)

    assert live == []
    assert (result.status, result.error and result.error.type) == ("failed", "RunTimedOutError")


@resting
@pytest.mark.parametrize("verb", ["status", "snapshot", "result", "why"])
async def test_evicted_run_ends_when_somebody_looks_although_no_worker_lives(
    bench: Bench, kind: str, verb: str
) -> None:
    """9.3: like a missed start; what a worker would have recorded, any open process does."""
    workflow, clock = with_long_timeout(kind), Clock()
    async with bench.app(workflow, clock=clock) as app:
        await begin(app, workflow, run_id="run")
        await eventually(lambda: _has_rested(bench, app))
    clock.offset = HOUR * 3 / 4
    async with bench.app(workflow, clock=clock, worker=False) as app:
        await getattr(app.run("run"), verb)()
        result = await app.run("run").snapshot()

    assert (result.status, result.error and result.error.type) == ("failed", "RunTimedOutError")
    assert [record.type for record in await bench.journal("run")][-2:] == ["run-timed-out", "run-finished"]


@pytest.mark.slow
@resting
async def test_waiter_sees_the_run_time_out_although_no_worker_lives(bench: Bench, kind: str) -> None:
    """9.3, 2.6: who waits need not look again by himself."""
    workflow, clock = with_long_timeout(kind), Clock()
    async with bench.app(workflow, clock=clock) as app:
        await begin(app, workflow, run_id="run")
        await eventually(lambda: _has_rested(bench, app))
    clock.offset = timedelta(minutes=30) - timedelta(milliseconds=500)
    async with bench.app(workflow, clock=clock, worker=False) as app:
        result = await app.run("run").result(until="end", timeout=10)

    assert (result.status, result.error and result.error.type) == ("failed", "RunTimedOutError")


async def test_run_that_is_not_out_of_time_is_left_to_a_worker(bench: Bench) -> None:
    """9.3: a timer that is due is a worker's business, however often somebody looks."""
    workflow, clock = Workflow("w", timeout=HOUR).sleep(60).then(never).commit(), Clock()
    async with bench.app(workflow, clock=clock) as app:
        await begin(app, workflow, run_id="run")
        await eventually(lambda: _has_rested(bench, app))
    before = await bench.journal("run")
    clock.offset = HOUR / 2
    async with bench.app(workflow, clock=clock, worker=False) as app:
        status = await app.run("run").status()

    assert status == "waiting"
    assert await bench.journal("run") == before


async def test_resume_in_time_that_nobody_has_taken_is_recorded_before_the_timeout(bench: Bench) -> None:
    """9.3, 7.2: the inbox is read first, as a worker does; the run is out of time all the same."""
    workflow, clock = with_long_timeout("suspended"), Clock()
    async with bench.app(workflow, clock=clock) as app:
        await begin(app, workflow, run_id="run")
        await eventually(lambda: _has_rested(bench, app))
    async with bench.app(workflow, clock=clock, worker=False) as app:
        await app.run("run").resume_async("yes")
        clock.offset = HOUR
        result = await app.run("run").snapshot()

    assert (result.status, result.error and result.error.type) == ("failed", "RunTimedOutError")
    types = [record.type for record in await bench.journal("run")]
    assert types[-3:] == ["step-resumed", "run-timed-out", "run-finished"]


async def _has_rested(bench: Bench, app: Any) -> bool:
    return not bench.live(app) and await app.run("run").status() in ("waiting", "suspended")


async def test_deadline_counts_from_the_start_also_after_a_restart(bench: Bench) -> None:
    """9.3, 11: due times are recorded, so a restart waits only for what is left."""
    entered: list[bool] = []

    @step
    async def hold(x: Any, ctx: StepContext) -> None:
        entered.append(ctx.recovered)
        await ctx.canceled

    workflow, clock = Workflow("w", timeout=HOUR).then(hold).commit(), Clock()
    async with bench.app(workflow, clock=clock, drain=AT_ONCE) as app:
        await begin(app, workflow, run_id="run")
        await eventually(lambda: entered)
        before = await app.run("run").why()
    clock.offset = HOUR - timedelta(milliseconds=500)
    async with bench.app(workflow, clock=clock) as app:
        await eventually(lambda: len(entered) == 2)
        after = await app.run("run").why()
        result = await app.run("run").result(timeout=30)

    events = [decode_event(record) for record in await bench.journal("run")]
    started = next(event for event in events if isinstance(event, RunStarted))
    ended = next(event for event in events if isinstance(event, RunTimedOut))
    assert result.status == "failed"
    assert entered == [False, True]
    assert timedelta(0) <= timedelta(milliseconds=ended.at_ms - started.at_ms) - HOUR < timedelta(seconds=5)
    sentences = [[each for each in text.split("; ") if "times out at" in each] for text in (before, after)]
    assert sentences[0] == sentences[1] != []


async def test_run_that_ends_in_time_does_not_time_out(bench: Bench) -> None:
    """9.3: ended runs leave no timer; nothing is recorded after the end."""

    @step
    async def quick(x: Any) -> str:
        return "done"

    workflow = Workflow("w", timeout=HOUR).then(quick).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, run_id="run")
        timers = bench.timers(app, "run")
        result = await started.result()
        await eventually(lambda: not bench.live(app))

    assert (result.result, timers) == ("done", {})
    assert (await bench.journal("run"))[-1].type == "run-finished"


async def test_run_that_timed_out_leaves_no_timer(bench: Bench) -> None:
    """9.3: neither the grace period nor the deadline."""

    @step
    async def hold(x: Any, ctx: StepContext) -> None:
        await ctx.canceled

    workflow = Workflow("w", timeout=SHORT).then(hold).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, run_id="run")
        timers = bench.timers(app, "run")
        result = await started.result()
        await eventually(lambda: not bench.live(app))

    assert (result.status, timers) == ("failed", {})


async def test_timeout_of_a_workflow_does_not_count_where_it_is_a_step(bench: Bench) -> None:
    """5.7, 9.3: the timeout is the run's; a workflow used as a step shares the run of its parent."""
    inner = Workflow("inner", input=int, timeout=timedelta(milliseconds=1)).sleep(0.03).commit()
    workflow = Workflow("w", input=int).then(inner).commit()

    assert (await bench.run(workflow, 5)).result == 5


async def test_timed_out_run_cannot_be_canceled_any_more(bench: Bench) -> None:
    """10: canceling a finished run changes nothing."""
    workflow = RESTING["sleeping"]()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, run_id="run")
        await started.result(until="end", timeout=5)
        before = await bench.journal("run")

        outcome = await started.cancel()

    assert outcome == "already-finished"
    assert await bench.journal("run") == before
