"""Lifecycle hooks: rule 13."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from eventually import eventually
from outlast import CommittedWorkflow, HookDelivery, RunResult, StartInfo, StepContext, Workflow, step
from outlast.engines.capability import Capability
from outlast.storage.base import Store

AT_ONCE = timedelta()
SOON = timedelta(milliseconds=1)


@step
async def add_one(x: int, ctx: StepContext) -> int:
    ctx.set_state({"seen": x})
    return x + 1


@step
async def fail(x: int) -> int:
    raise ValueError("no")


@step
async def ask(x: int, ctx: StepContext) -> int:
    if not ctx.resumed:
        ctx.suspend({"please": x})
    return int(ctx.resume_data)


class Told:
    """What hooks were told, in order."""

    def __init__(self) -> None:
        self.of: list[tuple[str, str]] = []
        self.results: list[RunResult[Any]] = []

    def hook(self, name: str) -> Callable[[RunResult[Any]], None]:
        def note(result: RunResult[Any]) -> None:
            self.of.append((name, result.status.value))
            self.results.append(result)

        return note

    def both(self) -> dict[str, Any]:
        return {"on_finish": self.hook("on_finish"), "on_error": self.hook("on_error")}


def one(body: Any, **hooks: Any) -> CommittedWorkflow[Any, Any]:
    return Workflow("w", input=int, output=int, **hooks).then(body).commit()


async def nothing_left(bench: Bench, run_id: str) -> bool:
    return not await deliveries_of(bench, run_id)


async def deliveries_of(bench: Bench, run_id: str) -> list[Any]:
    return await bench.deliveries(run_id)


# ---- on_start


async def test_on_start_is_told_of_the_run_before_its_first_step(bench: Bench) -> None:
    """13: `on_start(info)` before the first step; 21: what `info` has, decoded as declared."""
    seen: list[Any] = []

    @step
    async def note(x: int) -> int:
        seen.append("step")
        return x

    async def on_start(info: StartInfo) -> None:
        seen.append(info)

    workflow = Workflow("w", input=int, on_start=on_start).then(note).commit()
    async with bench.app(workflow) as app:
        run = await app.create_run(workflow, run_id="run", resource_id="ada")
        await run.start(input_data=7, initial_state={"n": 1}, request_context={"who": "me"})

    assert seen == [
        StartInfo(
            run_id="run",
            workflow_id="w",
            resource_id="ada",
            input=7,
            state={"n": 1},
            request_context={"who": "me"},
        ),
        "step",
    ]


async def test_on_start_is_recorded_as_done_before_the_first_step_starts(bench: Bench) -> None:
    """13: recorded as done before it starts."""
    workflow = one(add_one, on_start=lambda info: None)

    await bench.run(workflow, 1, run_id="run")

    assert [record.type for record in await bench.journal("run")] == [
        "run-started",
        "hook-started",
        "hook-ended",
        "step-started",
        "step-succeeded",
        "run-finished",
    ]


async def test_run_fails_if_on_start_raises(bench: Bench) -> None:
    """13: if it raises, the run ends `failed`, with the path; 9.5; the other hooks are told of that."""
    told = Told()

    def on_start(info: StartInfo) -> None:
        raise PermissionError("closed on Sundays")

    async with bench.app(workflow := one(add_one, on_start=on_start, **told.both())) as app:
        result = await (await begin(app, workflow, 1)).result()
        await eventually(lambda: len(told.of) == 2)

    assert (result.status, result.error_path, dict(result.steps)) == ("failed", "?on_start", {})
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("PermissionError", "closed on Sundays")
    assert told.of == [("on_finish", "failed"), ("on_error", "failed")]


async def test_sync_hooks_run_in_threads(bench: Bench) -> None:
    """13: a sync hook does not hold up the loop."""
    threads: list[str] = []

    def note(value: Any) -> None:
        threads.append(threading.current_thread().name)

    async with bench.app(workflow := one(add_one, on_start=note, on_finish=note)) as app:
        await (await begin(app, workflow, 1)).result()
        await eventually(lambda: len(threads) == 2)

    assert all(name.startswith("outlast-body") for name in threads)


async def test_run_that_is_canceled_does_not_wait_for_on_start(bench: Bench) -> None:
    """10, 13: the hook gets a `CancelledError`; the run ends, and `on_finish` is told."""
    told, ended = Told(), asyncio.Event()
    called = asyncio.Event()

    async def on_start(info: StartInfo) -> None:
        called.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with bench.app(workflow := one(add_one, on_start=on_start, **told.both())) as app:
        started = await begin(app, workflow, 1)
        await called.wait()
        assert await started.why() == (
            "its hook 'on_start' is called, and the first step waits for that; "
            + (await started.why()).partition("; ")[2]
        )
        await started.cancel()
        result = await started.result(timeout=30)
        await asyncio.wait_for(ended.wait(), 5)
        await eventually(lambda: told.of)

    assert (result.status, told.of) == ("canceled", [("on_finish", "canceled")])


async def test_on_start_that_was_called_is_not_called_again_by_a_later_process(bench: Bench) -> None:
    """12.1, 13: once it is recorded as done."""
    calls: list[str] = []
    gate = asyncio.Event()

    @step
    async def wait(x: int) -> int:
        await gate.wait()
        return x

    workflow = one(wait, on_start=lambda info: calls.append(info.run_id))
    async with bench.app(workflow, drain=AT_ONCE) as app:
        await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: calls)
        await eventually(lambda: _has_begun(bench))
    gate.set()
    async with bench.app(workflow) as app:
        result = await app.run("run").result(timeout=30)

    assert (result.status, calls) == ("success", ["run"])


async def _has_begun(bench: Bench) -> bool:
    return "step-started" in [record.type for record in await bench.journal("run")]


# ---- on_finish and on_error


async def test_on_finish_is_told_of_success_with_result_and_state(bench: Bench) -> None:
    """13, 21: `on_finish` gets the `RunResult`, always with state."""
    told = Told()

    async with bench.app(workflow := one(add_one, **told.both())) as app:
        result = await (await begin(app, workflow, 1)).result()
        await eventually(lambda: told.of)

    assert result.state is None
    assert told.of == [("on_finish", "success")]
    (seen,) = told.results
    assert (seen.run_id, seen.result, seen.state) == (result.run_id, 2, {"seen": 1})
    assert seen.steps["add_one"].output == 2


async def test_on_error_is_told_of_a_failure_after_on_finish(bench: Bench) -> None:
    """13: both are told of one end, in this order."""
    told = Told()

    async with bench.app(workflow := one(fail, **told.both())) as app:
        await begin(app, workflow, 1)
        await eventually(lambda: len(told.of) == 2)

    assert told.of == [("on_finish", "failed"), ("on_error", "failed")]
    assert [each.error and each.error.message for each in told.results] == ["no", "no"]


async def test_on_finish_is_told_of_every_suspension_and_of_the_end(bench: Bench) -> None:
    """13: on every end and suspension. Each tells of the run as it was then, however late it is told."""
    told = Told()
    workflow = Workflow("w", on_finish=told.hook("on_finish")).then(ask).wait_for("answer").commit()

    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        await started.resume(2)
        await started.resume("yes")
        await eventually(lambda: len(told.of) == 3)

    assert [status for _, status in told.of] == ["suspended", "suspended", "success"]
    assert [list(each.suspended) for each in told.results] == [["ask"], ["answer"], []]
    assert [each.result for each in told.results] == [None, None, "yes"]


@pytest.mark.requires(Capability.ENDING_WITHOUT_WORKER)
async def test_on_finish_is_told_of_a_cancel_from_a_process_without_worker(bench: Bench) -> None:
    """10, 13: nobody drives the run; the hook is told by whoever knows it."""
    told = Told()
    workflow = one(add_one, **told.both())
    async with bench.app(workflow, worker=False) as app:
        started = await begin(app, workflow, 1, run_id="run")
        await started.cancel("never mind")
        assert (await started.result()).status == "canceled"
    assert told.of == []

    async with bench.app(workflow):
        await eventually(lambda: told.of)

    assert told.of == [("on_finish", "canceled")]
    assert told.results[0].cancel_reason == "never mind"
    assert await nothing_left(bench, "run")


async def test_result_does_not_wait_for_a_hook(bench: Bench) -> None:
    """13: `result()` does not wait for them; nor does leaving the app for longer than `drain`."""
    hanging = asyncio.Event()

    async def on_finish(result: RunResult[Any]) -> None:
        hanging.set()
        await asyncio.Event().wait()

    async with bench.app(workflow := one(add_one, on_finish=on_finish), drain=AT_ONCE) as app:
        result = await (await begin(app, workflow, 1, run_id="run")).result(timeout=30)
        await asyncio.wait_for(hanging.wait(), 5)

    assert result.status == "success"
    assert not await nothing_left(bench, "run")


async def test_hook_that_fails_is_called_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """13: 5 tries, each after a pause; every failure is logged."""
    calls: list[int] = []

    async def on_finish(result: RunResult[Any]) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError("down")

    async with bench.app(workflow := one(add_one, on_finish=on_finish), hook_delay=SOON) as app:
        await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: nothing_left(bench, "run") if len(calls) == 3 else False)

    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == [
        "hook 'on_finish' of run run failed (try 1 of 5), it is tried again: ConnectionError: down",
        "hook 'on_finish' of run run failed (try 2 of 5), it is tried again: ConnectionError: down",
    ]


async def test_hook_that_always_fails_is_given_up_and_that_can_be_read(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """13: 5 tries, then recorded as failed. The next hook of the run is told all the same."""
    calls: list[int] = []
    told = Told()

    def on_finish(result: RunResult[Any]) -> None:
        calls.append(1)
        raise ConnectionError("down")

    workflow = one(fail, on_finish=on_finish, on_error=told.hook("on_error"))
    async with bench.app(workflow, hook_delay=SOON) as app:
        started = await begin(app, workflow, 1)
        await eventually(lambda: told.of)
        (delivery,) = await eventually(lambda: _given_up(started))
        why = await started.why()

    assert len(calls) == 5
    assert (delivery.hook, delivery.execution, delivery.tries, delivery.due_at) == ("on_finish", 0, 5, None)
    assert delivery.error is not None
    assert (delivery.error.type, delivery.error.message) == ("ConnectionError", "down")
    assert why.endswith("hook 'on_finish' was given up after 5 tries; the last call failed with ConnectionError: down")
    said = [each for each in caplog.records if each.name == "outlast.worker"]
    assert [each.levelno for each in said] == [logging.WARNING] * 4 + [logging.ERROR]
    assert "(try 5 of 5), it is given up" in said[-1].getMessage()


async def _given_up(started: Any) -> list[HookDelivery]:
    deliveries: list[HookDelivery] = await started.deliveries()
    return deliveries if len(deliveries) == 1 and deliveries[0].due_at is None else []


async def test_deliveries_that_are_due_can_be_read(bench: Bench) -> None:
    """13: what is still to be told, and in which order."""
    told = Told()
    workflow = one(fail, **told.both())
    async with bench.app(workflow, drain=AT_ONCE) as app:
        started = await begin(app, workflow, 1, run_id="run")
        await started.result()
    async with bench.app(workflow, worker=False) as app:
        deliveries = await app.run("run").deliveries()

    both = [("on_finish", 0), ("on_error", 0)]
    due = [(each.hook, each.execution) for each in deliveries if each.due_at is not None]
    # The one that was called when the app was left may be due once more.
    assert due in (both[len(told.of) :], both[max(0, len(told.of) - 1) :])


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_hook_that_takes_too_long_is_left_to_itself(bench: Bench, kind: str) -> None:
    """13: with a timeout."""
    calls: list[int] = []
    gate = threading.Event()

    async def wait(result: RunResult[Any]) -> None:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()

    def block(result: RunResult[Any]) -> None:
        calls.append(1)
        if len(calls) == 1:
            gate.wait(timeout=20)

    workflow = one(add_one, on_finish=wait if kind == "async" else block)
    async with bench.app(workflow, hook_delay=SOON, hook_timeout=timedelta(milliseconds=20)) as app:
        await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: nothing_left(bench, "run") if len(calls) == 2 else False)
        gate.set()

    assert len(calls) == 2


async def test_hook_that_gives_something_to_await_fails(bench: Bench) -> None:
    """13: it would never be awaited; the message says what to do."""

    async def later(result: RunResult[Any]) -> None: ...

    workflow = one(add_one, on_finish=lambda result: later(result))  # noqa: PLW0108 - not a coroutine function
    async with bench.app(workflow, hook_delay=timedelta(hours=1)) as app:
        started = await begin(app, workflow, 1)
        (delivery,) = await eventually(lambda: _failed_once(started))

    assert delivery.error is not None
    assert "make it `async def`" in delivery.error.message


async def _failed_once(started: Any) -> list[HookDelivery]:
    return [each for each in await started.deliveries() if each.error is not None]


async def test_deliveries_of_a_run_happen_in_their_order(bench: Bench) -> None:
    """13: a suspension is told before the end, also if its first telling fails."""
    statuses: list[str] = []

    async def on_finish(result: RunResult[Any]) -> None:
        statuses.append(result.status)
        if len(statuses) == 1:
            raise ConnectionError("down")

    workflow = one(ask, on_finish=on_finish)
    async with bench.app(workflow, hook_delay=SOON) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        await started.resume(5)
        await eventually(lambda: len(statuses) == 3)

    assert statuses == ["suspended", "suspended", "success"]


@pytest.mark.requires(Capability.IDLENESS)
async def test_hooks_that_are_due_are_called_before_the_app_is_left(bench: Bench) -> None:
    """3.6, 13: what is due is told within `drain`, so that a short program tells of its runs itself."""
    told = Told()

    async with bench.app(workflow := one(fail, **told.both())) as app:
        await (await begin(app, workflow, 1)).result()

    assert told.of == [("on_finish", "failed"), ("on_error", "failed")]


async def test_hook_of_a_process_that_left_is_called_by_the_next_one(bench: Bench) -> None:
    """13: at least once, whoever lives."""
    told, calls = Told(), []

    async def on_finish(result: RunResult[Any]) -> None:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        told.hook("on_finish")(result)

    workflow = one(add_one, on_finish=on_finish)
    async with bench.app(workflow, drain=AT_ONCE) as app:
        await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: calls)
    async with bench.app(workflow):
        await eventually(lambda: told.of)
        await eventually(lambda: nothing_left(bench, "run"))

    assert told.of == [("on_finish", "success")]


async def test_two_processes_do_not_call_a_hook_at_once(bench: Bench) -> None:
    """13: a delivery belongs to one worker."""
    calls: list[str] = []
    workflow = one(add_one, on_finish=lambda result: calls.append(result.run_id))

    async with bench.app(workflow) as one_app, bench.app(workflow) as other:
        await asyncio.gather(*(begin(app, workflow, n) for n in range(20) for app in (one_app, other)))
        await eventually(lambda: len(calls) >= 40)

    assert len(calls) == len(set(calls)) == 40


async def test_leaving_with_finish_waits_for_the_hooks(bench: Bench) -> None:
    """3.6: `on_exit="finish"` waits until nothing of this process is runnable; hooks count."""
    told = Told()

    async with bench.app(workflow := one(add_one, **told.both()), on_exit="finish", drain=AT_ONCE) as app:
        await begin(app, workflow, 1)

    assert told.of == [("on_finish", "success")]


async def test_hook_may_start_another_workflow(bench: Bench) -> None:
    """2.1, 13: hooks run in the context of the app."""
    second = Workflow("second", input=int).then(add_one).commit()
    started: list[str] = []

    async def on_finish(result: RunResult[Any]) -> None:
        run = await second.create_run()
        started.append((await run.start_async(input_data=result.result)).run_id)

    first = one(add_one, on_finish=on_finish)
    async with bench.app(first, second) as app, bench.app(first, second):
        await (await begin(app, first, 1)).result()
        await eventually(lambda: started)
        result = await app.run(started[0]).result(timeout=30)

    assert result.result == 3


class NoOutbox:
    """A store whose outbox must not be touched."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if "deliver" in name:
            raise AssertionError(f"{name} was called")
        return getattr(self._store, name)


