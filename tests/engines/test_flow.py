"""How data flows and what a context gives: rules 5 and 6."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from engines.place import Place, one_step
from outlast import ReadContext, StepContext, Workflow, step
from outlast.trace import UNTRACED, attempt_trace, run_trace


class Order(BaseModel):
    id: int
    lines: list[str] = []


@step
async def add_one(x: int) -> int:
    return x + 1


@step
def double(x: int) -> int:
    return x * 2


@step
async def fail(x: int) -> int:
    raise ValueError(f"bad {x}")


async def test_step_gets_the_output_of_the_one_before_it(place: Place) -> None:
    """5.1: the next input is the previous output (the first: the validated workflow input)."""
    workflow = Workflow("w", input=int, output=int).then(add_one).then(double).then(add_one.clone(id="last")).commit()

    result = await place.run(workflow, "3")

    assert result.result == 9
    assert {path: (each.payload, each.output) for path, each in result.steps.items()} == {
        "add_one": (3, 4),
        "double": (4, 8),
        "last": (8, 9),
    }


async def test_parallel_gives_all_children_the_same_input_at_once(place: Place) -> None:
    """5.2: all children get the same input and start together; output is a dict in declaration order."""
    meeting = asyncio.Barrier(3)

    @step
    async def meet(x: int) -> int:
        await meeting.wait()
        return x

    workflow = Workflow("w", input=int).parallel([meet.clone(id=each) for each in ("c", "a", "b")]).commit()

    result = await place.run(workflow, 1)

    assert list(result.result.items()) == [("c", 1), ("a", 1), ("b", 1)]


async def test_parallel_awaits_all_and_fails_with_the_first_in_declaration_order(place: Place) -> None:
    """5.2: all are awaited even if one fails; the first failure in declaration order is the block's."""
    second_failed = asyncio.Event()

    @step
    async def slow_failure(x: int) -> int:
        await second_failed.wait()
        raise OSError("declared first")

    @step
    async def quick_failure(x: int) -> int:
        second_failed.set()
        raise ValueError("happened first")

    workflow = Workflow("w", input=int).parallel([add_one, slow_failure, quick_failure]).commit()
    result = await place.run(workflow, 1)

    assert result.error is not None
    assert (result.error.type, result.error_path) == ("OSError", "slow_failure")
    assert {path: str(each.status) for path, each in result.steps.items()} == {
        "add_one": "success",
        "slow_failure": "failed",
        "quick_failure": "failed",
    }


async def test_foreach_output_is_aligned_with_its_input(place: Place) -> None:
    """5.5: output is index-aligned, whatever ends first."""
    events = [asyncio.Event() for _ in range(4)]
    events[3].set()

    @step
    async def backwards(x: int) -> int:
        await events[x].wait()
        events[x - 1].set()
        return x * 10

    workflow = Workflow("w", input=list[int]).foreach(backwards, concurrency=4).commit()

    assert (await place.run(workflow, [0, 1, 2, 3])).result == [0, 10, 20, 30]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_foreach_keeps_a_rolling_window(place: Place, concurrency: int) -> None:
    """5.5: rolling window of `concurrency`."""
    running, most = 0, 0

    @step
    async def watch(x: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.002)
        running -= 1
        return x

    workflow = Workflow("w", input=list[int]).foreach(watch, concurrency=concurrency).commit()

    assert (await place.run(workflow, list(range(8)))).result == list(range(8))
    assert most == concurrency


async def test_foreach_over_nothing_gives_nothing(place: Place) -> None:
    """5.5: empty list gives `[]`."""
    workflow = Workflow("w", input=list[int]).foreach(add_one).commit()

    assert (await place.run(workflow, [])).result == []


