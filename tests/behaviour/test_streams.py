"""Watching runs: rule 14.2. From any place in their events, in order, each once, during the run and after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import pytest

from behaviour.bench import Bench, begin
from eventually import eventually
from outlast import (
    InputError,
    RunExistsError,
    RunNotFoundError,
    RunStatus,
    StepContext,
    StoreUnavailableError,
    StreamEvent,
    Workflow,
    step,
)
from outlast.engines.capability import Capability


@step
async def add_one(x: int) -> int:
    return x + 1


@step
async def double(x: int) -> int:
    return x * 2


CHAIN = Workflow("chain", input=int, output=int).then(add_one).then(double).commit()


def ask() -> Any:
    @step
    async def ask(x: int, ctx: StepContext) -> str:
        return ctx.resume_data if ctx.resumed else ctx.suspend({"x": x})

    return ask


ASKING = Workflow("asking", input=int).then(ask()).commit()


async def read(stream: AsyncIterable[StreamEvent], count: int | None = None) -> list[StreamEvent]:
    """Read all events, or the first few."""
    events: list[StreamEvent] = []
    async with asyncio.timeout(10):
        async for event in stream:
            events.append(event)
            if len(events) == count:
                break
    return events


def short(events: list[StreamEvent]) -> list[str]:
    return [f"{event.type.removeprefix('workflow-')} {event.payload.get('path', '')}".rstrip() for event in events]


TOLD = ["start", "step-start add_one", "step-result add_one", "step-start double", "step-result double", "finish"]


async def test_stream_starts_the_run_and_tells_all_of_it(bench: Bench) -> None:
    """14.2: `run.stream()`; the result is the stream's."""
    async with bench.app(CHAIN) as app:
        run = await app.create_run(CHAIN, run_id="run")
        stream = run.stream(input_data=1)
        events = await read(stream)
        result = await stream.result()

    assert short(events) == TOLD
    assert (result.status, result.result) == (RunStatus.SUCCESS, 4)
    assert {event.run_id for event in events} == {"run"}
    assert events[2].payload["output"] == 2
    assert events[-1].payload["result"] == 4


async def test_events_are_numbered_and_timed(bench: Bench) -> None:
    """14.1: the envelope."""
    async with bench.app(CHAIN) as app:
        events = await read((await app.create_run(CHAIN)).stream(input_data=1))

    numbers = [event.seq for event in events]
    assert numbers == sorted(set(numbers))
    assert all(event.at.tzinfo is not None for event in events)
    assert {(event.execution, event.source) for event in events} == {(0, "workflow")}


async def test_result_without_reading_starts_the_run(bench: Bench) -> None:
    """14.2: `await stream.result()` is the result, read or not."""
    async with bench.app(CHAIN) as app:
        stream = (await app.create_run(CHAIN, run_id="run")).stream(input_data=1)

        assert (await stream.result(timeout=30)).result == 4
        assert short(await read(stream)) == TOLD


async def test_stream_that_is_not_read_starts_nothing(bench: Bench) -> None:
    """14.2: what it takes to begin happens with the first event."""
    async with bench.app(CHAIN) as app:
        (await app.create_run(CHAIN, run_id="run")).stream(input_data=1)

        with pytest.raises(RunNotFoundError):
            await app.run("run").status()


async def test_bad_input_is_refused_before_anything_happens(bench: Bench) -> None:
    """2.3: by the call itself."""
    async with bench.app(CHAIN) as app:
        run = await app.create_run(CHAIN)
        with pytest.raises(InputError):
            run.stream(input_data="x")  # type: ignore[arg-type]


async def test_run_is_started_once_by_a_stream_that_is_read_twice(bench: Bench) -> None:
    """14.2: a stream may be iterated several times, also at the same time."""
    async with bench.app(CHAIN) as app:
        stream = (await app.create_run(CHAIN)).stream(input_data=1)
        first, second = await asyncio.gather(read(stream), read(stream))
        third = await read(stream)

    assert first == second == third


