"""Going on elsewhere: rule 12.1, in the middle of each construct. No outcome twice, no question asked twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from eventually import eventually
from outlast import ReadContext, StepContext, Workflow, step

AT_ONCE = timedelta()


class Trace:
    """Counts what user code was called for, and holds the bodies that it is told to hold."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.held: set[str] = set()
        self.waiting: list[str] = []
        self.recovered: list[str] = []

    def step(self, id: str = "work") -> Any:
        @step(id=id)
        async def work(x: Any, ctx: StepContext) -> Any:
            self.calls[ctx.path] += 1
            if ctx.recovered:
                self.recovered.append(ctx.path)
            if ctx.path in self.held:
                self.waiting.append(ctx.path)
                await asyncio.Event().wait()
            return x + 1 if isinstance(x, int) else x

        return work

    def ask(self, id: str = "ask") -> Any:
        @step(id=id)
        async def ask(x: Any, ctx: StepContext) -> Any:
            self.calls[f"{ctx.path}!{ctx.resumed}"] += 1
            return ctx.resume_data if ctx.resumed else ctx.suspend()

        return ask

    def function(self, name: str, answer: Callable[[ReadContext[Any]], Any]) -> Any:
        def function(ctx: ReadContext[Any]) -> Any:
            self.calls[f"?{name}"] += 1
            return answer(ctx)

        return function

    async def hold(self, bench: Bench, workflow: Any, input_data: Any, *paths: str) -> None:
        """Run until these bodies are in flight, and leave without waiting for them."""
        self.held = set(paths)
        async with bench.app(workflow, drain=AT_ONCE) as app:
            await begin(app, workflow, input_data, run_id="run")
            await eventually(lambda: set(self.waiting) == set(paths))
        self.held = set()

    async def finish(self, bench: Bench, workflow: Any) -> Any:
        async with bench.app(workflow) as app:
            return await app.run("run").result(until="end", timeout=30)


async def assert_no_outcome_twice(bench: Bench) -> None:
    records = await bench.journal("run")
    ends = Counter(
        (record.path, record.attempt, record.type)
        for record in records
        if record.type in ("step-succeeded", "block-succeeded", "evaluated", "timer-fired", "run-finished")
    )
    assert [end for end, count in ends.items() if count > 1] == []
    assert [record.seq for record in records] == list(range(1, len(records) + 1))


async def test_step_in_flight_runs_again_and_knows_it(bench: Bench) -> None:
    """12.1: the step that was running runs again with `ctx.recovered`; what had ended does not."""
    trace = Trace()
    workflow = Workflow("w", input=int).then(trace.step("a")).then(trace.step("b")).then(trace.step("c")).commit()
    await trace.hold(bench, workflow, 0, "b")
    result = await trace.finish(bench, workflow)

    assert (result.result, result.steps["b"].attempts) == (3, 1)
    assert trace.calls == {"a": 1, "b": 2, "c": 1}
    assert trace.recovered == ["b"]
    await assert_no_outcome_twice(bench)


async def test_loop_goes_on_in_its_third_pass(bench: Bench) -> None:
    """12.1, 5.4: passes that ended are not made again, nor is the condition asked again."""
    trace = Trace()
    workflow = (
        Workflow("w", input=int)
        .dountil(trace.step(), trace.function("condition", lambda ctx: ctx.iteration_count == 5))
        .commit()
    )
    await trace.hold(bench, workflow, 0, "work#3")
    result = await trace.finish(bench, workflow)

    assert result.result == 5
    assert trace.calls == {"work#1": 1, "work#2": 1, "work#3": 2, "work#4": 1, "work#5": 1, "?condition": 5}
    await assert_no_outcome_twice(bench)


async def test_foreach_goes_on_with_the_items_that_are_left(bench: Bench) -> None:
    """12.1, 5.5: items that ended keep their outcome; the concurrency is not asked again."""
    trace = Trace()
    workflow = (
        Workflow("w", input=list[int])
        .foreach(trace.step(), id="each", concurrency=trace.function("concurrency", lambda ctx: 2))
        .commit()
    )
    await trace.hold(bench, workflow, list(range(6)), "each[2]", "each[4]")
    result = await trace.finish(bench, workflow)

    assert result.result == [1, 2, 3, 4, 5, 6]
    assert trace.calls == {
        **{f"each[{slot}]": 1 for slot in (0, 1, 3, 5)},
        "each[2]": 2,
        "each[4]": 2,
        "?concurrency": 1,
    }
    await assert_no_outcome_twice(bench)


