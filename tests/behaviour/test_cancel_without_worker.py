"""Canceling runs that nobody drives: rule 10, where no worker lives to do it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, begin
from eventually import eventually
from outlast import CancelOutcome, ReadContext, Retry, RunHandle, RunStateError, StepContext, Workflow, step
from outlast.core.record import Record
from outlast.core.view import fold_state
from outlast.engines.capability import Capability
from outlast.storage.base import Append, Settle, WorkerKey

pytestmark = pytest.mark.requires(Capability.ENDING_WITHOUT_WORKER)


@step
async def never(x: Any) -> Any:
    raise AssertionError("a step ran that must not run")


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend("go on?")


@step
async def deaf(x: Any) -> None:
    await asyncio.Event().wait()


@step(retries=Retry(limit=3, delay=3600))
async def fails_and_waits(x: Any) -> None:
    raise ValueError("again later")


def _yes(ctx: ReadContext[Any]) -> bool:
    return True


RESTING: dict[str, Any] = {
    "sleeping": lambda w: w.sleep(timedelta(days=400)),
    "suspended": lambda w: w.then(ask),
    "suspended-with-timeout": lambda w: w.wait_for("answer", timeout=3600),
    "waiting-for-retry": lambda w: w.then(fails_and_waits),
    "items": lambda w: w.map(lambda ctx: [1, 2]).foreach(ask, concurrency=2),
    "blocks": lambda w: w.parallel([ask, Workflow("inner").sleep(3600).commit()]),
    "branch-in-nested": lambda w: w.then(Workflow("inner").branch([(_yes, ask)]).commit()),
    "loop": lambda w: w.dowhile(ask, _yes),
}


async def _rests(handle: RunHandle[Any]) -> bool:
    return await handle.status() in ("waiting", "suspended")


async def _make_rest(bench: Bench, workflow: Any) -> None:
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, run_id="run")
        await eventually(lambda: _rests(started))


def _types(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.type, record.path) for record in records]


@pytest.mark.parametrize("add", RESTING.values(), ids=RESTING.keys())
async def test_resting_run_ends_at_once_without_a_worker(bench: Bench, add: Any) -> None:
    """10: sleeping and suspended runs end at once, nested work too; the events are those that a worker records."""
    workflow = add(Workflow("w", timeout=timedelta(days=1000))).then(never).commit()
    await _make_rest(bench, workflow)
    before = await bench.journal("run")
    async with bench.app(workflow, worker=False) as app:
        outcome = await app.run("run").cancel("why")
        result = await app.run("run").snapshot()
        waited = await app.run("run").result(timeout=30)

    assert outcome is CancelOutcome.REQUESTED
    assert (result.status, result.cancel_reason, list(result.suspended)) == ("canceled", "why", [])
    assert waited.status == "canceled"
    assert _types((await bench.journal("run"))[len(before) :]) == [("cancel-requested", ""), ("run-finished", "")]


async def test_pending_run_ends_without_any_step(bench: Bench) -> None:
    """10: pending runs end at once, before any body is called."""
    workflow = Workflow("w").then(never).commit()
    async with bench.app(workflow, worker=False) as app:
        started = await begin(app, workflow, run_id="run")
        await started.cancel("changed my mind")
        status = await started.status()
        result = await started.result(timeout=30)
    async with bench.app(workflow):
        pass  # a worker that comes later finds nothing to do

    assert (status, result.status, dict(result.steps)) == ("canceled", "canceled", {})
    assert _types(await bench.journal("run")) == [("run-started", ""), ("cancel-requested", ""), ("run-finished", "")]


async def test_waiter_in_another_process_learns_of_it(bench: Bench) -> None:
    """10, 2.6: who waits for a run that nobody drives sees it end."""
    workflow = Workflow("w").then(never).commit()
    async with bench.app(workflow, worker=False) as one, bench.app(workflow, worker=False) as other:
        started = await begin(one, workflow, run_id="run")
        waiting = asyncio.create_task(started.result(timeout=30))
        await eventually(lambda: one._engine._rests.is_watching)  # type: ignore[attr-defined] # noqa: SLF001
        await other.run("run").cancel()
        result = await waiting

    assert result.status == "canceled"


async def test_step_of_a_crashed_worker_is_canceled_with_its_run(bench: Bench) -> None:
    """10: what the dead worker had begun is not waited for; the step is recorded as canceled."""
    entered = asyncio.Event()

    @step
    async def hold(x: Any, ctx: StepContext) -> None:
        entered.set()
        await ctx.canceled

    workflow = Workflow("w").then(hold).then(never).commit()
    async with bench.app(workflow, drain=timedelta(0)) as app:
        await begin(app, workflow, run_id="run")
        await entered.wait()
    async with bench.app(workflow, worker=False) as app:
        await app.run("run").cancel()
        result = await app.run("run").snapshot()

    assert (result.status, result.steps["hold"].status) == ("canceled", "canceled")
    expected = [("cancel-requested", ""), ("step-canceled", "hold"), ("run-finished", "")]
    assert _types((await bench.journal("run"))[-3:]) == expected


async def test_resume_that_nobody_has_taken_is_recorded_before_the_cancel(bench: Bench) -> None:
    """10, 7.2: the inbox is read in its order; the resumed step is not called any more."""
    workflow = Workflow("w").then(ask).then(never).commit()
    await bench.run(workflow, run_id="run")
    before = await bench.journal("run")
    async with bench.app(workflow, worker=False) as app:
        await app.run("run").resume_async("yes", request_context={"who": "me"})
        await app.run("run").cancel()
        result = await app.run("run").snapshot()

    expected = [("step-resumed", "ask"), ("cancel-requested", ""), ("run-finished", "")]
    assert _types((await bench.journal("run"))[len(before) :]) == expected
    assert (result.status, result.steps["ask"].resume_payload) == ("canceled", "yes")


async def test_resume_of_the_last_wait_does_not_finish_the_canceled_run(bench: Bench) -> None:
    """10: the result of a run that nobody drove to its end is not made up from outside."""
    workflow = Workflow("w").wait_for("answer").commit()
    await bench.run(workflow, run_id="run")
    async with bench.app(workflow, worker=False) as app:
        await app.run("run").resume_async("yes")
        await app.run("run").cancel()
        result = await app.run("run").snapshot()

    assert (result.status, result.result) == ("canceled", None)


async def test_canceled_run_cannot_be_resumed_any_more(bench: Bench) -> None:
    """10: nothing new starts after a cancel was recorded."""
    workflow = Workflow("w").then(ask).then(never).commit()
    await bench.run(workflow, run_id="run")
    async with bench.app(workflow, worker=False) as app:
        await app.run("run").cancel()
        with pytest.raises(RunStateError):
            await app.run("run").resume_async("late")
        again = await app.run("run").cancel()

    assert again is CancelOutcome.ALREADY_FINISHED


async def test_cancel_that_a_draining_worker_left_is_taken_by_whoever_looks(bench: Bench) -> None:
    """10: recorded in one transaction: it is never lost, whoever lets go of the run in that moment."""
    workflow = Workflow("w").then(ask).commit()
    await bench.run(workflow, run_id="run")
    store = bench.store()
    await store.open()
    await store.post("run", kind="cancel", topic="cancel:0", at_ms=1, body=b'{"reason":"left"}')
    await store.close()
    async with bench.app(workflow, worker=False) as app:
        result = await app.run("run").snapshot()

    assert (result.status, result.cancel_reason) == ("canceled", "left")


@pytest.mark.parametrize("leaving", ["append", "retire_worker"])
async def test_cancel_while_a_worker_lets_go_of_the_run_is_taken_although_nobody_else_lives(
    bench: Bench, leaving: str
) -> None:
    """10: whoever canceled saw an owner, and the owner saw no cancel: the worker looks again when it has let go."""
    workflow = Workflow("w").then(deaf).commit()
    async with bench.app(workflow, worker=False) as outsider:
        outcomes: list[str] = []

        async def cancel() -> None:
            outcomes.append(await outsider.run("run").cancel("too late for you"))

        store = bench.store()
        _call_first(store, leaving, cancel)
        async with bench.app(workflow, store=store, drain=timedelta(0), max_steps=1) as app:
            if leaving == "append":  # a run whose step waits for a slot is given back at once
                await begin(app, workflow, run_id="busy")
            await begin(app, workflow, run_id="run")
    records = await bench.journal("run")

    assert outcomes == ["requested"]
    assert "cancel-requested" in [record.type for record in records]
    assert records[-1].type == "run-finished"


def _call_first(store: Any, method: str, action: Callable[[], Awaitable[None]]) -> None:
    """Have something happen between the last look of a worker and the write with which it gives its run up."""
    tasks: list[asyncio.Task[None]] = []

    def append(write: Append, settle: Settle) -> None:
        async def append_after() -> None:
            await action()
            original(write, settle)

        if write.is_released and not tasks:
            tasks.append(asyncio.get_running_loop().create_task(append_after()))
        else:
            original(write, settle)

    async def retire_worker(worker: WorkerKey) -> int:
        await (action() if method == "retire_worker" else asyncio.gather(*tasks))
        freed: int = await retire(worker)
        return freed

    # A store settles writes in their order, so the retirement comes after the write that is held back here.
    original, retire = store.append, store.retire_worker
    if method == "append":
        store.append = append
    store.retire_worker = retire_worker


async def test_race_with_claiming_workers_always_ends_canceled(bench: Bench) -> None:
    """10: whether a worker has taken the run or not when it is canceled, it ends once, and its journal folds."""
    workflow = Workflow("w").wait_for("first", timeout=0.01, default="x").then(ask).wait_for("last").commit()
    ids = [f"run-{number}" for number in range(25)]
    async with bench.app(workflow, worker=False) as outsider, bench.app(workflow), bench.app(workflow):
        for run_id in ids:
            await begin(outsider, workflow, run_id=run_id)
        await asyncio.gather(*(outsider.run(run_id).cancel() for run_id in ids))
        results = await asyncio.gather(*(outsider.run(run_id).result(timeout=10, until="end") for run_id in ids))

    assert {str(result.status) for result in results} == {"canceled"}
    for run_id in ids:
        records = await bench.journal(run_id)
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        assert fold_state(workflow.graph, records).finished == "canceled"
        assert [record.type for record in records].count("cancel-requested") == 1
