"""Schedules (rule 16), on each engine that has them: declared, made at run time, paused, caught up, exactly once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock
from eventually import eventually
from outlast import (
    CommittedWorkflow,
    DefinitionError,
    InputError,
    Outlast,
    RunStatus,
    Schedule,
    ScheduleExistsError,
    ScheduleNotFoundError,
    ScheduleStateError,
    Trigger,
    UnattachedWorkflowError,
    Workflow,
    step,
)

HOUR = timedelta(hours=1)


@step
async def shout(name: str) -> str:
    return name.upper()


@step
async def same(number: int) -> int:
    return number


def greet(*schedules: Schedule, **options: Any) -> CommittedWorkflow[str, str]:
    return Workflow("greet", input=str, output=str, schedule=schedules, **options).then(shout).commit()


def asking(*schedules: Schedule) -> CommittedWorkflow[str, str]:
    """A workflow whose runs rest until somebody resumes them."""
    return Workflow("ask", input=str, output=str, schedule=schedules).wait_for("word", resume=str).commit()


class Hours(Clock):
    """A clock that stands at a full hour until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.at = datetime(2030, 1, 1, tzinfo=UTC)

    def now_ms(self) -> int:
        return round((self.at + self.offset).timestamp() * 1000)


def time_of(clock: Hours, hours: float) -> datetime:
    return clock.at + hours * HOUR


async def triggers(app: Outlast, schedule_id: str, *, count: int) -> list[Trigger]:
    """Return the triggers of a schedule, oldest first, once there are so many."""

    async def there() -> list[Trigger]:
        found = await app.schedules.triggers(schedule_id, limit=1_000)
        return list(reversed(found)) if len(found) >= count else []

    found = await eventually(there, within=30)
    assert len(found) == count
    return found


async def test_declared_schedule_fires_at_its_times(bench: Bench) -> None:
    """16.1, 16.4: each time that comes starts an ordinary run with the input of the schedule."""
    clock = Hours()
    workflow = greet(Schedule("0 * * * *", input_data="ada", tags=["hourly"], resource_id="customer-1"))
    async with bench.app(workflow, schedule_clock=clock) as app:
        known = await app.schedules.get("wf_greet")
        assert known is not None
        assert (known.status, known.is_declared, known.next_at) == ("active", True, time_of(clock, 1))

        for hour in (1, 2):
            clock.offset = hour * HOUR
            (trigger,) = (await triggers(app, "wf_greet", count=hour))[-1:]
            assert (trigger.outcome, trigger.kind, trigger.scheduled_at) == ("fired", "schedule", time_of(clock, hour))
            assert trigger.run_id == f"sched_wf_greet_{clock.now_ms()}"
            result = await app.run(trigger.run_id).result()
            assert (result.status, result.result, result.input) == (RunStatus.SUCCESS, "ADA", "ada")

        runs = (await app.list_runs(workflow, tags=["hourly"])).runs
        assert {run.resource_id for run in runs} == {"customer-1"}
        assert len(runs) == 2


async def test_scheduled_run_is_hooked(bench: Bench) -> None:
    """16.4: hooks hear of it as of every run."""
    clock = Hours()
    heard: list[str] = []
    workflow = greet(Schedule("0 * * * *", input_data="ada"), on_finish=lambda result: heard.append(result.run_id))
    async with bench.app(workflow, schedule_clock=clock) as app:
        clock.offset = HOUR
        await eventually(lambda: heard)
        (trigger,) = await app.schedules.triggers("wf_greet")

    assert heard == [trigger.run_id]


async def test_several_schedules_of_one_workflow(bench: Bench) -> None:
    """16.1: several with ids."""
    clock = Hours()
    workflow = greet(
        Schedule("0 * * * *", id="full", input_data="ada"), Schedule(every=1_800, id="half", input_data="bob")
    )
    async with bench.app(workflow, schedule_clock=clock) as app:
        clock.offset = HOUR / 2
        (half,) = await triggers(app, "wf_greet__half", count=1)
        assert await app.schedules.triggers("wf_greet__full") == ()
        assert (await app.run(str(half.run_id)).result()).result == "BOB"


