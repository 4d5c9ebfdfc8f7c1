"""How a run flows through its graph: rules 5.2 to 5.6, 5.8, and what rule 21 settles about them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from behaviour.bench import Bench, begin, statuses
from eventually import eventually
from outlast import (
    DefinitionError,
    ReadContext,
    StepContext,
    Workflow,
    from_context,
    from_init,
    from_input,
    from_state,
    from_step,
    step,
    template,
    value,
)


@step
async def add_one(x: int) -> int:
    return x + 1


@step
def double(x: int) -> int:
    return x * 2


@step
async def fail(x: int) -> int:
    raise ValueError(f"bad {x}")


@step
async def never(x: Any) -> Any:
    raise AssertionError("a step ran that must not run")


async def has_ended(bench: Bench, path: str) -> bool:
    """Whether the outcome of a step of the run `run` is recorded."""
    return any(record.path == path and record.type != "step-started" for record in await bench.journal("run"))


class Crowd:
    """Counts who is inside; lets them go when told."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.gate = asyncio.Event()

    async def enter(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.gate.wait()
        self.inside -= 1


def say(flag: bool) -> Any:
    def condition(ctx: ReadContext[Any]) -> bool:
        return flag

    return condition


# 5.2 parallel


async def test_parallel_children_start_together_with_the_same_input(bench: Bench) -> None:
    """5.2: all children get the same input and start together; output is keyed by id in declaration order."""
    meeting = asyncio.Barrier(3)

    @step
    async def meet(x: int, ctx: StepContext) -> list[Any]:
        await meeting.wait()
        return [ctx.path, x]

    workflow = Workflow("w", input=int).parallel([meet.clone(id=each) for each in "bac"]).commit()

    result = await bench.run(workflow, 7)

    assert list(result.result.items()) == [("b", ["b", 7]), ("a", ["a", 7]), ("c", ["c", 7])]


async def test_parallel_with_limit_starts_no_more_than_that(bench: Bench) -> None:
    """5.2: option `limit=`."""
    crowd = Crowd()

    @step
    async def stay(x: int) -> int:
        await crowd.enter()
        return x

    workflow = Workflow("w", input=int).parallel([stay.clone(id=each) for each in "abcde"], limit=2).commit()

    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await eventually(lambda: crowd.inside == 2)
        crowd.gate.set()
        result = await started.result()

    assert list(result.result) == ["a", "b", "c", "d", "e"]
    assert crowd.most == 2


async def test_parallel_with_limit_runs_all_children_although_one_failed(bench: Bench) -> None:
    """5.2: all are awaited even if one fails; the block fails with the first failure in declaration order."""
    children = [add_one, fail.clone(id="first"), add_one.clone(id="c"), fail.clone(id="second")]
    workflow = Workflow("w", input=int).parallel(children, limit=1).then(never).commit()

    result = await bench.run(workflow, 1)

    assert (result.status, result.error_path) == ("failed", "first")
    assert statuses(result) == {"add_one": "success", "first": "failed", "c": "success", "second": "failed"}


async def test_parallel_of_workflows_keeps_their_paths_apart(bench: Bench) -> None:
    """5.7: a workflow used as a step is one node; its nodes have paths under it."""
    inner = Workflow("inner", input=int).then(add_one).then(double).commit()
    workflow = Workflow("w", input=int).parallel([inner, inner.clone(id="other"), add_one]).commit()

    result = await bench.run(workflow, 1)

    assert result.result == {"inner": 4, "other": 4, "add_one": 2}
    assert set(result.steps) >= {"inner.add_one", "inner.double", "other.add_one", "other.double", "add_one"}


# 5.3 branch


async def test_branch_runs_every_child_whose_condition_is_true_at_once(bench: Bench) -> None:
    """5.3: every child whose condition is true runs, concurrently; output keyed by child id."""
    meeting = asyncio.Barrier(2)

    @step
    async def meet(x: int) -> int:
        await meeting.wait()
        return x

    cases = [(say(True), meet.clone(id="a")), (say(False), never), (say(True), meet.clone(id="c"))]
    workflow = Workflow("w", input=int).branch(cases).commit()

    result = await bench.run(workflow, 5)

    assert list(result.result.items()) == [("a", 5), ("c", 5)]


async def test_branch_children_not_taken_are_absent(bench: Bench) -> None:
    """21: branch children not taken are absent."""
    workflow = Workflow("w", input=int).branch([(say(False), never), (say(True), add_one)], id="route").commit()

    result = await bench.run(workflow, 1)

    assert "never" not in result.steps


async def test_branch_with_no_true_condition_gives_an_empty_object(bench: Bench) -> None:
    """5.3: none true gives `{}`."""
    workflow = Workflow("w", input=int).branch([(say(False), never)]).commit()

    assert (await bench.run(workflow, 1)).result == {}


async def test_branch_conditions_see_the_input_of_the_branch(bench: Bench) -> None:
    """5.3: conditions see the same input."""
    seen: list[int] = []

    def small(ctx: ReadContext[int]) -> bool:
        seen.append(ctx.input)
        return ctx.input < 10

    async def big(ctx: ReadContext[int]) -> bool:
        seen.append(ctx.input)
        return ctx.input >= 10

    workflow = Workflow("w", input=int).then(double).branch([(small, never), (big, add_one)]).commit()

    assert (await bench.run(workflow, 20)).result == {"add_one": 41}
    assert seen == [40, 40]


async def test_branch_mode_first_takes_only_the_first_true_one(bench: Bench) -> None:
    """5.3: `mode="first"` takes only the first true one."""
    cases = [(say(False), never), (say(True), add_one), (say(True), never.clone(id="third"))]
    workflow = Workflow("w", input=int).branch(cases, mode="first").commit()

    assert (await bench.run(workflow, 1)).result == {"add_one": 2}


async def test_branch_mode_first_with_async_conditions(bench: Bench) -> None:
    """5.3: also when the conditions are async."""

    async def no(ctx: ReadContext[int]) -> bool:
        return False

    async def yes(ctx: ReadContext[int]) -> bool:
        return True

    cases = [(no, never), (yes, add_one), (yes, never.clone(id="third"))]
    workflow = Workflow("w", input=int).branch(cases, mode="first").commit()

    assert (await bench.run(workflow, 1)).result == {"add_one": 2}


@pytest.mark.parametrize("mode", ["all", "first"])
async def test_branch_condition_that_raises_fails_the_run_naming_the_condition(bench: Bench, mode: Any) -> None:
    """5.3: a condition that raises fails the run, naming the condition; no child runs."""

    def broken(ctx: ReadContext[int]) -> bool:
        raise LookupError("no such thing")

    cases = [(broken, never.clone(id="big")), (say(True), never)]
    workflow = Workflow("w", input=int).branch(cases, id="route", mode=mode).commit()

    result = await bench.run(workflow, 1)

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "LookupError", "route?big")


