"""Time travel: rules 12.3 and 21. A run that rests goes on from any node, with earlier results kept or given."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel

from behaviour.bench import Bench, begin, statuses
from eventually import eventually
from outlast import (
    InputError,
    OutputOptions,
    RunExistsError,
    RunNotFoundError,
    RunStateError,
    StartedRun,
    StepContext,
    Workflow,
    step,
)
from outlast.engines.capability import Capability

calls: Counter[str] = Counter()

pytestmark = pytest.mark.requires(Capability.REWINDING)


@pytest.fixture(autouse=True)
def fresh() -> None:
    calls.clear()


@step
async def add(x: int, ctx: StepContext) -> int:
    calls[ctx.path] += 1
    return x + 1


@step
async def double(x: int, ctx: StepContext) -> int:
    calls[ctx.path] += 1
    return x * 2


@step
async def look_back(x: Any, ctx: StepContext) -> dict[str, Any]:
    calls[ctx.path] += 1
    return {"input": x, "init": await ctx.get_init_data(), "add": await ctx.get_step_result(add)}


@step
async def ask(x: Any, ctx: StepContext) -> list[Any]:
    calls[ctx.path] += 1
    if not ctx.resumed:
        ctx.suspend({"ask": x})
    return [x, ctx.resume_data, ctx.suspend_data]


@step
async def look(x: Any, ctx: StepContext) -> Any:
    calls[ctx.path] += 1
    return await ctx.get_step_result(add)


LOOKING = Workflow("looking", input=int).then(add).then(look).commit()
CHAIN = Workflow("chain", input=int).then(add).then(double).then(look_back).commit()
CHILD = Workflow("child", input=int).then(add).then(double).commit()
NESTED = Workflow("nested", input=int).then(add.clone(id="before")).then(CHILD).then(add.clone(id="after")).commit()
EACH = Workflow("each", input=list[int]).foreach(CHILD, concurrency=2, id="items").commit()
POLL = Workflow("poll", input=int).dountil(double, lambda ctx: ctx.input > 50, id="poll").commit()
SIDES = Workflow("sides", input=int).parallel([add, double], id="both").then(ask).commit()
ROUTE = (
    Workflow("route", input=int)
    .branch([(lambda ctx: ctx.input > 5, add), (lambda ctx: ctx.input <= 5, double)], id="way")
    .map(lambda ctx: ctx.input, id="out")
    .commit()
)
ASKING = Workflow("asking", input=int).then(add).then(ask).then(look_back).commit()


async def test_target_and_what_follows_run_again_with_earlier_results_kept(bench: Bench) -> None:
    """12.3: from that node, earlier results kept."""
    async with bench.app(CHAIN) as app:
        started = await begin(app, CHAIN, 1)
        await started.result()

        result = await started.time_travel(double)

    assert (result.status, result.execution) == ("success", 1)
    assert result.result == {"input": 4, "init": 1, "add": 2}
    assert calls == {"add": 1, "double": 2, "look_back": 2}


async def test_changed_input_goes_to_the_target(bench: Bench) -> None:
    """12.3: `input_data` is what the target receives; the nodes before it keep their results."""
    async with bench.app(CHAIN) as app:
        started = await begin(app, CHAIN, 1)
        await started.result()

        result = await started.time_travel("double", input_data=50)

    assert result.result == {"input": 100, "init": 1, "add": 2}
    assert result.steps["double"].payload == 50


async def test_changed_input_of_the_first_node_is_the_input_of_the_run(bench: Bench) -> None:
    """5.1: the first node receives the workflow's input."""
    async with bench.app(CHAIN) as app:
        started = await begin(app, CHAIN, 1)
        await started.result()

        result = await started.time_travel(add, input_data=10)

    assert result.result == {"input": 22, "init": 10, "add": 11}
    assert result.input == 10
    assert result.steps["add"].payload == 10


async def test_given_outputs_win_over_recorded_ones(bench: Bench) -> None:
    """12.3: earlier results are kept or given: `context` maps path to output."""
    async with bench.app(CHAIN) as app:
        started = await begin(app, CHAIN, 1)
        await started.result()

        result = await started.time_travel("double", context={"add": 70})

    assert result.result == {"input": 140, "init": 1, "add": 70}
    assert (result.steps["add"].status, result.steps["add"].output) == ("success", 70)


