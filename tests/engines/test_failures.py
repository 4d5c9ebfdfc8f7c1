"""Failures end as records with a path; nothing escapes: rule 9."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from engines.place import Place, one_step
from outlast import CommittedWorkflow, NonRetryableError, Retry, RunResult, StepContext, Workflow, step
from outlast.engines import values

TOO_MUCH = "x" * (4 * 1024 * 1024 + 1)


class Point(BaseModel):
    x: int


class Labeled(Point):
    label: str = "more than declared"


def raising(error: BaseException) -> Callable[[], Any]:
    def body() -> Any:
        raise error

    return body


class CustomError(Exception):
    """Carries data."""

    def __init__(self) -> None:
        super().__init__("custom")
        self.code = 42
        self.handle = object()


BODIES: dict[str, tuple[Any, Callable[[], Any], str]] = {
    "raises": (int, raising(ValueError("no")), "ValueError"),
    "raises SystemExit": (int, raising(SystemExit(3)), "SystemExit"),
    "calls exit": (int, lambda: sys.exit("bye"), "SystemExit"),
    "raises CancelledError": (int, raising(asyncio.CancelledError("own")), "CancelledError"),
    "raises StopIteration": (int, raising(StopIteration(1)), ""),
    "raises TimeoutError": (int, raising(TimeoutError()), "TimeoutError"),
    "raises a group": (int, raising(ExceptionGroup("two", [ValueError(1), OSError(2)])), "ExceptionGroup"),
    "recursion": (int, lambda: recurse(0), "RecursionError"),
    "not JSON": (Any, object, "OutputError"),
    "a set": (Any, lambda: {1, 2}, "OutputError"),
    "wrong type": (int, lambda: "many", "OutputError"),
    "NaN": (float, lambda: float("nan"), "OutputError"),
    "infinity": (Any, lambda: [float("inf")], "OutputError"),
    "key not a string": (Any, lambda: {1: 2}, "OutputError"),
    "lone surrogate": (str, lambda: "\ud800", "OutputError"),
    "subclass with more fields": (Point, lambda: Labeled(x=1), "OutputError"),
    "too large": (str, lambda: TOO_MUCH, "PayloadTooLargeError"),
}


def recurse(depth: int) -> int:
    return recurse(depth + 1)


def failure_of(result: RunResult[Any]) -> tuple[str, str]:
    """Check that the run ended `failed` and return the type of the failure and its path."""
    assert result.status == "failed"
    assert result.error is not None
    return result.error.type, result.error_path


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("name", BODIES)
async def test_every_error_of_a_step_is_recorded_with_its_path(place: Place, kind: str, name: str) -> None:
    """9.5: every error in user code ends in a recorded `failed` with the path. 5.9, 5.10: outputs are checked."""
    declared, give, expected = BODIES[name]

    async def body_async(x: int) -> Any:
        return give()

    def body(x: int) -> Any:
        return give()

    for function in (body_async, body):
        function.__annotations__["return"] = declared
    workflow = one_step(step(id="body")(body_async if kind == "async" else body), input=int)
    result = await place.run(workflow, 1)

    failure, path = failure_of(result)
    assert path == "body"
    assert failure in ({expected} if expected else {"RuntimeError", "StopIteration"})
    assert result.steps["body"].error == result.error


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("name", ["raises", "raises SystemExit", "raises CancelledError", "not JSON", "too large"])
async def test_every_error_of_a_map_is_recorded_with_its_path(place: Place, kind: str, name: str) -> None:
    """9.5: every error in maps ends in a recorded `failed` with the path."""
    _, give, expected = BODIES[name]

    async def map_async(ctx: Any) -> Any:
        return give()

    workflow = Workflow("w", input=int).map(map_async if kind == "async" else lambda ctx: give(), id="shape").commit()

    assert failure_of(await place.run(workflow, 1)) == (expected, "shape")


async def test_input_that_does_not_fit_fails_the_step_and_is_not_tried_again(place: Place) -> None:
    """9.2: input validation errors are not retried."""
    calls: list[int] = []

    @step(retries=3)
    async def needs_int(x: int) -> int:
        calls.append(x)
        return x

    workflow = Workflow("w").map(lambda ctx: "no number").then(needs_int).commit()
    result = await place.run(workflow, None)

    assert failure_of(result) == ("InputError", "needs_int")
    assert (result.steps["needs_int"].attempts, calls) == (1, [])


async def test_foreach_over_what_is_no_list_fails_the_node(place: Place) -> None:
    """5.5: input must be a list, else the node fails."""

    @step
    async def never(x: int) -> int:
        return x

    workflow = Workflow("w").map(lambda ctx: {"a": 1}).foreach(never, id="each").commit()

    assert failure_of(await place.run(workflow, None)) == ("InputError", "each")


async def test_input_of_a_nested_workflow_is_checked(place: Place) -> None:
    """9.5: wrong nested input."""

    @step
    async def never(x: int) -> int:
        return x

    inner = Workflow("inner", input=int).then(never).commit()
    workflow = Workflow("w").map(lambda ctx: "x").then(inner).commit()

    assert failure_of(await place.run(workflow, None)) == ("InputError", "inner")


async def test_output_of_a_nested_workflow_is_checked(place: Place) -> None:
    """5.10: outputs are validated against the declared type before they are recorded."""
    inner = Workflow("inner", input=int, output=str).map(lambda ctx: 5).commit()
    workflow = Workflow("w", input=int).then(inner).commit()

    failure, path = failure_of(await place.run(workflow, 1))

    assert failure in ("OutputError", "InputError")
    assert path == "inner"


async def test_result_of_the_workflow_is_checked(place: Place) -> None:
    """5.10: a result that does not fit the declared type ends the run `failed`."""
    workflow = Workflow("w", input=int, output=str).map(lambda ctx: 5).commit()
    result = await place.run(workflow, 1)

    assert failure_of(result)[1] == ""
    assert "result of the workflow" in (result.error.message if result.error else "")


async def test_failure_keeps_type_message_traceback_causes_and_data(place: Place) -> None:
    """9.4: type, message, traceback text, cause chain, custom attributes that are JSON. Never pickled."""

    @step
    async def fail(x: int) -> int:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise CustomError from error

    error = (await place.run(one_step(fail), 1)).error

    assert error is not None
    assert error.cause is not None
    assert (error.type, error.message, error.attributes) == ("CustomError", "custom", {"code": 42})
    assert (error.cause.type, error.cause.message) == ("KeyError", "'inner'")
    assert "raise CustomError from error" in error.traceback


async def test_failure_with_a_hostile_exception_is_recorded(place: Place) -> None:
    """9.5: nothing escapes, also when the error itself is broken."""

    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        def __repr__(self) -> str:
            raise RuntimeError("no text")

    class LoudError(Exception):
        def __init__(self) -> None:
            super().__init__("\ud800" + "x" * 100_000)
            self.data = {"big": "y" * 100_000}

    for error in (HostileError, LoudError):

        @step(id="fail")
        async def fail(x: int, error: Any = error) -> int:
            raise error

        assert failure_of(await place.run(one_step(fail, input=int), 1))[0] == error.__name__


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_failed_step_is_tried_again(place: Place, kind: Literal["async", "sync"]) -> None:
    """9.1: `retries=` an int: how often to try again. Attempts are recorded."""
    attempts: list[int] = []

    def body(x: int, ctx: StepContext) -> int:
        attempts.append(ctx.attempt)
        if ctx.attempt < 2:
            raise OSError(f"attempt {ctx.attempt}")
        return x

    async def body_async(x: int, ctx: StepContext) -> int:
        return body(x, ctx)

    result = await place.run(one_step(step(id="body", retries=2)(body if kind == "sync" else body_async)), 1)

    assert (result.status, attempts) == ("success", [0, 1, 2])
    assert (result.steps["body"].attempts, result.steps["body"].error) == (3, None)


async def test_last_failure_counts_when_no_attempt_is_left(place: Place) -> None:
    """9.1: after the last attempt the step has failed."""

    @step(retries=1)
    async def fail(x: int, ctx: StepContext) -> int:
        raise OSError(f"attempt {ctx.attempt}")

    result = await place.run(one_step(fail), 1)

    assert result.error is not None
    assert (result.error.message, result.steps["fail"].attempts) == ("attempt 1", 2)


async def test_non_retryable_error_ends_retries_at_once(place: Place) -> None:
    """9.2: `NonRetryableError` ends retries at once."""

    class BadCardError(NonRetryableError):
        pass

    @step(retries=5)
    async def fail(x: int) -> int:
        raise BadCardError("stolen")

    result = await place.run(one_step(fail), 1)

    assert (failure_of(result), result.steps["fail"].attempts) == (("BadCardError", "fail"), 1)


async def test_default_of_the_workflow_is_for_its_own_steps_only(place: Place) -> None:
    """9.1, 21: a workflow's default applies to its own steps only; nested defaults do not multiply."""
    attempts: dict[str, int] = {}

    @step
    async def fail(x: int, ctx: StepContext) -> int:
        attempts[ctx.path] = ctx.attempt + 1
        raise OSError

    inner = Workflow("inner", input=int).then(fail).commit()
    again = Workflow("again", input=int, retries=1).then(fail).commit()
    own = fail.clone(id="own")
    workflow = Workflow("w", input=int, retries=2).parallel([inner, again, own]).commit()
    await place.run(workflow, 1)

    assert attempts == {"inner.fail": 1, "again.fail": 2, "own": 3}