async def test_branch_awaits_all_taken_children_and_fails_with_the_first_failure(bench: Bench) -> None:
    """5.2, 5.3: as in parallel."""
    cases = [(say(True), add_one), (say(True), fail), (say(True), fail.clone(id="later"))]
    workflow = Workflow("w", input=int).branch(cases).then(never).commit()

    result = await bench.run(workflow, 1)

    assert (result.status, result.error_path) == ("failed", "fail")
    assert statuses(result) == {"add_one": "success", "fail": "failed", "later": "failed"}


async def test_branch_conditions_are_not_evaluated_again_after_a_suspension(bench: Bench) -> None:
    """5.3: conditions are not evaluated again after suspension."""
    asked = 0

    def once(ctx: ReadContext[int]) -> bool:
        nonlocal asked
        asked += 1
        return asked == 1

    @step
    async def ask(x: int, ctx: StepContext) -> int:
        return ctx.resume_data if ctx.resumed else ctx.suspend()

    workflow = Workflow("w", input=int).branch([(once, ask)]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        result = await started.resume(9)

    assert result.result == {"ask": 9}
    assert asked == 1


# 5.4 loops


async def test_dowhile_runs_at_least_once(bench: Bench) -> None:
    """5.4: the body runs at least once."""
    workflow = Workflow("w", input=int).dowhile(add_one, say(False)).commit()

    assert (await bench.run(workflow, 1)).result == 2


async def test_dowhile_goes_on_while_the_condition_is_true(bench: Bench) -> None:
    """5.4: its output feeds the next pass and the condition (`ctx.iteration_count` from 1)."""
    seen: list[tuple[int, int]] = []

    def below(ctx: ReadContext[int]) -> bool:
        seen.append((ctx.iteration_count, ctx.input))
        return ctx.input < 20

    workflow = Workflow("w", input=int).dowhile(double, below).commit()

    assert (await bench.run(workflow, 3)).result == 24
    assert seen == [(1, 6), (2, 12), (3, 24)]


async def test_dountil_goes_on_until_the_condition_is_true(bench: Bench) -> None:
    """5.4: `dountil`, here with an async condition."""

    async def enough(ctx: ReadContext[int]) -> bool:
        return ctx.iteration_count == 4

    workflow = Workflow("w", input=int).dountil(add_one, enough).commit()

    assert (await bench.run(workflow, 0)).result == 4


async def test_loop_has_a_record_per_pass_and_one_that_shows_the_last(bench: Bench) -> None:
    """21: loop passes are `id#1, id#2, ...` and the record `id` shows the last."""
    workflow = Workflow("w", input=int).dountil(add_one, lambda ctx: ctx.input >= 3, id="poll").commit()

    result = await bench.run(workflow, 0)

    assert {path: each.output for path, each in result.steps.items()} == {
        "poll": 3,
        "poll#1": 1,
        "poll#2": 2,
        "poll#3": 3,
    }


async def test_loop_over_max_iterations_fails_the_node(bench: Bench) -> None:
    """5.4, 21: `max_iterations` reached fails the node."""
    workflow = Workflow("w", input=int).dowhile(add_one, say(True), max_iterations=3, id="poll").commit()

    result = await bench.run(workflow, 0)

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "MaxIterationsError", "poll")
    assert result.steps["poll#3"].output == 3