async def test_branch_goes_on_without_asking_its_conditions_again(bench: Bench) -> None:
    """5.3: conditions are not evaluated again after a crash."""
    trace = Trace()
    cases = [
        (trace.function("first", lambda ctx: trace.calls["?first"] == 1), trace.step("a")),
        (trace.function("second", lambda ctx: trace.calls["?second"] == 1), trace.step("b")),
        (trace.function("third", lambda ctx: trace.calls["?third"] > 1), trace.step("c")),
    ]
    workflow = Workflow("w", input=int).branch(cases).commit()
    await trace.hold(bench, workflow, 0, "b")
    result = await trace.finish(bench, workflow)

    assert result.result == {"a": 1, "b": 1}
    assert trace.calls == {"?first": 1, "?second": 1, "?third": 1, "a": 1, "b": 2}
    await assert_no_outcome_twice(bench)


async def test_parallel_goes_on_with_the_children_that_are_left(bench: Bench) -> None:
    """12.1, 5.2: also nested ones."""
    trace = Trace()
    inner = Workflow("inner", input=int).then(trace.step("x")).then(trace.step("y")).commit()
    workflow = Workflow("w", input=int).parallel([trace.step("a"), inner, trace.step("b")]).commit()
    await trace.hold(bench, workflow, 0, "inner.y", "b")
    result = await trace.finish(bench, workflow)

    assert result.result == {"a": 1, "inner": 2, "b": 1}
    assert trace.calls == {"a": 1, "inner.x": 1, "inner.y": 2, "b": 2}
    await assert_no_outcome_twice(bench)


async def test_map_that_ended_is_not_called_again(bench: Bench) -> None:
    """12.1: maps are recorded like steps."""
    trace = Trace()
    workflow = (
        Workflow("w", input=int).map(trace.function("map", lambda ctx: ctx.input * 10)).then(trace.step()).commit()
    )
    await trace.hold(bench, workflow, 2, "work")
    result = await trace.finish(bench, workflow)

    assert result.result == 21
    assert trace.calls == {"?map": 1, "work": 2}


async def test_async_condition_in_flight_is_asked_again(bench: Bench) -> None:
    """12.1: an answer that was not recorded was not given."""
    calls, gate, is_holding = 0, asyncio.Event(), True

    async def slow(ctx: ReadContext[Any]) -> bool:
        nonlocal calls
        calls += 1
        if is_holding:
            await gate.wait()
        return True

    trace = Trace()
    workflow = Workflow("w", input=int).branch([(slow, trace.step())]).commit()
    async with bench.app(workflow, drain=AT_ONCE) as app:
        await begin(app, workflow, 1, run_id="run")
        await eventually(lambda: calls == 1)
    is_holding = False
    result = await trace.finish(bench, workflow)

    assert (result.result, calls) == ({"work": 2}, 2)
    await assert_no_outcome_twice(bench)


async def test_suspended_run_is_resumed_elsewhere(bench: Bench) -> None:
    """12.1, 7.2: what came before is not called again."""
    trace = Trace()
    workflow = Workflow("w", input=int).then(trace.step("a")).then(trace.ask()).then(trace.step("b")).commit()
    await bench.run(workflow, 0, run_id="run")
    async with bench.app(workflow) as app:
        before = await app.run("run").result()
        result = await app.run("run").resume(10)

    assert (before.status, result.result) == ("suspended", 11)
    assert trace.calls == {"a": 1, "ask!False": 1, "ask!True": 1, "b": 1}
    await assert_no_outcome_twice(bench)


async def test_resumed_step_in_flight_runs_again_with_its_resume_data(bench: Bench) -> None:
    """12.1, 7.2: resume data is recorded: nobody has to resume a second time."""
    seen: list[Any] = []
    is_holding = True

    @step
    async def ask(x: Any, ctx: StepContext) -> Any:
        if not ctx.resumed:
            ctx.suspend("payload")
        seen.append((ctx.resume_data, ctx.suspend_data, ctx.recovered))
        if is_holding:
            await asyncio.Event().wait()
        return ctx.resume_data

    workflow = Workflow("w").then(ask).commit()
    async with bench.app(workflow, drain=AT_ONCE) as app:
        started = await begin(app, workflow, run_id="run")
        await started.result()
        await started.resume_async("data", request_context={"a": 1})
        await eventually(lambda: seen)
    is_holding = False
    async with bench.app(workflow) as app:
        result = await app.run("run").result(until="end", timeout=30)

    assert result.result == "data"
    assert seen == [("data", "payload", False), ("data", "payload", True)]