async def test_run_waits_between_two_attempts(place: Place) -> None:
    """4, 9.1: with nothing but a retry delay open, the run is `waiting`, and `why` says for what."""

    @step(retries=Retry(limit=1, delay=timedelta(hours=1)))
    async def fail(x: int) -> int:
        raise OSError("line busy")

    workflow = one_step(fail)
    async with place.app(workflow, drain=timedelta(0)) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        with pytest.raises(TimeoutError):
            await started.result(timeout=0.1)
        snapshot = await started.snapshot()

        assert snapshot.status == "waiting"
        assert snapshot.steps["fail"].status == "waiting"
        assert "OSError: line busy" in await started.why()


async def test_delay_is_durable_over_a_restart(place: Place) -> None:
    """9.1: due times are recorded; a crash does not reset them. 11: a restart waits only for what is left."""
    delay = timedelta(milliseconds=400)

    @step(retries=Retry(limit=1, delay=delay))
    async def second_time(x: int, ctx: StepContext) -> int:
        if ctx.attempt == 0:
            raise OSError
        return ctx.attempt

    workflow = one_step(second_time)
    async with place.app(workflow) as app:
        started = await (await app.create_run(workflow, run_id="run")).start_async(input_data=1)
        with pytest.raises(TimeoutError):
            await started.result(timeout=0.1)
    left = await place.row("run")
    async with place.app(workflow) as app:
        result = await app.run("run").result(timeout=10)

    assert left is not None
    assert (left.status, left.owner) == ("waiting", None)
    assert left.ready_at_ms is not None
    began = result.steps["second_time"].started_at
    ended = result.steps["second_time"].ended_at
    assert ended is not None
    assert delay <= ended - began < delay + timedelta(seconds=2)
    assert (result.result, result.steps["second_time"].attempts) == (1, 2)


