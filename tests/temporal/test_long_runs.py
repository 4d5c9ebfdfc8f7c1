"""Runs that are too long for one history: they go on in another workflow, and nobody sees it."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from behaviour.bench import begin
from eventually import eventually
from outlast import Outlast, StepContext, Workflow, step
from outlast.instant import from_ms
from temporal.place import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@step
async def add_one(x: int) -> int:
    return x + 1


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend({"at": x})


async def moves(place: Place, run_id: str) -> int:
    """Return in how many workflows the run has gone on."""
    client = await Client.connect(place.server.address)
    workflow_id, count = f"{place.name}-{run_id}", 0
    run: str | None = None
    while True:
        handle = client.get_workflow_handle(workflow_id, run_id=run)
        events = [event async for event in handle.fetch_history_events()]
        run = events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run:
            return count
        assert events[0].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
        count += 1


async def test_loop_of_three_thousand_passes(place: Place) -> None:
    """5.4: each pass once, and the result is exact; the state that travels does not grow."""
    workflow = (
        Workflow("loop", input=int)
        .dountil(add_one, lambda ctx: ctx.iteration_count == 3_000, id="count")
        .then(ask)
        .commit()
    )
    async with place.app(workflow, lease=30) as app:
        run = await begin(app, workflow, 0, run_id="run")
        first = await run.result(timeout=350)
        result = await run.resume("done")
        history = await place.history(app, "run")

    assert (first.suspend_payload["ask"], result.result) == ({"at": 3_000}, "done")
    assert await moves(place, "run") >= 3
    passes = [record.path for record in history.records if record.type == "step-succeeded" and "#" in record.path]
    assert passes == [f"count#{number}" for number in range(1, 3_001)]


async def test_foreach_over_three_thousand_items(place: Place) -> None:
    """5.5: each item once, the output is aligned, and at most 500 are in flight."""
    workflow = Workflow("each", input=list[int]).foreach(add_one, id="each", concurrency=600).commit()
    async with place.app(workflow, lease=30) as app:
        run = await begin(app, workflow, list(range(3_000)), run_id="run")
        result = await run.result(timeout=350)
        history = await place.history(app, "run")

    assert result.result == list(range(1, 3_001))
    assert await moves(place, "run") >= 1
    ends = [record.path for record in history.records if record.type == "step-succeeded"]
    assert sorted(ends) == sorted(f"each[{index}]" for index in range(3_000))
    assert most_in_flight(history.records) == 500


async def test_what_is_asked_while_a_run_moves_is_not_lost(place: Place) -> None:
    """7.4: a resume is durable, in whatever workflow the run is."""
    workflow = (
        Workflow("both", input=int)
        .parallel(
            [
                Workflow("left", input=int)
                .dountil(add_one, lambda ctx: ctx.iteration_count == 700, id="count")
                .commit(),
                Workflow("right", input=int).then(ask).then(ask.clone(id="again")).commit(),
            ]
        )
        .commit()
    )
    async with place.app(workflow, lease=30) as app:
        run = await begin(app, workflow, 0, run_id="run")
        for number, path in enumerate(["right.ask", "right.again"]):
            await eventually(lambda path=path: is_suspended(run, path), within=60)
            await run.resume_async(number, step=path)
        result = await run.result(timeout=200, until="end")
        history = await place.history(app, "run")
        await eventually(lambda: is_listed(app, "success"), within=20)
        page = await app.list_runs()

    assert result.result == {"left": 700, "right": 1}
    assert await moves(place, "run") >= 1
    assert [(each.run_id, each.created_at) for each in page.runs] == [("run", from_ms(history.created_at_ms))]
    assert page.total == 1


async def is_listed(app: Outlast, status: str) -> bool:
    return [str(run.status) for run in (await app.list_runs()).runs] == [status]


async def is_suspended(run: Any, path: str) -> bool:
    return path in (await run.snapshot()).suspended


def most_in_flight(records: Any) -> int:
    now = most = 0
    for record in records:
        now += {"step-started": 1, "step-succeeded": -1}.get(record.type, 0)
        most = max(most, now)
    return most