@pytest.mark.parametrize("target", ["child.double", ["child", "double"], [CHILD, double]])
async def test_nested_target_can_be_named_in_several_ways(bench: Bench, target: Any) -> None:
    """7.3, 12.3: a dotted path, or a list of its parts: objects or ids."""
    async with bench.app(NESTED) as app:
        started = await begin(app, NESTED, 1)
        await started.result()

        result = await started.time_travel(target, input_data=10)

    assert (result.status, result.result) == ("success", 21)
    assert calls == {"before": 1, "child.add": 1, "child.double": 2, "after": 2}


async def test_target_in_an_item_leaves_the_others_alone(bench: Bench) -> None:
    """12.3: `each[3].resize` is one node of one item."""
    async with bench.app(EACH) as app:
        started = await begin(app, EACH, [1, 2, 3])
        await started.result()

        result = await started.time_travel("items[1].double", input_data=100)

    assert result.result == [4, 200, 8]
    assert {path for path, count in calls.items() if count > 1} == {"items[1].double"}


async def test_target_can_be_one_pass_of_a_loop(bench: Bench) -> None:
    """12.3: `poll#2` is the second pass; the first one is kept."""
    async with bench.app(POLL) as app:
        started = await begin(app, POLL, 10)
        await started.result()

        result = await started.time_travel("poll#2", input_data=5)

    assert (result.status, result.result) == ("success", 80)
    assert list(result.steps) == ["poll#1", "poll", "poll#2", "poll#3", "poll#4", "poll#5"]
    assert calls["poll#1"] == 1


async def test_target_can_be_a_child_of_a_block(bench: Bench) -> None:
    """12.3: siblings that ended well keep their results, also after a suspension behind the block."""
    async with bench.app(SIDES) as app:
        started = await begin(app, SIDES, 4)
        await started.result()

        result = await started.time_travel("double", input_data=50)

    assert (result.status, result.suspend_payload) == ("suspended", {"ask": {"ask": {"add": 5, "double": 100}}})
    assert calls == {"add": 1, "double": 2, "ask": 2}


async def test_target_child_of_a_branch_is_taken_and_its_siblings_are_not(bench: Bench) -> None:
    """12.3: conditions are not asked again; what the target's condition said does not count."""
    async with bench.app(ROUTE) as app:
        run = await app.create_run(ROUTE)
        never_ran = await run.time_travel(double, input_data=9)
        started = await begin(app, ROUTE, 1)
        await started.result()
        other = await started.time_travel(add, input_data=3)

    assert (never_ran.result, statuses(never_ran)) == ({"double": 18}, {"double": "success", "out": "success"})
    assert other.result == {"add": 4, "double": 2}


async def test_resume_data_is_handed_to_a_suspended_target(bench: Bench) -> None:
    """12.3: the target is called as if it had been resumed, with what it suspended with."""
    async with bench.app(ASKING) as app:
        started = await begin(app, ASKING, 1)
        await started.result()

        result = await started.time_travel(ask, resume_data="yes")

    assert result.status == "success"
    assert result.steps["ask"].output == [2, "yes", {"ask": 2}]
    assert result.execution == 1


async def test_time_travelled_run_can_be_suspended_and_resumed(bench: Bench) -> None:
    """12.3: a next execution is a run like any other; a suspension of an earlier one does not count for it."""
    async with bench.app(ASKING) as app:
        started = await begin(app, ASKING, 1)
        await started.result()
        again = await started.time_travel(add, input_data=10)

        result = await started.resume("yes")

    assert (again.status, again.suspended, again.suspend_payload) == ("suspended", ["ask"], {"ask": {"ask": 11}})
    assert result.steps["ask"].output == [11, "yes", {"ask": 11}]


async def test_wait_can_be_answered_by_time_travel(bench: Bench) -> None:
    """7.5, 12.3: the output of a wait is its resume data."""
    workflow = Workflow("w", input=int).wait_for("approve", resume=bool).map(lambda ctx: ctx.input, id="out").commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        with pytest.raises(InputError, match="resume_data"):
            await started.time_travel("approve", resume_data="perhaps")

        result = await started.time_travel("approve", resume_data=True)

    assert (result.status, result.result) == ("success", True)