async def test_foreach_starts_no_more_items_after_a_failure(place: Place) -> None:
    """5.5: start no more items, let running ones end, fail."""
    failed = asyncio.Event()

    @step
    async def second_fails(x: int) -> int:
        if x == 1:
            failed.set()
            raise ValueError("second")
        await failed.wait()
        return x

    workflow = Workflow("w", input=list[int]).foreach(second_fails, concurrency=2).commit()
    result = await place.run(workflow, [0, 1, 2, 3])

    assert result.error_path == "second_fails[1]"
    assert {path: str(each.status) for path, each in result.steps.items()} == {
        "second_fails": "failed",
        "second_fails[0]": "success",
        "second_fails[1]": "failed",
    }


async def test_nested_workflow_is_one_node_with_paths_under_it(place: Place) -> None:
    """5.7: a workflow used as a step is one node; its nodes have paths under it; its failure is the parent's."""
    inner = Workflow("inner", input=int).then(add_one).then(fail).commit()
    workflow = Workflow("w", input=int).then(inner).then(add_one.clone(id="never")).commit()

    result = await place.run(workflow, 1)

    assert (result.status, result.error_path) == ("failed", "inner.fail")
    assert {path: str(each.status) for path, each in result.steps.items()} == {
        "inner": "failed",
        "inner.add_one": "success",
        "inner.fail": "failed",
    }


async def test_steps_share_no_mutable_object(place: Place) -> None:
    """5.9: what a step receives is always decoded from what was recorded; no two steps share a mutable object."""
    kept: list[Any] = []

    @step
    async def spoil(order: Order, ctx: StepContext) -> Order:
        order.lines.append(ctx.path)
        kept.append(order)
        return order

    async def spoil_later() -> None:
        for order in kept:
            order.lines.append("too late")

    @step
    async def look(order: Order, ctx: StepContext) -> list[list[str]]:
        await spoil_later()
        first = await ctx.get_step_result("a")
        first["lines"].append("mine")
        init = await ctx.get_init_data()
        init.lines.append("mine")
        again = await ctx.get_step_result("a")
        return [order.lines, again["lines"], (await ctx.get_init_data()).lines]

    workflow = Workflow("w", input=Order).then(spoil.clone(id="a")).then(spoil.clone(id="b")).then(look).commit()
    given = Order(id=1)
    result = await place.run(workflow, given)

    assert result.result == [["a", "b"], ["a"], []]
    assert given.lines == []
    assert [result.steps[path].output for path in "ab"] == [
        {"id": 1, "lines": ["a"]},
        {"id": 1, "lines": ["a", "b"]},
    ]


async def test_parallel_children_and_items_get_objects_of_their_own(place: Place) -> None:
    """5.9: also when several nodes get the same recorded value."""

    @step
    async def spoil(lines: list[str], ctx: StepContext) -> int:
        lines.append(ctx.path)
        return len(lines)

    workflow = (
        Workflow("w", input=list[str])
        .parallel([spoil.clone(id="a"), spoil.clone(id="b")])
        .map(lambda ctx: [ctx.request_context["lines"]] * 3)
        .foreach(spoil, concurrency=3, id="each")
        .commit()
    )
    result = await place.run(workflow, ["x"], request_context={"lines": ["y"]})

    assert result.steps["a"].output == result.steps["b"].output == 2
    assert result.result == [2, 2, 2]


@pytest.mark.parametrize("is_async", [True, False])
async def test_step_context_has_every_field(place: Place, is_async: bool) -> None:
    """6: what a step can ask its context for."""
    seen: dict[str, Any] = {}

    def look(order: Order, ctx: StepContext) -> int:
        for name in ("run_id", "workflow_id", "resource_id", "path", "execution", "attempt", "input", "recovered"):
            seen[name] = getattr(ctx, name)
        seen.update(
            key=ctx.idempotency_key, context=dict(ctx.request_context), logger=ctx.logger.extra, trace=ctx.trace
        )
        return order.id

    async def look_async(order: Order, ctx: StepContext) -> int:
        return look(order, ctx)

    workflow = Workflow("w", input=Order).then(step(id="look")(look_async if is_async else look)).commit()
    await place.run(workflow, {"id": 5}, run_id="run", resource_id="mine", request_context={"a": [1]})

    trace = attempt_trace(run_trace("run", 0, UNTRACED), "run", 0, "look", call=(0, 0))
    assert seen == {
        "run_id": "run",
        "workflow_id": "w",
        "resource_id": "mine",
        "path": "look",
        "execution": 0,
        "attempt": 0,
        "input": Order(id=5),
        "recovered": False,
        "key": "run:look",
        "context": {"a": [1]},
        "trace": trace,
        "logger": {
            "run_id": "run",
            "workflow_id": "w",
            "path": "look",
            "trace_id": trace.trace_id,
            "span_id": trace.span_id,
        },
    }


