"""Failures: rules 9.4 and 9.5. Whatever goes wrong ends in a recorded `failed` with its path."""

from __future__ import annotations

import asyncio
import math
import sys
from datetime import datetime, timedelta
from typing import Annotated, Any, NoReturn

import pytest
from pydantic import BaseModel, field_serializer
from typing_extensions import TypedDict

from behaviour.bench import Bench, begin
from eventually import eventually
from outlast import (
    Add,
    InputError,
    Max,
    ReadContext,
    StepContext,
    StepFailedError,
    Workflow,
    from_context,
    from_init,
    from_input,
    from_state,
    from_step,
    step,
    template,
)


@step
async def same(x: Any) -> Any:
    return x


@step
async def never(x: Any) -> Any:
    raise AssertionError("a step ran that must not run")


def broken(ctx: ReadContext[Any]) -> Any:
    raise LookupError("no such thing")


async def broken_async(ctx: ReadContext[Any]) -> Any:
    raise LookupError("no such thing")


class Box(BaseModel):
    size: int


# 9.4


async def test_failure_is_kept_as_data(bench: Bench) -> None:
    """9.4: type, message, traceback text, cause chain, custom attributes that are JSON."""

    class OrderError(Exception):
        def __init__(self, order: int) -> None:
            super().__init__(f"order {order}")
            self.order = order
            self.lines = [{"sku": "a"}]
            self.connection = object()
            self._secret = 1

    @step
    async def fail(x: Any) -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise OrderError(7) from error

    first = await bench.run(Workflow("w").then(fail).commit(), run_id="run")
    async with bench.app(worker=False) as app:
        second = await app.run("run").snapshot()

    for error in (first.error, second.error, second.steps["fail"].error):
        assert error is not None
        assert (error.type, error.message) == ("OrderError", "order 7")
        assert dict(error.attributes) == {"order": 7, "lines": [{"sku": "a"}]}
        assert "raise OrderError(7) from error" in error.traceback
        assert error.cause is not None
        assert (error.cause.type, error.cause.message) == ("KeyError", "'inner'")


async def test_failure_of_a_sync_body_is_kept_the_same_way(bench: Bench) -> None:
    """9.4: also from a thread."""

    @step
    def fail(x: Any) -> None:
        raise ValueError("in a thread")

    result = await bench.run(Workflow("w").then(fail).commit())

    assert result.error is not None
    assert (result.error.type, result.error.message) == ("ValueError", "in a thread")
    assert "in a thread" in result.error.traceback


async def test_huge_failure_is_cut(bench: Bench) -> None:
    """9.4: a failure always fits into the journal."""

    @step
    async def fail(x: Any) -> None:
        error = ValueError("x" * 10_000_000)
        error.data = "y" * 10_000_000  # type: ignore[attr-defined]
        raise error

    result = await bench.run(Workflow("w").then(fail).commit(), run_id="run")

    assert result.error is not None
    assert result.error.message.startswith("xxx")
    assert sum(len(record.body or b"") for record in await bench.journal("run")) < 200_000


async def test_exception_that_cannot_be_printed_is_kept(bench: Bench) -> None:
    """9.4, 9.5: a failure in the failure hides nothing."""

    class UglyError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    @step
    async def fail(x: Any) -> None:
        raise UglyError

    result = await bench.run(Workflow("w").then(fail).commit())

    assert result.error is not None
    assert (result.status, result.error.type) == ("failed", "UglyError")


async def test_unwrap_raises_with_path_and_failure(bench: Bench) -> None:
    """2.6: `unwrap()` gives the output or raises `StepFailedError`."""

    @step
    async def fail(x: Any) -> None:
        raise ValueError("bad")

    inner = Workflow("inner").then(fail).commit()
    result = await bench.run(Workflow("w").then(inner).commit())

    with pytest.raises(StepFailedError) as caught:
        result.unwrap()
    assert (caught.value.path, caught.value.failure_type, caught.value.failure_message) == (
        "inner.fail",
        "ValueError",
        "bad",
    )


# 9.5: functions that raise