async def test_stream_of_a_run_that_was_started_is_refused(bench: Bench) -> None:
    """2.4: with the first event."""
    async with bench.app(CHAIN) as app:
        run = await app.create_run(CHAIN, run_id="run")
        await run.start(input_data=1)
        with pytest.raises(RunExistsError):
            await read(run.stream(input_data=1))


async def test_late_reader_gets_everything(bench: Bench) -> None:
    """14.2: after the end, from another process, too."""
    async with bench.app(CHAIN) as app:
        events = await read((await app.create_run(CHAIN, run_id="run")).stream(input_data=1))
        assert await read(app.run("run").observe_stream()) == events

    async with bench.app(CHAIN, worker=False) as other:
        assert await read(other.run("run").observe_stream()) == events
        assert await read(other.run("run").events()) == events


async def test_reader_goes_on_after_any_event(bench: Bench) -> None:
    """14.2: neither loses nor repeats one, wherever it was cut off; also between two events of one record."""
    inner = Workflow("inner", input=int).then(CHAIN).then(ask()).commit()
    workflow = Workflow("outer", input=int).then(inner).commit()
    async with bench.app(workflow) as app:
        run = await app.create_run(workflow, run_id="run")
        await run.start(input_data=1)
        await app.run("run").resume("yes")
        events = await read(app.run("run").events())

        for index, event in enumerate(events):
            assert await read(app.run("run").events(after=event.seq)) == events[index + 1 :]


async def test_readers_of_a_running_run_see_the_rest_as_it_happens(bench: Bench) -> None:
    """14.2: many readers, in this process and in another one."""
    gate = asyncio.Event()

    @step
    async def wait(x: int) -> int:
        await gate.wait()
        return x

    workflow = Workflow("waiting", input=int).then(add_one).then(wait).commit()
    async with bench.app(workflow) as app, bench.app(workflow, worker=False) as other:
        await begin(app, workflow, 1, run_id="run")
        readers = [asyncio.create_task(read(each.run("run").observe_stream())) for each in (app, other, app, other)]
        begun = await read(other.run("run").observe_stream(), count=4)
        assert short(begun)[-1] == "step-start wait"

        gate.set()
        first, *others = await asyncio.gather(*readers)

    assert short(first)[-2:] == ["step-result wait", "finish"]
    assert all(each == first for each in others)
    assert begun == first[:4]


async def test_stream_ends_at_a_suspension_and_another_one_shows_the_rest(bench: Bench) -> None:
    """14.2: `resume_stream()` begins with a start and ends with the next finish."""
    async with bench.app(ASKING) as app:
        before = (await app.create_run(ASKING, run_id="run")).stream(input_data=1)
        first = await read(before)
        assert short(first) == ["start", "step-start ask", "step-suspended ask", "finish"]
        assert first[-1].payload["workflow_status"] == "suspended"
        assert (await before.result()).status is RunStatus.SUSPENDED

        after = app.run("run").resume_stream("yes")
        second = await read(after)
        assert short(second) == ["start", "step-start ask", "step-result ask", "finish"]
        assert second[1].payload["resume_payload"] == "yes"
        assert (await after.result()).result == "yes"
        assert await read(app.run("run").events()) == first + second


@pytest.mark.requires(Capability.REWINDING)
async def test_stream_of_a_time_travel_shows_the_new_execution(bench: Bench) -> None:
    """14.2: `time_travel_stream()` shows the new execution, and leaves out what happened before."""
    async with bench.app(ASKING) as app:
        before = await read((await app.create_run(ASKING, run_id="run")).stream(input_data=1))

        stream = app.run("run").time_travel_stream("ask", resume_data="yes")
        events = await read(stream)

        assert short(events) == ["start", "rewound", "step-start ask", "step-result ask", "finish"]
        assert {event.execution for event in events} == {1}
        rewound = {"execution": 1, "to": "ask", "kept": []}
        assert (events[1].payload, events[1].to_dict()["payload"]) == (rewound, rewound)
        result = await stream.result()
        assert (result.execution, result.result) == (1, "yes")
        assert await read(app.run("run").events()) == before + events