async def test_loop_that_ends_with_its_last_allowed_pass_succeeds(bench: Bench) -> None:
    """5.4: the guard fails only a loop that wants to go on."""
    workflow = Workflow("w", input=int).dountil(add_one, lambda ctx: ctx.input == 3, max_iterations=3).commit()

    assert (await bench.run(workflow, 0)).result == 3


async def test_loop_condition_that_raises_fails_the_run(bench: Bench) -> None:
    """5.4: a raising condition fails the run."""

    def broken(ctx: ReadContext[int]) -> bool:
        raise LookupError("no such thing")

    workflow = Workflow("w", input=int).dountil(add_one, broken, id="poll").then(never).commit()

    result = await bench.run(workflow, 0)

    assert result.error is not None
    assert (result.status, result.error.type) == ("failed", "LookupError")
    assert result.error_path.startswith("poll")


async def test_loop_body_may_be_a_workflow(bench: Bench) -> None:
    """5.4, 5.7: the paths of its nodes name the pass."""
    inner = Workflow("inner", input=int).then(add_one).then(double).commit()
    workflow = Workflow("w", input=int).dountil(inner, lambda ctx: ctx.iteration_count == 2).commit()

    result = await bench.run(workflow, 0)

    assert result.result == 6
    assert {"inner#1.add_one", "inner#2.double"} <= set(result.steps)


async def test_failing_pass_fails_the_run_with_its_path(bench: Bench) -> None:
    """5.4, 9.5: no further pass begins and the condition is not asked."""

    @step
    async def second_fails(x: int) -> int:
        if x == 1:
            raise ValueError("second")
        return x + 1

    workflow = Workflow("w", input=int).dowhile(second_fails, say(True)).commit()

    result = await bench.run(workflow, 0)

    assert (result.status, result.error_path) == ("failed", "second_fails#2")


async def test_getters_see_only_what_has_ended_in_loop_and_branch(bench: Bench) -> None:
    """6: `get_step_result` is None unless that step succeeded."""

    @step
    async def look(x: int, ctx: StepContext) -> list[Any]:
        return [await ctx.get_step_result(each) for each in ("add_one", "double", "never")]

    workflow = (
        Workflow("w", input=int)
        .dountil(add_one, lambda ctx: ctx.input == 2)
        .branch([(say(True), double), (say(False), never)])
        .map(lambda ctx: 0)
        .then(look)
        .commit()
    )

    assert (await bench.run(workflow, 0)).result == [2, 4, None]


# 5.5 foreach


async def test_foreach_output_is_aligned_with_its_input(bench: Bench) -> None:
    """5.5: output is index-aligned, whatever ends first."""
    gates = [asyncio.Event() for _ in range(4)]
    gates[3].set()

    @step
    async def backwards(x: int) -> int:
        await gates[x].wait()
        gates[x - 1].set()
        return x * 10

    workflow = Workflow("w", input=list[int]).foreach(backwards, concurrency=4).commit()

    assert (await bench.run(workflow, [0, 1, 2, 3])).result == [0, 10, 20, 30]


