"""Keepers over a long time, and workers that die in the middle of firing (rule 16.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client

from eventually import eventually
from outlast import Outlast, Schedule, Trigger, Workflow, step
from outlast.engines.temporal import keeper
from outlast.engines.temporal.schedules import keeper_id
from temporal.place import Place
from temporal.reference import FOUR

pytestmark = pytest.mark.slow

SECONDS = Schedule(every=1, input_data=1, overlap="allow", catch_up="all")


@step
async def add_one(x: int) -> int:
    return x + 1


ONE = Workflow("one", input=int, output=int).then(add_one).commit()


async def fired(app: Outlast, *, count: int) -> list[Trigger]:
    """Return the triggers of the schedule, oldest first, once there are so many."""

    async def there() -> list[Trigger]:
        found = await app.schedules.triggers("mine", limit=1_000)
        return list(reversed(found)) if len(found) >= count else []

    return await eventually(there, within=60)


def check_each_second_once(triggers: list[Trigger]) -> None:
    first = triggers[0].scheduled_at
    expected = [first + n * timedelta(seconds=1) for n in range(len(triggers))]
    assert [each.scheduled_at for each in triggers] == expected
    assert {each.outcome for each in triggers} == {"fired"}
    assert [each.number for each in triggers] == list(range(1, len(triggers) + 1))


async def test_killed_workers_lose_no_time_and_double_none(place: Place) -> None:
    """16.2: of a schedule of seconds, whose workers are killed one after the other."""
    async with place.app(FOUR, worker=False) as web:
        await web.schedules.create(FOUR, SECONDS, id="mine")
        for number in (1, 3):
            worker = place.worker()
            await fired(web, count=number)
            place.kill(worker)
        worker = place.worker()
        triggers = await fired(web, count=6)
        await web.schedules.pause("mine")
        triggers = await fired(web, count=len(triggers))

        check_each_second_once(triggers)
        for each in triggers:
            assert (await web.run(str(each.run_id)).result(timeout=30)).status == "success"
        client = await Client.connect(place.server.address)
        query = f"WorkflowType = '{FOUR.id}' AND TaskQueue = '{place.name}'"
        everything = await fired(web, count=len(triggers))

        async def are_all_visible() -> bool:
            return (await client.count_workflows(query)).count == len(everything)

        await eventually(are_all_visible, within=20)
        await web.schedules.delete("mine")


async def test_keeper_goes_on_in_another_workflow(place: Place, monkeypatch: Any) -> None:
    """16: whoever reads a schedule reads a bounded history; nobody sees that it went on."""
    monkeypatch.setattr(keeper, "_LONGEST_HISTORY", 40)
    async with place.app(ONE) as app:
        await app.schedules.create(ONE, SECONDS, id="mine")
        await fired(app, count=6)
        await app.schedules.pause("mine")
        client = await Client.connect(place.server.address)
        described = await client.get_workflow_handle(keeper_id(f"{place.name}-", "mine")).describe()
        await app.schedules.resume("mine")
        known = await app.schedules.get("mine")
        await app.schedules.delete("mine")

    assert described.run_id != described.raw_info.first_run_id
    assert known is not None
    assert known.status == "active"