@pytest.mark.requires(Capability.REWINDING)
async def test_stream_tells_what_a_later_execution_keeps(bench: Bench) -> None:
    """12.3, 14.1: `workflow-rewound {execution, to, kept}`: for all else, readers forget what they were told."""
    is_broken = True

    @step
    async def flaky(x: int) -> int:
        if is_broken:
            raise ConnectionError("down")
        return x

    workflow = Workflow("w", input=int).then(add_one).then(double).then(flaky).commit()
    async with bench.app(workflow) as app:
        await (await app.create_run(workflow, run_id="run")).start(input_data=1)
        is_broken = False
        await app.run("run").restart()
        await app.run("run").time_travel(double)
        events = await read(app.run("run").events())

    assert [event.payload for event in events if event.type == "workflow-rewound"] == [
        {"execution": 1, "to": "", "kept": ["add_one", "double"]},
        {"execution": 2, "to": "double", "kept": ["add_one"]},
    ]
    executions = [event.execution for event in events]
    assert executions == sorted(executions)


async def test_paused_run_is_told_just_before_the_finish(bench: Bench) -> None:
    """12.6, 14.1: workflow-paused ends a stream as a suspension does; the next step begins with a start."""
    async with bench.app(CHAIN) as app:
        first = await read((await app.create_run(CHAIN, run_id="run")).stream(input_data=1, per_step=True))
        assert (await app.run("run").step()).result == 4
        rest = await read(app.run("run").observe_stream(after=first[-1].seq))

    assert short(first) == ["start", "step-start add_one", "step-result add_one", "paused", "finish"]
    assert (first[-2].payload, first[-1].payload["workflow_status"]) == ({}, "paused")
    assert short(rest) == ["start", "step-start double", "step-result double", "finish"]


@pytest.mark.requires(Capability.REWINDING)
async def test_stream_of_a_time_travel_on_a_run_that_never_ran_shows_all_of_it(bench: Bench) -> None:
    """12.3, 14.2: nothing is recorded before the first event is asked for."""
    async with bench.app(ASKING) as app:
        run = await app.create_run(ASKING, run_id="run")
        stream = run.time_travel_stream("ask", input_data=1, resume_data="yes")
        with pytest.raises(RunNotFoundError):
            await app.run("run").status()

        events = await read(stream)

        assert (await stream.result()).result == "yes"
        assert events == await read(app.run("run").events())
        with pytest.raises(InputError, match="no node of this run"):
            await read(run.time_travel_stream("nowhere"))


async def test_reader_of_a_suspended_run_waits_for_what_follows(bench: Bench) -> None:
    """14.2: a stream ends at the first finish after its beginning; a suspension before it does not count."""
    async with bench.app(ASKING) as app, bench.app(ASKING, worker=False) as other:
        await (await app.create_run(ASKING, run_id="run")).start(input_data=1)
        seen = await read(other.run("run").observe_stream())
        reading = asyncio.create_task(read(other.run("run").observe_stream(after=seen[-1].seq)))
        await eventually(lambda: bench.is_watching(other))

        await app.run("run").resume("yes")

        assert short(await reading) == ["start", "step-start ask", "step-result ask", "finish"]


async def test_reader_that_follows_goes_on_after_a_finish(bench: Bench) -> None:
    """14.2: `follow=True`."""
    async with bench.app(ASKING) as app:
        await (await app.create_run(ASKING, run_id="run")).start(input_data=1)
        reading = asyncio.create_task(read(app.run("run").observe_stream(follow=True), count=8))
        await eventually(lambda: bench.is_watching(app))
        await app.run("run").resume("yes")

        assert short(await reading)[-1] == "finish"


async def test_reader_that_follows_waits_on_after_the_end(bench: Bench) -> None:
    """14.2: `follow=True`: until whoever reads goes away; then nothing of it is left."""
    async with bench.app(CHAIN) as app:
        await (await app.create_run(CHAIN, run_id="run")).start(input_data=1)
        reading = asyncio.create_task(read(app.run("run").observe_stream(follow=True)))
        await eventually(lambda: bench.is_watching(app))

        reading.cancel()
        await asyncio.wait([reading])
        assert not bench.is_watching(app)