async def test_suspended_items_are_resumed_elsewhere_one_by_one(bench: Bench) -> None:
    """12.1, 7.6: each resume in another process."""
    trace = Trace()
    workflow = Workflow("w", input=list[int]).foreach(trace.ask(), id="each", concurrency=3).commit()
    await bench.run(workflow, [1, 2, 3], run_id="run")
    result = None
    for index in (2, 0, 1):
        async with bench.app(workflow) as app:
            result = await app.run("run").resume(index * 10, step="each", index=index)

    assert result is not None
    assert result.result == [0, 10, 20]
    assert all(count == 1 for count in trace.calls.values())


async def test_suspension_timeout_counts_on_while_no_app_is_open(bench: Bench) -> None:
    """7.7, 11: due times are recorded."""
    clock = Clock()
    workflow = Workflow("w").wait_for("answer", timeout=timedelta(days=2), default="late").commit()
    async with bench.app(workflow, clock=clock) as app:
        await (await begin(app, workflow, run_id="run")).result()
    clock.offset += timedelta(days=1)
    async with bench.app(workflow, clock=clock) as app:
        before = await app.run("run").result()
    clock.offset += timedelta(days=1)
    async with bench.app(workflow, clock=clock) as app:
        result = await app.run("run").result(until="end", timeout=30)

    assert (before.status, result.result) == ("suspended", "late")


async def test_sleeping_run_wakes_up_elsewhere(bench: Bench) -> None:
    """12.1, 11: what came before is not called again."""
    trace, clock = Trace(), Clock()
    workflow = Workflow("w", input=int).then(trace.step("a")).sleep(3600).then(trace.step("b")).commit()
    async with bench.app(workflow, clock=clock) as app:
        started = await begin(app, workflow, 0, run_id="run")
        await eventually(lambda: _is(started, "waiting"))
    clock.offset += timedelta(hours=1)
    async with bench.app(workflow, clock=clock) as app:
        result = await app.run("run").result(timeout=30)

    assert (result.result, dict(trace.calls)) == (2, {"a": 1, "b": 1})
    await assert_no_outcome_twice(bench)


async def _is(handle: Any, status: str) -> bool:
    return bool(await handle.status() == status)


async def test_suspended_and_running_children_are_both_there_elsewhere(bench: Bench) -> None:
    """12.1: the running child runs again, the suspended one still waits."""
    trace = Trace()
    workflow = Workflow("w", input=int).parallel([trace.ask(), trace.step()]).commit()
    await trace.hold(bench, workflow, 0, "work")
    async with bench.app(workflow) as app:
        before = await app.run("run").result(timeout=30)
        result = await app.run("run").resume("data")

    assert (before.status, list(before.suspended)) == ("suspended", ["ask"])
    assert result.result == {"ask": "data", "work": 1}
    assert trace.calls == {"ask!False": 1, "ask!True": 1, "work": 2}


async def test_run_canceled_while_no_app_is_open_calls_nothing_again(bench: Bench) -> None:
    """10, 12.1: a step that was in flight is not run again only to be canceled."""
    trace = Trace()
    workflow = Workflow("w", input=int).then(trace.step()).commit()
    await trace.hold(bench, workflow, 0, "work")
    async with bench.app(workflow, worker=False) as app:
        await app.run("run").cancel()
    result = await trace.finish(bench, workflow)

    assert (result.status, dict(trace.calls)) == ("canceled", {"work": 1})


@pytest.mark.parametrize("passes", [1, 4])
async def test_each_pass_in_another_process(bench: Bench, passes: int) -> None:
    """12.1: recovery after recovery; attempts do not count up."""
    trace = Trace()
    workflow = Workflow("w", input=int).dountil(trace.step(), lambda ctx: ctx.iteration_count == passes + 1).commit()
    trace.held = {"work#1"}
    async with bench.app(workflow, drain=AT_ONCE) as app:
        await begin(app, workflow, 0, run_id="run")
        await eventually(lambda: trace.waiting == ["work#1"])
    for number in range(2, passes + 1):
        trace.held = {f"work#{number}"}
        async with bench.app(workflow, drain=AT_ONCE) as app:
            await eventually(lambda number=number: trace.waiting[-1] == f"work#{number}")
    trace.held = set()
    result = await trace.finish(bench, workflow)

    assert result.result == passes + 1
    assert {each.attempts for each in result.steps.values()} == {1}
    await assert_no_outcome_twice(bench)