async def test_foreach_has_one_record_and_one_per_item(bench: Bench) -> None:
    """21: a foreach has one record under its id (output = the list) and one per item `id[i]`."""
    workflow = Workflow("w", input=list[int]).foreach(double, id="each").commit()

    result = await bench.run(workflow, [1, 2])

    assert {path: (each.payload, each.output) for path, each in result.steps.items()} == {
        "each": ([1, 2], [2, 4]),
        "each[0]": (1, 2),
        "each[1]": (2, 4),
    }


async def test_foreach_over_an_empty_list_gives_an_empty_list(bench: Bench) -> None:
    """5.5: empty list gives `[]`, also with a concurrency function."""
    workflow = Workflow("w", input=list[int]).foreach(never, concurrency=lambda ctx: 2).commit()

    assert (await bench.run(workflow, [])).result == []


@pytest.mark.parametrize("is_async", [True, False])
async def test_foreach_concurrency_may_be_a_function(bench: Bench, is_async: bool) -> None:
    """5.5: rolling window of `concurrency` (int or function)."""
    crowd = Crowd()

    @step
    async def stay(x: int) -> int:
        await crowd.enter()
        return x

    def width(ctx: ReadContext[list[int]]) -> int:
        return len(ctx.input) // 2

    async def width_async(ctx: ReadContext[list[int]]) -> int:
        return width(ctx)

    workflow = Workflow("w", input=list[int]).foreach(stay, concurrency=width_async if is_async else width).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, list(range(6)))
        await eventually(lambda: crowd.inside == 3)
        crowd.gate.set()
        result = await started.result()

    assert result.result == list(range(6))
    assert crowd.most == 3


async def test_foreach_with_collect_runs_all_items_and_leaves_failures_in_their_slots(bench: Bench) -> None:
    """5.5, 21: a failed item under `collect` leaves `{"error": {...}}` in its slot."""

    @step
    async def odd_fails(x: int) -> int:
        if x % 2:
            raise ValueError(f"odd {x}")
        return x

    workflow = Workflow("w", input=list[int]).foreach(odd_fails, on_error="collect", concurrency=2).commit()

    result = await bench.run(workflow, [0, 1, 2, 3])

    assert result.status == "success"
    assert [result.result[0], result.result[2]] == [0, 2]
    assert [result.result[slot]["error"]["message"] for slot in (1, 3)] == ["odd 1", "odd 3"]
    assert statuses(result) == {
        "odd_fails": "success",
        "odd_fails[0]": "success",
        "odd_fails[1]": "failed",
        "odd_fails[2]": "success",
        "odd_fails[3]": "failed",
    }


async def test_slot_of_a_failed_item_holds_no_traceback(bench: Bench) -> None:
    """5.5, 9.4: more people read outputs than may see the code; the record of the item has all of it."""

    class Declined(Exception):  # noqa: N818 - the word of an author
        def __init__(self, amount: int) -> None:
            super().__init__(f"{amount} is too much")
            self.amount = amount

    @step
    async def pay(amount: int) -> int:
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise Declined(amount) from error

    workflow = Workflow("w", input=list[int]).foreach(pay, on_error="collect").commit()

    result = await bench.run(workflow, [7])

    error = {"type": "Declined", "message": "7 is too much", "path": "pay[0]", "attributes": {"amount": 7}}
    recorded = result.steps["pay[0]"].error
    assert result.result == [{"error": error}]
    assert recorded is not None
    assert "raise Declined(amount)" in recorded.traceback
    assert recorded.cause is not None


async def test_foreach_with_collect_over_workflows_leaves_their_failures(bench: Bench) -> None:
    """5.5: also when the failure is that of a node inside the item."""
    inner = Workflow("inner", input=int).then(add_one).then(fail).commit()
    workflow = Workflow("w", input=list[int]).foreach(inner, on_error="collect").commit()

    result = await bench.run(workflow, [1, 2])

    assert [each["error"]["message"] for each in result.result] == ["bad 2", "bad 3"]
    assert [each["error"]["path"] for each in result.result] == ["inner[0].fail", "inner[1].fail"]