async def test_workflow_without_hooks_never_touches_the_outbox(bench: Bench) -> None:
    """13: it pays nothing: no row, no statement."""
    workflow = one(add_one)
    store: Any = NoOutbox(bench.store())

    async with bench.app(workflow, store=store, on_exit="finish") as app:
        result = await (await begin(app, workflow, 1, run_id="run")).result()
        await result_of_why(app)

    assert result.status == "success"
    assert await nothing_left(bench, "run")


async def result_of_why(app: Any) -> None:
    assert await app.run("run").why() == "the run has ended: success"


# ---- Executions


@pytest.mark.requires(Capability.REWINDING)
async def test_hooks_are_told_of_each_execution(bench: Bench) -> None:
    """12.3, 13: `on_finish` and `on_error` carry the execution; `on_start` that has returned is not called again."""
    told, starts = Told(), []
    healthy = asyncio.Event()

    @step
    async def flaky(x: int) -> int:
        if not healthy.is_set():
            raise ConnectionError("down")
        return x

    workflow = one(flaky, on_start=lambda info: starts.append(info.run_id), **told.both())
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        await eventually(lambda: len(told.of) == 2)
        healthy.set()
        assert (await started.restart()).status == "success"

    assert [(name, each.execution) for (name, _), each in zip(told.of, told.results, strict=True)] == [
        ("on_finish", 0),
        ("on_error", 0),
        ("on_finish", 1),
    ]
    assert [each.status for each in told.results] == ["failed", "failed", "success"]
    assert len(starts) == 1


