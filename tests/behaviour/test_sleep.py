"""Sleeping: rule 11."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin, has_status
from eventually import eventually
from outlast import ReadContext, Workflow, step
from outlast.core.codec import decode_event
from outlast.core.events import SleepStarted, TimerFired

HOUR = timedelta(hours=1)
YEARS = timedelta(days=3650)


@step
async def same(x: Any) -> Any:
    return x


async def due_of(bench: Bench, run_id: str) -> list[int]:
    events = [decode_event(record) for record in await bench.journal(run_id)]
    return [event.due_at_ms for event in events if isinstance(event, SleepStarted)]


async def _waits(handle: Any) -> bool:
    return bool(await handle.status() == "waiting")


async def test_sleep_passes_its_input_on(bench: Bench) -> None:
    """1.2: `.sleep(...)` is no step: the next input is the output before it."""
    workflow = Workflow("w", input=int).sleep(0.001).sleep(timedelta(milliseconds=1), id="b").then(same).commit()

    result = await bench.run(workflow, 5)

    assert result.result == 5
    assert (result.steps["sleep"].status, result.steps["sleep"].output) == ("success", 5)


async def test_sleep_lasts_at_least_as_long_as_it_says(bench: Bench) -> None:
    """11: to the millisecond; the due time is computed once, from when it begins."""
    await bench.run(Workflow("w").sleep(0.02).commit(), run_id="run")

    events = [decode_event(record) for record in await bench.journal("run")]
    started = next(event for event in events if isinstance(event, SleepStarted))
    fired = next(event for event in events if isinstance(event, TimerFired))
    assert started.due_at_ms == started.at_ms + 20
    assert fired.at_ms >= started.due_at_ms


@pytest.mark.parametrize("answer", [0.01, timedelta(milliseconds=10)], ids=["seconds", "timedelta"])
@pytest.mark.parametrize("is_async", [True, False])
async def test_duration_may_be_a_function_of_the_input(bench: Bench, answer: Any, is_async: bool) -> None:
    """1.2: seconds, timedelta or a function; it is asked once."""
    calls: list[int] = []

    def nap(ctx: ReadContext[int]) -> Any:
        calls.append(ctx.input)
        return answer

    async def nap_async(ctx: ReadContext[int]) -> Any:
        return nap(ctx)

    workflow = Workflow("w", input=int).sleep(nap_async if is_async else nap).commit()

    assert (await bench.run(workflow, 3)).result == 3
    assert calls == [3]


@pytest.mark.parametrize("duration", [0, -1, timedelta(days=-5)], ids=repr)
async def test_no_duration_means_no_sleep(bench: Bench, duration: Any) -> None:
    """11: what is over already is over at once."""
    assert (await bench.run(Workflow("w").sleep(lambda ctx: duration).commit(), 1)).status == "success"


async def test_sleep_until_an_instant(bench: Bench) -> None:
    """1.2: `.sleep_until(datetime|fn)`."""
    due = datetime.now(UTC) + timedelta(milliseconds=30)
    workflow = Workflow("w").sleep_until(due, id="nap").sleep_until(lambda ctx: due, id="again").commit()

    result = await bench.run(workflow)

    assert result.status == "success"
    assert result.steps["nap"].ended_at is not None
    assert result.steps["nap"].ended_at >= due.replace(microsecond=due.microsecond // 1000 * 1000)


async def test_sleep_until_the_past_is_over_at_once(bench: Bench) -> None:
    """11: an instant that has passed is no wait."""
    past = datetime(1999, 1, 1, tzinfo=UTC)
    workflow = Workflow("w").sleep_until(past).sleep_until(lambda ctx: past, id="again").then(same).commit()

    assert (await bench.run(workflow, 1)).result == 1


async def test_long_sleep_holds_no_memory(bench: Bench) -> None:
    """11: any length; asleep for long, a run holds no task."""
    workflow = Workflow("w").sleep(YEARS).commit()
    async with bench.app(workflow) as app:
        runs = [await begin(app, workflow) for _ in range(10)]
        await eventually(lambda: not bench.live(app))
        for run in runs:
            await eventually(partial(has_status, run, "waiting"))


async def test_short_sleep_of_many_runs(bench: Bench) -> None:
    """11: timers of many runs fire by themselves."""
    workflow = Workflow("w", input=int).sleep(0.02).then(same).commit()
    async with bench.app(workflow) as app:
        runs = [await begin(app, workflow, number) for number in range(50)]

        assert [(await run.result()).result for run in runs] == list(range(50))


async def test_restart_waits_only_for_what_is_left(bench: Bench) -> None:
    """11: due times are recorded, so a restart waits only for what is left."""
    clock = Clock()
    workflow = Workflow("w").sleep(2 * HOUR).then(same).commit()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: _waits(started))
    due = await due_of(bench, "run")
    clock.offset += HOUR
    async with bench.app(workflow, clock=clock) as app:
        await eventually(lambda: not bench.live(app))
        between = await app.run("run").status()
    clock.offset += HOUR
    async with bench.app(workflow, clock=clock) as app:
        result = await app.run("run").result(timeout=30)

    assert between == "waiting"
    assert result.result == 1
    assert await due_of(bench, "run") == due


async def test_sleep_that_is_over_while_no_app_was_open_ends_at_once(bench: Bench) -> None:
    """11: nobody needs to be there when it is due."""
    clock = Clock()
    workflow = Workflow("w").sleep(YEARS).then(same).commit()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: _waits(started))
    clock.offset += 2 * YEARS
    async with bench.app(workflow, clock=clock) as app:
        assert (await app.run("run").result(timeout=30)).result == 1


async def test_forward_jump_of_the_clock_fires_timers(bench: Bench) -> None:
    """11: a forward jump of the wall clock fires timers, in a process that is running."""
    clock = Clock()
    workflow = Workflow("w").sleep(HOUR).then(same).commit()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, 1)
        await eventually(lambda: _waits(started))
        clock.offset += HOUR

        assert (await started.result(timeout=30)).result == 1


async def test_backward_jump_of_the_clock_delays_them_and_keeps_the_order(bench: Bench) -> None:
    """11: a backward jump delays them; order in a run is `seq`, never time."""
    clock = Clock()
    workflow = Workflow("w").sleep(HOUR).then(same).commit()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: _waits(started))
        clock.offset -= HOUR
        await eventually(lambda: not bench.live(app))
        before = await started.status()
        clock.offset += 2 * HOUR
        result = await started.result(timeout=30)

    assert (before, result.result) == ("waiting", 1)
    assert [record.seq for record in await bench.journal("run")] == list(range(1, len(await bench.journal("run")) + 1))


async def test_duration_is_not_asked_again_after_a_restart(bench: Bench) -> None:
    """11: due times are computed once."""
    calls = 0

    def nap(ctx: ReadContext[Any]) -> timedelta:
        nonlocal calls
        calls += 1
        return HOUR

    clock = Clock()
    workflow = Workflow("w").sleep(nap).commit()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, run_id="run")
        await eventually(lambda: _waits(started))
    clock.offset += HOUR
    async with bench.app(workflow, clock=clock) as app:
        await app.run("run").result(timeout=30)

    assert calls == 1


async def test_sleeping_items_and_children_sleep_side_by_side(bench: Bench) -> None:
    """11, 5.5: each sleep is a node of its own."""
    clock = Clock()
    nap = Workflow("nap", input=int).sleep(lambda ctx: ctx.input * 3600).commit()
    workflow = Workflow("w", input=list[int]).foreach(nap, concurrency=9, id="each").commit()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, [1, 2, 3])
        await eventually(lambda: _waits(started))
        clock.offset += 2 * HOUR + timedelta(minutes=1)
        await eventually(lambda: _has_slept(started, 2))
        between = await started.snapshot()
        clock.offset += HOUR
        result = await started.result(timeout=30)

    assert between.status == "waiting"
    assert result.result == [1, 2, 3]


async def _has_slept(handle: Any, count: int) -> bool:
    result = await handle.snapshot()
    return sum(path.endswith(".sleep") and each.status == "success" for path, each in result.steps.items()) == count


async def test_sleep_until_the_end_of_time_can_be_told(bench: Bench) -> None:
    """11: any length: up to the last instant that there is."""
    workflow = Workflow("w").sleep_until(datetime.max.replace(tzinfo=UTC), id="nap").commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await eventually(lambda: _waits(started))

        assert "'nap' sleeps until 9999-12-31T23:59:59.999+00:00" in await started.why()
        assert await started.cancel() == "requested"


async def test_why_says_until_when_a_run_sleeps(bench: Bench) -> None:
    """3.1, 4: `why` says what it waits for."""
    workflow = Workflow("w").sleep_until(datetime(2999, 1, 1, tzinfo=UTC), id="nap").commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await eventually(lambda: _waits(started))
        why = await started.why()

    assert "nap" in why
    assert "2999" in why
