"""What bodies said goes before their runs, and readers are told so: rules 14.1 and 17."""

from __future__ import annotations

from datetime import timedelta

import pytest

from behaviour.bench import Bench, Clock, begin
from behaviour.test_chunks import said, say_async
from behaviour.test_keeping import sweep
from behaviour.test_streams import read
from outlast import ConfigurationError, Outlast, StepContext, Workflow, step
from outlast.engines.capability import Capability

pytestmark = [pytest.mark.requires(Capability.SILENCING), pytest.mark.requires(Capability.RETENTION)]

NOTICE = "workflow-output-removed"
SAY = Workflow("say", input=int, output=int).then(say_async).commit()


@step
async def say_and_ask(count: int, ctx: StepContext) -> int:
    ctx.write(f"before {count}" if not ctx.resumed else "after")
    if not ctx.resumed:
        ctx.suspend()
    return count


ASK = Workflow("ask", input=int, output=int).then(say_and_ask).commit()


async def test_what_was_said_is_removed_after_its_time_and_readers_are_told(bench: Bench) -> None:
    """14.1, 17: own retention; the rest of the stream stays as it was, with the same numbers."""
    clock = Clock()
    async with bench.app(SAY, clock=clock, stream_retention=timedelta(days=2)) as app:
        started = await begin(app, SAY, 5, run_id="run")
        await started.result()
        before = await read(started.events())
        clock.offset = timedelta(days=1)
        await sweep(app)
        assert await read(started.events()) == before

        clock.offset = timedelta(days=3)
        await sweep(app)
        after = await read(started.events())

    assert (said(before), said(after)) == (list(range(5)), [])
    last = [event for event in before if event.source == "user"][-1]
    told = [event for event in after if event.type == NOTICE]
    assert [(event.seq, event.at, event.source, event.payload) for event in told] == [
        (last.seq, last.at, "workflow", {})
    ]
    assert [event for event in after if event.type != NOTICE] == [event for event in before if event.source != "user"]


async def test_result_and_recovery_do_not_miss_what_was_said(bench: Bench) -> None:
    """14.1: stream events are not read in recovery; a run that rests goes on without them."""
    clock = Clock()
    async with bench.app(ASK, clock=clock, stream_retention=timedelta()) as app:
        started = await begin(app, ASK, 7, run_id="run")
        await started.result()
        clock.offset = timedelta(days=1)
        await sweep(app)

        result = await started.resume()
        events = await read(started.events())

    assert result.result == 7
    assert [event.payload.get("output") for event in events if event.type in (NOTICE, "workflow-step-output")] == [
        None,
        "after",
    ]


async def test_reader_that_had_seen_it_all_is_told_nothing(bench: Bench) -> None:
    """14.2: a reader gets everything from its offset; behind the last that was removed nothing is missing."""
    clock = Clock()
    async with bench.app(SAY, clock=clock, stream_retention=timedelta()) as app:
        started = await begin(app, SAY, 5, run_id="run")
        await started.result()
        chunks = [event for event in await read(started.events()) if event.source == "user"]
        clock.offset = timedelta(days=1)
        await sweep(app)

        in_between = await read(started.events(after=chunks[2].seq))
        behind = await read(started.events(after=chunks[-1].seq))

    assert [event.type for event in in_between] == [NOTICE, "workflow-step-result", "workflow-finish"]
    assert [event.type for event in behind] == ["workflow-step-result", "workflow-finish"]


async def test_what_was_said_is_kept_as_long_as_its_run_unless_told_otherwise(bench: Bench) -> None:
    """17: an option on the app; nothing is dropped that nobody asked to drop."""
    clock = Clock()
    async with bench.app(SAY, clock=clock, retention=None) as app:
        started = await begin(app, SAY, 5, run_id="run")
        await started.result()
        clock.offset = timedelta(days=400)
        await sweep(app)

        assert said(await read(started.events())) == list(range(5))


def test_negative_time_is_refused() -> None:
    """A mistake is found before anything is opened."""
    with pytest.raises(ConfigurationError, match="stream_retention=-1 day, 0:00:00 must not be below zero"):
        Outlast([SAY], store="memory", stream_retention=timedelta(days=-1))
