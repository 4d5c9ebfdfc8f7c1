"""Runs that are recorded first and started later, perhaps by another process: rule 2.1."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from behaviour.bench import Bench, Clock
from eventually import eventually
from outlast import (
    CancelOutcome,
    InputError,
    NeverStartedError,
    RunExistsError,
    RunResult,
    StepContext,
    Workflow,
    step,
)
from outlast.engines.capability import Capability

HOUR = timedelta(hours=1)

pytestmark = pytest.mark.requires(Capability.PENDING_RECORDS)


@step
async def greet(name: str, ctx: StepContext) -> str:
    return f"{ctx.request_context.get('greeting', 'hello')} {name}"


GREET = Workflow("greet", input=str, output=str).then(greet).commit()
OTHER = Workflow("other", input=str, output=str).then(greet).commit()


async def test_recorded_run_is_pending_until_it_is_started(bench: Bench) -> None:
    """2.1: it is `pending`, and `why` says that it waits to be started."""
    async with bench.app(GREET) as app:
        run = await app.record_run(GREET, run_id="r", resource_id="ada")

        result = await app.run("r").snapshot()
        why = await app.run("r").why()

        assert (run.run_id, result.status, result.resource_id, result.input) == ("r", "pending", "ada", None)
        assert "waits for somebody to start it" in why


async def test_another_process_starts_a_recorded_run(bench: Bench) -> None:
    """2.1: it may be started later, from any process; all that is given to the start counts."""
    async with bench.app(GREET, worker=False) as web, bench.app(GREET) as worker:
        await web.record_run(GREET, run_id="r")
        run = await worker.create_run(GREET, run_id="r")

        result = await run.start(input_data="ada", request_context={"greeting": "good day"})

        assert result.unwrap() == "good day ada"
        assert await web.run("r").result() == result


async def test_recorded_run_is_started_once(bench: Bench) -> None:
    """2.4: a run id can be started once, also when two processes race."""
    async with bench.app(GREET) as one, bench.app(GREET) as two:
        await one.record_run(GREET, run_id="r")
        runs = [await app.create_run(GREET, run_id="r") for app in (one, two)]

        outcomes = await asyncio.gather(*(run.start(input_data="ada") for run in runs), return_exceptions=True)

        assert {type(outcome) for outcome in outcomes} == {RunResult, RunExistsError}
        with pytest.raises(RunExistsError):
            await runs[0].start_async(input_data="grace")


async def test_id_of_a_recorded_run_is_taken(bench: Bench) -> None:
    """2.4: neither a second record nor the start of another workflow gets it."""
    async with bench.app(GREET, OTHER) as app:
        await app.record_run(GREET, run_id="r")

        with pytest.raises(RunExistsError):
            await app.record_run(GREET, run_id="r")
        with pytest.raises(RunExistsError):
            await (await app.create_run(OTHER, run_id="r")).start_async(input_data="ada")


async def test_bad_input_leaves_a_recorded_run_as_it_was(bench: Bench) -> None:
    """2.3: nothing is recorded, and the run may still be started."""
    async with bench.app(GREET) as app:
        run = await app.record_run(GREET)

        with pytest.raises(InputError):
            await run.start_async(input_data=3)  # type: ignore[arg-type]

        assert (await run.start(input_data="ada")).unwrap() == "hello ada"


async def test_start_for_another_resource_is_refused(bench: Bench) -> None:
    """A run belongs to whom it was recorded for."""
    async with bench.app(GREET) as app:
        await app.record_run(GREET, run_id="r", resource_id="ada")
        run = await app.create_run(GREET, run_id="r", resource_id="eve")

        with pytest.raises(InputError, match="another one"):
            await run.start_async(input_data="eve")

        assert await app.run("r").status() == "pending"


async def test_recorded_run_starts_at_once(bench: Bench) -> None:
    """A delay and tags belong to runs that are recorded by their start."""
    async with bench.app(GREET) as app:
        run = await app.record_run(GREET)

        with pytest.raises(InputError, match="leave them out"):
            await run.start_async(input_data="ada", delay=HOUR)


async def test_recorded_run_can_be_canceled(bench: Bench) -> None:
    """10: pending runs end at once."""
    async with bench.app(GREET) as app:
        await app.record_run(GREET, run_id="r")

        outcome = await app.run("r").cancel("not needed")

        assert outcome is CancelOutcome.REQUESTED
        result = await app.run("r").result()
        assert (result.status, result.cancel_reason, result.input) == ("canceled", "not needed", None)


async def test_run_that_nobody_starts_fails(bench: Bench) -> None:
    """2.1: it ends `failed` with `NeverStartedError`."""
    clock = Clock()
    async with bench.app(GREET, clock=clock) as app:
        run = await app.record_run(GREET, run_id="r", start_within=HOUR)
        await eventually(lambda: bench.live(app) == [])
        clock.offset = 2 * HOUR

        result = await app.run("r").result()

        assert result.status == "failed"
        with pytest.raises(NeverStartedError, match="nobody started the run until"):
            result.unwrap()
        with pytest.raises(RunExistsError):
            await run.start_async(input_data="late")


async def test_recorded_run_holds_no_slot(bench: Bench) -> None:
    """19: it is a row, and runs that may go on are not kept waiting."""
    async with bench.app(GREET, max_runs=1) as app:
        for _ in range(3):
            await app.record_run(GREET)

        result = await (await app.create_run(GREET)).start(input_data="ada", request_context={})

        assert result.unwrap() == "hello ada"


async def test_time_to_start_is_positive(bench: Bench) -> None:
    """Bad input: nothing is recorded."""
    async with bench.app(GREET) as app:
        with pytest.raises(InputError, match="within no time"):
            await app.record_run(GREET, run_id="r", start_within=timedelta())

        assert await app.find_result(GREET, "r") is None