async def test_run_that_never_ran_begins_at_the_target(bench: Bench) -> None:
    """12.3: also on a run that never ran. What came before is skipped, and nobody is told that it gave something."""
    async with bench.app(LOOKING) as app:
        run = await app.create_run(LOOKING, resource_id="me")

        result = await run.time_travel(look, input_data=7)

    assert (result.status, result.execution, result.resource_id) == ("success", 0, "me")
    assert statuses(result) == {"add": "skipped", "look": "success"}
    assert (result.input, result.steps["look"].payload, result.result) == (None, 7, None)
    assert calls == {"look": 1}


async def test_run_that_never_ran_tells_nobody_of_an_input(bench: Bench) -> None:
    """12.3: also on a run that never ran, whose workflow asks for its input: in a hook, in steps and around them."""
    told: list[object] = []
    child = Workflow("child", input=int).then(add).then(look_back).commit()
    workflow = Workflow("asking", input=int, on_start=lambda info: told.append(info.input)).then(add).then(child)
    workflow = workflow.map(lambda ctx: {**ctx.input, "x": 1}, id="more").then(look_back.clone(id="last")).commit()
    async with bench.app(workflow) as app:
        inside = await (await app.create_run(workflow)).time_travel("child.look_back", input_data=7)
        last = await (await app.create_run(workflow)).time_travel("last", input_data=8)

    assert (inside.status, inside.steps["child.look_back"].output) == (
        "success",
        {"input": 7, "init": None, "add": None},
    )
    assert (last.status, last.result) == ("success", {"input": 8, "init": None, "add": None})
    assert told == [None, None]


async def test_run_that_never_ran_takes_outputs_from_the_caller(bench: Bench) -> None:
    """12.3: earlier results given: then the target needs no input of its own."""
    async with bench.app(NESTED) as app:
        run = await app.create_run(NESTED)
        result = await run.time_travel("child.double", context={"before": 3, "child.add": 8})

    assert (result.status, result.result) == ("success", 17)


async def test_item_that_a_list_does_not_have_is_refused_also_on_a_run_that_never_ran(bench: Bench) -> None:
    """12.3: what is handed over for no item is never ignored; nothing is recorded."""
    workflow = Workflow("lists", input=int).map(lambda ctx: [1, 2], id="list").foreach(add, id="items").commit()
    async with bench.app(workflow) as app:
        run = await app.create_run(workflow)
        with pytest.raises(InputError, match="'items' has 3 items; there is none with index 3"):
            await run.time_travel("items[3]", input_data=1, context={"list": [7, 8, 9]})
        with pytest.raises(RunNotFoundError):
            await app.run(run.run_id).status()

        result = await run.time_travel("items[1]", input_data=1, context={"list": [7, 8]})

    assert (result.status, result.result) == ("success", [8, 2])


@pytest.mark.requires(Capability.PENDING_RECORDS)
async def test_recorded_run_that_never_ran_begins_at_the_target(bench: Bench) -> None:
    """2.1, 12.3: a run that was recorded to be started later may begin anywhere, once."""
    async with bench.app(NESTED) as app:
        run = await app.record_run(NESTED, run_id="mine")
        result = await (await app.create_run(NESTED, run_id="mine")).time_travel("child.double", input_data=2)
        with pytest.raises(RunExistsError):
            await run.start(input_data=1)

    assert (result.status, result.execution, result.result) == ("success", 0, 5)


async def test_known_id_of_a_run_travels_like_its_handle(bench: Bench) -> None:
    """12.3: `create_run` with the id of a run that ran is one more way to name it."""
    async with bench.app(CHAIN, NESTED) as app:
        started = await begin(app, CHAIN, 1)
        await started.result()

        run = await app.create_run(CHAIN, run_id=started.run_id)
        result = await run.time_travel("double")
        with pytest.raises(RunExistsError):
            await (await app.create_run(NESTED, run_id=started.run_id)).time_travel("after", input_data=1)

    assert (result.execution, calls["add"]) == (1, 1)