async def test_foreach_with_collect_retries_each_item_first(bench: Bench) -> None:
    """5.5, 9.1: an item is collected only when no attempt is left."""

    @step(retries=1)
    async def flaky(x: int, ctx: StepContext) -> int:
        if x == 1 or ctx.attempt == 0:
            raise ValueError(x)
        return x

    workflow = Workflow("w", input=list[int]).foreach(flaky, on_error="collect").commit()

    result = await bench.run(workflow, [0, 1])

    assert result.result[0] == 0
    assert result.result[1]["error"]["type"] == "ValueError"
    assert [result.steps[f"flaky[{slot}]"].attempts for slot in (0, 1)] == [2, 2]


async def test_foreach_that_fails_starts_no_more_items_and_lets_running_ones_end(bench: Bench) -> None:
    """5.5: `on_error="fail"`: start no more items, let running ones end, fail."""

    @step
    async def second_fails(x: int) -> int:
        if x == 1:
            raise ValueError("second")
        await eventually(lambda: has_ended(bench, "each[1]"))
        return x

    workflow = Workflow("w", input=list[int]).foreach(second_fails, concurrency=2, id="each").commit()

    result = await bench.run(workflow, [0, 1, 2, 3], run_id="run")

    assert result.error_path == "each[1]"
    assert statuses(result) == {"each": "failed", "each[0]": "success", "each[1]": "failed"}


async def test_foreach_over_workflows_names_their_nodes_by_item(bench: Bench) -> None:
    """0: paths such as `each[3].resize`."""
    inner = Workflow("inner", input=int).then(add_one).commit()
    workflow = Workflow("w", input=list[int]).foreach(inner, id="each", concurrency=2).commit()

    result = await bench.run(workflow, [1, 2])

    assert result.result == [2, 3]
    assert {"each", "each[0]", "each[0].add_one", "each[1].add_one"} <= set(result.steps)


async def test_foreach_within_foreach(bench: Bench) -> None:
    """5.5, 5.7: items that are workflows with a foreach of their own."""
    inner = Workflow("inner", input=list[int]).foreach(double, id="cell", concurrency=2).commit()
    workflow = Workflow("w", input=list[list[int]]).foreach(inner, id="row", concurrency=2).commit()

    result = await bench.run(workflow, [[1, 2], [], [3]])

    assert result.result == [[2, 4], [], [6]]
    assert result.steps["row[0].cell[1]"].output == 4


def test_constant_concurrency_below_one_is_a_definition_error() -> None:
    """21: `concurrency` below 1: `DefinitionError` if constant."""
    with pytest.raises(DefinitionError, match="concurrency"):
        Workflow("w", input=list[int]).foreach(double, concurrency=0).commit()


# 5.6 map


async def test_map_makes_an_object_from_sources(bench: Bench) -> None:
    """5.6: all kinds of sources."""

    @step
    async def order(x: int, ctx: StepContext) -> dict[str, Any]:
        ctx.set_state({"level": {"now": 3}})
        return {"lines": [{"sku": "a"}, {"sku": "b"}], "total": x}

    workflow = (
        Workflow("w", input=int)
        .then(order)
        .map(
            {
                "fixed": value([1, {"a": None}]),
                "whole": from_input(),
                "sku": from_input("lines.1.sku"),
                "init": from_init(),
                "total": from_step(order, "total"),
                "level": from_state("level.now"),
                "tenant": from_context("tenant"),
                "text": template("${inputData.total} for ${requestContext.tenant}: ${steps.order.lines.0.sku}"),
            }
        )
        .commit()
    )

    result = await bench.run(workflow, 5, request_context={"tenant": "t1"})

    assert result.result == {
        "fixed": [1, {"a": None}],
        "whole": {"lines": [{"sku": "a"}, {"sku": "b"}], "total": 5},
        "sku": "b",
        "init": 5,
        "total": 5,
        "level": 3,
        "tenant": "t1",
        "text": "5 for t1: a",
    }


async def test_null_in_a_template_gives_empty_text(bench: Bench) -> None:
    """21: in a template null gives empty text."""
    workflow = Workflow("w", input=dict[str, Any]).map({"text": template("<${input.a}>")}).commit()

    assert (await bench.run(workflow, {"a": None})).result == {"text": "<>"}


