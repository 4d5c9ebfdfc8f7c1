"""What bodies say on Temporal (rules 14, 19): at little cost, exactly once, through crashes and in long runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from behaviour.bench import begin
from behaviour.test_streams import read
from eventually import eventually
from outlast import StepContext, StreamEvent, Workflow, step
from outlast.core.chunk import ChunkWritten
from outlast.core.commands import RunStep
from outlast.core.ref import Recorded
from outlast.engines.temporal import mouth
from outlast.engines.temporal.flow import SAID
from outlast.engines.temporal.hearing import Hearing
from outlast.engines.temporal.said import Said, Uttered
from temporal.place import Place
from temporal.reference import TALKING, calls_of, open_gate
from temporal_server import running_server

pytestmark = pytest.mark.slow


@pytest.fixture
def place_on_disk(tmp_path: Path) -> Iterator[Place]:
    with running_server(tmp_path, has_file=True) as server:
        yield Place(server, tmp_path)


@step
async def talk(count: int, ctx: StepContext) -> int:
    for number in range(count):
        await ctx.write(number)
    return count


def said(events: list[StreamEvent], path: str | None = None) -> list[Any]:
    chunks = [event.payload for event in events if event.type == "workflow-step-output"]
    return [each["output"] for each in chunks if path in (None, each["id"])]


async def kinds(place: Place, run_id: str) -> Counter[int]:
    client = await Client.connect(place.server.address)
    events = client.get_workflow_handle(f"{place.name}-{run_id}").fetch_history_events()
    return Counter([int(event.event_type) async for event in events])


async def test_body_that_is_soon_over_costs_no_event(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it said goes with its outcome, and is read without a worker."""
    monkeypatch.setattr(mouth, "_PAUSE", 3_600)
    workflow = Workflow("w", input=int).then(talk).commit()
    async with place.app(workflow) as app:
        await (await begin(app, workflow, 500, run_id="run")).result(timeout=30)
    async with place.app(workflow, worker=False) as reader:
        events = await read(reader.run("run").events())

    assert said(events) == list(range(500))
    assert (await kinds(place, "run")).total() == 11


async def test_body_that_talks_for_long_sends_batches(place: Place) -> None:
    """However often it says something, there are five signals a second at most."""

    @step
    async def work(count: int, ctx: StepContext) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(count):
            ctx.write(number)
            await asyncio.sleep(0.005)  # noqa: TID251 - it talks for a while
        return loop.time() - began

    workflow = Workflow("w", input=int).then(work).commit()
    async with place.app(workflow) as app:
        run = await begin(app, workflow, 200, run_id="run")
        took = (await run.result(timeout=60)).result
        events = await read(app.run("run").events())

    assert said(events) == list(range(200))
    assert 1 <= (await kinds(place, "run"))[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED] <= 5 * took + 1


async def test_bodies_that_talk_at_once(place: Place) -> None:
    """14.1: the words of each in order, and all before its outcome, whoever ends first."""
    talks = [talk.clone(id=f"talk{number}") for number in range(8)]
    workflow = Workflow("w", input=int).parallel(talks).commit()
    async with place.app(workflow) as app:
        await (await begin(app, workflow, 50, run_id="run")).result(timeout=60)
        events = await read(app.run("run").events())

    for body in talks:
        own = [event for event in events if event.payload.get("id") == body.id]
        assert said(own) == list(range(50))
        assert own[-1].type == "workflow-step-result"


async def test_batch_that_is_sent_twice_is_heard_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """14.3: the answer of the server was lost, so it is sent again."""
    send = WorkflowHandle.signal

    async def send_twice(handle: Any, name: Any, *arguments: Any, **options: Any) -> None:
        for _ in range(2 if name == SAID else 1):
            await send(handle, name, *arguments, **options)

    monkeypatch.setattr(WorkflowHandle, "signal", send_twice)
    monkeypatch.setattr(mouth, "_BATCH_EVENTS", 10)
    workflow = Workflow("w", input=int).then(talk).commit()
    async with place.app(workflow) as app:
        await (await begin(app, workflow, 100, run_id="run")).result(timeout=60)
        events = await read(app.run("run").events())

    assert said(events) == list(range(100))
    assert (await kinds(place, "run"))[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED] >= 20


def test_words_of_a_lost_call_are_not_heard_any_more() -> None:
    """14.3: a worker that was taken for dead may still send some."""
    hearing = Hearing()
    command = RunStep("talk", "w/talk", 0, Recorded(1))
    lost, again = (
        Uttered.of(ChunkWritten(1, "talk", 0), b"1", restarts=restarts, crashes=restarts) for restarts in (0, 1)
    )

    assert hearing.belongs(lost, command)
    facts = hearing.begun_again(command, again.restarts, again.crashes, 1)
    assert [type(event).__name__ for event, _ in facts] == ["RunCrashed", "StepStarted"]
    assert (hearing.belongs(lost, command), hearing.belongs(again, command)) == (False, True)
    assert hearing.begun_again(command, again.restarts, again.crashes, 1) == []


