"""What `why` says of waits that only the store and the workers know of: rule 4."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from eventually import eventually
from outlast import Outlast, StepContext, Workflow, step
from outlast.engines.capability import Capability


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend("go on?")


@step
async def old(x: Any) -> Any:
    return x


@step
async def new(x: Any) -> Any:
    return x


BEFORE = Workflow("w").then(ask).then(old).commit()
AFTER = Workflow("w").then(ask).then(new).commit()


@pytest.mark.requires(Capability.WORKER_INSIGHT)
async def test_worker_that_lacks_a_function_of_the_graph_is_not_counted(bench: Bench) -> None:
    """4: it knows the workflow, but the run was started on a graph that names what it has not."""
    async with bench.app(BEFORE, worker=False) as app:
        await begin(app, BEFORE, run_id="run")
    async with bench.app(AFTER) as app:
        why = await app.run("run").why()
        async with bench.app(BEFORE):
            changed = await app.run("run").why()

    assert "none has all that this run's graph names: 'w/old' is missing; start a worker with code that has it" in why
    assert "is missing" not in changed


async def test_worker_with_more_than_the_graph_names_is_counted(bench: Bench) -> None:
    """4, 12.5: a newer workflow that still has all functions drives the run."""
    more = Workflow("w").then(ask).then(old).then(new).commit()
    async with bench.app(BEFORE, worker=False) as app:
        await begin(app, BEFORE, run_id="run")
        async with bench.app(more, max_runs=1) as busy:
            await begin(busy, more)  # a slot that is taken keeps the run waiting only while it is
            why = await app.run("run").why()

    assert "is missing" not in why


@pytest.mark.requires(Capability.WORKER_INSIGHT)
async def test_step_without_a_slot_says_how_many_there_are_and_how_many_wait(bench: Bench) -> None:
    """4, 19: the numbers are known in the process of the worker; others are told that it waits for a slot."""
    entered, gate = asyncio.Event(), asyncio.Event()

    @step
    async def hold(x: Any) -> None:
        entered.set()
        await gate.wait()

    workflow = Workflow("w").then(hold).commit()
    async with bench.app(workflow, max_steps=1) as app, bench.app(workflow, worker=False) as other:
        await begin(app, workflow, run_id="first")
        await entered.wait()
        for number in range(2):
            await begin(app, workflow, run_id=f"queued-{number}")
        here, there = await app.run("queued-0").why(), await other.run("queued-0").why()
        gate.set()
        await asyncio.gather(*(app.run(f"queued-{number}").result(timeout=30) for number in range(2)))

    assert here.startswith(
        "'hold' may start and waits for a free slot of its worker, which runs 1 steps at a time (`max_steps`) "
        "and has 2 more waiting; driven by worker "
    )
    assert there.startswith("'hold' may start and waits for a free slot of its worker; driven by worker ")


@pytest.mark.requires(Capability.WORKER_INSIGHT)
async def test_run_that_a_worker_parked_says_which_one_and_why_in_any_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """4, 9.8: `why` says which event, function or fault it is, also when that worker has gone."""

    @step
    async def fail(x: Any) -> None:
        raise ValueError("no")

    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("a fault in\nthe engine")

    monkeypatch.setattr("outlast.engines.outcomes.retry_at", broken)
    workflow = Workflow("w").then(fail).commit()
    async with bench.app(workflow) as app, bench.app(workflow, worker=False) as other:
        await begin(app, workflow, run_id="run")
        await eventually(lambda: "is left to another worker" in caplog.text)
        during = await eventually(lambda: _parked(other))
    async with bench.app(workflow, worker=False) as app:
        after = await app.run("run").why()

    assert re.match(
        r"worker \d+ \(process \d+\) cannot drive it and left it to others: RuntimeError: a fault in the engine; "
        r"nobody drives it now, and it may be taken from 20\S+ on; 1 live worker takes runs of workflow 'w'",
        during,
    )
    assert after.split("; ")[:2] == during.split("; ")[:2]
    assert "no live worker takes runs of workflow 'w'" in after


async def _parked(app: Outlast) -> str | None:
    why = await app.run("run").why()
    return why if "left it to others" in why else None


async def test_run_that_goes_on_after_it_was_parked_does_not_say_so_any_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """4: what was said counts until somebody takes the run."""
    clock = Clock()
    with monkeypatch.context() as patch:
        patch.setattr("outlast.engines.local.worker._fold", lambda *_: 1 / 0)
        async with bench.app(BEFORE, clock=clock) as app:
            async with bench.app(BEFORE, worker=False) as starter:
                await begin(starter, BEFORE, run_id="run")
            await eventually(lambda: _parked(app))
    clock.offset = timedelta(minutes=1)
    async with bench.app(BEFORE, clock=clock) as app:
        await app.run("run").result(timeout=30)
        why = await app.run("run").why()

    assert why == "'ask' waits for somebody to resume it"


async def test_resume_that_no_worker_has_taken_up_is_told(bench: Bench) -> None:
    """4, 7.4: it is on disk, and the run goes on as soon as a worker lives."""
    await bench.run(BEFORE, run_id="run")
    async with bench.app(BEFORE, worker=False) as app:
        await app.run("run").resume_async("yes")
        why = await app.run("run").why()

    # What follows is of the engine: a Temporal server takes a worker for live that listened lately.
    assert why.startswith(
        "'ask' waits for somebody to resume it; somebody asked to resume it, which no worker has taken up yet"
    )