async def test_one_off_fires_once_and_has_ended(bench: Bench) -> None:
    """16.1: one-off; a redeploy does not fire it again."""
    clock = Hours()
    workflow = greet(Schedule(at=time_of(clock, 1), input_data="ada"))
    async with bench.app(workflow, schedule_clock=clock) as app:
        clock.offset = HOUR
        await triggers(app, "wf_greet", count=1)
        known = await app.schedules.get("wf_greet")
        assert known is not None
        assert (known.status, known.next_at, known.last_at) == ("ended", None, time_of(clock, 1))
    async with bench.app(workflow, schedule_clock=clock) as app:
        assert len(await app.schedules.triggers("wf_greet")) == 1


async def test_missed_times_are_caught_up_by_whoever_comes_next(bench: Bench) -> None:
    """16.1: catch_up: of the times at which no worker lived, `one` fires the latest and tells of the others."""
    clock = Hours()
    workflow = greet(Schedule("0 * * * *", input_data="ada"))
    async with bench.app(workflow, schedule_clock=clock):
        pass
    clock.offset = 5.5 * HOUR
    async with bench.app(workflow, schedule_clock=clock) as app:
        missed, fired = await triggers(app, "wf_greet", count=2)

    assert (missed.outcome, missed.scheduled_at, missed.until, missed.count) == (
        "skipped", time_of(clock, 1), time_of(clock, 4), 4,
    )  # fmt: skip
    assert "catch_up='one'" in missed.reason
    assert (fired.outcome, fired.scheduled_at, fired.at) == ("fired", time_of(clock, 5), time_of(clock, 5.5))


@pytest.mark.parametrize(("catch_up", "outcomes"), [("all", ["fired"] * 3), ("none", ["skipped"])])
def test_catch_up(bench: Bench, catch_up: Any, outcomes: list[str]) -> None:
    """16.1: catch_up: all or none."""
    clock = Hours()
    workflow = greet(Schedule("0 * * * *", input_data="ada", catch_up=catch_up, overlap="allow"))

    async def scenario() -> None:
        async with bench.app(workflow, schedule_clock=clock):
            pass
        clock.offset = 3.5 * HOUR
        async with bench.app(workflow, schedule_clock=clock) as app:
            found = await triggers(app, "wf_greet", count=len(outcomes))
            assert [each.outcome for each in found] == outcomes

    asyncio.run(scenario())


async def test_firing_is_skipped_while_the_run_before_has_not_ended(bench: Bench) -> None:
    """16.1: overlap='skip', the default; history tells why."""
    clock = Hours()
    async with bench.app(asking(Schedule("0 * * * *", input_data="ada")), schedule_clock=clock) as app:
        clock.offset = HOUR
        (fired,) = await triggers(app, "wf_ask", count=1)
        run = app.run(str(fired.run_id))
        await run.result()
        clock.offset = 2 * HOUR
        skipped = (await triggers(app, "wf_ask", count=2))[-1]
        assert (skipped.outcome, skipped.run_id) == ("skipped", None)
        assert "had not ended" in skipped.reason

        await run.resume("word")
        clock.offset = 3 * HOUR
        assert (await triggers(app, "wf_ask", count=3))[-1].outcome == "fired"


@pytest.mark.slow
async def test_firing_waits_for_the_run_before(bench: Bench) -> None:
    """16.1: overlap='queue': it begins when that run has ended, in its turn."""
    clock = Hours()
    async with bench.app(asking(Schedule("0 * * * *", input_data="ada", overlap="queue")), schedule_clock=clock) as app:
        for hour in (1, 2, 3):
            clock.offset = hour * HOUR
            found = await triggers(app, "wf_ask", count=hour)
        assert [each.outcome for each in found] == ["fired", "queued", "queued"]
        known = await app.schedules.get("wf_ask")
        assert known is not None
        assert known.waiting == 2

        for number in range(2):
            run = app.run(f"sched_wf_ask_{round(time_of(clock, number + 1).timestamp() * 1000)}")
            await run.result()
            await run.resume("word")
            expected = ["fired"] * (number + 2) + ["queued"] * (1 - number)

            async def has_moved(expected: list[str] = expected) -> bool:
                found = await app.schedules.triggers("wf_ask")
                return [each.outcome for each in reversed(found)] == expected

            await eventually(has_moved)