async def test_what_cannot_be_known_is_asked_for(bench: Bench) -> None:
    """12.3: a target whose input nobody gave is refused; nothing is recorded."""
    async with bench.app(CHAIN) as app:
        run = await app.create_run(CHAIN)
        for target in (add, double):
            with pytest.raises(InputError, match=r"nothing says what .* receives"):
                await run.time_travel(target)
        with pytest.raises(RunNotFoundError):
            await app.run(run.run_id).status()
        with pytest.raises(RunNotFoundError):
            await app.run(run.run_id).time_travel(add, input_data=1)


class Order(BaseModel):
    number: int


@pytest.mark.parametrize("context", [[1], "add", {5: 1}])
async def test_outputs_that_are_not_given_by_path_are_refused(bench: Bench, context: Any) -> None:
    """12.3: earlier results are given by the paths of their nodes."""
    async with bench.app(CHAIN) as app:
        with pytest.raises(InputError, match="context is not valid: outputs by path are needed"):
            await (await app.create_run(CHAIN)).time_travel(double, input_data=1, context=context)


async def test_everything_that_is_given_is_checked_first(bench: Bench) -> None:
    """2.3, 12.3: names each path; nothing is recorded."""

    class Notes(BaseModel):
        log: list[str] = []

    @step
    async def price(order: Order) -> int:
        return order.number

    workflow = Workflow("w", input=Order, state=Notes).then(price).then(add).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, Order(number=1))
        await started.result()
        before = await bench.journal(started.run_id)
        cases: list[tuple[Any, dict[str, Any], str]] = [
            ("nothing", {}, "no node of this run has the path 'nothing'; there are 'price', 'add'"),
            ("price.x", {}, "no node"),
            (7, {}, "name a step"),
            (price, {"input_data": {"number": "x"}}, "number"),
            (add, {"input_data": "x"}, "input_data"),
            (add, {"context": {"price": "x"}}, "context of 'price'"),
            (add, {"context": {"add": 1}}, "no node before the target has this path"),
            (add, {"initial_state": {"log": 5}}, "log"),
            (add, {"request_context": [1]}, "an object is needed"),
            (add, {"resume_data": float("nan")}, "resume_data"),
        ]
        for target, given, message in cases:
            with pytest.raises(InputError, match=message):
                await started.time_travel(target, **given)

    assert await bench.journal(started.run_id) == before


async def test_time_travel_is_refused_while_the_run_is_active(bench: Bench) -> None:
    """12.3: refused (`RunStateError`) while the run is active: running, asleep or pending."""
    entered, gate = asyncio.Event(), asyncio.Event()

    @step
    async def wait(x: int) -> int:
        entered.set()
        await gate.wait()
        return x

    workflow = Workflow("w", input=int).then(wait).commit()
    asleep = Workflow("asleep", input=int).sleep(3600).commit()
    async with bench.app(workflow, asleep) as app:
        running, sleeping = await begin(app, workflow, 1), await begin(app, asleep, 1)
        pending = await begin(app, workflow, 1, delay=3600)
        await entered.wait()
        await eventually(lambda: _is_asleep(sleeping))
        for run, status in ((running, "running"), (sleeping, "waiting"), (pending, "pending")):
            with pytest.raises(RunStateError) as refused:
                await run.time_travel("wait" if run is not sleeping else "sleep")
            assert refused.value.status == status
        gate.set()
        await running.result()


async def _is_asleep(run: StartedRun[Any]) -> bool:
    return await run.status() == "waiting"


async def test_of_several_that_travel_one_wins(bench: Bench) -> None:
    """12.3: the execution is opened once, also when two processes race; the others are told that the run is active."""
    async with bench.app(ASKING) as app, bench.app(ASKING) as other:
        started = await begin(app, ASKING, 1)
        await started.result()

        travels = [
            each.run(started.run_id).time_travel_async(add, input_data=n) for n in range(5) for each in (app, other)
        ]
        answers = await asyncio.gather(*travels, return_exceptions=True)
        result = await started.result()

    assert sum(not isinstance(each, BaseException) for each in answers) == 1
    assert all(isinstance(each, RunStateError) for each in answers if isinstance(each, BaseException))
    assert result.execution == 1