async def test_failure_of_one_run_does_not_touch_another(place: Place) -> None:
    """9.5: nothing escapes: the worker goes on."""

    @step
    async def odd_fails(x: int) -> int:
        if x % 2:
            raise SystemExit(x)
        return x

    workflow = one_step(odd_fails, input=int)
    async with place.app(workflow) as app:
        runs = [await app.create_run(workflow) for _ in range(20)]
        results = await asyncio.gather(*(run.start(input_data=number) for number, run in enumerate(runs)))

    assert [str(result.status) for result in results] == ["success", "failed"] * 10


@pytest.mark.parametrize("size", [5, pytest.param(50, marks=pytest.mark.slow)])
async def test_output_over_the_limit_fails_at_once(place: Place, size: int) -> None:
    """9.7: a recorded payload over the limit fails at once with `PayloadTooLargeError` naming the field and size."""

    @step
    async def large(x: int) -> str:
        return "x" * (size * 1024 * 1024)

    result = await place.run(one_step(large), 1)

    assert result.error is not None
    assert "output of step 'large'" in result.error.message
    assert f"{size * 1024 * 1024 + 2:,}" in result.error.message


async def test_joined_value_may_be_larger_than_one_payload(place: Place) -> None:
    """9.7: a joined value is limited only when it is materialised (64 MiB)."""

    @step
    async def three_mib(x: int) -> str:
        return "x" * (3 * 1024 * 1024)

    @step
    async def measure(xs: list[str]) -> int:
        return sum(map(len, xs))

    workflow = Workflow("w", input=list[int]).foreach(three_mib, concurrency=2).then(measure).commit()

    assert (await place.run(workflow, [1, 2, 3, 4])).result == 12 * 1024 * 1024


@step
async def thousand(x: int) -> str:
    return "x" * 1_000


@step
async def count(x: Any) -> int:
    return len(x)


FAN = Workflow("fan", input=list[int]).foreach(thousand)
JOINED: dict[str, tuple[CommittedWorkflow[Any, Any], str]] = {
    "input of a step": (FAN.then(count).commit(), "input of step 'count'"),
    "input of a map": (FAN.map(lambda ctx: len(ctx.input), id="shorten").commit(), "input of map 'shorten'"),
    "input of a condition": (
        FAN.branch([(lambda ctx: len(ctx.input) > 2, Workflow("inside").then(count).commit())]).commit(),
        "input of 'branch?inside'",
    ),
    "result": (FAN.commit(), "result of the workflow"),
    "result of a declared type": (
        Workflow("fan", input=list[int], output=list[str]).foreach(thousand).commit(),
        "result of the workflow",
    ),
}


@pytest.mark.parametrize(("workflow", "subject"), JOINED.values(), ids=JOINED.keys())
async def test_joined_value_over_its_limit_fails_what_needs_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, workflow: CommittedWorkflow[Any, Any], subject: str
) -> None:
    """9.7: 64 MiB is the limit of what is put together; here it is 4 kB."""
    monkeypatch.setattr(values, "LARGEST_JOINED", 4_000)

    fits = await place.run(workflow, [1, 2, 3])
    fails = await place.run(workflow, [1, 2, 3, 4])

    assert fits.status == "success"
    assert fails.status == "failed"
    assert fails.error is not None
    assert fails.error.type == "PayloadTooLargeError"
    assert fails.error.message.startswith(f"{subject} is not valid: 4,013 bytes as JSON, over the limit of 4,000")


async def test_joined_value_over_its_limit_may_be_taken_item_by_item(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9.7: it is limited only when it is put together."""
    monkeypatch.setattr(values, "LARGEST_JOINED", 4_000)
    workflow = FAN.foreach(count, id="lengths").commit()

    result = await place.run(workflow, [1, 2, 3, 4])

    assert result.result == [1_000] * 4