async def test_firing_cancels_the_run_before(bench: Bench) -> None:
    """16.1: overlap='cancel': the new run begins when the old one has ended."""
    clock = Hours()
    async with bench.app(
        asking(Schedule("0 * * * *", input_data="ada", overlap="cancel")), schedule_clock=clock
    ) as app:
        clock.offset = HOUR
        (first,) = await triggers(app, "wf_ask", count=1)
        old = app.run(str(first.run_id))
        await old.result()
        clock.offset = 2 * HOUR

        result = await old.result(until="end")
        assert result.status is RunStatus.CANCELED

        async def has_begun() -> str | None:
            latest = (await app.schedules.triggers("wf_ask"))[0]
            return latest.run_id if latest.outcome == "fired" else None

        new = await eventually(has_begun)
        assert new != first.run_id
        assert (await app.run(new).result()).status is RunStatus.SUSPENDED


async def test_value_that_does_not_fit_any_more_is_told_and_stops_nothing(bench: Bench) -> None:
    """16.4: a scheduled run is validated with the types of the code that fires it."""
    clock = Hours()
    async with bench.app(greet(), schedule_clock=clock) as app:
        await app.schedules.create("greet", Schedule("0 * * * *", input_data="ada"), id="old")

    @step
    async def double(n: int) -> int:
        return 2 * n

    changed = Workflow("greet", input=int, output=int).then(double).commit()
    clock.offset = HOUR
    async with bench.app(changed, schedule_clock=clock) as app:
        (trigger,) = await triggers(app, "old", count=1)
        assert (trigger.outcome, trigger.run_id) == ("failed", None)
        assert "input_data" in trigger.reason
        with pytest.raises(InputError):
            await app.schedules.run_now("old")


async def test_paused_schedule_stays_paused_over_a_redeploy(bench: Bench) -> None:
    """16.3: user pauses survive, also when the code says something else of the schedule now."""
    clock = Hours()
    async with bench.app(greet(Schedule("0 * * * *", input_data="ada")), schedule_clock=clock) as app:
        assert (await app.schedules.pause("wf_greet")).status == "paused"
        assert (await app.schedules.pause("wf_greet")).status == "paused"
    async with bench.app(greet(Schedule("30 * * * *", input_data="bob")), schedule_clock=clock) as app:
        known = await app.schedules.get("wf_greet")
        assert known is not None
        assert (known.status, known.next_at, known.schedule.cron) == ("paused", None, "30 * * * *")
        clock.offset = 5 * HOUR
        assert await app.schedules.triggers("wf_greet") == ()

        resumed = await app.schedules.resume("wf_greet")
        assert (resumed.status, resumed.next_at) == ("active", time_of(clock, 5.5))
        assert await app.schedules.triggers("wf_greet") == ()


async def test_redeploy_keeps_the_next_time_unless_the_timing_changed(bench: Bench) -> None:
    """16.3: changed timing recomputes, other changes keep the next time."""
    clock = Hours()
    async with bench.app(greet(Schedule("0 * * * *", input_data="ada")), schedule_clock=clock):
        pass
    clock.offset = 1.5 * HOUR
    async with bench.app(greet(Schedule("0 * * * *", input_data="bob")), schedule_clock=clock) as app:
        (caught_up,) = await triggers(app, "wf_greet", count=1)
        assert caught_up.scheduled_at == time_of(clock, 1)
        assert (await app.run(str(caught_up.run_id)).result()).result == "BOB"
    clock.offset = 2.75 * HOUR
    async with bench.app(greet(Schedule("0,30 * * * *", input_data="bob")), schedule_clock=clock) as app:
        known = await app.schedules.get("wf_greet")
        assert known is not None
        assert known.next_at == time_of(clock, 3)
        assert len(await app.schedules.triggers("wf_greet")) == 1