async def test_map_from_the_step_of_the_branch_that_was_taken(bench: Bench) -> None:
    """5.6: `from_step` of several takes the first that has a result."""
    workflow = (
        Workflow("w", input=int)
        .branch([(say(False), never), (say(True), add_one)])
        .map({"got": from_step([never, add_one])})
        .commit()
    )

    assert (await bench.run(workflow, 1)).result == {"got": 2}


# 5.8 bail


@pytest.mark.parametrize("is_async", [True, False])
async def test_bail_in_a_plain_step_ends_the_workflow_with_success(bench: Bench, is_async: bool) -> None:
    """5.8: `bail(value)` in a plain step ends the workflow with success and that value."""

    def leave(x: int, ctx: StepContext) -> int:
        ctx.bail({"early": x})

    async def leave_async(x: int, ctx: StepContext) -> int:
        ctx.bail({"early": x})

    body = step(id="leave")(leave_async if is_async else leave)
    workflow = Workflow("w", input=int).then(body).then(never).commit()

    result = await bench.run(workflow, 1)

    assert (result.status, result.result) == ("success", {"early": 1})
    assert statuses(result) == {"leave": "bailed"}


@step
async def bail_at_two(x: int, ctx: StepContext) -> int:
    if x == 2:
        ctx.bail("bailed")
    return x + 1


async def test_bail_in_a_nested_workflow_ends_only_that_one(bench: Bench) -> None:
    """5.7, 5.8: `bail` in it ends only it."""
    inner = Workflow("inner", input=int).then(bail_at_two).then(never).commit()

    @step
    async def after(x: str) -> str:
        return f"after {x}"

    workflow = Workflow("w", input=int).then(inner).then(after).commit()

    result = await bench.run(workflow, 2)

    assert result.result == "after bailed"
    assert statuses(result) == {"inner": "success", "inner.bail_at_two": "bailed", "after": "success"}


async def test_bail_in_a_loop_body_ends_the_workflow(bench: Bench) -> None:
    """5.8: in a loop body it ends the workflow; the condition is not asked."""
    workflow = Workflow("w", input=int).dowhile(bail_at_two, say(True)).then(never).commit()

    result = await bench.run(workflow, 0)

    assert (result.status, result.result) == ("success", "bailed")
    assert result.steps["bail_at_two#3"].status == "bailed"


async def test_bail_in_a_foreach_item_ends_the_workflow_that_holds_the_foreach(bench: Bench) -> None:
    """5.8, 21: items in flight end, no more are started."""
    inner = Workflow("inner", input=list[int]).foreach(bail_at_two, id="each").then(never).commit()
    workflow = Workflow("w", input=list[int]).then(inner).commit()

    result = await bench.run(workflow, [0, 2, 4])

    assert (result.status, result.result) == ("success", "bailed")
    assert "inner.each[2]" not in result.steps
    assert result.steps["inner.each[1]"].status == "bailed"


async def test_bail_in_a_foreach_item_lets_items_in_flight_end(bench: Bench) -> None:
    """5.8: nothing that was started is left behind."""

    @step
    async def second_bails(x: int, ctx: StepContext) -> int:
        if x == 1:
            ctx.bail("out")
        await eventually(lambda: has_ended(bench, "each[1]"))
        return x

    workflow = Workflow("w", input=list[int]).foreach(second_bails, id="each", concurrency=3).then(never).commit()

    result = await bench.run(workflow, [0, 1, 2, 3], run_id="run")

    assert result.result == "out"
    assert [result.steps[f"each[{slot}]"].status for slot in range(3)] == ["success", "bailed", "success"]
    assert "each[3]" not in result.steps


async def test_bail_in_a_parallel_child_ends_that_child_only(bench: Bench) -> None:
    """5.8: in a parallel or branch child it ends that child only, with status `bailed`."""
    workflow = Workflow("w", input=int).parallel([bail_at_two, add_one]).commit()

    result = await bench.run(workflow, 2)

    assert result.result == {"bail_at_two": "bailed", "add_one": 3}
    assert statuses(result) == {"bail_at_two": "bailed", "add_one": "success"}


async def test_bail_in_a_branch_child_ends_that_child_only(bench: Bench) -> None:
    """5.8: and the run goes on with the value."""
    workflow = (
        Workflow("w", input=int)
        .branch([(say(True), bail_at_two), (say(True), add_one)])
        .map(lambda ctx: sorted(map(str, ctx.input.values())))
        .commit()
    )

    result = await bench.run(workflow, 2)

    assert result.result == ["3", "bailed"]
    assert result.steps["bail_at_two"].status == "bailed"


