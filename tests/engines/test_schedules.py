"""What schedules cost, and how they go together with clocks, limits and engines (rules 16, 19, 20)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from eventually import eventually
from outlast import Concurrency, Outlast, Schedule, Workflow, step
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.storage.memory.scheduling import MemorySchedules
from outlast.storage.scheduling import TAKEN
from outlast.testing.clock import VirtualClock

START = datetime(2030, 1, 1, tzinfo=UTC)


@step
async def double(n: int) -> int:
    return 2 * n


PLAIN = Workflow("plain", input=int, output=int).then(double).commit()
HOURLY = Workflow("hourly", input=int, output=int, schedule=Schedule("0 * * * *", input_data=21)).then(double).commit()


class Counting(MemoryStore):
    """Counts who asks for schedules, and who looks whether anything changed."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        super().__init__(database)
        self.asked = 0
        self.looked = 0

    @property
    def schedules(self) -> MemorySchedules:
        self.asked += 1
        return super().schedules

    def has_changed(self) -> bool:
        self.looked += 1
        return super().has_changed()


@pytest.mark.slow
async def test_app_without_schedules_does_not_ask_for_them_while_nothing_changes():
    """16.2: no polling; when somebody writes, a few times a second at most."""
    store = Counting()
    async with Outlast([PLAIN], store=store) as app:

        async def has_settled() -> bool:
            before, until = store.asked, store.looked + 5
            await eventually(lambda: store.looked > until)
            return store.asked == before

        await eventually(has_settled)
        before, until = store.asked, store.looked + 10
        await eventually(lambda: store.looked > until)
        assert store.asked == before

        await app.start_many(PLAIN, [{"input_data": n} for n in range(200)])
        await app.until_idle()
        assert store.asked - before <= 20, "it depends on time, and not on the number of runs"


async def test_schedules_are_met_on_a_virtual_clock():
    """16.1: a day of firings passes at once, each at its time."""
    clock = VirtualClock(START)
    async with Outlast([HOURLY], store="memory", clock=clock) as app:
        await clock.sleep(timedelta(hours=24, minutes=30))

        async def have_fired() -> bool:
            return len(await app.schedules.triggers("wf_hourly")) >= 24

        await eventually(have_fired)
        triggers = await app.schedules.triggers("wf_hourly")
        assert [each.scheduled_at for each in reversed(triggers)] == [START + timedelta(hours=n) for n in range(1, 25)]
        assert {(each.outcome, each.at == each.scheduled_at) for each in triggers} == {("fired", True)}


async def test_time_that_was_fired_is_not_fired_again_when_the_clock_is_set_back():
    """16.2: the run id follows from schedule and time; also when the schedule was deleted and made again."""
    database = MemoryDatabase()
    schedule = Schedule(every=timedelta(hours=1), input_data=21)
    for _ in range(2):
        clock = VirtualClock(START)
        async with Outlast([PLAIN], store=MemoryStore(database), clock=clock) as app:
            await app.schedules.delete("mine")
            await app.schedules.create(PLAIN, schedule, id="mine")
            await clock.sleep(timedelta(minutes=90))

            async def have_fired(app: Outlast = app) -> bool:
                return bool(await app.schedules.triggers("mine"))

            await eventually(have_fired)
            (trigger,) = await app.schedules.triggers("mine")
            await app.run(f"sched_mine_{round((START + timedelta(hours=1)).timestamp() * 1000)}").result()
            runs = (await app.list_runs(PLAIN)).runs

    assert (trigger.outcome, trigger.reason) == ("skipped", TAKEN)
    assert len(runs) == 1


async def test_limits_hold_for_scheduled_runs():
    """16.4, 19: scheduled runs take their turns like any others."""
    running: list[int] = [0, 0]

    @step
    async def hold(n: int) -> int:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0)  # noqa: TID251 - lets others begin, if they may
        running[0] -= 1
        return n

    limited = Workflow("limited", input=int, concurrency=Concurrency(limit=1)).then(hold).commit()
    async with Outlast([limited], store="memory") as app:
        await app.schedules.create(limited, Schedule("@yearly", input_data=1), id="mine")
        triggers = [await app.schedules.run_now("mine") for _ in range(5)]
        results = [await app.run(str(each.run_id)).result() for each in triggers]

    assert [each.result for each in results] == [1] * 5
    assert running == [0, 1]