@pytest.mark.parametrize("function", [broken, broken_async])
@pytest.mark.parametrize(
    ("add", "path"),
    [
        (lambda w, f: w.branch([(f, never)], id="node"), "node?never"),
        (lambda w, f: w.branch([(f, never)], id="node", mode="first"), "node?never"),
        (lambda w, f: w.dowhile(same, f, id="node"), "node#1?condition"),
        (lambda w, f: w.dountil(same, f, id="node"), "node#1?condition"),
        (lambda w, f: w.map(f, id="node"), "node"),
        (lambda w, f: w.sleep(f, id="node"), "node?duration"),
        (lambda w, f: w.sleep_until(f, id="node"), "node?until"),
        (lambda w, f: w.foreach(never, concurrency=f, id="node"), "node?concurrency"),
    ],
    ids=["branch", "first", "dowhile", "dountil", "map", "sleep", "sleep_until", "concurrency"],
)
async def test_function_that_raises_fails_the_run_naming_it(bench: Bench, add: Any, path: str, function: Any) -> None:
    """9.5: every error in conditions, maps, durations ends in a recorded `failed` with the path."""
    workflow = add(Workflow("w", input=list[int]), function).then(never.clone(id="last")).commit()

    result = await bench.run(workflow, [1])

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "LookupError", path)


@pytest.mark.parametrize("function", [broken, broken_async])
async def test_function_that_raises_in_a_nested_workflow_names_the_whole_path(bench: Bench, function: Any) -> None:
    """9.5, 5.7: its failure is the parent's failure."""
    inner = Workflow("inner").branch([(function, never)], id="route").commit()
    middle = Workflow("middle", input=list[int]).foreach(inner, id="each", on_error="fail").commit()

    result = await bench.run(Workflow("w", input=list[int]).then(middle).commit(), [1])

    assert (result.status, result.error_path) == ("failed", "middle.each[0].route?never")


async def test_functions_are_not_tried_again(bench: Bench) -> None:
    """9.5, 9.1: the workflow's default retries are those of steps."""
    calls = 0

    def count(ctx: ReadContext[Any]) -> Any:
        nonlocal calls
        calls += 1
        raise LookupError

    await bench.run(Workflow("w", retries=3).map(count).commit())

    assert calls == 1


@pytest.mark.parametrize("wish", ["suspend", "set_state", "bail"])
async def test_functions_cannot_suspend_or_set_state(bench: Bench, wish: str) -> None:
    """6: they cannot suspend or set state: trying fails the node."""
    result = await bench.run(Workflow("w").map(lambda ctx: getattr(ctx, wish)({}), id="m").commit())

    assert (result.status, result.error_path) == ("failed", "m")


# 9.5: answers that cannot be used


@pytest.mark.parametrize("answer", ["soon", None, True, math.nan, math.inf, [1]], ids=repr)
async def test_duration_that_is_none_fails_the_node(bench: Bench, answer: Any) -> None:
    """9.5: durations."""
    result = await bench.run(Workflow("w").sleep(lambda ctx: answer, id="nap").then(never).commit())

    assert result.error is not None
    assert (result.status, result.error_path) == ("failed", "nap?duration")


@pytest.mark.parametrize("answer", [1e300, timedelta.max, 10**30], ids=["float", "timedelta", "int"])
async def test_duration_beyond_all_time_is_a_recorded_failure_or_a_sleep(bench: Bench, answer: Any) -> None:
    """9.5, 11: any length; never a fault of the engine."""
    workflow = Workflow("w").sleep(lambda ctx: answer, id="nap").commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        result = await _settled(started)

    assert result.status in ("failed", "waiting")
    assert result.status == "waiting" or result.error_path == "nap?duration"


async def _settled(started: Any) -> Any:
    async def look() -> Any:
        result = await started.snapshot()
        return result if result.status not in ("pending", "running") else None

    return await eventually(look)


@pytest.mark.parametrize("answer", [datetime(2030, 1, 1), "2030-01-01", 5, None], ids=repr)  # noqa: DTZ001
async def test_instant_that_is_none_fails_the_node(bench: Bench, answer: Any) -> None:
    """9.5: also a datetime without a zone, which says no instant."""
    result = await bench.run(Workflow("w").sleep_until(lambda ctx: answer, id="nap").then(never).commit())

    assert (result.status, result.error_path) == ("failed", "nap?until")


