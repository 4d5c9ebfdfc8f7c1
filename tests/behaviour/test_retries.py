"""Retries and timeouts: rules 9.1 to 9.3."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from eventually import eventually
from outlast import NonRetryableError, Retry, StepContext, Workflow, step
from outlast.core.codec import decode_event
from outlast.core.events import StepFailed

SHORT = timedelta(milliseconds=20)
HOUR = timedelta(hours=1)


class PaymentError(Exception):
    """What the tests raise."""


class DeclinedError(PaymentError):
    """A kind of it."""


class Body:
    """A step that fails with what it is told, attempt by attempt."""

    def __init__(self, *failures: BaseException | None) -> None:
        self.failures = failures
        self.attempts: list[int] = []

    def step(self, **options: Any) -> Any:
        @step(id="pay", **options)
        async def pay(x: Any, ctx: StepContext) -> int:
            self.attempts.append(ctx.attempt)
            failure = self.failures[min(ctx.attempt, len(self.failures) - 1)]
            if failure is not None:
                raise failure
            return ctx.attempt

        return pay


async def failures_of(bench: Bench, run_id: str) -> list[StepFailed]:
    events = [decode_event(record) for record in await bench.journal(run_id)]
    return [event for event in events if isinstance(event, StepFailed)]


def pauses(failures: list[StepFailed]) -> list[int | None]:
    return [None if each.retry_at_ms is None else each.retry_at_ms - each.at_ms for each in failures]


# 9.1


async def test_number_says_how_often_to_try_again(bench: Bench) -> None:
    """9.1: `retries=` an int (how often to try again)."""
    body = Body(PaymentError("no"))
    workflow = Workflow("w").then(body.step(retries=2)).commit()

    result = await bench.run(workflow)

    assert body.attempts == [0, 1, 2]
    assert (result.status, result.steps["pay"].attempts) == ("failed", 3)


async def test_success_ends_the_attempts(bench: Bench) -> None:
    """9.1: and the failure before it is gone from the step's record."""
    body = Body(PaymentError("no"), None)
    workflow = Workflow("w").then(body.step(retries=5)).commit()

    result = await bench.run(workflow)

    assert (result.result, body.attempts, result.steps["pay"].error) == (1, [0, 1], None)


async def test_without_retries_there_is_one_attempt(bench: Bench) -> None:
    """9.1: no retries unless asked for."""
    body = Body(PaymentError("no"))

    await bench.run(Workflow("w").then(body.step()).commit())

    assert body.attempts == [0]


async def test_workflow_default_holds_for_steps_that_say_nothing(bench: Bench) -> None:
    """9.1: on a step or as the workflow's default; a step's own word wins."""
    body, own = Body(PaymentError("no"), None), Body(PaymentError("no"))
    workflow = Workflow("w", retries=1).then(body.step()).then(own.step(retries=0).clone(id="own")).commit()

    result = await bench.run(workflow)

    assert (body.attempts, own.attempts, result.error_path) == ([0, 1], [0], "own")


async def test_nested_defaults_do_not_multiply(bench: Bench) -> None:
    """9.1, 21: a workflow's default applies to its own steps only, never to a nested workflow as a whole."""
    body = Body(PaymentError("no"))
    inner = Workflow("inner", retries=1).then(body.step()).commit()
    middle = Workflow("middle", retries=3).then(inner).commit()
    workflow = Workflow("w", retries=5).then(middle).commit()

    await bench.run(workflow)

    assert body.attempts == [0, 1]


async def test_nested_steps_do_not_inherit_the_outer_default(bench: Bench) -> None:
    """21: nested: a workflow's default retries apply to its own steps only."""
    body = Body(PaymentError("no"))
    inner = Workflow("inner").then(body.step()).commit()

    await bench.run(Workflow("w", retries=5).then(inner).commit())

    assert body.attempts == [0]