@pytest.mark.requires(Capability.REWINDING)
async def test_restart_of_a_run_that_its_hook_refused_asks_the_hook_again(bench: Bench) -> None:
    """12.3, 13: no step runs before `on_start` has returned, in whatever execution."""
    calls: list[str] = []

    def on_start(info: StartInfo) -> None:
        calls.append("on_start")
        if len(calls) == 1:
            raise PermissionError("not yet")

    @step
    async def note(x: int) -> int:
        calls.append("step")
        return x

    async with bench.app(workflow := one(note, on_start=on_start)) as app:
        started = await begin(app, workflow, 1)
        assert (await started.result()).error_path == "?on_start"
        result = await started.restart()

    assert (result.status, result.execution, calls) == ("success", 1, ["on_start", "on_start", "step"])


@pytest.mark.requires(Capability.ENDING_WITHOUT_WORKER)
@pytest.mark.parametrize("end", ["RunTimedOutError", "StartDeadlineError", "NeverStartedError"])
async def test_ends_that_no_step_brought_about_are_told(bench: Bench, end: str) -> None:
    """13: on every end: also that of a run which took too long, began too late or never, and which nobody drove."""
    told, clock = Told(), Clock()
    workflow = Workflow("w", timeout=3600 if end == "RunTimedOutError" else None, **told.both())
    workflow = workflow.wait_for("answer").commit()
    async with bench.app(workflow, worker=False, clock=clock) as app:
        if end == "NeverStartedError":
            run = await app.record_run(workflow, start_within=timedelta(hours=1))
            handle = app.run(run.run_id)
        else:
            handle = await begin(app, workflow, start_within=3600 if end == "StartDeadlineError" else None)
        clock.offset = timedelta(hours=2)
        result = await handle.result(timeout=30)
        assert result.error is not None
        assert (result.status, result.error.type) == ("failed", end)
    async with bench.app(workflow, clock=clock):
        await eventually(lambda: len(told.of) == 2)

    assert told.of == [("on_finish", "failed"), ("on_error", "failed")]
    assert [each.error and each.error.type for each in told.results] == [end, end]


async def test_pauses_between_steps_are_not_told(bench: Bench) -> None:
    """12.6, 13: on every end and suspension, and on nothing else."""
    told = Told()

    async with bench.app(workflow := Workflow("w", **told.both()).then(add_one).then(fail).commit()) as app:
        started = await begin(app, workflow, 1, per_step=True)
        assert (await started.result()).status == "paused"
        assert not await started.deliveries()

    assert told.of == []
