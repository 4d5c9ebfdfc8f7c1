"""A day of many schedules with three schedulers, of which one dies and one stalls (rule 16.2).

`OUTLAST_SCHEDULES` sets how many schedules there are.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from behaviour.bench import Bench, Clock
from eventually import eventually
from outlast import CommittedWorkflow, Outlast, Schedule, Workflow, step
from outlast.engines.scheduling import PolledDesk
from outlast.errors import StoreUnavailableError
from outlast.scheduler import Scheduler
from outlast.scheduling.timing import Timing
from outlast.storage.scheduling import ScheduleChange, ScheduleStore
from outlast.testing.faults import FaultMode, KillAt

SCHEDULES = int(os.environ.get("OUTLAST_SCHEDULES", "40"))
START = datetime(2030, 3, 31, tzinfo=UTC)  # clocks go forward in Europe
TICK = timedelta(minutes=15)
TICKS = 24 * 4


class Day(Clock):
    """A clock that is moved from one quarter of an hour to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.at = START

    def now_ms(self) -> int:
        return round(self.at.timestamp() * 1000)


@step
async def note(n: int) -> int:
    return n


NOTES = Workflow("notes", input=int).then(note).commit()


def make_schedule(n: int) -> Schedule:
    """Make one of many: each hour, each day, every so many minutes, with jitter, in several zones."""
    draw = random.Random(n)
    common: dict[str, Any] = {"input_data": n, "overlap": "allow", "catch_up": "all"}
    jitter = draw.choice([0, 0, 90, 1_800])
    if n % 3 == 0:
        return Schedule(every=timedelta(minutes=draw.randrange(200, 900)), jitter=jitter, **common)
    zone = draw.choice(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
    hour = "*/8" if n % 3 == 1 else str(draw.randrange(24))
    return Schedule(f"{draw.randrange(60)} {hour} * * *", timezone=zone, jitter=jitter, **common)


class Stalling:
    """The desk of a scheduler that stops, at one time, between what it has read and what it writes."""

    def __init__(self, desk: PolledDesk, *, at_call: int) -> None:
        self._desk = desk
        self._calls = 0
        self._at_call = at_call
        self.goes_on = asyncio.Event()
        self.stalled = asyncio.Event()
        self.late: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)

    @property
    def store(self) -> ScheduleStore:
        return _StallingStore(self._desk.store, self)  # type: ignore[return-value]

    async def change(self, changes: Sequence[ScheduleChange]) -> list[bool]:
        self._calls += 1
        if self._calls != self._at_call:
            return await self._desk.store.change(changes)
        self.stalled.set()
        await self.goes_on.wait()
        self.late = await self._desk.store.change(changes)
        return self.late


class _StallingStore:
    def __init__(self, store: ScheduleStore, stalling: Stalling) -> None:
        self._store = store
        self.change = stalling.change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def expected_times(schedule_id: str, timing: Timing, clock: Day) -> list[int]:
    """Return the times of the day, each of which is to be fired once."""
    end_ms = clock.now_ms()
    later = timing.later(round(START.timestamp() * 1000))
    return list(takewhile(lambda at_ms: timing.due_at(schedule_id, at_ms) <= end_ms, later))


async def fired_times(app: Outlast, schedule_id: str) -> Counter[int]:
    """Return how often each time was fired; nothing else became of any."""
    triggers = await app.schedules.triggers(schedule_id, limit=1_000)
    assert {(each.outcome, each.count) for each in triggers} <= {("fired", 1)}
    return Counter(round(each.scheduled_at.timestamp() * 1000) for each in triggers)


async def all_runs(app: Outlast) -> list[str]:
    ids: list[str] = []
    after: str | None = None
    while True:
        page = await app.list_runs(NOTES, after=after, per_page=1_000)
        ids += [run.run_id for run in page.runs]
        after = page.after
        if after is None:
            return ids


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("kind", ["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
async def test_each_firing_of_a_day_happens_once(kind: str, mode: FaultMode, tmp_path: Path) -> None:
    """16.2: with three schedulers, one of which dies at a commit, while another stalls for hours before one."""
    bench, clock = Bench(kind, tmp_path), Day()
    known: Mapping[str, CommittedWorkflow[Any, Any]] = {"notes": NOTES}
    deadly = KillAt(5, mode)
    options: dict[str, Any] = {"worker": False, "clock": clock}
    async with (
        bench.app(NOTES, **options) as first,
        bench.app(NOTES, **options) as second,
        bench.app(NOTES, store=bench.store(deadly), **options) as dying,
    ):
        schedules = {f"s{n}": make_schedule(n) for n in range(SCHEDULES)}
        for id, schedule in schedules.items():
            await first.schedules.create(NOTES, schedule, id=id)
        desk = Stalling(second.engine.schedules, at_call=4)
        steady, stalling, doomed = (
            Scheduler(first.engine.schedules, known),
            Scheduler(desk, known),  # type: ignore[arg-type]
            Scheduler(dying.engine.schedules, known),
        )
        stalled: asyncio.Task[int | None] | None = None
        for tick in range(1, TICKS + 1):
            clock.at = START + tick * TICK
            looks: list[Any] = [steady.look()]
            if not deadly.struck:
                looks.insert(0, doomed.look())
            if stalled is None or stalled.done():
                stalled = asyncio.create_task(stalling.look())
            if tick == TICKS - 8:
                desk.goes_on.set()
            outcomes = await asyncio.gather(*looks, return_exceptions=True)
            assert [each for each in outcomes if isinstance(each, Exception)] == [] or (
                deadly.struck and all(isinstance(each, StoreUnavailableError | int | None) for each in outcomes)
            )
            await eventually(lambda task=stalled: task.done() or desk.stalled.is_set(), within=600.0)
        assert stalled is not None
        await stalled
        await steady.look()

        assert deadly.struck
        assert desk.late
        assert not any(desk.late), "a scheduler that had stalled for hours fired what others had fired"
        runs = Counter(await all_runs(first))
        expected: list[str] = []
        for id, schedule in schedules.items():
            times = expected_times(id, schedule.to_timing(), clock)
            assert await fired_times(first, id) == Counter(times)
            expected += [f"sched_{id}_{at_ms}" for at_ms in times]
        assert runs == Counter(expected)
        print(f"{len(schedules)} schedules, {len(expected)} firings, each once")  # noqa: T201 - the figures of a large run