async def test_pauses_grow_up_to_the_longest(bench: Bench) -> None:
    """9.1: delay, backoff and max_delay; due times are recorded."""
    body = Body(PaymentError("no"))
    retry = Retry(limit=4, delay=0.004, backoff=2, max_delay=0.01)

    await bench.run(Workflow("w").then(body.step(retries=retry)).commit(), run_id="run")

    assert pauses(await failures_of(bench, "run")) == [4, 8, 10, 10, None]


async def test_no_attempt_begins_before_its_pause_is_over(bench: Bench) -> None:
    """9.1: a pause lasts at least as long as it says."""
    body = Body(PaymentError("no"), None)

    await bench.run(Workflow("w").then(body.step(retries=Retry(limit=1, delay=SHORT))).commit(), run_id="run")
    records = await bench.journal("run")
    starts = [record.at_ms for record in records if record.type == "step-started"]

    assert starts[1] - starts[0] >= 20


async def test_jitter_shortens_pauses_and_differs_between_runs(bench: Bench) -> None:
    """9.1: jitter."""
    body = Body(PaymentError("no"))
    workflow = Workflow("w").then(body.step(retries=Retry(limit=1, delay=0.04, jitter=0.5))).commit()
    seen = set()
    async with bench.app(workflow) as app:
        runs = [await begin(app, workflow) for _ in range(8)]
        for run in runs:
            await run.result()
    for run in runs:
        seen.add(pauses(await failures_of(bench, run.run_id))[0])

    assert len(seen) > 1
    assert all(pause is not None and 20 <= pause <= 40 for pause in seen)


@pytest.mark.parametrize(
    ("retry", "failure", "attempts"),
    [
        (Retry(limit=1, retry_on=(PaymentError,)), PaymentError("x"), 2),
        (Retry(limit=1, retry_on=(PaymentError,)), DeclinedError("x"), 2),
        (Retry(limit=1, retry_on=(DeclinedError,)), PaymentError("x"), 1),
        (Retry(limit=1, retry_on=(OSError,)), ConnectionResetError("x"), 2),
        (Retry(limit=1, stop_on=(DeclinedError,)), DeclinedError("x"), 1),
        (Retry(limit=1, stop_on=(DeclinedError,)), PaymentError("x"), 2),
        (Retry(limit=1, retry_on=(PaymentError,), stop_on=(DeclinedError,)), DeclinedError("x"), 1),
    ],
    ids=["same", "subclass", "base", "builtin", "stop", "not-stop", "stop-wins"],
)
async def test_retry_on_and_stop_on_filter_failures(
    bench: Bench, retry: Retry, failure: BaseException, attempts: int
) -> None:
    """9.1: retry_on, stop_on; subclasses count, as in `except`."""
    body = Body(failure)

    await bench.run(Workflow("w").then(body.step(retries=retry)).commit())

    assert len(body.attempts) == attempts


async def test_no_attempt_begins_after_max_elapsed(bench: Bench) -> None:
    """9.1: max_elapsed."""
    body = Body(PaymentError("no"))
    retry = Retry(
        limit=9, delay=0.1, backoff=10_000, max_delay=1_000, max_elapsed=60
    )  # the third would be far too late

    result = await bench.run(Workflow("w").then(body.step(retries=retry)).commit())

    assert result.status == "failed"
    assert len(body.attempts) == 2


async def test_run_is_waiting_between_two_attempts(bench: Bench) -> None:
    """4, 9.1: a timer; the step shows why its latest attempt failed."""
    body = Body(PaymentError("no"))
    workflow = Workflow("w").then(body.step(retries=Retry(limit=1, delay=HOUR))).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        result = await eventually(lambda: _waiting(started))
        why = await started.why()

    assert result.steps["pay"].status == "waiting"
    assert result.steps["pay"].error is not None
    assert result.steps["pay"].error.type == "PaymentError"
    assert "PaymentError" in why


async def _waiting(handle: Any) -> Any:
    result = await handle.snapshot()
    return result if result.status == "waiting" else None