async def test_request_context_cannot_be_changed_by_a_step(place: Place) -> None:
    """21: request context is read-only for steps."""

    @step
    async def spoil(x: int, ctx: StepContext) -> list[object]:
        tags: Any = ctx.request_context["tags"]
        try:
            tags.append("spoiled")
            ctx.request_context["new"] = 1  # type: ignore[index]
        except (TypeError, AttributeError):
            pass
        return [1]

    @step
    async def look(x: list[object], ctx: StepContext) -> dict[str, Any]:
        return dict(ctx.request_context)

    workflow = Workflow("w", input=int).then(spoil).then(look).commit()

    assert (await place.run(workflow, 1, request_context={"tags": ["a"]})).result == {"tags": ["a"]}


async def test_sync_step_asks_through_blocking(place: Place) -> None:
    """6: a sync step uses `ctx.blocking`."""

    @step
    def look(x: int, ctx: StepContext) -> list[Any]:
        blocking = ctx.blocking
        return [blocking.get_init_data(), blocking.get_step_result(add_one), blocking.get_step_result("look")]

    workflow = Workflow("w", input=int).then(add_one).then(look).commit()

    assert (await place.run(workflow, 1)).result == [1, 2, None]


async def test_getters_look_inside_the_nested_workflow(place: Place) -> None:
    """21: nested: `ctx.workflow_id` is the child's id, `ctx.path` the full path, getters look inside the child."""

    @step
    async def look(x: int, ctx: StepContext) -> list[Any]:
        results = [await ctx.get_step_result(each) for each in ("add_one", "double", "before", "inner")]
        return [ctx.workflow_id, ctx.path, await ctx.get_init_data(), *results]

    inner = Workflow("inner", input=int).then(add_one).parallel([double, look]).commit()
    workflow = Workflow("w", input=int).then(add_one.clone(id="before")).then(inner).commit()
    result = await place.run(workflow, 1)

    assert result.result["look"] == ["inner", "inner.look", 2, 3, None, None, None]


async def test_step_object_gives_the_declared_type(place: Place) -> None:
    """6: `get_step_result(step)` decodes; with an id it is plain JSON."""

    @step
    async def make(x: int) -> Order:
        return Order(id=x)

    @step
    async def look(order: Order, ctx: StepContext) -> list[str]:
        found = [await ctx.get_step_result(make), await ctx.get_step_result("make"), await ctx.get_init_data()]
        return [type(each).__name__ for each in found]

    workflow = Workflow("w", input=int).then(make).then(look).commit()

    assert (await place.run(workflow, 1)).result == ["Order", "dict", "int"]


async def test_getters_of_foreach_items_see_the_foreach_only_when_it_ended(place: Place) -> None:
    """6: None unless that step succeeded."""

    @step
    async def look(x: int, ctx: StepContext) -> list[Any]:
        return [ctx.path, await ctx.get_step_result("look"), await ctx.get_step_result("add_one")]

    @step
    async def after(items: list[list[Any]], ctx: StepContext) -> Any:
        return await ctx.get_step_result("look")

    workflow = (
        Workflow("w", input=int).then(add_one).map(lambda ctx: [ctx.input] * 2).foreach(look).then(after).commit()
    )

    assert (await place.run(workflow, 1)).result == [["look[0]", None, 2], ["look[1]", None, 2]]