async def test_bail_value_that_is_not_the_declared_result_fails_the_run(bench: Bench) -> None:
    """5.10: outputs are validated against the declared type, also those of a bail."""

    @step
    async def leave(x: int, ctx: StepContext) -> int:
        ctx.bail("not a number")

    workflow = Workflow("w", input=int, output=int).then(leave).then(add_one).commit()

    result = await bench.run(workflow, 2)

    assert (result.status, result.result) == ("failed", None)


async def test_statuses_and_outputs_are_the_same_for_a_second_reader(bench: Bench) -> None:
    """3.4: what is read back later, and elsewhere, is what the first reader saw."""
    inner = Workflow("inner", input=int).dountil(add_one, lambda ctx: ctx.input > 3).commit()
    workflow = (
        Workflow("w", input=int)
        .then(inner)
        .branch([(say(True), double), (say(False), never)])
        .map({"items": from_step(double)})
        .commit()
    )
    first = await bench.run(workflow, 1, run_id="run")

    async with bench.app(workflow, worker=False) as app:
        second = await app.run("run").result()

    assert first == second


async def test_bail_in_a_workflow_that_is_an_item_ends_only_that_item(bench: Bench) -> None:
    """5.7, 5.8: `bail` in a nested workflow ends only it, also when it is an item, a pass or a child."""
    inner = Workflow("inner", input=int).then(bail_at_two).then(double).commit()
    workflow = (
        Workflow("w", input=list[int])
        .foreach(inner, id="each", concurrency=3)
        .map(lambda ctx: 2, id="two")
        .parallel([inner.clone(id="left"), add_one])
        .map({"child": from_input("left"), "items": from_step("each")})
        .commit()
    )

    result = await bench.run(workflow, [1, 2, 3])

    assert result.result == {"child": "bailed", "items": [4, "bailed", 8]}
    assert result.steps["each[1]"].status == "success"


async def test_bail_in_a_workflow_that_is_a_loop_body_ends_only_that_pass(bench: Bench) -> None:
    """5.7, 5.8: the bailed value is what the condition sees."""

    @step
    async def bail_with_number(x: int, ctx: StepContext) -> int:
        ctx.bail(x + 1)

    inner = Workflow("inner", input=int).then(bail_with_number).then(never).commit()
    workflow = Workflow("w", input=int).dountil(inner, lambda ctx: ctx.input == 3).commit()

    result = await bench.run(workflow, 0)

    assert (result.result, result.steps["inner#3"].status) == (3, "success")


async def test_bail_in_a_sync_item_while_another_is_suspended(bench: Bench) -> None:
    """5.8, 7.6: a bail ends the foreach; what was suspended in it waits for nobody any more."""

    @step
    async def ask_or_bail(x: int, ctx: StepContext) -> Any:
        return ctx.bail("out") if x == 2 else ctx.suspend()

    workflow = Workflow("w", input=list[int]).foreach(ask_or_bail, id="each", concurrency=3).then(never).commit()

    result = await bench.run(workflow, [1, 2, 3])

    assert (result.status, result.result, list(result.suspended)) == ("success", "out", [])


async def test_deep_mixture_of_blocks(bench: Bench) -> None:
    """5.1 to 5.8: blocks in blocks in blocks give what plain Python would give."""
    grow = Workflow("grow", input=int).dountil(add_one, lambda ctx: ctx.input % 5 == 0).commit()
    split = (
        Workflow("split", input=int)
        .branch([(lambda ctx: ctx.input % 2 == 0, grow), (lambda ctx: ctx.input % 3 == 0, double)])
        .map(lambda ctx: sum(ctx.input.values()))
        .commit()
    )
    rows = Workflow("rows", input=list[int]).foreach(split, concurrency=2).commit()
    workflow = (
        Workflow("w", input=list[int])
        .parallel([rows, rows.clone(id="again")])
        .map(lambda ctx: [sum(each) for each in ctx.input.values()])
        .foreach(add_one)
        .commit()
    )

    def expected(x: int) -> int:
        return (x // 5 * 5 + 5 if x % 2 == 0 else 0) + (x * 2 if x % 3 == 0 else 0)

    result = await bench.run(workflow, list(range(12)))

    assert result.result == [sum(map(expected, range(12))) + 1] * 2
