"""Canceling: rule 10, and `abort()`."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, begin
from eventually import eventually
from outlast import (
    CancelOutcome,
    InputError,
    ReadContext,
    Retry,
    RunCanceledError,
    RunNotFoundError,
    RunStateError,
    StepContext,
    Workflow,
    step,
)

SHORT = timedelta(milliseconds=20)


class Body:
    """Steps that say that they are in and what became of them."""

    def __init__(self) -> None:
        self.entered = 0
        self.ended: list[str] = []
        self.gate = asyncio.Event()

    def deaf(self, **options: Any) -> Any:
        @step(id="deaf", **options)
        async def deaf(x: Any) -> str:
            self.entered += 1
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.ended.append("canceled")
                raise
            self.ended.append("done")
            return "done"

        return deaf


@step
async def never(x: Any) -> Any:
    raise AssertionError("a step ran that must not run")


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend()


async def test_async_step_that_ignores_the_flag_is_canceled_after_the_grace_period(bench: Bench) -> None:
    """10: running async steps get `CancelledError` after a grace period if they ignore `ctx.canceled`."""
    body = Body()
    workflow = Workflow("w").then(body.deaf()).then(never).commit()
    async with bench.app(workflow, grace=SHORT) as app:
        started = await begin(app, workflow)
        await eventually(lambda: body.entered)
        outcome = await started.cancel("enough")
        result = await started.result()

    assert outcome is CancelOutcome.REQUESTED
    assert (result.status, result.cancel_reason, result.steps["deaf"].status) == ("canceled", "enough", "canceled")
    assert body.ended == ["canceled"]


async def test_async_step_has_the_grace_period_to_itself(bench: Bench) -> None:
    """10: before it is over nothing interrupts the body; what it returns is recorded, and the run is canceled."""
    body = Body()
    workflow = Workflow("w").then(body.deaf()).then(never).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await eventually(lambda: body.entered)
        await started.cancel()
        body.gate.set()
        result = await started.result()

    assert result.status == "canceled"
    assert body.ended == ["done"]


@pytest.mark.parametrize("is_async", [True, False])
async def test_cooperative_step_sees_the_flag(bench: Bench, is_async: bool) -> None:
    """10: seen by the owner at once in the same process; the body ends by itself."""
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()

    @step(id="body")
    async def cooperative(x: Any, ctx: StepContext) -> bool:
        entered.set()
        await ctx.canceled
        return bool(ctx.canceled)

    @step(id="body")
    def cooperative_sync(x: Any, ctx: StepContext) -> bool:
        loop.call_soon_threadsafe(entered.set)
        deadline = time.monotonic() + 10
        while not ctx.canceled and time.monotonic() < deadline:
            pass
        return bool(ctx.canceled)

    workflow = Workflow("w").then(cooperative if is_async else cooperative_sync).then(never).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await entered.wait()
        await started.cancel()
        result = await started.result(timeout=4)

    assert (result.status, list(result.steps)) == ("canceled", ["body"])


async def test_flag_is_false_while_nobody_cancels(bench: Bench) -> None:
    """6: `canceled` (flag, awaitable)."""

    @step
    async def look(x: Any, ctx: StepContext) -> bool:
        return bool(ctx.canceled)

    assert (await bench.run(Workflow("w").then(look).commit())).result is False


async def test_thread_that_ignores_the_flag_does_not_hold_the_run(bench: Bench) -> None:
    """10, 9.3: after the grace period the run ends; the late result is refused."""

    entered, release = threading.Event(), threading.Event()

    @step
    def deaf(x: Any) -> str:
        entered.set()
        release.wait(20)
        return "late"

    workflow = Workflow("w").then(deaf).commit()
    try:
        async with bench.app(workflow, grace=SHORT) as app:
            started = await begin(app, workflow)
            await asyncio.to_thread(entered.wait, 5)
            await started.cancel()
            result = await started.result(timeout=30)
    finally:
        release.set()

    assert (result.status, result.steps["deaf"].output) == ("canceled", None)


_RESTING: dict[str, Any] = {
    "sleeping": lambda w: w.sleep(timedelta(days=400)),
    "sleeping-shortly": lambda w: w.sleep(0.9),
    "suspended": lambda w: w.then(ask),
    "suspended-with-timeout": lambda w: w.wait_for("answer", timeout=3600),
    "suspended-items": lambda w: w.map(lambda ctx: [1, 2]).foreach(ask, concurrency=2),
    "waiting-for-retry": lambda w: w.then(_fails_and_waits),
    "nested": lambda w: w.then(Workflow("inner").then(ask).commit()),
    "parallel": lambda w: w.parallel([ask, Workflow("inner").sleep(3600).commit()]),
    "branch": lambda w: w.branch([(_yes, ask)]),
    "loop": lambda w: w.dowhile(ask, _yes),
}


def _yes(ctx: ReadContext[Any]) -> bool:
    return True


@step(retries=Retry(limit=3, delay=3600))
async def _fails_and_waits(x: Any) -> None:
    raise ValueError("again later")


@pytest.mark.parametrize("add", _RESTING.values(), ids=_RESTING.keys())
@pytest.mark.parametrize("where", ["same", "other", "after-restart"])
async def test_resting_run_ends_at_once(bench: Bench, add: Any, where: str) -> None:
    """10: sleeping, suspended and waiting runs end at once; nested work ends too; from any process, within a second."""
    workflow = add(Workflow("w")).then(never).commit()
    async with bench.app(workflow) as app, bench.app(workflow, worker=False) as other:
        started = await begin(app, workflow, run_id="run")
        await eventually(lambda: _rests(started))
        if where != "after-restart":
            canceler = app if where == "same" else other
            assert await canceler.run("run").cancel("why") is CancelOutcome.REQUESTED
            result = await eventually(lambda: _ended(started), within=1)
    if where == "after-restart":
        async with bench.app(workflow) as app:
            await app.run("run").cancel("why")
            result = await eventually(lambda: _ended(app.run("run")), within=1)

    assert (result.status, result.cancel_reason, list(result.suspended)) == ("canceled", "why", [])
    assert all(each.ended_at is not None for each in result.steps.values())
    assert {str(each.status) for each in result.steps.values()} <= {"canceled", "success"}


async def _rests(handle: Any) -> Any:
    return await handle.status() in ("waiting", "suspended")


async def _ended(handle: Any) -> Any:
    result = await handle.snapshot()
    return result if result.status.is_terminal else None


async def test_running_step_is_canceled_from_another_app_within_a_second(bench: Bench) -> None:
    """10: seen within a second from another process."""
    body = Body()
    workflow = Workflow("w").then(body.deaf()).commit()
    async with bench.app(workflow, grace=SHORT) as app, bench.app(workflow, worker=False) as other:
        started = await begin(app, workflow)
        await eventually(lambda: body.entered)
        await other.run(started.run_id).cancel()
        result = await started.result(timeout=1)

    assert (result.status, body.ended) == ("canceled", ["canceled"])


async def test_canceling_the_run_cancels_everything_in_flight(bench: Bench) -> None:
    """5.7, 10: canceling the parent cancels nested work, children and items alike; no more are started."""
    body = Body()
    inner = Workflow("inner", input=list[int]).foreach(body.deaf(), concurrency=3).commit()
    workflow = Workflow("w", input=list[int]).parallel([inner, body.deaf().clone(id="beside")]).then(never).commit()
    async with bench.app(workflow, grace=SHORT) as app:
        started = await begin(app, workflow, [1, 2, 3, 4, 5])
        await eventually(lambda: body.entered == 4)
        await started.cancel()
        result = await started.result()

    assert result.status == "canceled"
    assert (body.entered, body.ended) == (4, ["canceled"] * 4)
    assert {str(each.status) for each in result.steps.values()} == {"canceled"}


async def test_steps_that_had_ended_keep_their_outcome(bench: Bench) -> None:
    """10: cancel does not rewrite what happened."""
    body = Body()

    @step
    async def first(x: Any) -> int:
        return 1

    workflow = Workflow("w").then(first).then(body.deaf()).commit()
    async with bench.app(workflow, grace=SHORT) as app:
        started = await begin(app, workflow)
        await eventually(lambda: body.entered)
        await started.cancel()
        result = await started.result()

    assert (result.steps["first"].status, result.steps["first"].output) == ("success", 1)


async def test_step_that_fails_while_it_is_canceled_is_not_retried(bench: Bench) -> None:
    """10: nothing new starts: no attempt follows."""
    calls: list[int] = []
    entered = asyncio.Event()

    @step(retries=5)
    async def fails(x: Any, ctx: StepContext) -> None:
        calls.append(ctx.attempt)
        entered.set()
        await ctx.canceled
        raise ValueError("because of it")

    workflow = Workflow("w").then(fails).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await entered.wait()
        await started.cancel()
        result = await started.result()

    assert (result.status, calls) == ("canceled", [0])
    assert result.steps["fails"].status == "failed"
    assert result.steps["fails"].error is not None


async def test_step_that_suspends_while_it_is_canceled(bench: Bench) -> None:
    """10: the run ends and does not wait to be resumed."""
    entered = asyncio.Event()

    @step
    async def late(x: Any, ctx: StepContext) -> None:
        entered.set()
        await ctx.canceled
        ctx.suspend()

    workflow = Workflow("w").then(late).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await entered.wait()
        await started.cancel()
        result = await started.result(until="end", timeout=5)

    assert (result.status, list(result.suspended)) == ("canceled", [])


@pytest.mark.parametrize("end", ["success", "failed"])
async def test_finished_run_is_left_untouched(bench: Bench, end: str) -> None:
    """10: canceling a finished run changes nothing and returns `CancelOutcome.ALREADY_FINISHED`."""

    @step
    async def body(x: Any) -> int:
        if end == "failed":
            raise ValueError
        return 1

    workflow = Workflow("w").then(body).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        before = await started.result()
        journal = await bench.journal(started.run_id)
        outcome = await started.cancel("too late")

        assert outcome is CancelOutcome.ALREADY_FINISHED
        assert await started.result() == before
        assert await bench.journal(started.run_id) == journal


@pytest.mark.parametrize("reason", [5, True, {"by": "Ada"}, "\ud800"])
async def test_reason_that_is_no_text_is_refused(bench: Bench, reason: Any) -> None:
    """10: it is not left out without a word, and the run is left alone."""
    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        with pytest.raises(InputError, match="reason of the cancel"):
            await started.cancel(reason)

        assert (await started.snapshot()).status == "suspended"


async def test_canceling_twice_is_fine(bench: Bench) -> None:
    """10: the second call changes nothing; the first reason counts."""
    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        outcomes = [await started.cancel("first"), await started.cancel("second")]
        result = await eventually(lambda: _ended(started))
        outcomes.append(await started.cancel("third"))

    assert outcomes[0] is CancelOutcome.REQUESTED
    assert outcomes[2] is CancelOutcome.ALREADY_FINISHED
    assert result.cancel_reason == "first"


async def test_cancel_of_an_unknown_run(bench: Bench) -> None:
    """21: an unknown id raises `RunNotFoundError`."""
    async with bench.app() as app:
        with pytest.raises(RunNotFoundError):
            await app.run("unknown").cancel()


async def test_canceled_run_cannot_be_resumed(bench: Bench) -> None:
    """21: a verb that does not fit the run's status raises `RunStateError`."""
    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        await started.cancel()
        await eventually(lambda: _ended(started))
        with pytest.raises(RunStateError) as caught:
            await started.resume()

    assert caught.value.status == "canceled"