async def test_failed_step_gives_none(place: Place) -> None:
    """6: None unless that step succeeded, also for a failed one."""
    seen: list[Any] = []
    failed = asyncio.Event()

    @step
    async def fails(x: int) -> int:
        failed.set()
        raise ValueError

    @step
    async def look(x: int, ctx: StepContext) -> int:
        await failed.wait()
        seen.append(await ctx.get_step_result("fails"))
        return x

    await place.run(Workflow("w", input=int).parallel([fails, look]).commit(), 1)

    assert seen == [None]


@pytest.mark.parametrize("is_async", [True, False])
async def test_map_has_the_reading_half(place: Place, is_async: bool) -> None:
    """6: maps are plain sync or async functions of one context with the reading half."""

    def read(ctx: ReadContext[int]) -> list[Any]:
        return [ctx.input, ctx.path, ctx.run_id, ctx.workflow_id, dict(ctx.request_context)]

    async def read_async(ctx: ReadContext[int]) -> list[Any]:
        return [*read(ctx), await ctx.get_init_data(), await ctx.get_step_result(add_one)]

    workflow = Workflow("w", input=int).then(add_one).map(read_async if is_async else read, id="m").commit()
    result = await place.run(workflow, 1, run_id="run", request_context={"a": 1})

    assert result.result == [2, "m", "run", "w", {"a": 1}, *([1, 2] if is_async else [])]


async def test_step_without_input_ignores_what_came_before(place: Place) -> None:
    """1.1: the first parameter is the input (none is fine)."""

    @step
    async def nothing() -> str:
        return "nothing"

    @step
    def only_context(ctx: StepContext) -> str:
        return ctx.path

    workflow = Workflow("w", input=int).then(nothing).then(only_context).commit()

    assert (await place.run(workflow, 1)).result == "only_context"


async def test_context_variables_do_not_leak_between_steps(place: Place) -> None:
    """9.3: bodies run under a copied context."""
    variable = contextvars.ContextVar("variable", default="unset")

    @step
    async def set_async(x: int) -> list[str]:
        variable.set("async")
        return [variable.get()]

    @step
    def set_sync(x: list[str]) -> list[str]:
        before = variable.get()
        variable.set("sync")
        return [*x, before]

    @step
    async def look(x: list[str]) -> list[str]:
        return [*x, variable.get()]

    workflow = (
        Workflow("w", input=int).then(set_async).then(set_sync).then(look).map(lambda ctx: [*ctx.input, variable.get()])
    ).commit()
    token = variable.set("outside")
    try:
        result = await place.run(workflow, 1)
    finally:
        variable.reset(token)

    assert result.result == ["async", "outside", "outside", "outside"]


async def test_sync_bodies_do_not_block_the_loop(place: Place) -> None:
    """9.3: sync bodies run in our own threads and never block the loop."""
    gate = threading.Event()

    @step
    def wait(x: int) -> str:
        assert gate.wait(10)
        return threading.current_thread().name

    @step
    async def open_gate(x: int) -> str:
        gate.set()
        return threading.current_thread().name

    result = await place.run(Workflow("w", input=int).parallel([wait, open_gate]).commit(), 1)

    assert result.result["wait"].startswith("outlast-body")
    assert result.result["open_gate"] == threading.current_thread().name


async def test_long_chain_of_nodes_ends(place: Place) -> None:
    """12.5: nothing in the engine is as deep as the graph is long."""
    builder: Any = Workflow("long", input=int, output=int)
    for number in range(300):
        builder = builder.map(lambda ctx: ctx.input + 1, id=f"m{number}")

    assert (await place.run(builder.commit(), 0)).result == 300


async def test_value_survives_exactly(place: Place) -> None:
    """5.9: a value that JSON can hold comes back as it was."""
    value = {"": [None, True, 0, -0.5, 1e300, 2**80, "\u0000\u2028\U0001f600", {"a": {}}, []]}

    @step
    async def give(x: dict[str, Any]) -> dict[str, Any]:
        return x

    assert (await place.run(one_step(give), value)).result == value