@pytest.mark.parametrize("answer", [0, -1, "2", 1.5, None, True], ids=repr)
async def test_concurrency_that_is_none_fails_the_node(bench: Bench, answer: Any) -> None:
    """21: `concurrency` below 1: the node fails."""
    workflow = Workflow("w", input=list[int]).foreach(never, concurrency=lambda ctx: answer, id="each").commit()

    result = await bench.run(workflow, [1])

    assert result.error is not None
    assert (result.status, result.error_path) == ("failed", "each?concurrency")
    assert "concurrency" in result.error.message


class NoTruth:
    """A value that is neither true nor false."""

    def __bool__(self) -> bool:
        raise TypeError("neither")


async def test_condition_whose_answer_is_neither_true_nor_false_fails_the_run(bench: Bench) -> None:
    """9.5: conditions."""
    result = await bench.run(Workflow("w").branch([(lambda ctx: NoTruth(), never)], id="route").commit())  # type: ignore[list-item, return-value]

    assert (result.status, result.error_path) == ("failed", "route?never")


# 9.5: data that does not fit


@pytest.mark.parametrize("value", [{"a": 1}, "text", 5, None, True], ids=repr)
async def test_foreach_over_what_is_not_a_list_fails_the_node(bench: Bench, value: Any) -> None:
    """5.5: input must be a list, else the node fails."""
    workflow = Workflow("w").then(same).foreach(never, id="each").then(never.clone(id="last")).commit()

    result = await bench.run(workflow, value)

    assert result.error is not None
    assert (result.status, result.error_path) == ("failed", "each")
    assert "list" in result.error.message


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        (from_input("a.b"), "a"),
        (from_input("list.7"), "7"),
        (from_init("nothing"), "nothing"),
        (from_step(same, "nothing"), "nothing"),
        (from_state("nothing"), "nothing"),
        (from_context("nothing"), "nothing"),
        (template("${input.nothing}"), "nothing"),
        (template("${input.list}"), "list"),
    ],
    ids=["input", "index", "init", "step", "state", "context", "template", "list-in-template"],
)
async def test_missing_path_of_a_map_fails_the_node_and_names_the_path(bench: Bench, source: Any, missing: str) -> None:
    """5.6: a missing path fails the node."""
    workflow = Workflow("w").then(same).map({"key": source}, id="m").then(never).commit()

    result = await bench.run(workflow, {"list": [1]})

    assert result.error is not None
    assert (result.status, result.error_path) == ("failed", "m")
    assert missing in result.error.message


async def test_step_that_was_not_taken_is_a_missing_path(bench: Bench) -> None:
    """5.6: also the result of a branch child that did not run."""
    workflow = (
        Workflow("w").branch([(lambda ctx: False, never)]).map({"key": from_step(never)}, id="m").then(same).commit()
    )

    result = await bench.run(workflow)

    assert (result.status, result.error_path) == ("failed", "m")


