"""What clients ask of the server: each request is a way there and back, and work for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from temporalio.client import Client, Interceptor, OutboundInterceptor

from outlast import Outlast, Workflow, step
from outlast.engines.temporal import TemporalEngine
from outlast.engines.temporal.sightings import Sightings
from temporal.place import Place

pytestmark = pytest.mark.slow


@step
async def add_one(x: Any) -> Any:
    return x + 1


CHAIN = Workflow("chain").then(add_one).then(add_one.clone(id="again")).commit()


SLEEPING = Workflow("sleeping").sleep(0.3).then(add_one).commit()


class Counting(Interceptor):
    """Counts what this client asks."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - its name there
        asked = self.asked

        class Outbound(OutboundInterceptor):
            def fetch_workflow_history_events(self, input: Any) -> Any:
                asked["wait" if input.wait_new_event else "read"] += 1
                return super().fetch_workflow_history_events(input)

        return Outbound(next)


async def test_a_run_that_has_ended_is_awaited_and_read_with_one_request_each(place: Place) -> None:
    counting = Counting()
    client = await Client.connect(place.server.address, interceptors=[counting])
    engine = TemporalEngine(client, task_queue=place.name, prefix=f"{place.name}-")
    async with Outlast([CHAIN], engine=engine) as app:
        run = await app.create_run(CHAIN, run_id="run")
        await run.start(input_data=0)
        counting.asked.clear()
        result = await app.run("run").result()

    assert result.result == 2
    assert counting.asked == {"wait": 1, "read": 1}


async def test_a_run_that_is_seen_to_go_on_is_not_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await Client.connect(place.server.address)
    looks = list[str]()

    def seen(sightings: Sightings, workflow_id: str) -> bool:
        looks.append(workflow_id)
        return True

    monkeypatch.setattr(Sightings, "goes_on", seen)
    monkeypatch.setattr(client.workflow_service, "describe_workflow_execution", None)
    engine = TemporalEngine(client, task_queue=place.name, prefix=f"{place.name}-")
    async with Outlast([SLEEPING], engine=engine) as app:
        result = await (await app.create_run(SLEEPING, run_id="run")).start(input_data=0)

    assert result.result == 1
    assert looks


async def test_a_busy_run_is_looked_at_less_and_less_often(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    released = asyncio.Event()

    @step
    async def hold(x: Any) -> Any:
        await released.wait()
        return x

    held = Workflow("held").then(hold).commit()
    client = await Client.connect(place.server.address)
    service, loop = client.workflow_service, asyncio.get_running_loop()
    describe, looks = service.describe_workflow_execution, list[float]()

    async def counted(*args: Any, **options: Any) -> Any:
        looks.append(loop.time())
        if len(looks) == 3:
            released.set()
        return await describe(*args, **options)

    monkeypatch.setattr(service, "describe_workflow_execution", counted)
    engine = TemporalEngine(client, task_queue=place.name, prefix=f"{place.name}-")
    async with Outlast([held], engine=engine) as app:
        await (await app.create_run(held, run_id="run")).start(input_data=0)

    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert all(pause >= least for pause, least in zip(pauses, (0.2, 0.4), strict=False))
