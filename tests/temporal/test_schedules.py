"""Schedules on Temporal (rule 16): read and changed without a worker, and each firing once whoever dies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from eventually import eventually
from outlast import Outlast, Schedule, ScheduleNotFoundError, StoreUnavailableError, Trigger, Workflow, step
from outlast.engines.clock import WallClock
from outlast.engines.temporal.keeper import ScheduleKeeper
from outlast.engines.temporal.schedules import keeper_id
from outlast.storage.scheduling import TAKEN
from temporal.place import Place

SOON_AT = datetime(2026, 1, 1, tzinfo=UTC)
HISTORY = Path(__file__).parent / "histories" / "schedules" / "fired.json"


class Early(WallClock):
    """The clock of the day before."""

    def now_ms(self) -> int:
        return round(SOON_AT.timestamp() * 1000) - 86_400_000


@step
async def shout(name: str) -> str:
    return name.upper()


GREET = Workflow("greet", input=str, output=str).then(shout).commit()
SOON = Schedule(every=1, input_data="ada", overlap="allow")


async def fired(app: Outlast, schedule_id: str) -> Trigger:
    async def first() -> Trigger | None:
        found = await app.schedules.triggers(schedule_id)
        return found[-1] if found else None

    trigger = await eventually(first, within=30)
    assert trigger is not None
    return trigger


@pytest.mark.slow
async def test_schedule_is_made_changed_and_deleted_while_no_worker_lives(place: Place) -> None:
    """16.1: and fires by itself when one comes, by the timers of the server."""
    async with place.app(GREET, worker=False) as web:
        made = await web.schedules.create(GREET, Schedule("@yearly", input_data="ada"), id="mine")
        assert (await web.schedules.pause("mine")).status == "paused"
        assert (await web.schedules.resume("mine")).status == "active"
        changed = await web.schedules.update("mine", lambda known: replace(known, input_data="bob"))
        assert (changed.next_at, changed.schedule.input_data) == (made.next_at, "bob")
        assert [each.id for each in (await web.schedules.list(GREET)).schedules] == ["mine"]
        now = await web.schedules.run_now("mine")
        assert [each.run_id for each in await web.schedules.triggers("mine")] == [now.run_id]
        await web.schedules.update("mine", SOON)
        await web.schedules.create(GREET, SOON, id="other")
        await web.schedules.delete("other")
        with pytest.raises(ScheduleNotFoundError):
            await web.schedules.triggers("other")

    async with place.app(GREET) as app:
        assert (await app.run(str(now.run_id)).result(timeout=30)).result == "BOB"

        async def has_fired() -> list[Trigger]:
            return [each for each in await app.schedules.triggers("mine") if each.kind == "schedule" and each.run_id]

        (trigger, *_) = await eventually(has_fired, within=30)
        assert (await app.run(str(trigger.run_id)).result(timeout=30)).result == "ADA"
        await app.schedules.delete("mine")


@pytest.mark.slow
async def test_run_of_a_firing_that_was_claimed_is_started_by_the_next_look(place: Place, monkeypatch: Any) -> None:
    """16.2: whoever claims may die before he starts the run, or after it and before he tells."""
    async with place.app(GREET) as app:
        engine: Any = app._engine  # noqa: SLF001
        start = engine.schedules._start  # noqa: SLF001
        calls: list[str] = []

        async def die(request: Any, memo: Any) -> None:
            calls.append(request.run_id)
            if len(calls) == 2:
                await start(request, memo)
            if len(calls) < 3:
                raise StoreUnavailableError("the process ended here")
            await start(request, memo)

        monkeypatch.setattr(engine.schedules, "_start", die)
        await app.schedules.create(GREET, SOON, id="mine")
        trigger = await fired(app, "mine")
        await app.schedules.pause("mine")

        assert calls[:3] == [trigger.run_id] * 3
        assert (trigger.outcome, trigger.number) == ("fired", 1)
        assert (await app.run(str(trigger.run_id)).result(timeout=30)).result == "ADA"


@pytest.mark.slow
async def test_schedule_that_was_made_again_does_not_fire_a_time_twice(place: Place) -> None:
    """16.2: the run of that time is there, and was started for another schedule."""
    once = Schedule(at=SOON_AT, input_data="ada")
    async with place.app(GREET) as app:
        engine: Any = app._engine  # noqa: SLF001
        run = await app.create_run(GREET, run_id=f"sched_mine_{round(SOON_AT.timestamp() * 1000)}")
        await run.start(input_data="bob")
        desk = engine.schedules
        desk._options = replace(desk._options, clock=Early())  # noqa: SLF001
        await app.schedules.create(GREET, once, id="mine")
        desk._options = engine._options  # noqa: SLF001
        client = await Client.connect(place.server.address)
        await client.get_workflow_handle(keeper_id(f"{place.name}-", "mine")).signal("outlast:look-now")
        trigger = await fired(app, "mine")

    assert (trigger.outcome, trigger.reason) == ("skipped", TAKEN)


async def test_history_of_a_keeper_is_replayed() -> None:
    """16: schedules that one version keeps, the next one fires."""
    history = WorkflowHistory.from_json("fired", HISTORY.read_text())

    with ThreadPoolExecutor(1) as executor:
        await Replayer(workflows=[ScheduleKeeper], workflow_task_executor=executor).replay_workflow(history)
