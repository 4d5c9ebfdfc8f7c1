"""A month passes in a moment: what an app does under a clock that jumps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventually import eventually
from outlast import (
    CommittedWorkflow,
    ConfigurationError,
    Outlast,
    ReadContext,
    Retry,
    RunResult,
    Schedule,
    StepContext,
    Workflow,
    step,
)
from outlast.testing.clock import VirtualClock

START = datetime(2030, 1, 1, tzinfo=UTC)
STORES = ["memory", "normal"]


@step
async def add_one(n: int) -> int:
    return n + 1


@step
def add_two(n: int) -> int:
    return n + 2


@asynccontextmanager
async def opened(
    workflow: CommittedWorkflow[Any, Any], clock: VirtualClock, store: object = "memory", **options: Any
) -> AsyncIterator[Outlast]:
    async with Outlast([workflow], store=store, clock=clock, **options) as app:  # type: ignore[arg-type]
        yield app


def took(result: RunResult[Any], path: str) -> timedelta:
    step_result = result.steps[path]
    assert step_result.started_at is not None
    assert step_result.ended_at is not None
    return step_result.ended_at - step_result.started_at


@pytest.mark.parametrize("store", STORES)
async def test_a_sleep_of_a_month_is_over_at_once(store: str, tmp_path: Path) -> None:
    """11: a run that sleeps goes on exactly when it is due, and nobody waits for it."""
    wf = Workflow("month", input=int).then(add_one).sleep(timedelta(days=30)).then(add_two).commit()
    clock, began = VirtualClock(START), time.monotonic()
    place = "memory" if store == "memory" else str(tmp_path / "o.db")

    async with opened(wf, clock, place):
        result = await (await wf.create_run()).start(input_data=1)

    assert result.unwrap() == 4
    assert clock.now() == START + timedelta(days=30)
    assert result.steps["add_two"].started_at == START + timedelta(days=30)
    assert time.monotonic() - began < 30


async def test_time_stands_still_while_nobody_waits() -> None:
    wf = Workflow("month", input=int).sleep(timedelta(days=30)).then(add_two).commit()
    clock = VirtualClock(START)

    async with opened(wf, clock):
        run = await (await wf.create_run()).start_async(input_data=1)
        await eventually(lambda: _has_status(run, "waiting"))
        assert clock.now() == START
        result = await run.result()

    assert result.status == "success"
    assert clock.now() == START + timedelta(days=30)


async def _has_status(run: Any, status: str) -> bool:
    return (await run.status()) == status


async def test_a_suspension_rests_although_it_has_a_timeout() -> None:
    """2.6: `start` returns at the first rest; the time of the suspension does not pass until somebody waits on."""
    wf = (
        Workflow("ask", input=int, output=int)
        .wait_for("answer", resume=int, timeout=timedelta(days=7), default=7)
        .then(add_one)
        .commit()
    )
    clock = VirtualClock(START)

    async with opened(wf, clock) as app:
        result = await (await wf.create_run(run_id="answered")).start(input_data=1)
        answered = app.run("answered")
        assert result.status == "suspended"
        assert clock.now() == START
        assert (await answered.resume(1)).unwrap() == 2
        assert clock.now() == START

        await (await wf.create_run(run_id="forgotten")).start(input_data=1)
        late = await app.run("forgotten").result(until="end")

    assert late.unwrap() == 8
    assert clock.now() == START + timedelta(days=7)


async def test_retries_with_backoff_take_their_time_on_the_clock() -> None:
    """9.1: attempts come when they are due."""
    attempts: list[datetime] = []
    clock = VirtualClock(START)

    @step(retries=Retry(limit=3, delay=timedelta(hours=1), backoff=2.0, jitter=0.0))
    async def flaky(n: int, ctx: StepContext) -> int:
        attempts.append(clock.now())
        if ctx.attempt < 3:
            raise ConnectionError("not yet")
        return n

    wf = Workflow("flaky", input=int).then(flaky).commit()
    async with opened(wf, clock):
        result = await (await wf.create_run()).start(input_data=5)

    assert result.unwrap() == 5
    assert attempts == [START + timedelta(hours=hours) for hours in (0, 1, 3, 7)]


async def test_a_run_timeout_ends_a_run_that_sleeps_longer() -> None:
    """9.3"""
    wf = Workflow("slow", input=int, timeout=timedelta(hours=2)).sleep(timedelta(days=1)).then(add_one).commit()
    clock = VirtualClock(START)

    async with opened(wf, clock):
        result = await (await wf.create_run()).start(input_data=1)

    assert result.error is not None
    assert result.error.type == "RunTimedOutError"
    assert clock.now() == START + timedelta(hours=2)


async def test_a_step_that_waits_on_the_clock_is_ended_by_its_timeout() -> None:
    """9.3: a fake that takes an hour, a step that may take a minute."""
    clock = VirtualClock(START)

    @step(timeout=timedelta(minutes=1), retries=1)
    async def call(n: int) -> int:
        async with asyncio.TaskGroup() as tasks:  # also in a task that the body makes
            tasks.create_task(clock.sleep(timedelta(hours=1)))
        return n

    wf = Workflow("caller", input=int).then(call).commit()
    async with opened(wf, clock):
        result = await (await wf.create_run()).start(input_data=1)

    assert result.error is not None
    assert result.error.type == "StepTimeoutError"
    assert clock.now() == START + timedelta(minutes=2)


async def test_a_body_that_waits_on_the_clock_goes_on_when_its_time_has_come() -> None:
    clock = VirtualClock(START)

    @step(timeout=timedelta(hours=2))
    async def call(n: int) -> int:
        await clock.sleep(3600)
        return n + 1

    @step
    def block(n: int) -> int:
        clock.block(timedelta(hours=3))
        return n + 1

    wf = Workflow("caller", input=int).then(call).then(block).commit()
    async with opened(wf, clock):
        result = await (await wf.create_run()).start(input_data=1)

    assert result.unwrap() == 3
    assert took(result, "call") == timedelta(hours=1)
    assert took(result, "block") == timedelta(hours=3)


async def test_a_body_that_really_hangs_is_ended_after_its_real_timeout() -> None:
    """A body at work holds the jumps; then the clock passes as the one on the wall does."""
    clock = VirtualClock(START)

    @step(timeout=timedelta(milliseconds=50))
    async def hang(n: int) -> int:
        await asyncio.Event().wait()
        return n

    wf = Workflow("hanging", input=int).then(hang).commit()
    async with opened(wf, clock):
        result = await (await wf.create_run()).start(input_data=1)

    assert result.error is not None
    assert result.error.type == "StepTimeoutError"
    assert clock.now() == START + timedelta(milliseconds=50)


class AtWork:
    """An engine that does nothing but call bodies."""

    turns = 0
    is_waited_for = True

    def __init__(self) -> None:
        self.bodies: list[object] = []

    def why_busy(self, is_asleep: Callable[[object], bool]) -> str | None:
        return "a body is called"

    async def next_due(self) -> int | None:
        return None

    def time_jumped(self) -> None:
        pass


async def test_a_body_that_begins_late_and_hangs_is_ended_all_the_same() -> None:
    """On a slow machine the real time of a deadline may be over before a body begins: it holds for that body, too."""
    clock, engine, over, really_over = VirtualClock(START), AtWork(), asyncio.Event(), asyncio.Event()
    clock.attach(engine)
    try:
        clock.call_later(0.002, over.set)
        asyncio.get_running_loop().call_later(0.02, really_over.set)
        await really_over.wait()
        was_over = over.is_set()
        engine.bodies.append(object())
        await eventually(over.is_set)
    finally:
        await clock.detach(engine)

    assert not was_over
    assert clock.now() == START + timedelta(milliseconds=2)


async def test_time_does_not_pass_over_a_step_that_is_at_work() -> None:
    clock, release = VirtualClock(START), asyncio.Event()

    @step
    async def work(n: int) -> int:
        await release.wait()
        return n

    busy = Workflow("busy", input=int).then(work).commit()
    sleepy = Workflow("sleepy", input=int).sleep(timedelta(days=1)).commit()
    async with Outlast([busy, sleepy], store="memory", clock=clock):
        working = await (await busy.create_run()).start_async(input_data=1)
        sleeping = asyncio.create_task((await sleepy.create_run()).start(input_data=1))
        for _ in range(50):
            await asyncio.sleep(0.001)  # noqa: TID251 - nothing to wait for: it must not happen
        assert clock.now() == START
        release.set()
        await working.result()
        await sleeping

    assert clock.now() == START + timedelta(days=1)


@pytest.mark.parametrize("store", STORES)
async def test_runs_wake_in_the_order_of_their_due_times(store: str, tmp_path: Path) -> None:
    woken: list[tuple[int, datetime]] = []
    clock = VirtualClock(START)

    @step
    async def note(hours: int) -> int:
        woken.append((hours, clock.now()))
        return hours

    def nap(ctx: ReadContext[int]) -> float:
        return ctx.input * 3600

    wf = Workflow("nap", input=int).sleep(nap).then(note).commit()
    place = "memory" if store == "memory" else str(tmp_path / "o.db")
    hours = [5, 1, 720, 3, 2]
    async with opened(wf, clock, place):
        runs = [await wf.create_run() for _ in hours]
        await asyncio.gather(*(run.start(input_data=each) for run, each in zip(runs, hours, strict=True)))

    assert woken == [(each, START + timedelta(hours=each)) for each in sorted(hours)]


async def test_sleep_of_a_run_that_begins_late_counts_from_its_beginning() -> None:
    """11: a run that waited two days to begin, and sleeps first, sleeps no less for that."""
    clock = VirtualClock(START)
    wf = Workflow("late", input=int).sleep(timedelta(days=1), id="nap").then(add_one).commit()
    async with opened(wf, clock):
        started = await (await wf.create_run()).start_async(input_data=1, delay=timedelta(days=2))

        result = await started.result()

    assert result.steps["nap"].started_at == START + timedelta(days=2)
    assert took(result, "nap") == timedelta(days=1)


async def test_delayed_starts_and_start_deadlines_follow_the_clock() -> None:
    """4: a delayed run is pending until its time; one that was never started fails at its deadline."""
    wf = Workflow("later", input=int).then(add_one).commit()
    clock = VirtualClock(START)

    async with opened(wf, clock) as app:
        delayed = await (await wf.create_run()).start_async(input_data=1, delay=timedelta(days=2))
        at = await (await wf.create_run()).start_async(input_data=1, start_at=START + timedelta(days=3))
        never = app.run((await app.record_run(wf, start_within=timedelta(days=1))).run_id)

        assert (await never.result()).error is not None
        assert clock.now() == START + timedelta(days=1)
        assert (await delayed.result()).steps["add_one"].started_at == START + timedelta(days=2)
        assert (await at.result()).steps["add_one"].started_at == START + timedelta(days=3)


async def test_a_hook_that_fails_is_called_again_when_it_is_due() -> None:
    """13: the tries of a hook are due on the same clock."""
    told: list[datetime] = []
    clock = VirtualClock(START, jumps=False)

    async def tell(result: object) -> None:
        told.append(clock.now())
        if len(told) < 3:
            raise ConnectionError("nobody listens")

    wf = Workflow("told", input=int, on_finish=tell).then(add_one).commit()
    async with opened(wf, clock):
        await (await wf.create_run()).start(input_data=1)
        await eventually(lambda: len(told) == 1)
        await clock.advance(timedelta(minutes=1))

    assert told == [START, START + timedelta(seconds=1), START + timedelta(seconds=5)]


async def test_advance_meets_every_due_time_on_the_way() -> None:
    wf = Workflow("naps", input=int).sleep(60).then(add_one).sleep(0.5, id="short").then(add_two).sleep(60, id="b")
    naps, clock = wf.commit(), VirtualClock(START, jumps=False)

    async with opened(naps, clock):
        run = await (await naps.create_run()).start_async(input_data=1)
        await clock.advance(60.25)
        assert await run.status() == "waiting"
        assert clock.now() == START + timedelta(seconds=60.25)
        await clock.advance(timedelta(seconds=1))
        result = await run.result(until="end") if await run.status() == "success" else None
        assert result is None
        await clock.advance(timedelta(days=1))
        done = await run.result()

    assert done.unwrap() == 4
    assert done.steps["add_two"].started_at == START + timedelta(seconds=60.5)
    assert clock.now() == START + timedelta(days=1, seconds=61.25)


async def test_advance_passes_over_a_body_that_was_in_flight() -> None:
    clock, begun = VirtualClock(START, jumps=False), asyncio.Event()

    @step(timeout=timedelta(minutes=5))
    async def hang(n: int) -> int:
        begun.set()
        await asyncio.Event().wait()
        return n

    wf = Workflow("hanging", input=int).then(hang).commit()
    async with opened(wf, clock):
        run = await (await wf.create_run()).start_async(input_data=1)
        await begun.wait()
        await clock.advance(timedelta(minutes=4))
        assert await run.status() == "running"
        await clock.advance(timedelta(minutes=1))
        result = await run.result()

    assert result.status == "failed"


async def test_a_stream_is_somebody_who_waits() -> None:
    """14.2: a reader gets the events of a month without waiting for it."""
    wf = Workflow("month", input=int).sleep(timedelta(days=30)).then(add_one).commit()
    clock = VirtualClock(START)

    async with opened(wf, clock):
        run = await (await wf.create_run()).start_async(input_data=1)
        events = [event async for event in run.observe_stream()]

    assert events[-1].type == "workflow-finish"
    assert clock.now() == START + timedelta(days=30)


async def test_two_apps_go_by_one_clock(tmp_path: Path) -> None:
    """Web and worker in one test: the one that only starts waits, the other one drives."""
    wf = Workflow("month", input=int, timeout=timedelta(days=40)).sleep(timedelta(days=30)).then(add_one).commit()
    clock, place = VirtualClock(START), str(tmp_path / "o.db")

    async with opened(wf, clock, place), opened(wf, clock, place, worker=False) as web:
        run = await web.create_run(wf)
        result = await run.start(input_data=1)

    assert result.unwrap() == 2


async def test_the_test_itself_sleeps_on_the_clock() -> None:
    """Somebody approves on the third day; the suspension would be over on the seventh."""
    wf = Workflow("ask", input=int, output=int).wait_for("ok", resume=int, timeout=timedelta(days=7)).commit()
    clock = VirtualClock(START)

    async with opened(wf, clock) as app:
        run = app.run("asked")
        await (await wf.create_run(run_id="asked")).start(input_data=1)

        async def approve() -> None:
            await clock.sleep(timedelta(days=3))
            await run.resume_async(42)

        approving = asyncio.create_task(approve())
        result = await run.result(until="end")
        await approving

    assert result.unwrap() == 42
    assert clock.now() == START + timedelta(days=3)


async def test_the_same_test_gives_the_same_journal_every_time() -> None:
    """Deterministic: not only the result, every time in the journal."""
    wf = (
        Workflow("mixed", input=int)
        .parallel([_pause("a", 5), _pause("b", 5), _pause("c", 90_000)])
        .sleep(timedelta(days=3))
        .commit()
    )

    async def journal() -> list[tuple[str, str, datetime]]:
        async with opened(wf, VirtualClock(START)):
            run = await (await wf.create_run()).start_async(input_data=1)
            return [(each.type, str(each.payload.get("id")), each.at) async for each in run.observe_stream()]

    first = await journal()
    assert [await journal() for _ in range(5)] == [first] * 5


def _pause(id: str, seconds: float) -> CommittedWorkflow[Any, Any]:
    return Workflow(id, input=int).sleep(seconds).then(add_one).commit()


def test_a_start_without_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        VirtualClock(datetime(2030, 1, 1))  # noqa: DTZ001 - that is what is refused


async def test_a_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        await VirtualClock().advance(-1)


@pytest.mark.parametrize("jumps", [False, True])
async def test_schedules_fire_exactly_when_they_are_due(*, jumps: bool) -> None:
    """16.2: a cron of a week in a moment, each firing at its minute."""
    started: list[datetime] = []
    clock = VirtualClock(START, jumps=jumps)

    @step
    async def note(n: int) -> int:
        started.append(clock.now())
        return n

    daily = Workflow("daily", input=int, schedule=Schedule("30 8 * * *", input_data=1)).then(note).commit()
    async with opened(daily, clock):
        if jumps:
            await clock.sleep(timedelta(days=7))
        else:
            await clock.advance(timedelta(days=7))

    assert started == [START + timedelta(days=day, hours=8, minutes=30) for day in range(7)]