async def test_result_after_cancel_is_the_end(bench: Bench) -> None:
    """2.6: the rest that follows the cancel, not the suspension before it."""
    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        await started.cancel("x")
        result = await started.result(timeout=30)

    with pytest.raises(RunCanceledError):
        result.unwrap()


@pytest.mark.parametrize("is_async", [True, False])
async def test_abort_cancels_the_run(bench: Bench, is_async: bool) -> None:
    """21: `abort()` never returns: the run is canceled, later nodes do not run."""
    after: list[int] = []

    def stop(x: Any, ctx: StepContext) -> None:
        ctx.abort()
        after.append(1)

    async def stop_async(x: Any, ctx: StepContext) -> None:
        stop(x, ctx)

    body = step(id="stop")(stop_async if is_async else stop)
    inner = Workflow("inner").then(body).then(never).commit()

    result = await bench.run(Workflow("w").then(inner).then(never.clone(id="last")).commit())

    assert (result.status, after) == ("canceled", [])
    assert set(result.steps) == {"inner", "inner.stop"}


async def test_abort_cancels_what_runs_beside_it(bench: Bench) -> None:
    """21, 10: children in flight get the grace period, then `CancelledError`."""
    body = Body()

    @step
    async def stop(x: Any, ctx: StepContext) -> None:
        await eventually(lambda: body.entered)
        ctx.abort()

    workflow = Workflow("w").parallel([body.deaf(), stop]).commit()
    async with bench.app(workflow, grace=SHORT) as app:
        result = await (await begin(app, workflow)).result()

    assert (result.status, body.ended) == ("canceled", ["canceled"])