UNSERIALISABLE: list[Any] = [object(), math.nan, math.inf, {1: "a"}, {"a": {1, 2}}, b"bytes", [lambda: 0], "\ud800"]
_TIMEOUT_NAMES = ["text", "nan", "float", "timedelta", "object"]
_NAMES = ["object", "nan", "inf", "int-key", "set", "bytes", "function", "surrogate"]


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=_NAMES)
@pytest.mark.parametrize("is_async", [True, False])
async def test_output_that_json_cannot_hold_fails_the_step(bench: Bench, value: Any, is_async: bool) -> None:
    """5.9, 9.5: unserialisable outputs."""

    def give(x: Any) -> Any:
        return value

    async def give_async(x: Any) -> Any:
        return value

    result = await bench.run(Workflow("w").then(step(id="give")(give_async if is_async else give)).then(never).commit())

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "OutputError", "give")


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=_NAMES)
async def test_suspend_payload_that_json_cannot_hold_fails_the_step(bench: Bench, value: Any) -> None:
    """7.1, 9.5: suspend payloads."""

    @step
    async def ask(x: Any, ctx: StepContext) -> None:
        ctx.suspend({"key": value})

    result = await bench.run(Workflow("w").then(ask).commit())

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "OutputError", "ask")
    assert "suspend" in result.error.message


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=_NAMES)
async def test_bail_value_that_json_cannot_hold_fails_the_step(bench: Bench, value: Any) -> None:
    """5.8, 9.5: bail values."""

    @step
    async def leave(x: Any, ctx: StepContext) -> None:
        ctx.bail({"key": value})

    result = await bench.run(Workflow("w").then(leave).then(never).commit())

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "OutputError", "leave")
    assert "bail" in result.error.message


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_bail_value_of_a_type_that_cannot_be_recorded_fails_the_step(bench: Bench, is_async: bool) -> None:
    """5.8, 9.5: also one that is no JSON as a whole, in whatever kind of body."""

    @step(id="leave")
    async def leave_async(x: Any, ctx: StepContext) -> int:
        ctx.bail(object())

    @step(id="leave")
    def leave(x: Any, ctx: StepContext) -> int:
        ctx.bail(object())

    result = await bench.run(Workflow("w").then(leave_async if is_async else leave).then(never).commit())

    assert result.error is not None
    assert (result.status, result.error_path) == ("failed", "leave")
    assert result.error.message.startswith("bail value of step 'leave' is not valid: an object is not JSON")


class Raising(BaseModel):
    """Breaks when it is written."""

    value: int = 1

    @field_serializer("value")
    def broken(self, value: int) -> int:
        raise SystemExit(value)


async def test_value_whose_writing_breaks_fails_the_step(bench: Bench) -> None:
    """9.5: whatever the code of a value raises."""

    @step
    async def leave(x: Any, ctx: StepContext) -> Raising:
        ctx.suspend(Raising())

    result = await bench.run(Workflow("w").then(leave).then(never).commit())

    assert (result.status, result.error_path) == ("failed", "leave")


async def test_result_of_an_item_step_is_asked_for_by_its_id(bench: Bench) -> None:
    """6: with the step it would be one item, and there is a list."""

    @step
    async def item(x: int) -> int:
        return x

    @step
    async def look(x: list[int], ctx: StepContext) -> Any:
        return await ctx.get_step_result(item if x[0] else "item")

    workflow = Workflow("w", input=list[int]).foreach(item).then(look).commit()
    by_step, by_id = await bench.run(workflow, [1]), await bench.run(workflow, [0])

    assert by_step.error is not None
    assert "output of 'item', which get_step_result('item') gives as JSON, is not valid" in by_step.error.message
    assert by_id.result == [0]


async def test_map_that_would_wait_for_the_loop_on_the_loop_fails(bench: Bench) -> None:
    """6, 9.5: `ctx.blocking` is for the threads of sync steps; elsewhere nothing in the process would go on."""
    result = await bench.run(Workflow("w").map(lambda ctx: ctx.blocking.get_init_data(), id="m").then(never).commit())

    assert result.error is not None
    assert (result.status, result.error_path, result.error.type) == ("failed", "m", "DoorError")


async def test_async_step_that_would_wait_for_the_loop_on_the_loop_fails(bench: Bench) -> None:
    """6, 9.5: the same in async bodies."""

    @step
    async def wait(x: Any, ctx: StepContext) -> Any:
        return ctx.blocking.get_step_result("wait")

    result = await bench.run(Workflow("w").then(wait).then(never).commit())

    assert result.error is not None
    assert (result.status, result.error_path, result.error.type) == ("failed", "wait", "DoorError")


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=_NAMES)
async def test_map_output_that_json_cannot_hold_fails_the_node(bench: Bench, value: Any) -> None:
    """5.9, 9.5: maps as well."""
    result = await bench.run(Workflow("w").map(lambda ctx: value, id="m").then(never).commit())

    assert (result.status, result.error_path) == ("failed", "m")


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=_NAMES)
async def test_state_that_json_cannot_hold_fails_the_step(bench: Bench, value: Any) -> None:
    """8.1, 9.5: patches."""

    @step
    async def patch(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"key": value})

    result = await bench.run(Workflow("w").then(patch).commit())

    assert (result.status, result.error_path) == ("failed", "patch")


