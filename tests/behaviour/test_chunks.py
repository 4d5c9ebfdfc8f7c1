"""What bodies say while they run: rules 14.1, 14.3 and 19. In order, before the outcome, bounded."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, begin
from behaviour.test_streams import read
from eventually import eventually
from outlast import RunStatus, StepContext, StreamEvent, StreamWriteError, Workflow, step
from outlast.engines import voice
from outlast.engines.capability import Capability

pytestmark = pytest.mark.requires(Capability.SAYING)


def said(events: list[StreamEvent]) -> list[Any]:
    return [event.payload["output"] for event in events if event.type == "workflow-step-output"]


@step
async def say_async(count: int, ctx: StepContext) -> int:
    for number in range(count):
        await ctx.write(number)
    return count


@step
def say_in_thread(count: int, ctx: StepContext) -> int:
    for number in range(count):
        ctx.write(number)
    return count


@pytest.mark.parametrize("body", [say_async, say_in_thread], ids=["async", "thread"])
async def test_chunks_are_told_in_order_before_the_outcome(bench: Bench, body: Any) -> None:
    """14.1: always before the outcome of their step, with the same numbers as the facts."""
    workflow = Workflow("w", input=int).then(body).commit()
    async with bench.app(workflow) as app:
        events = await read((await app.create_run(workflow, run_id="run")).stream(input_data=5))

    assert said(events) == list(range(5))
    assert [event.type for event in events][-2:] == ["workflow-step-result", "workflow-finish"]
    assert [event.source for event in events].count("user") == 5
    seqs = [record.seq for record in await bench.journal("run")]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_progress_and_data_are_told(bench: Bench) -> None:
    """14.1: workflow-step-progress and data-*; typed values are encoded as their type."""

    @dataclass
    class Price:
        amount: int

    @step
    async def work(x: int, ctx: StepContext) -> int:
        ctx.progress(1, 4, "reading")
        ctx.progress(0.5)
        ctx.emit("data-price", Price(12))
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    async with bench.app(workflow) as app:
        events = await read((await app.create_run(workflow)).stream(input_data=1))
    first, second, price = [event for event in events if event.source == "user"]

    assert (first.type, second.type, price.type) == ("workflow-step-progress",) * 2 + ("data-price",)
    assert (first.payload["completed_count"], first.payload["total_count"]) == (1, 4)
    assert (first.payload["message"], second.payload["completed_count"]) == ("reading", 0.5)
    assert price.payload["data"] == {"amount": 12}
    assert price.to_dict()["data"] == {"amount": 12}
    assert price.to_dict()["from"] == "USER"


@pytest.mark.parametrize(
    "speak",
    [
        lambda ctx: ctx.write(float("nan")),
        lambda ctx: ctx.write({1: 2}),
        lambda ctx: ctx.write(object()),
        lambda ctx: ctx.write("x" * 5_000_000),
        lambda ctx: ctx.emit("price", 1),
        lambda ctx: ctx.emit("data-\n", 1),
        lambda ctx: ctx.emit("data-x", object()),
        lambda ctx: ctx.progress(-1),
        lambda ctx: ctx.progress(True),
        lambda ctx: ctx.progress(1, "2"),
        lambda ctx: ctx.progress(1, 2, 3),
    ],
    ids=["nan", "key", "object", "size", "prefix", "unprintable", "value", "negative", "bool", "total", "message"],
)
async def test_what_cannot_be_recorded_is_refused_by_the_call(bench: Bench, speak: Any) -> None:
    """2.3, 5.9: the author learns it at once, and the step may go on without it."""
    refused: list[str] = []

    @step
    async def work(x: int, ctx: StepContext) -> int:
        try:
            speak(ctx)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            refused.append(type(error).__name__)
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    async with bench.app(workflow) as app:
        events = await read((await app.create_run(workflow)).stream(input_data=1))

    assert refused in (["InputError"], ["PayloadTooLargeError"])
    assert not [event for event in events if event.source == "user"]


async def test_chunks_are_seen_while_the_body_runs(bench: Bench) -> None:
    """14: flushed within 50 ms, also to readers in other processes."""
    gate = asyncio.Event()

    @step
    async def work(x: int, ctx: StepContext) -> int:
        ctx.write("begun")
        await gate.wait()
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    async with bench.app(workflow) as app, bench.app(workflow, worker=False) as other:
        await begin(app, workflow, 1, run_id="run")
        for each in (app, other):
            assert said(await read(each.run("run").observe_stream(), count=3)) == ["begun"]
        gate.set()
        await app.run("run").result(timeout=30)


async def test_reader_goes_on_between_chunks(bench: Bench) -> None:
    """14.2: each event once, whatever class it is of, wherever the reader was cut off."""
    workflow = Workflow("w", input=int).then(say_async).then(say_in_thread).commit()
    async with bench.app(workflow) as app:
        await (await app.create_run(workflow, run_id="run")).start(input_data=6)
        events = await read(app.run("run").events())

        for index, event in enumerate(events):
            assert await read(app.run("run").events(after=event.seq)) == events[index + 1 :]


async def test_attempt_that_runs_again_says_it_again(bench: Bench) -> None:
    """14.3: new events that carry their attempt."""

    @step(retries=1)
    async def work(x: int, ctx: StepContext) -> int:
        ctx.write(f"attempt {ctx.attempt}")
        if ctx.attempt == 0:
            raise ValueError
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    async with bench.app(workflow) as app:
        events = await read((await app.create_run(workflow)).stream(input_data=1))

    chunks = [event for event in events if event.type == "workflow-step-output"]
    assert [(event.payload["output"], event.payload["attempt"]) for event in chunks] == [
        ("attempt 0", 0),
        ("attempt 1", 1),
    ]


async def test_recovered_attempt_is_told_before_what_it_says(bench: Bench) -> None:
    """14.3: `workflow-step-start {recovered: true}` tells a reader to drop the chunks of the lost call."""
    is_holding = True

    @step
    async def work(x: int, ctx: StepContext) -> int:
        ctx.write("again" if ctx.recovered else "first")
        if is_holding:
            await asyncio.Event().wait()
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    async with bench.app(workflow, drain=timedelta()) as app:
        await begin(app, workflow, 1, run_id="run")
        await read(app.run("run").observe_stream(), count=3)
    is_holding = False
    async with bench.app(workflow) as app:
        assert (await app.run("run").result(timeout=30)).result == 1
        events = await read(app.run("run").events())

    starts = [event for event in events if event.type == "workflow-step-start"]
    chunks = [event for event in events if event.type == "workflow-step-output"]
    assert [event.payload["recovered"] for event in starts] == [False, True]
    assert said(events) == ["first", "again"]
    assert [event.payload["step_call_id"] for event in chunks] == [event.payload["step_call_id"] for event in starts]
    assert starts[1].seq < chunks[1].seq


async def test_async_body_that_never_waits_is_stopped_at_the_bound(bench: Bench, monkeypatch: Any) -> None:
    """19: nothing grows without bound, and nothing is lost silently: what was taken is recorded."""
    monkeypatch.setattr(voice, "_MOST_EVENTS", 50)

    @step(retries=3)
    async def work(x: int, ctx: StepContext) -> int:
        for number in range(1_000):
            ctx.write(number)
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    async with bench.app(workflow) as app:
        stream = (await app.create_run(workflow)).stream(input_data=1)
        events = await read(stream)
        result = await stream.result()

    assert said(events) == list(range(50))
    assert result.error is not None
    assert (result.status, result.error.type, result.steps["work"].attempts) == (
        RunStatus.FAILED,
        "StreamWriteError",
        1,
    )


@pytest.mark.parametrize("body", [say_async, say_in_thread], ids=["async", "thread"])
async def test_body_that_says_more_than_the_store_takes_waits(bench: Bench, body: Any, monkeypatch: Any) -> None:
    """19: back-pressure: the queue never holds more than its bound, and everything arrives."""
    monkeypatch.setattr(voice, "_FULL_EVENTS", 10)
    monkeypatch.setattr(voice, "_MOST_EVENTS", 11)
    workflow = Workflow("w", input=int).then(body).commit()
    async with bench.app(workflow) as app:
        stream = (await app.create_run(workflow)).stream(input_data=500)

        assert said(await read(stream)) == list(range(500))
        assert (await stream.result()).result == 500


async def test_run_may_say_only_so_much(bench: Bench) -> None:
    """19: `max_stream_events`."""
    workflow = Workflow("w", input=int).then(say_async).commit()
    async with bench.app(workflow, max_stream_events=20) as app:
        result = await (await app.create_run(workflow, run_id="run")).start(input_data=21)
        events = await read(app.run("run").events())

    assert result.error is not None
    assert "max_stream_events" in result.error.message
    assert said(events) == list(range(20))


async def test_call_of_an_attempt_that_is_over_is_refused(bench: Bench) -> None:
    """9.3: the late words of an abandoned thread belong to nobody."""
    gate, outcomes = threading.Event(), []

    @step(timeout=0.05)
    def work(x: int, ctx: StepContext) -> int:
        gate.wait()
        try:
            ctx.write("late")
        except StreamWriteError as error:
            outcomes.append(error.reason)
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    async with bench.app(workflow) as app:
        result = await (await app.create_run(workflow, run_id="run")).start(input_data=1)
        gate.set()
        await eventually(lambda: outcomes)
        events = await read(app.run("run").events())

    assert result.status is RunStatus.FAILED
    assert "over" in outcomes[0]
    assert said(events) == []


async def test_what_was_said_before_a_suspension_is_recorded_before_it(bench: Bench) -> None:
    """14.1: an outcome of whatever kind."""

    @step
    async def ask(x: int, ctx: StepContext) -> int:
        ctx.write("asking")
        return ctx.resume_data if ctx.resumed else ctx.suspend()

    workflow = Workflow("w", input=int).then(ask).commit()
    async with bench.app(workflow) as app:
        events = await read((await app.create_run(workflow)).stream(input_data=1))

    assert [event.type for event in events][2:4] == ["workflow-step-output", "workflow-step-suspended"]


@pytest.mark.requires(Capability.ENDING_WITHOUT_WORKER)
async def test_canceled_run_that_said_something_ends_from_outside(bench: Bench) -> None:
    """10: events that are no facts do not disturb an end that no worker writes."""

    @step
    async def ask(x: int, ctx: StepContext) -> int:
        ctx.write("asking")
        return ctx.suspend()

    workflow = Workflow("w", input=int).then(ask).commit()
    async with bench.app(workflow) as app:
        await (await app.create_run(workflow, run_id="run")).start(input_data=1)
    async with bench.app(workflow, worker=False) as other:
        await other.run("run").cancel()
        result = await other.run("run").result(timeout=30)
        events = await read(other.run("run").events())

    assert result.status is RunStatus.CANCELED
    assert [event.type for event in events][-2:] == ["workflow-canceled", "workflow-finish"]


async def test_run_that_says_nothing_has_no_queue(bench: Bench) -> None:
    """14: a run that writes no chunk costs what it did."""
    queues: list[int] = []

    @step
    async def work(x: int, ctx: StepContext) -> int:
        queues.append(bench.voices(app))
        return x

    workflow = Workflow("w", input=int).then(work).commit()
    async with bench.app(workflow) as app:
        await (await app.create_run(workflow)).start(input_data=1)

    assert queues == [0]
