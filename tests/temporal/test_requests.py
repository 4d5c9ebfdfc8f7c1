"""What outsiders ask of a run: a worker that drives it answers at once, and without one it is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from behaviour.bench import begin
from outlast import StepContext, Workflow, step
from outlast.engines.temporal import updates
from outlast.engines.temporal.messages import Request
from outlast.engines.temporal.updates import ask_directly
from outlast.values import encode
from temporal.place import Place

pytestmark = pytest.mark.slow

ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend()


ASK = Workflow("ask").then(ask).commit()


async def handle_of(place: Place, run_id: str) -> WorkflowHandle[Any, Any]:
    client = await Client.connect(place.server.address)
    return client.get_workflow_handle(f"{place.name}-{run_id}")


async def kinds(handle: WorkflowHandle[Any, Any]) -> list[Any]:
    return [event.event_type async for event in handle.fetch_history_events()]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker of a busy machine take its time."""
    monkeypatch.setattr(updates, "_PATIENCE", timedelta(seconds=30))


@pytest.mark.usefixtures("patience")
async def test_resume_is_answered_by_the_worker_that_drives_the_run(place: Place) -> None:
    """7.2: whether it was taken is known at once, from who decides it."""
    async with place.app(ASK) as app:
        run = await begin(app, ASK, 1, run_id="run")
        await run.result(timeout=20)
        result = await run.resume("yes")

    found = await kinds(await handle_of(place, "run"))
    assert (result.result, found.count(ACCEPTED), found.count(SIGNALED)) == ("yes", 1, 0)


async def test_resume_is_stored_while_no_worker_lives(place: Place) -> None:
    """7.4: durable when it returns, whoever lives."""
    async with place.app(ASK) as app:
        run = await begin(app, ASK, 1, run_id="run")
        await run.result(timeout=20)
    async with place.app(ASK, worker=False) as app:
        await app.run("run").resume_async("later")
        found = await kinds(await handle_of(place, "run"))
    async with place.app(ASK) as app:
        result = await app.run("run").result(until="end", timeout=20)

    assert (found.count(SIGNALED), result.result) == (1, "later")


@pytest.mark.usefixtures("patience")
async def test_what_nothing_waits_for_is_refused_and_leaves_no_event(place: Place) -> None:
    """7.3: an update that is not valid is as if it never came."""
    async with place.app(ASK) as app:
        run = await begin(app, ASK, 1, run_id="run")
        await run.result(timeout=20)
        handle = await handle_of(place, "run")
        before = await kinds(handle)
        for body in (encode({"path": "nobody", "number": 0, "execution": 0, "data": 1}), b"[]"):
            assert await ask_directly(handle, body.hex(), Request("r", "resume", "t", body).to_bytes()) is False
        assert await ask_directly(handle, "odd", b'"what ever"') is False

        assert await kinds(handle) == before
        assert (await run.resume("yes")).result == "yes"