async def test_pause_survives_a_restart_and_keeps_its_due_time(bench: Bench) -> None:
    """9.1: attempts and due times are recorded; a crash or a resume does not reset them."""
    body = Body(PaymentError("no"), PaymentError("no"), None)
    workflow = Workflow("w").then(body.step(retries=Retry(limit=2, delay=HOUR))).commit()
    clock = Clock()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, run_id="run")
        await eventually(lambda: _waiting(started))
    due = (await failures_of(bench, "run"))[0].retry_at_ms
    clock.offset += HOUR
    async with bench.app(workflow, clock=clock) as app:
        await eventually(lambda: len(body.attempts) == 2)
        await eventually(lambda: _waiting(app.run("run")))
    clock.offset += HOUR
    async with bench.app(workflow, clock=clock) as app:
        result = await app.run("run").result(timeout=30)

    assert body.attempts == [0, 1, 2]
    assert result.result == 2
    assert due == (await failures_of(bench, "run"))[0].retry_at_ms


async def test_each_item_and_pass_has_attempts_of_its_own(bench: Bench) -> None:
    """9.1: the policy is that of the step, the count that of its path."""

    @step(retries=1)
    async def flaky(x: int, ctx: StepContext) -> int:
        if ctx.attempt == 0:
            raise ValueError
        return x + 1

    workflow = (
        Workflow("w", input=list[int])
        .foreach(flaky, id="each")
        .map(lambda ctx: 0)
        .dountil(flaky, lambda ctx: ctx.input == 3)
        .commit()
    )

    result = await bench.run(workflow, [1, 2])

    assert result.result == 3
    assert {result.steps[path].attempts for path in ("each[0]", "each[1]", "flaky#1", "flaky#3")} == {2}


# 9.2


async def test_non_retryable_error_ends_retries_at_once(bench: Bench) -> None:
    """9.2: `NonRetryableError`, also a subclass of it."""

    class NoSuchAccountError(NonRetryableError):
        pass

    body = Body(PaymentError("no"), NoSuchAccountError("never"))

    result = await bench.run(Workflow("w").then(body.step(retries=5)).commit())

    assert result.error is not None
    assert (body.attempts, result.error.type) == ([0, 1], "NoSuchAccountError")


async def test_invalid_input_of_a_step_is_not_retried(bench: Bench) -> None:
    """9.2: input validation errors are not retried."""

    @step
    async def texts(x: Any) -> Any:
        return ["a"]

    calls: list[Any] = []

    @step(retries=5)
    async def numbers(x: list[int]) -> int:
        calls.append(x)
        return 0

    result = await bench.run(Workflow("w").then(texts).then(numbers).commit())

    assert result.error is not None
    assert (result.error.type, result.error_path, result.steps["numbers"].attempts) == ("InputError", "numbers", 1)
    assert calls == []


# 9.3


async def test_async_step_that_takes_too_long_is_canceled_and_fails(bench: Bench) -> None:
    """9.3: timeouts: per attempt."""
    ended: list[str] = []

    @step(timeout=SHORT)
    async def slow(x: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("canceled")
            raise

    result = await bench.run(Workflow("w").then(slow).commit())

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "StepTimeoutError", "slow")
    assert ended == ["canceled"]


async def test_timeout_is_per_attempt_and_retried(bench: Bench) -> None:
    """9.3, 9.1: an attempt that took too long is a failure like any other."""

    @step(timeout=SHORT, retries=1)
    async def slow(x: Any, ctx: StepContext) -> int:
        if ctx.attempt == 0:
            await asyncio.Event().wait()
        return ctx.attempt

    assert (await bench.run(Workflow("w").then(slow).commit())).result == 1


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        (Retry(limit=1, retry_on=(TimeoutError,)), 2),
        (Retry(limit=1, retry_on=(Exception,)), 2),
        (Retry(limit=1, retry_on=(ConnectionError,)), 1),
        (Retry(limit=1, stop_on=(TimeoutError,)), 1),
        (Retry(limit=1, stop_on=(ConnectionError,)), 2),
    ],
    ids=["itself", "base", "other", "stop", "other-stop"],
)
async def test_retry_rule_knows_an_attempt_that_took_too_long_as_timeout_error(
    bench: Bench, retry: Retry, attempts: int
) -> None:
    """9.1, 9.3: retry_on and stop_on hold for it as `except` would."""

    @step(timeout=SHORT, retries=retry)
    async def slow(x: Any) -> None:
        await asyncio.Event().wait()

    result = await bench.run(Workflow("w").then(slow).commit())

    assert result.error is not None
    assert (result.error.type, result.steps["slow"].attempts) == ("StepTimeoutError", attempts)