async def test_schedule_gone_from_the_code_is_retired_and_may_come_back(bench: Bench) -> None:
    """16.3: entries gone from the code are retired, with their history; a pause is not forgotten."""
    clock = Hours()
    declared = greet(Schedule("0 * * * *", input_data="ada"))
    async with bench.app(declared, schedule_clock=clock) as app:
        clock.offset = HOUR
        await triggers(app, "wf_greet", count=1)
        await app.schedules.pause("wf_greet")
    async with bench.app(greet(), schedule_clock=clock) as app:
        known = await app.schedules.get("wf_greet")
        assert known is not None
        assert (known.status, known.next_at) == ("retired", None)
        assert len(await app.schedules.triggers("wf_greet")) == 1
        with pytest.raises(ScheduleStateError):
            await app.schedules.resume("wf_greet")
    async with bench.app(declared, schedule_clock=clock) as app:
        known = await app.schedules.get("wf_greet")
        assert known is not None
        assert known.status == "paused"


async def test_schedule_of_another_workflow_is_not_taken_over(bench: Bench) -> None:
    """16.3: where two would have one id, the worker that comes second is told, and the first one is left as it is."""
    clock = Hours()
    first = greet(Schedule("@daily", input_data="ada", id="soon"))
    second = Workflow("greet__soon", input=int, schedule=Schedule("@hourly", input_data=1)).then(same).commit()
    async with bench.app(first, schedule_clock=clock) as app:
        before = await app.schedules.get("wf_greet__soon")
    for workflows in ((second,), (second, greet())):
        with pytest.raises(DefinitionError, match=r"as one of workflow 'greet' in this store is; give it another id"):
            async with bench.app(*workflows, schedule_clock=clock):
                pass
    async with bench.app(first, schedule_clock=clock) as app:
        assert await app.schedules.get("wf_greet__soon") == before


async def test_process_that_only_starts_neither_declares_nor_fires(bench: Bench) -> None:
    """16.3: what a tool opens does not redeploy anything."""
    clock = Hours()
    async with bench.app(greet(Schedule("0 * * * *", input_data="ada")), schedule_clock=clock, worker=False) as app:
        assert (await app.schedules.list()).schedules == ()


async def test_schedule_made_at_run_time(bench: Bench) -> None:
    """16.1: create, get, list, update, delete; fired by a worker of another process."""
    clock = Hours()
    workflow = greet()
    async with (
        bench.app(workflow, schedule_clock=clock),
        bench.app(workflow, schedule_clock=clock, worker=False) as web,
    ):
        made = await web.schedules.create(workflow, Schedule(every=3600, input_data="ada"), id="mine")
        assert (made.id, made.is_declared, made.next_at) == ("mine", False, time_of(clock, 1))
        with pytest.raises(ScheduleExistsError):
            await web.schedules.create(workflow, Schedule(every=3600, input_data="ada"), id="mine")
        other = await web.schedules.create("greet", Schedule("0 12 * * *", input_data="bob"))

        assert {each.id for each in (await web.schedules.list()).schedules} == {"mine", other.id}
        first = await web.schedules.list(per_page=1)
        assert len(first.schedules) == 1
        assert first.after is not None
        assert len((await web.schedules.list(after=first.after)).schedules) == 1
        assert (await web.schedules.list("another")).schedules == ()

        clock.offset = HOUR
        (trigger,) = await triggers(web, "mine", count=1)
        assert (await web.run(str(trigger.run_id)).result()).result == "ADA"

        changed = await web.schedules.update("mine", lambda known: replace(known, input_data="bob"))
        assert (changed.next_at, changed.schedule.input_data) == (time_of(clock, 2), "bob")
        changed = await web.schedules.update("mine", Schedule("30 * * * *", input_data="cleo"))
        assert changed.next_at == time_of(clock, 1.5)

        await web.schedules.delete("mine")
        await web.schedules.delete("mine")
        assert await web.schedules.get("mine") is None
        with pytest.raises(ScheduleNotFoundError):
            await web.schedules.triggers("mine")


