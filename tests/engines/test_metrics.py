"""Numbers for operators: what is durable is counted once, by the process that recorded it, and nothing else is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.metrics import MeterProvider as ApiMeterProvider
from opentelemetry.metrics import NoOpMeterProvider

from behaviour.bench import Clock
from engines.place import Place
from eventually import eventually
from metered import Numbers
from outlast import (
    CommittedWorkflow,
    Concurrency,
    ConfigurationError,
    Outlast,
    Retry,
    RunExistsError,
    RunStatus,
    Schedule,
    StepContext,
    Workflow,
    step,
)
from outlast.engines.local import measuring
from outlast.engines.metrics import (
    COMMIT_DURATION,
    JOURNAL_BYTES,
    QUEUE_AGE,
    QUEUE_DEPTH,
    RUNS_ENDED,
    RUNS_REOPENED,
    RUNS_STARTED,
    SCHEDULE_LAG,
    STEP_DURATION,
    WORKER_RUNS,
    WORKER_STEPS,
    WORKER_STEPS_WAITING,
)
from outlast.telemetry import otel_metrics


@step
async def add_one(n: int) -> int:
    return n + 1


@step(retries=Retry(limit=1))
async def fail_once(n: int, ctx: StepContext) -> int:
    if ctx.attempt == 0:
        raise ValueError("not yet")
    return n


@step
async def fail(n: int) -> int:
    raise ValueError("no such luck")


@step(resume=bool)
async def approve(n: int, ctx: StepContext) -> int:
    if not ctx.resumed:
        ctx.suspend("please")
    return n


@step
async def stop_early(n: int, ctx: StepContext) -> int:
    ctx.bail(n)


CHILD = Workflow("child", input=int, output=int).then(stop_early).then(add_one.clone(id="never")).commit()
EVERYTHING = (
    Workflow("everything", input=int)
    .then(fail_once)
    .then(CHILD)
    .map(lambda ctx: ctx.input, id="map")
    .dountil(add_one.clone(id="grow"), lambda ctx: ctx.iteration_count == 2)
    .map(lambda ctx: [1, 2, 3], id="list")
    .foreach(add_one.clone(id="each"))
    .map(lambda ctx: 1, id="one")
    .then(approve)
    .wait_for("boss")
    .commit()
)
CHAIN = Workflow("chain", input=int, output=int).then(add_one).commit()
APPROVAL = Workflow("approval", input=int, output=int).then(approve).commit()
FAILING = Workflow("failing", input=int, output=int).then(fail).commit()


async def start(app: Outlast, workflow: CommittedWorkflow[Any, Any], **options: Any) -> Any:
    return await (await app.create_run(workflow)).start(input_data=1, **options)


async def test_attempts_are_measured_by_how_they_ended_and_positions_are_left_out(place: Place):
    """Labels are bounded by the code: items of a foreach and passes of a loop are one step; maps and waits are none."""
    numbers = Numbers()
    async with place.app(EVERYTHING, metrics=numbers.provider) as app:
        result = await start(app, EVERYTHING)
        await app.run(result.run_id).resume(resume_data=True)
        await app.run(result.run_id).resume(None)

    assert numbers.of(STEP_DURATION) == {
        ("everything", "fail_once", "failed"): 1,
        ("everything", "fail_once", "success"): 1,
        ("everything", "child.stop_early", "bailed"): 1,
        ("everything", "grow", "success"): 2,
        ("everything", "each", "success"): 3,
        ("everything", "approve", "suspended"): 1,
        ("everything", "approve", "success"): 1,
    }
    assert 0 < numbers.sum_of(STEP_DURATION) < 30
    assert numbers.of(RUNS_STARTED) == {("everything",): 1}
    assert numbers.of(RUNS_ENDED) == {("everything", "success"): 1}


async def test_duration_is_that_of_the_body(place: Place):
    """The clock of the attempt runs from when its start is durable until the body has ended."""

    @step
    async def wait(n: int) -> int:
        await asyncio.sleep(0.2)  # noqa: TID251 - the time is what is measured
        return n

    numbers, slow = Numbers(), Workflow("slow", input=int, output=int).then(wait).commit()
    async with place.app(slow, metrics=numbers.provider) as app:
        await start(app, slow)

    assert 0.19 < numbers.sum_of(STEP_DURATION) < 10


async def test_writes_are_measured_and_their_bytes_are_those_of_the_journal(place: Place):
    """A chain of one step is two commits; sizes are those of the fields and values that the store keeps."""
    numbers = Numbers()
    async with place.app(CHAIN, metrics=numbers.provider) as app:
        result = await start(app, CHAIN)
    store = place.store()
    await store.open()
    row = await store.find_run(result.run_id)
    assert row is not None
    records = await store.load_records(row.key)
    await store.close()

    assert numbers.of(COMMIT_DURATION) == {(): 2}
    assert numbers.total(JOURNAL_BYTES) == sum(len(each.body or b"") + len(each.payload or b"") for each in records)


@pytest.mark.parametrize("ends", ["failed", "canceled"])
async def test_ends_are_counted_by_status(place: Place, ends: str):
    @step
    async def hang(n: int) -> int:
        await asyncio.Event().wait()
        return n

    hanging = Workflow("hanging", input=int, output=int).then(hang).commit()
    numbers, workflow = Numbers(), FAILING if ends == "failed" else hanging
    async with place.app(workflow, metrics=numbers.provider, grace=timedelta()) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        if ends == "canceled":
            await eventually(lambda: numbers.total(WORKER_STEPS) == 1)
            await started.cancel()
        await started.result()

    assert numbers.of(RUNS_ENDED) == {(workflow.id, ends): 1}
    assert list(numbers.of(STEP_DURATION)) == [(workflow.id, workflow.graph.root.nodes[0].id, ends)]


async def test_created_run_counts_as_started_once_it_is(place: Place):
    """2.1: a run that is only recorded has not started; one that nobody starts in time fails all the same."""
    numbers = Numbers()
    async with place.app(CHAIN, metrics=numbers.provider) as app:
        await app.record_run(CHAIN, run_id="a", start_within=timedelta(hours=1))
        await app.record_run(CHAIN, run_id="b", start_within=timedelta(milliseconds=1))
        await eventually(lambda: numbers.total(RUNS_ENDED) == 1)
        assert numbers.total(RUNS_STARTED) == 0
        await (await app.create_run(CHAIN, run_id="a")).start(input_data=1)

    assert numbers.of(RUNS_STARTED) == {("chain",): 1}
    assert numbers.of(RUNS_ENDED) == {("chain", "success"): 1, ("chain", "failed"): 1}


async def test_refused_start_counts_nothing(place: Place):
    """2.4, 2.5: a taken id and a held key record no run."""
    numbers = Numbers()
    async with place.app(CHAIN, metrics=numbers.provider) as app:
        await (await app.create_run(CHAIN, run_id="a")).start(input_data=1)
        with pytest.raises(RunExistsError):
            await (await app.create_run(CHAIN, run_id="a")).start(input_data=1)
        for _ in range(2):
            await start(app, CHAIN, idempotency_key="key")

    assert numbers.of(RUNS_STARTED) == {("chain",): 2}
    assert numbers.of(RUNS_ENDED) == {("chain", "success"): 2}
    assert numbers.of(STEP_DURATION) == {("chain", "add_one", "success"): 2}


async def test_each_process_counts_what_it_recorded(place: Place):
    """The web process starts, the worker drives, whoever cancels a run that rests ends it: nothing is counted twice."""
    web, worker = Numbers(), Numbers()
    async with place.app(APPROVAL, metrics=web.provider, worker=False) as app:
        started = await (await app.create_run(APPROVAL)).start_async(input_data=1)
        async with place.app(APPROVAL, metrics=worker.provider) as other:
            await other.run(started.run_id).result()
        await app.run(started.run_id).cancel()

    assert web.of(RUNS_STARTED) == {("approval",): 1}
    assert web.of(RUNS_ENDED) == {("approval", "canceled"): 1}
    assert web.of(STEP_DURATION) == {}
    assert (worker.total(RUNS_STARTED), worker.total(RUNS_ENDED)) == (0, 0)
    assert worker.of(STEP_DURATION) == {("approval", "approve", "suspended"): 1}


async def test_further_execution_is_reopened_and_ends_again(place: Place):
    """12.3: so runs started and reopened, less those ended, are those under way."""
    numbers = Numbers()
    async with place.app(FAILING, metrics=numbers.provider) as app:
        result = await start(app, FAILING)
        await app.run(result.run_id).restart()
        fork = await app.run(result.run_id).fork_async("fail")
        await fork.result()

    assert numbers.of(RUNS_STARTED) == {("failing",): 2}
    assert numbers.of(RUNS_REOPENED) == {("failing",): 1}
    assert numbers.of(RUNS_ENDED) == {("failing", "failed"): 3}


async def test_queue_is_right_in_a_process_that_only_starts(place: Place, monkeypatch: pytest.MonkeyPatch):
    """Runs that could go on now wait: not those that come later, rest or are driven."""
    monkeypatch.setattr(measuring, "_EVERY_S", 0.01)
    limited = Workflow("limited", input=int, output=int, concurrency=Concurrency(limit=1)).then(approve).commit()
    numbers = Numbers()
    async with place.app(CHAIN, APPROVAL, limited, metrics=numbers.provider) as app:
        await start(app, APPROVAL)
    async with place.app(CHAIN, APPROVAL, limited, metrics=numbers.provider, worker=False) as app:
        for workflow in (CHAIN, CHAIN, limited, limited):
            await (await app.create_run(workflow)).start_async(input_data=1)
        await (await app.create_run(CHAIN)).start_async(input_data=1, delay=timedelta(hours=1))
        await eventually(
            lambda: numbers.of(QUEUE_DEPTH) == {("chain",): 2, ("limited",): 2, ("approval",): 0},
        )
        ages = numbers.of(QUEUE_AGE)
        assert ages["approval",] == 0
        assert 0 <= ages["limited",] <= ages["chain",] < 60
        assert numbers.of(WORKER_RUNS) == {}
        async with place.app(CHAIN, APPROVAL, limited, metrics=False) as other:
            await eventually(lambda: _has_ended(other, 2))
        await eventually(lambda: numbers.of(QUEUE_DEPTH)["chain",] == 0)

    assert numbers.of(QUEUE_DEPTH) == {}, "a closed app shows nothing"


async def _has_ended(app: Outlast, count: int) -> bool:
    counts = await app.counts("chain")
    return counts["chain"].get(RunStatus.SUCCESS, 0) == count


async def test_worker_shows_what_it_does(place: Place):
    numbers, gate = Numbers(), asyncio.Event()

    @step
    async def wait(n: int) -> int:
        await gate.wait()
        return n

    workflow = Workflow("waiting", input=int, output=int).then(wait).commit()
    async with place.app(workflow, metrics=numbers.provider, max_steps=2) as app:
        runs = [await (await app.create_run(workflow)).start_async(input_data=1) for _ in range(3)]
        await eventually(lambda: numbers.of(WORKER_STEPS_WAITING) == {(): 1})
        assert (numbers.of(WORKER_RUNS), numbers.of(WORKER_STEPS)) == ({(): 3}, {(): 2})
        gate.set()
        for run in runs:
            await run.result()
        assert [numbers.of(each) for each in (WORKER_RUNS, WORKER_STEPS, WORKER_STEPS_WAITING)] == [{(): 0}] * 3


async def test_firing_is_counted_with_its_lag_and_a_run_that_is_asked_for_without(place: Place):
    """16.2: by the scheduler whose claim was recorded."""
    numbers, clock = Numbers(), Clock()
    at = datetime.now(UTC) + timedelta(hours=1)
    async with place.app(CHAIN, metrics=numbers.provider, clock=clock) as app:
        await app.schedules.create(CHAIN, Schedule(at=at, input_data=1), id="once")
        await app.schedules.run_now("once")
        await eventually(lambda: numbers.total(RUNS_ENDED) == 1)
        assert numbers.of(RUNS_STARTED) == {("chain",): 1}
        assert numbers.of(SCHEDULE_LAG) == {}
        clock.offset = timedelta(hours=1, seconds=90)
        await eventually(lambda: numbers.total(RUNS_ENDED) == 2)

    assert numbers.of(RUNS_STARTED) == {("chain",): 2}
    assert numbers.of(SCHEDULE_LAG) == {("chain",): 1}
    assert 89 < numbers.sum_of(SCHEDULE_LAG) < 120


async def test_firing_whose_run_is_there_already_counts_nothing(place: Place):
    """16.2: the time was fired before, by a schedule of the same name that is deleted now: it is skipped."""
    numbers, clock = Numbers(), Clock()
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with place.app(CHAIN, metrics=numbers.provider, clock=clock) as app:
        await (await app.create_run(CHAIN, run_id=f"sched_once_{round(at.timestamp() * 1000)}")).start(input_data=1)
        await app.schedules.create(CHAIN, Schedule(at=at, input_data=1), id="once")
        clock.offset = timedelta(hours=2)
        (trigger,) = await eventually(lambda: app.schedules.triggers("once"))

    assert trigger.outcome == "skipped"
    assert numbers.of(RUNS_STARTED) == {("chain",): 1}
    assert numbers.of(SCHEDULE_LAG) == {}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [(True, "set_meter_provider"), ("prometheus", "MeterProvider"), (object(), "MeterProvider")],
    ids=["no provider", "a text", "an object"],
)
async def test_metrics_that_cannot_be_had_are_refused(place: Place, metrics: Any, words: str):
    with pytest.raises(ConfigurationError, match=words):
        async with place.app(CHAIN, metrics=metrics):
            pass


async def test_numbers_are_exposed_only_if_that_is_asked_for_before_the_app_is_entered(place: Place):
    app = place.app(CHAIN)
    exposition = app.expose_metrics()
    async with app:
        assert app.expose_metrics() is exposition
    async with place.app(CHAIN) as other:
        with pytest.raises(ConfigurationError, match="before it is entered"):
            other.expose_metrics()


async def test_app_tells_its_provider_and_prometheus_the_same(place: Place):
    numbers, app = Numbers(), place.app(CHAIN)
    app = Outlast([CHAIN], store=place.store(), metrics=numbers.provider)
    exposition = app.expose_metrics()
    async with app:
        await start(app, CHAIN)

    shown = exposition.render()[0].decode()
    assert numbers.of(RUNS_ENDED) == {("chain", "success"): 1}
    assert 'outlast_runs_ended_total{outlast_status="success",outlast_workflow_id="chain"} 1.0' in shown


async def test_two_apps_of_a_process_add_up(place: Place):
    """A provider asks only the first of two gauges of one name: all apps share it."""
    numbers = Numbers()
    async with (
        place.app(CHAIN, metrics=numbers.provider) as app,
        Outlast([APPROVAL], store="memory", metrics=numbers.provider) as other,
    ):
        await start(app, CHAIN)
        await start(other, APPROVAL)
        await eventually(lambda: len(numbers.of(QUEUE_DEPTH)) == 2)

    assert numbers.of(RUNS_STARTED) == {("chain",): 1, ("approval",): 1}


async def test_provider_that_raises_does_not_touch_the_run(place: Place, caplog: pytest.LogCaptureFixture):
    class Broken:
        def add(self, *_: Any) -> None:
            raise RuntimeError("no counter")

        record = add

    provider: ApiMeterProvider = NoOpMeterProvider()
    meter = otel_metrics.OpenTelemetryMeter.of(provider)
    for instruments in (meter._counters, meter._histograms):  # noqa: SLF001
        instruments.update(dict.fromkeys(instruments, Broken()))  # type: ignore[arg-type]
    async with place.app(CHAIN, metrics=provider) as app:
        result = await start(app, CHAIN)

    assert result.status is RunStatus.SUCCESS
    assert "'outlast.runs.ended' could not be counted" in caplog.text