async def test_run_that_finishes_while_it_is_canceled_is_never_stuck(bench: Bench) -> None:
    """10: cancel vs. finishing: each run ends, as one or the other, and the outcome does not change afterwards."""

    @step
    async def brief(x: int) -> int:
        for _ in range(x % 7):
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0)
        return x

    workflow = Workflow("w", input=int).then(brief).then(brief.clone(id="again")).commit()
    async with bench.app(workflow) as app, bench.app(workflow, worker=False) as other:

        async def race(number: int) -> Any:
            started = await begin(app, workflow, number)
            outcome = await (other if number % 2 else app).run(started.run_id).cancel()
            return outcome, await started.result(timeout=30)

        races = await asyncio.gather(*(race(number) for number in range(60)))
        again = [await app.run(result.run_id).snapshot() for _, result in races]

    assert {str(result.status) for _, result in races} <= {"success", "canceled"}
    assert [each.status for each in again] == [result.status for _, result in races]
    assert all(result.status == "success" for outcome, result in races if outcome is CancelOutcome.ALREADY_FINISHED)


async def test_canceled_runs_hold_no_memory(bench: Bench) -> None:
    """10, 19: nothing of them is left in the engine."""
    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow) as app:
        for _ in range(5):
            started = await begin(app, workflow)
            await started.result()
            await started.cancel()
            await eventually(lambda started=started: _ended(started))
        await eventually(lambda: not bench.live(app))