async def test_run_now_starts_a_run_and_leaves_the_times_alone(bench: Bench) -> None:
    """16.1: run_now, also of a paused schedule."""
    clock = Hours()
    workflow = greet(Schedule("0 * * * *", input_data="ada"))
    async with bench.app(workflow, schedule_clock=clock) as app:
        before = await app.schedules.pause("wf_greet")
        trigger = await app.schedules.run_now("wf_greet")

        assert (trigger.kind, trigger.outcome) == ("manual", "fired")
        assert (await app.run(str(trigger.run_id)).result()).result == "ADA"
        after = await app.schedules.get("wf_greet")
        assert after is not None
        assert (after.status, after.next_at, after.last_at) == (before.status, before.next_at, before.last_at)


async def test_what_cannot_be_meant_is_refused_before_anything_is_written(bench: Bench) -> None:
    """16.1: names what does not fit."""
    clock = Hours()
    async with bench.app(greet(Schedule("@daily", input_data="ada")), schedule_clock=clock) as app:
        schedules = app.schedules
        await schedules.create("greet", Schedule("@daily", input_data="ada"), id="mine")
        for refused in (
            schedules.create("greet", Schedule("@daily", input_data=5), id="a"),
            schedules.create("greet", Schedule("@daily", input_data="ada"), id="a b"),
            schedules.create("greet", Schedule("@daily", input_data="ada"), id="wf_greet"),
            schedules.create("greet", Schedule("@daily", input_data="ada", id="x"), id="a"),
            schedules.create("greet", Schedule(at=datetime(2020, 1, 1, tzinfo=UTC), input_data="ada"), id="a"),
            schedules.create("greet", "@daily", id="a"),  # type: ignore[arg-type]
            schedules.update("mine", lambda known: "@hourly"),  # type: ignore[arg-type, return-value]
            schedules.update("mine", "@hourly"),  # type: ignore[arg-type]
            schedules.list(status="asleep"),  # type: ignore[arg-type]
            schedules.list(per_page=0),
            schedules.triggers("wf_greet", limit=0),
            schedules.triggers("wf_greet", from_date=datetime(2020, 1, 1)),  # noqa: DTZ001 - the point
        ):
            with pytest.raises(InputError):
                await refused
        with pytest.raises(UnattachedWorkflowError):
            await schedules.create("another", Schedule("@daily"))
        for verb in (schedules.pause, schedules.resume, schedules.run_now, schedules.triggers):
            with pytest.raises(ScheduleNotFoundError):
                await verb("nobody")
        with pytest.raises(ScheduleStateError):
            await schedules.delete("wf_greet")
        with pytest.raises(ScheduleStateError):
            await schedules.update("wf_greet", Schedule("@hourly", input_data="ada"))
        assert [each.schedule.cron for each in (await schedules.list()).schedules] == ["0 0 * * *"] * 2


async def test_each_firing_happens_once_with_several_workers(bench: Bench) -> None:
    """16.2: any number of schedulers."""
    clock = Hours()
    workflow = greet(*(Schedule("*/10 * * * *", id=f"s{n}", input_data="ada", overlap="allow") for n in range(5)))
    async with (
        bench.app(workflow, schedule_clock=clock) as app,
        bench.app(workflow, schedule_clock=clock),
        bench.app(workflow, schedule_clock=clock),
    ):
        for tick in range(1, 7):
            clock.offset = tick * HOUR / 6
            for n in range(5):
                await triggers(app, f"wf_greet__s{n}", count=tick)
        runs = (await app.list_runs(workflow, per_page=100)).runs
        assert len(runs) == 30
        assert len({run.run_id for run in runs}) == 30