async def test_self_containing_output_fails_the_step(bench: Bench) -> None:
    """5.9: a value without end is no JSON."""

    @step
    async def give(x: Any) -> Any:
        loop: list[Any] = []
        loop.append(loop)
        return loop

    result = await bench.run(Workflow("w").then(give).commit())

    assert (result.status, result.error_path) == ("failed", "give")


async def test_output_that_is_not_of_the_declared_type_fails_the_step(bench: Bench) -> None:
    """5.10: outputs are validated before they are recorded."""

    @step
    async def give(x: Any) -> Box:
        return {"size": "large"}  # type: ignore[return-value]

    result = await bench.run(Workflow("w").then(give).commit())

    assert result.error is not None
    assert (result.status, result.error_path) == ("failed", "give")
    assert "size" in result.error.message


class Total(TypedDict):
    sum: int


async def test_key_that_a_typed_dict_does_not_declare_fails_the_step(bench: Bench) -> None:
    """5.9, 5.10: nothing is lost silently."""

    @step
    async def add(x: Any) -> Total:
        return {"sum": 1, "rest": 2}  # type: ignore[typeddict-unknown-key]

    result = await bench.run(Workflow("w").then(add).commit())

    assert result.error is not None
    assert (result.status, result.error_path, result.error.type) == ("failed", "add", "OutputError")
    assert "rest: this key is not declared and would be lost" in result.error.message


async def test_key_that_the_state_or_input_does_not_declare_is_refused(bench: Bench) -> None:
    """2.3, 8.1: before anything is written, with its path; in a patch it fails the step."""

    @step
    async def patch(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"rest": 2})

    workflow = Workflow("w", input=Total, state=Total).then(patch).commit()
    async with bench.app(workflow) as app:
        with pytest.raises(InputError, match="input_data is not valid: rest: this key is not declared"):
            await begin(app, workflow, {"sum": 1, "rest": 2}, run_id="run", initial_state={"sum": 0})
        with pytest.raises(InputError, match="initial_state is not valid: rest: this key is not declared"):
            await begin(app, workflow, {"sum": 1}, run_id="run", initial_state={"sum": 0, "rest": 2})
        result = await (await begin(app, workflow, {"sum": 1}, run_id="run", initial_state={"sum": 0})).result()

    assert result.error is not None
    assert (result.error_path, "rest" in result.error.message) == ("patch", True)


async def test_input_of_a_nested_workflow_that_does_not_fit_fails_it(bench: Bench) -> None:
    """5.7, 9.5: in the graph between two nodes."""
    inner = Workflow("inner", input=Box).then(never).commit()

    result = await bench.run(Workflow("w").then(same).then(inner).commit(), {"size": "large"})

    assert result.error is not None
    assert (result.status, result.error_path, result.error.type) == ("failed", "inner", "InputError")


async def test_result_that_does_not_fit_the_workflow_fails_the_run(bench: Bench) -> None:
    """5.10, 9.5: the declared result holds."""
    result = await bench.run(Workflow("w", output=Box).then(same).commit(), {"size": "large"})

    assert result.error is not None
    assert (result.status, result.result) == ("failed", None)
    assert "size" in result.error.message


async def test_input_of_a_condition_that_does_not_fit_fails_the_run(bench: Bench) -> None:
    """9.5: a condition that declares its input gets nothing else."""

    def is_large(ctx: ReadContext[Box]) -> bool:
        return ctx.input.size > 5

    result = await bench.run(Workflow("w").then(same).branch([(is_large, never)], id="route").commit(), {"size": "x"})

    assert (result.status, result.error_path) == ("failed", "route?never")