@pytest.mark.slow
async def test_race_of_a_resumption_and_a_time_travel_loses_neither(bench: Bench) -> None:
    """3.1, 7.2: whoever gets no error is obeyed: a resumption before the time travel, or a run that went on."""
    async with bench.app(ASKING) as app, bench.app(ASKING) as other:
        for _ in range(10):
            started = await begin(app, ASKING, 1)
            await started.result()
            answers = await asyncio.gather(
                app.run(started.run_id).resume_async("yes"),
                other.run(started.run_id).time_travel_async(ask, resume_data="travelled"),
                return_exceptions=True,
            )
            result = await started.result(until="end", timeout=10)
            has_travelled = not isinstance(answers[1], BaseException)
            assert result.status == "success"
            if isinstance(answers[0], BaseException):  # it came when the next execution was there already
                assert (type(answers[0]), has_travelled) == (RunStateError, True)
            assert result.execution == has_travelled
            assert result.steps["ask"].output[1] == ("travelled" if has_travelled else "yes")


@pytest.mark.parametrize("is_resumed_before", [True, False])
async def test_resumption_of_a_run_that_travelled_meanwhile_is_told_how_it_stands(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_resumed_before: bool
) -> None:
    """7.2, 12.3: it asks for an execution that is over, so nobody may believe that it was heard, nor that it lost."""
    async with bench.app(ASKING) as app:
        started = await begin(app, ASKING, 1)
        await started.result()
        engine, post = app.engine, app.engine.post

        async def post_too_late(run_id: str, **request: Any) -> bool:
            monkeypatch.setattr(engine, "post", post)
            if is_resumed_before:
                await app.run(run_id).resume("first")
            await app.run(run_id).time_travel(ask, resume_data="travelled")
            return await post(run_id, **request)

        monkeypatch.setattr(engine, "post", post_too_late)
        with pytest.raises(RunStateError, match="cannot resume while the run is success"):
            await started.resume_async("yes")
        result = await started.result()

    assert (result.execution, result.steps["ask"].output[1]) == (1, "travelled")


async def test_state_is_as_the_kept_nodes_left_it_or_as_it_is_given(bench: Bench) -> None:
    """8, 12.3: what forgotten nodes did to the state is forgotten with them."""

    def note(name: str) -> Any:
        @step(id=name)
        async def body(x: int, ctx: StepContext) -> int:
            ctx.set_state({"log": [*ctx.state.get("log", []), f"{name}{ctx.execution}"]})
            return x

        return body

    workflow = Workflow("w", input=int).then(note("a")).then(note("b")).then(note("c")).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1, output_options=OutputOptions(include_state=True))
        await started.result()
        kept = await started.time_travel("b")
        given = await started.time_travel("c", initial_state={"log": ["given"]})

    assert kept.state == {"log": ["a0", "b1", "c1"]}
    assert given.state == {"log": ["given", "c2"]}


async def test_suspended_execution_stays_readable_as_it_was_left(bench: Bench) -> None:
    """12.3: an execution that rested when the next one began is read as it was then."""
    async with bench.app(ASKING) as app:
        started = await begin(app, ASKING, 1)
        suspended = await started.result()
        await started.time_travel(ask, resume_data="yes")

        earlier = await started.result(execution=0)

    assert earlier.to_dict() == suspended.to_dict()
    assert (earlier.status, earlier.suspended) == ("suspended", ["ask"])


async def test_changed_graph_does_not_matter_to_a_run_that_has_its_own(bench: Bench) -> None:
    """12.5: a run keeps the graph that it was started on, and so do its later executions."""
    longer = Workflow("chain", input=int).then(add).then(double).then(add.clone(id="more")).then(look_back).commit()
    async with bench.app(CHAIN) as app:
        started = await begin(app, CHAIN, 1)
        await started.result()
    async with bench.app(longer) as app:
        handle = app.run(started.run_id)
        result = await handle.time_travel(double)
        with pytest.raises(InputError, match="no node of this run has the path 'more'"):
            await handle.time_travel("more")

    assert list(result.steps) == ["add", "double", "look_back"]