def test_what_travels_arrives_as_it_was() -> None:
    batch = Said("source", 3, [Uttered.of(ChunkWritten(7, "talk", 1), b'{"a":[1,2]}', restarts=2, crashes=1)])

    assert Said.read(batch.to_bytes()) == batch
    assert Said.read(b'"something else"') is None


async def test_worker_dies_while_its_body_talks(place: Place) -> None:
    """12.1, 14.3: what is in the history stays; the body says it again, after a start that tells it."""
    async with place.app(TALKING, worker=False) as app:
        doomed = place.worker()
        await begin(app, TALKING, 1, run_id="run")
        first = await read(app.run("run").observe_stream(), count=5)
        place.kill(doomed)
        place.worker()
        await eventually(lambda: calls_of(place.traces)["run"]["talk"] == 2, within=30)
        open_gate(place.traces)
        await app.run("run").result(timeout=60)
        events = await read(app.run("run").events())

    assert events[: len(first)] == first
    told = [
        (event.type, event.payload.get("output", event.payload.get("recovered")))
        for event in events
        if event.type in ("workflow-step-start", "workflow-step-output")
    ]
    call = [("workflow-step-output", number) for number in range(3)]
    assert told == [("workflow-step-start", False), *call, ("workflow-step-start", True), *call]


@pytest.mark.timeout(120)
async def test_server_dies_while_a_body_talks(place_on_disk: Place) -> None:
    """14.3: what is said through the outage waits, and arrives once."""
    is_down, may_end = asyncio.Event(), asyncio.Event()

    @step
    async def work(x: int, ctx: StepContext) -> int:
        ctx.write("before")
        await is_down.wait()
        for number in range(20):
            ctx.write(number)
        await may_end.wait()
        ctx.write("after")
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    place = place_on_disk
    async with place.app(workflow, lease=60) as app:
        await begin(app, workflow, 1, run_id="run")
        assert said(await read(app.run("run").observe_stream(), count=3)) == ["before"]
        place.server.kill()
        is_down.set()
        await asyncio.to_thread(place.server.start)
        may_end.set()
        result = await app.run("run").result(timeout=90)
        events = await read(app.run("run").events())

    assert said(events) == ["before", *range(20), "after"]
    assert result.steps["work"].attempts == 1


async def test_history_that_takes_no_more_is_told_to_the_body(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """19: nothing grows until the server ends the run, and nothing is lost silently."""
    monkeypatch.setattr(mouth, "_MOST_BYTES", 10_000)
    workflow = Workflow("w", input=int).then(talk).commit()
    async with place.app(workflow) as app:
        result = await (await begin(app, workflow, 5_000, run_id="run")).result(timeout=60)
        events = await read(app.run("run").events())

    assert result.error is not None
    assert (result.status, result.error.type) == ("failed", "StreamWriteError")
    assert said(events) == list(range(len(said(events))))
    assert 0 < len(said(events)) < 5_000


async def test_words_that_the_server_refuses_fail_their_step(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """19: nothing is lost silently, also if the body does not listen."""
    send = WorkflowHandle.signal

    async def refuse(handle: Any, name: Any, *arguments: Any, **options: Any) -> None:
        if name == SAID:
            raise RPCError("exceeded workflow execution limit for signal events", RPCStatusCode.INVALID_ARGUMENT, b"")
        await send(handle, name, *arguments, **options)

    monkeypatch.setattr(WorkflowHandle, "signal", refuse)
    monkeypatch.setattr(mouth, "_BATCH_EVENTS", 10)
    workflow = Workflow("w", input=int).then(talk).commit()
    async with place.app(workflow) as app:
        result = await (await begin(app, workflow, 20)).result(timeout=60)

    assert result.error is not None
    assert (result.status, result.error.type) == ("failed", "StreamWriteError")
    assert "limit for signal events" in result.error.message


@pytest.mark.timeout(240)
async def test_long_run_that_talks_keeps_the_order(place: Place) -> None:
    """14.1: over the workflows in which a run goes on, the journal has no gap and nothing twice."""

    @step
    async def count(x: int, ctx: StepContext) -> int:
        ctx.write(x)
        return x + 1

    workflow = Workflow("w", input=int).dountil(count, lambda ctx: ctx.iteration_count == 650, id="loop").commit()
    async with place.app(workflow, lease=30) as app:
        result = await (await begin(app, workflow, 0, run_id="run")).result(timeout=200)
        events = await read(app.run("run").events())
        journal = await app._engine.open_journal("run")  # noqa: SLF001
        records = await journal.load_records(after=0, limit=100_000, most_bytes=2**30)

    assert result.result == 650
    assert said(events) == list(range(650))
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert (await kinds(place, "run"))[EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED] < 650