@pytest.mark.parametrize("reducer", [Add, Max])
async def test_reducer_beyond_all_numbers_never_stops_the_engine(bench: Bench, reducer: Any) -> None:
    """9.5: reducers: the sum of two values that fit may be one that JSON cannot hold."""

    class Large(BaseModel):
        field: Annotated[float, reducer] = 0.0

    @step
    async def grow(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"field": 1e308})

    @step
    async def look(x: Any, ctx: StepContext) -> float:
        return ctx.state.field

    workflow = Workflow("w", state=Large).then(grow).then(grow.clone(id="more")).then(look).commit()

    result = await bench.run(workflow)

    assert (result.status, result.result) == ("success", sys.float_info.max if reducer is Add else 1e308)


@pytest.mark.parametrize("timeout", ["soon", math.nan, 1e300, timedelta.max, object()], ids=_TIMEOUT_NAMES)
async def test_suspension_timeout_that_is_none_fails_the_step(
    bench: Bench,
    timeout: Any,  # noqa: ASYNC109
) -> None:
    """7.7, 9.5: or a suspension for ever; never a fault of the engine."""

    @step
    async def ask(x: Any, ctx: StepContext) -> None:
        ctx.suspend(timeout=timeout)

    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow, drain=timedelta()) as app:
        result = await (await begin(app, workflow)).result(timeout=15)

    assert result.status in ("failed", "suspended")
    assert result.status == "suspended" or result.error_path == "ask"


async def test_body_that_wants_to_end_the_process_fails_its_step_only(bench: Bench) -> None:
    """9.5: nothing escapes: `sys.exit()` in a step is a failure of that step."""

    @step
    async def leave(x: Any) -> None:
        sys.exit(3)

    @step
    def leave_sync(x: Any) -> None:
        sys.exit(3)

    for body in (leave, leave_sync):
        result = await bench.run(Workflow("w").then(body).commit())
        assert result.error is not None
        assert (result.status, result.error.type) == ("failed", "SystemExit")


async def test_step_that_raises_stop_iteration(bench: Bench) -> None:
    """9.5: also the errors that Python itself treats in a special way."""

    @step
    def stop(x: Any) -> Any:
        return next(iter([]))

    result = await bench.run(Workflow("w").then(stop).commit())

    assert result.error is not None
    assert (result.status, result.error.type) == ("failed", "StopIteration")


async def test_cancelled_error_of_a_body_is_its_failure(bench: Bench) -> None:
    """21: a `CancelledError` that a body raises by itself is its failure."""

    @step
    async def cancel_itself(x: Any) -> None:
        raise asyncio.CancelledError("mine")

    result = await bench.run(Workflow("w").then(cancel_itself).commit())

    assert result.error is not None
    assert (result.status, result.error.type) == ("failed", "CancelledError")


async def test_generator_exit_of_a_body_is_its_failure(bench: Bench) -> None:
    """9.5: also what Python raises in a generator that it clears away, if a body raises it by itself."""

    @step
    async def give_up(x: Any) -> None:
        raise GeneratorExit("mine")

    @step
    def give_up_sync(x: Any) -> None:
        raise GeneratorExit("mine")

    for body in (give_up, give_up_sync):
        result = await bench.run(Workflow("w").then(body).commit())
        assert result.error is not None
        assert (result.status, result.error.type, result.error_path) == ("failed", "GeneratorExit", body.id)