async def test_async_step_that_swallows_its_cancellation_fails_all_the_same(bench: Bench) -> None:
    """9.3: its late result is refused."""

    @step(timeout=SHORT)
    async def stubborn(x: Any) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"
        return "never"

    result = await bench.run(Workflow("w").then(stubborn).commit())

    assert (result.status, result.steps["stubborn"].output) == ("failed", None)


async def test_thread_that_takes_too_long_is_abandoned_and_its_late_result_refused(bench: Bench) -> None:
    """9.3: a timed-out thread is abandoned, replaced, and its late result refused."""
    release, over = threading.Event(), threading.Event()

    @step(timeout=SHORT)
    def slow(x: Any) -> str:
        release.wait(20)
        over.set()
        return "late"

    @step
    def quick(x: Any) -> str:
        return "quick"

    workflow, other = Workflow("w").then(slow).commit(), Workflow("other").then(quick).commit()
    try:
        async with bench.app(workflow, other) as app:
            started = await begin(app, workflow)
            first = await started.result()
            release.set()
            await asyncio.to_thread(over.wait, 5)
            still = await (await begin(app, other)).result()
            second = await started.snapshot()
    finally:
        release.set()

    assert first.error is not None
    assert (first.status, first.error.type) == ("failed", "StepTimeoutError")
    assert second == first
    assert still.result == "quick"


async def test_thread_of_a_timed_out_attempt_does_not_answer_for_the_next_one(bench: Bench) -> None:
    """9.3: late results of attempt 0 are not those of attempt 1."""
    release = threading.Event()

    @step(timeout=SHORT, retries=1)
    def slow(x: Any, ctx: StepContext) -> int:
        if ctx.attempt == 0:
            release.wait(20)
            return -1
        release.set()
        return ctx.attempt

    try:
        result = await bench.run(Workflow("w").then(slow).commit())
    finally:
        release.set()

    assert result.result == 1


async def test_step_within_its_timeout_is_left_alone(bench: Bench) -> None:
    """9.3: the timeout is no delay."""

    @step(timeout=HOUR)
    async def quick(x: Any) -> str:
        return "quick"

    before = datetime.now(UTC)
    result = await bench.run(Workflow("w").then(quick).commit())

    assert result.result == "quick"
    assert datetime.now(UTC) - before < timedelta(seconds=30)


async def test_suspension_time_does_not_count_for_the_step_timeout(bench: Bench) -> None:
    """9.3, 7.1: a suspended step takes no time."""

    @step(timeout=SHORT)
    async def ask(x: Any, ctx: StepContext) -> Any:
        return ctx.resume_data if ctx.resumed else ctx.suspend()

    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        first = await started.result()
        with pytest.raises(TimeoutError):
            await started.result(until="end", timeout=0.05)
        result = await started.resume("late")

    assert (first.status, result.result) == ("suspended", "late")


async def test_sync_bodies_do_not_block_the_loop(bench: Bench) -> None:
    """9.3: sync bodies run in threads of their own and never block the loop."""
    gate = threading.Event()

    @step
    def hold(x: Any) -> str:
        return "held" if gate.wait(20) else "blocked"

    @step
    async def open_gate(x: Any) -> None:
        gate.set()

    workflow = Workflow("w").parallel([hold, open_gate]).commit()

    assert (await bench.run(workflow)).result["hold"] == "held"
