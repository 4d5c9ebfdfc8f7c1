"""What `why` says of waits that only the store and the workers know of: rule 4."""

from __future__ import annotations

from typing import Any

import pytest

from behaviour.bench import Bench, begin
from outlast import StepContext, Workflow, step
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


async def test_resume_that_no_worker_has_taken_up_is_told(bench: Bench) -> None:
    """4, 7.4: it is on disk, and the run goes on as soon as a worker lives."""
    await bench.run(BEFORE, run_id="run")
    async with bench.app(BEFORE, worker=False) as app:
        await app.run("run").resume_async("yes")
        why = await app.run("run").why()

    assert why == (
        "'ask' waits for somebody to resume it; somebody asked to resume it, which no worker has taken up yet"
    )