async def test_exception_group_is_kept(bench: Bench) -> None:
    """9.4: what a task group raises."""

    async def fail() -> None:
        raise ValueError("in a group")

    @step
    async def grouped(x: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    result = await bench.run(Workflow("w").then(grouped).commit())

    assert result.error is not None
    assert result.error.type == "ExceptionGroup"
    assert "in a group" in result.error.traceback


class OwnError(BaseException):
    """What no author should derive from `BaseException`."""


def _raise_own(x: Any) -> Any:
    raise OwnError("own")


async def _raise_own_async(x: Any) -> Any:
    raise OwnError("own")


@pytest.mark.parametrize(
    "add",
    [
        lambda w: w.then(step(id="node")(_raise_own_async)),
        lambda w: w.then(step(id="node")(_raise_own)),
        lambda w: w.map(_raise_own, id="node"),
        lambda w: w.branch([(_raise_own, never)], id="node"),
    ],
    ids=["async", "sync", "map", "condition"],
)
async def test_base_exceptions_of_authors_are_failures_like_any_other(bench: Bench, add: Any) -> None:
    """9.5: nothing escapes, and nothing leaves the run behind without an outcome."""
    workflow = add(Workflow("w")).commit()
    async with bench.app(workflow, drain=timedelta()) as app:
        result = await (await begin(app, workflow)).result(timeout=30)

    assert result.error is not None
    assert (result.status, result.error.type, result.error.message) == ("failed", "OwnError", "own")
    assert result.error_path.startswith("node")


async def test_condition_that_gives_something_to_await_fails_the_run(bench: Bench) -> None:
    """9.5, 5.3: a forgotten `await` would count as true."""

    async def no() -> bool:
        return False

    result = await bench.run(Workflow("w").branch([(lambda ctx: no(), never)], id="route").commit())

    assert (result.status, result.error_path) == ("failed", "route?never")


async def test_step_that_gives_something_to_await_fails_with_what_to_do(bench: Bench) -> None:
    """9.5: also if a type is declared, with which a coroutine has nothing to do."""

    async def later(x: int) -> int:
        return x

    typed = step(id="typed")(lambda x: later(x))  # noqa: PLW0108 - not a coroutine function

    @step
    def declared(x: int) -> int:
        return later(x)  # type: ignore[return-value]

    for each in (typed, declared):
        result = await bench.run(Workflow("w", input=int).then(each).commit(), 1)

        assert result.error is not None
        assert "it gave something to await; make it `async def`, with `await`" in result.error.message


async def test_duration_that_is_still_to_be_awaited_fails_with_what_to_do(bench: Bench) -> None:
    """9.5, 11."""

    async def later() -> float:
        return 1.0

    result = await bench.run(Workflow("w").sleep(lambda ctx: later()).commit())

    assert result.error is not None
    assert "make it `async def`" in result.error.message


async def test_result_of_what_is_no_step_is_refused_with_what_to_name(bench: Bench) -> None:
    """6: the message says what names a step."""

    @step
    async def ask(x: int, ctx: StepContext) -> Any:
        return await ctx.get_step_result(x)  # type: ignore[call-overload]

    result = await bench.run(Workflow("w", input=int).then(ask).commit(), 5)

    assert result.error is not None
    assert (result.error.type, result.error.message) == (
        "InputError",
        "step is not valid: name a step by itself or by its id, not 5",
    )


async def test_step_that_never_returns_may_say_so(bench: Bench) -> None:
    """1.1: one that always suspends, bails or fails has no output to declare."""

    @step
    async def leave(x: int, ctx: StepContext) -> NoReturn:
        ctx.bail(x)

    result = await bench.run(Workflow("w", input=int, output=int).then(leave).commit(), 5)

    assert (result.status, result.result) == ("success", 5)


class UnreadableError(Exception):
    """An exception whose attributes cannot be read, by anybody."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def _raise_unreadable(x: Any) -> Any:
    raise UnreadableError("unreadable")


async def _raise_unreadable_async(x: Any) -> Any:
    raise UnreadableError("unreadable")


@pytest.mark.parametrize(
    "add",
    [
        lambda w: w.then(step(id="node")(_raise_unreadable_async)),
        lambda w: w.then(step(id="node")(_raise_unreadable)),
        lambda w: w.map(_raise_unreadable, id="node"),
        lambda w: w.branch([(_raise_unreadable, never)], id="node"),
    ],
    ids=["async", "sync", "map", "condition"],
)
async def test_exception_that_cannot_be_read_ends_the_run_all_the_same(bench: Bench, add: Any) -> None:
    """9.5: a body whose failure cannot be described is not left without an outcome, nor its run for ever running."""
    workflow = add(Workflow("w")).commit()
    async with bench.app(workflow, drain=timedelta()) as app:
        result = await (await begin(app, workflow)).result(timeout=30)

    assert result.error is not None
    assert (result.status, result.error.type, result.error.message) == ("failed", "UnreadableError", "unreadable")