async def test_steps_that_wait_for_a_slot_never_start(bench: Bench) -> None:
    """10, 19: nothing new starts, and the slots are free for other runs."""
    body = Body()

    @step
    async def quick(x: Any) -> str:
        return "quick"

    workflow = Workflow("w", input=list[int]).foreach(body.deaf(), concurrency=9).commit()
    other = Workflow("other").then(quick).commit()
    async with bench.app(workflow, other, grace=SHORT, max_steps=2) as app:
        started = await begin(app, workflow, [1, 2, 3, 4, 5])
        await eventually(lambda: body.entered == 2)
        await started.cancel()
        result = await started.result(timeout=30)
        following = await (await begin(app, other)).result(timeout=30)

    assert (result.status, body.entered, following.result) == ("canceled", 2, "quick")


async def test_async_function_in_flight_is_canceled(bench: Bench) -> None:
    """10: conditions and maps in flight are work of the run like any other."""
    entered = asyncio.Event()

    async def slow(ctx: ReadContext[Any]) -> bool:
        entered.set()
        await asyncio.Event().wait()
        return True

    for add in (lambda w: w.branch([(slow, never)]), lambda w: w.map(slow)):
        workflow = add(Workflow("w")).commit()
        async with bench.app(workflow, grace=SHORT) as app:
            started = await begin(app, workflow)
            await entered.wait()
            await started.cancel()
            result = await started.result(timeout=30)
        entered.clear()

        assert result.status == "canceled"


async def test_cancel_from_within_a_step(bench: Bench) -> None:
    """10: a step may cancel its own run through a handle; nothing is locked."""

    @step
    async def give_up(x: Any, ctx: StepContext) -> str:
        await app.run(ctx.run_id).cancel("from inside")
        return "done"

    workflow = Workflow("w").then(give_up).then(never).commit()
    async with bench.app(workflow) as app:
        result = await (await begin(app, workflow)).result(timeout=30)

    assert (result.status, result.cancel_reason) == ("canceled", "from inside")