async def test_reader_after_the_last_event_of_an_ended_run_is_done(bench: Bench) -> None:
    """14.2: there is nothing to wait for."""
    async with bench.app(CHAIN) as app:
        events = await read((await app.create_run(CHAIN, run_id="run")).stream(input_data=1))

        assert await read(app.run("run").observe_stream(after=events[-1].seq)) == []
        assert await read(app.run("run").observe_stream(after=10**12)) == []


async def test_unknown_run_is_refused_with_the_first_event(bench: Bench) -> None:
    """21: an unknown id raises `RunNotFoundError`."""
    async with bench.app(CHAIN) as app:
        with pytest.raises(RunNotFoundError):
            await read(app.run("nobody").observe_stream())
        with pytest.raises(RunNotFoundError):
            await read(app.run("nobody").events())


@pytest.mark.parametrize("after", [-1, 1.5, "3", None, True, 2**63])
async def test_place_that_is_no_number_is_refused(bench: Bench, after: Any) -> None:
    """2.3: names the option."""
    async with bench.app(CHAIN) as app:
        for show in (app.run("run").observe_stream, app.run("run").events):
            with pytest.raises(InputError, match="after"):
                show(after=after)


async def test_reader_that_goes_away_leaves_nothing_behind(bench: Bench) -> None:
    """14.2: an abandoned reader does not concern the run."""
    gate = asyncio.Event()

    @step
    async def wait(x: int) -> int:
        await gate.wait()
        return x

    workflow = Workflow("waiting", input=int).then(wait).commit()
    async with bench.app(workflow) as app:
        stream = (await app.create_run(workflow)).stream(input_data=1)
        assert len(await read(stream, count=2)) == 2
        assert not bench.is_watching(app)

        gate.set()
        assert (await stream.result(timeout=30)).result == 1


async def test_reader_learns_that_the_app_was_closed(bench: Bench) -> None:
    """3.6: leaving does not let readers wait for ever; the run is not affected."""
    async with bench.app(ASKING) as app:
        await (await app.create_run(ASKING, run_id="run")).start(input_data=1)
        reading = asyncio.create_task(read(app.run("run").observe_stream(follow=True)))
        await eventually(lambda: bench.is_watching(app))

    with pytest.raises(StoreUnavailableError, match="closed"):
        await reading


async def test_canceled_run_is_told_to_its_end(bench: Bench) -> None:
    """14.1: workflow-canceled just before the finish; also when nobody drove the run."""
    async with bench.app(ASKING) as app:
        await (await app.create_run(ASKING, run_id="run")).start(input_data=1)
        seen = await read(app.run("run").observe_stream())
        await app.run("run").cancel("enough")

        rest = await read(app.run("run").observe_stream(after=seen[-1].seq))
    assert short(rest) == ["canceled", "finish"]
    assert (rest[0].payload["reason"], rest[1].payload["workflow_status"]) == ("enough", "canceled")


async def test_wire_form_is_that_of_the_public_api(bench: Bench) -> None:
    """14.1: camelCase, `from`, `stepName`; times in milliseconds."""
    async with bench.app(CHAIN) as app:
        events = await read((await app.create_run(CHAIN, run_id="run")).stream(input_data=1))
    start, begun, ended, *_, finish = [event.to_dict() for event in events]

    assert start == {
        "type": "workflow-start",
        "seq": events[0].seq,
        "at": start["at"],
        "runId": "run",
        "execution": 0,
        "from": "WORKFLOW",
        "payload": {"workflowId": "chain"},
    }
    assert begun["payload"] == {
        "id": "add_one",
        "stepName": "add_one",
        "path": "add_one",
        "stepCallId": "add_one@2",
        "attempt": 0,
        "recovered": False,
        "payload": 1,
        "startedAt": begun["at"],
        "status": "running",
    }
    assert ended["payload"]["endedAt"] == ended["at"]
    assert finish["payload"]["workflowStatus"] == "success"
    assert finish["payload"]["finalWorkflowResult"] == 4
    assert finish["payload"]["metadata"] == {}
    assert set(finish["payload"]["output"]["usage"].values()) == {0}
