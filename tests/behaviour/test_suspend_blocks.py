"""Several suspensions at once: rules 7.3, 7.6 and 7.7 in parallel, branch, foreach, loops and nested workflows."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, begin, statuses
from eventually import eventually
from outlast import (
    InputError,
    ReadContext,
    ResumeConflictError,
    ResumeTargetError,
    RunStateError,
    StepContext,
    Workflow,
    step,
)


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return [x, ctx.resume_data] if ctx.resumed else ctx.suspend(ctx.path)


@step
async def add_one(x: int) -> int:
    return x + 1


@step
async def fail(x: int) -> int:
    raise ValueError(f"bad {x}")


@step
async def never(x: Any) -> Any:
    raise AssertionError("a step ran that must not run")


def always(ctx: ReadContext[Any]) -> bool:
    return True


CHILD = Workflow("child", input=int).then(add_one).then(ask).commit()
A_AND_B = Workflow("both", input=int).parallel([ask.clone(id="a"), ask.clone(id="b")]).commit()
EACH = Workflow("each-item", input=list[int]).foreach(ask, id="each", concurrency=9).commit()


# parallel and branch


async def test_parallel_waits_until_all_its_children_are_done(bench: Bench) -> None:
    """7.6: in parallel and branch the block waits until all its children are done."""
    workflow = Workflow("w", input=int).parallel([ask.clone(id="a"), add_one, ask.clone(id="b")]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        first = await started.result()
        second = await started.resume("for b", step="b")
        third = await started.resume("for a", step="a")

    assert (first.status, sorted(first.suspended)) == ("suspended", ["a", "b"])
    assert dict(first.suspend_payload) == {"a": "a", "b": "b"}
    assert statuses(first) == {"a": "suspended", "add_one": "success", "b": "suspended"}
    assert (second.status, list(second.suspended)) == ("suspended", ["a"])
    assert third.result == {"a": [1, "for a"], "add_one": 2, "b": [1, "for b"]}


async def test_run_with_a_suspended_and_a_running_child_is_running(bench: Bench) -> None:
    """4: something in flight comes first; the suspended child can be resumed meanwhile."""
    gate = asyncio.Event()

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    workflow = Workflow("w", input=int).parallel([hold, ask]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        before = await eventually(lambda: _suspended_at(started, "ask"))
        await started.resume_async("data")
        await eventually(lambda: _is_over(started, "ask"))
        gate.set()
        result = await started.result()

    assert before.status == "running"
    assert result.result == {"hold": 1, "ask": [1, "data"]}


async def _suspended_at(handle: Any, path: str) -> Any:
    result = await handle.snapshot()
    return result if path in result.suspended else None


async def _is_over(handle: Any, path: str) -> Any:
    step = (await handle.snapshot()).steps.get(path)
    return step is not None and step.status == "success"


def both_of(first: str, second: str) -> str:
    """A pattern for messages that list both, whichever came first."""
    return f"(?s)(?=.*{re.escape(first)})(?=.*{re.escape(second)})"


async def test_run_with_a_suspended_and_a_sleeping_child_is_waiting(bench: Bench) -> None:
    """4: then timers, then suspensions; a waiter does not take it for a rest."""
    sleeper = Workflow("sleeper", input=int).sleep(3600).commit()
    workflow = Workflow("w", input=int).parallel([sleeper, ask]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        result = await eventually(lambda: _suspended_at(started, "ask"))
        with pytest.raises(TimeoutError):
            await started.result(timeout=0.03)
        await started.resume_async("data")
        await eventually(lambda: _is_over(started, "ask"))

    assert result.status == "waiting"


async def test_without_a_target_several_suspensions_are_an_error_that_lists_them(bench: Bench) -> None:
    """7.3: several raise an error that lists the suspended paths; nothing is written."""
    async with bench.app(A_AND_B) as app:
        started = await begin(app, A_AND_B, 1)
        await started.result()
        before = await bench.journal(started.run_id)
        with pytest.raises(ResumeTargetError, match=both_of("'a'", "'b'")):
            await started.resume("data")

        assert await bench.journal(started.run_id) == before


async def test_labels_tell_parallel_children_apart(bench: Bench) -> None:
    """7.3: by label."""

    @step
    async def labelled(x: int, ctx: StepContext) -> Any:
        return ctx.resume_data if ctx.resumed else ctx.suspend(label=f"of-{ctx.path}")

    workflow = Workflow("w", input=int).parallel([labelled.clone(id="a"), labelled.clone(id="b")]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        await started.resume("for b", label="of-b")
        with pytest.raises(ResumeTargetError, match="'a'"):
            await started.resume("again", label="of-b")
        result = await started.resume("for a", label="of-a")

    assert result.result == {"a": "for a", "b": "for b"}


async def test_step_that_was_resumed_is_not_resumed_again(bench: Bench) -> None:
    """7.3: a step that is not suspended any more is an error, never a guess for the other one."""
    async with bench.app(A_AND_B) as app:
        started = await begin(app, A_AND_B, 1)
        await started.result()
        await started.resume(step="a")
        with pytest.raises(ResumeTargetError, match="'b'"):
            await started.resume(step="a")


async def test_both_children_resumed_at_the_same_moment(bench: Bench) -> None:
    """7.2: different suspensions of one run do not hinder each other."""
    async with bench.app(A_AND_B) as app:
        started = await begin(app, A_AND_B, 1)
        await started.result()
        await asyncio.gather(started.resume_async(1, step="a"), started.resume_async(2, step="b"))
        result = await started.result(until="end")

    assert result.result == {"a": [1, 1], "b": [1, 2]}


async def test_each_child_has_resume_data_of_its_own_type(bench: Bench) -> None:
    """7.2: data is validated against the `resume` type of the step that is meant."""

    @step(resume=int)
    async def number(x: int, ctx: StepContext) -> Any:
        return ctx.resume_data if ctx.resumed else ctx.suspend()

    @step(resume=list[str])
    async def texts(x: int, ctx: StepContext) -> Any:
        return ctx.resume_data if ctx.resumed else ctx.suspend()

    workflow = Workflow("w", input=int).parallel([number, texts]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        with pytest.raises(InputError):
            await started.resume(["a"], step=number)
        await started.resume(5, step=number)
        result = await started.resume(["a"], step=texts)

    assert result.result == {"number": 5, "texts": ["a"]}


async def test_children_beyond_the_limit_start_although_others_are_suspended_or_wait_for_their_turn(
    bench: Bench,
) -> None:
    """5.2, 7.6: with `limit=` all children get their turn in the end."""
    children = [ask.clone(id="a"), ask.clone(id="b"), ask.clone(id="c")]
    workflow = Workflow("w", input=int).parallel(children, limit=1).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        result = await started.result()
        for _ in range(3):
            if result.status == "suspended":
                result = await started.resume("data", step=result.suspended[0])

    assert result.result == {each: [1, "data"] for each in "abc"}


async def test_block_with_a_failure_and_a_suspension_fails(bench: Bench) -> None:
    """21: a block with a failure and a suspension fails; nothing stays suspended."""
    workflow = Workflow("w", input=int).parallel([ask, fail]).then(never).commit()

    result = await bench.run(workflow, 1)

    assert (result.status, result.error_path) == ("failed", "fail")
    assert list(result.suspended) == []
    assert result.steps["ask"].status != "suspended"


async def test_block_that_fails_while_one_child_is_suspended_and_others_run(bench: Bench) -> None:
    """5.2, 21: running children are awaited first."""
    gate = asyncio.Event()

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    workflow = Workflow("w", input=int).parallel([ask, fail, hold]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        before = await eventually(lambda: _failed_at(started, "fail"))
        gate.set()
        result = await started.result(until="end")

    assert before.status == "running"
    assert (result.status, result.error_path, result.steps["hold"].status) == ("failed", "fail", "success")


async def _failed_at(handle: Any, path: str) -> Any:
    result = await handle.snapshot()
    return result if path in result.steps and result.steps[path].status == "failed" else None


async def test_child_that_fails_after_its_resume_fails_a_block_whose_other_child_is_suspended(bench: Bench) -> None:
    """21: also when the failure comes later."""

    @step
    async def ask_and_fail(x: int, ctx: StepContext) -> int:
        if not ctx.resumed:
            ctx.suspend()
        raise ValueError("after all")

    workflow = Workflow("w", input=int).parallel([ask, ask_and_fail]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        result = await started.resume(step="ask_and_fail")

    assert (result.status, result.error_path, list(result.suspended)) == ("failed", "ask_and_fail", [])


async def test_branch_children_suspend_and_are_resumed_by_step(bench: Bench) -> None:
    """7.6: in parallel and branch the block waits until all its children are done."""
    cases: Any = [(always, ask.clone(id="a")), (lambda ctx: False, never), (always, ask.clone(id="b"))]
    workflow = Workflow("w", input=int).branch(cases).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        first = await started.result()
        await started.resume(1, step="a")
        result = await started.resume(2, step="b")

    assert sorted(first.suspended) == ["a", "b"]
    assert result.result == {"a": [1, 1], "b": [1, 2]}


# nested


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"step": "child.ask"},
        {"step": ["child", "ask"]},
        {"step": [CHILD, ask]},
        {"step": "child"},
        {"step": CHILD},
    ],
    ids=["alone", "dotted", "list-of-ids", "list-of-objects", "workflow-id", "workflow-object"],
)
async def test_nested_suspension_by_each_form_of_target(bench: Bench, target: Any) -> None:
    """7.3: step as dotted path or list; the workflow it is in is enough if it is the only one there."""
    workflow = Workflow("w", input=int).then(CHILD).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        first = await started.result()
        result = await started.resume("data", **target)

    assert list(first.suspended) == ["child.ask"]
    assert statuses(first) == {"child": "running", "child.add_one": "success", "child.ask": "suspended"} or statuses(
        first
    ) == {"child": "suspended", "child.add_one": "success", "child.ask": "suspended"}
    assert result.result == [2, "data"]


async def test_nested_workflow_id_is_not_enough_if_two_of_its_nodes_are_suspended(bench: Bench) -> None:
    """7.3: several raise an error that lists them."""
    workflow = Workflow("w", input=int).parallel([A_AND_B, ask]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        with pytest.raises(ResumeTargetError, match=both_of("both.a", "both.b")):
            await started.resume(step="both")
        await started.resume(1, step="both.a")
        await started.resume(2, step="both")
        result = await started.resume(3, step="ask")

    assert result.result == {"both": {"a": [1, 1], "b": [1, 2]}, "ask": [1, 3]}


async def test_same_step_at_the_top_and_nested_are_told_apart(bench: Bench) -> None:
    """7.3: a path names one node; the step object means the one at the top."""
    workflow = Workflow("w", input=int).parallel([ask, CHILD]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        await started.resume("top", step="ask")
        result = await started.resume("nested", step="child.ask")

    assert result.result == {"ask": [1, "top"], "child": [2, "nested"]}


async def test_deeply_nested_wait_is_resumed_with_data_of_its_type(bench: Bench) -> None:
    """7.2, 7.5: the declared type holds at any depth, also for a handle made from the id alone."""
    inner = Workflow("inner").wait_for("answer", resume=int).commit()
    middle = Workflow("middle").then(inner).commit()
    workflow = Workflow("w").then(middle).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        handle = app.run(started.run_id)
        with pytest.raises(InputError):
            await handle.resume("many", step="middle.inner.answer")
        result = await handle.resume(5, step=["middle", "inner", "answer"])

    assert result.result == 5


# loops


async def test_each_pass_of_a_loop_suspends_by_itself(bench: Bench) -> None:
    """5.4, 7.3: the path names the pass; the step names the one that is suspended."""
    workflow = Workflow("w").dountil(ask, lambda ctx: ctx.input[1] == "stop").commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        paths = [list((await started.result()).suspended)]
        paths.append(list((await started.resume("go", step=ask)).suspended))
        paths.append(list((await started.resume("go", step="ask#2")).suspended))
        with pytest.raises(ResumeTargetError):
            await started.resume("go", step="ask#2")
        result = await started.resume("stop")

    assert paths == [["ask#1"], ["ask#2"], ["ask#3"]]
    assert result.result[1] == "stop"


# foreach


async def test_foreach_without_index_resumes_all_suspended_items(bench: Bench) -> None:
    """7.6: `resume` without index resumes all suspended items with the same data."""
    async with bench.app(EACH) as app:
        started = await begin(app, EACH, [1, 2, 3])
        first = await started.result()
        result = await started.resume("all")

    assert sorted(first.suspended) == ["each[0]", "each[1]", "each[2]"]
    assert result.result == [[1, "all"], [2, "all"], [3, "all"]]


@pytest.mark.parametrize("target", [{"step": "each"}, {"label": None}, {"step": ["each"]}], ids=repr)
async def test_foreach_named_by_its_id_resumes_all_suspended_items(bench: Bench, target: Any) -> None:
    """7.3: the suspended items of one foreach count as one."""
    async with bench.app(EACH) as app:
        started = await begin(app, EACH, [1, 2])
        await started.result()

        assert (await started.resume("all", **target)).result == [[1, "all"], [2, "all"]]


async def test_foreach_with_an_index_resumes_only_that_item(bench: Bench) -> None:
    """7.6: with an index only that one."""
    async with bench.app(EACH) as app:
        started = await begin(app, EACH, [1, 2, 3])
        await started.result()
        second = await started.resume("one", step="each", index=1)
        third = await started.resume("zero", index=0)
        result = await started.resume("rest")

    assert sorted(second.suspended) == ["each[0]", "each[2]"]
    assert sorted(third.suspended) == ["each[2]"]
    assert result.result == [[1, "zero"], [2, "one"], [3, "rest"]]


async def test_item_named_by_its_path(bench: Bench) -> None:
    """7.3: an item has a path of its own."""
    async with bench.app(EACH) as app:
        started = await begin(app, EACH, [1, 2])
        await started.result()
        second = await started.resume("data", step="each[1]")

    assert sorted(second.suspended) == ["each[0]"]


@pytest.mark.parametrize("index", [2, -1, 99])
async def test_index_that_is_not_suspended_is_an_error(bench: Bench, index: int) -> None:
    """7.3: an index that is not suspended is an error, never a guess."""

    @step
    async def ask_small(x: int, ctx: StepContext) -> Any:
        return ctx.resume_data if ctx.resumed or x > 2 else ctx.suspend()

    workflow = Workflow("w", input=list[int]).foreach(ask_small, id="each", concurrency=9).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1, 2, 3])
        await started.result()
        with pytest.raises(ResumeTargetError, match=both_of("each[0]", "each[1]")):
            await started.resume(index=index)
        with pytest.raises(ResumeTargetError, match=both_of("each[0]", "each[1]")):
            await started.resume(step="each", index=index)


async def test_used_index_is_an_error(bench: Bench) -> None:
    """7.3: an item that was resumed is not suspended any more."""
    async with bench.app(EACH) as app:
        started = await begin(app, EACH, [1, 2])
        await started.result()
        await started.resume(index=0)
        with pytest.raises(ResumeTargetError, match=r"each\[1\]"):
            await started.resume(index=0)


async def test_index_is_that_of_the_foreach_not_of_one_further_out(bench: Bench) -> None:
    """7.6: with foreach in foreach, `index` alone never hits items of another level."""
    inner = Workflow("inner", input=list[int]).foreach(ask, id="cell", concurrency=9).commit()
    workflow = Workflow("w", input=list[list[int]]).foreach(inner, id="row", concurrency=9).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [[1], [2, 3]])
        first = await started.result()
        second = await started.resume("data", step="row[1].cell", index=0)

    assert sorted(first.suspended) == ["row[0].cell[0]", "row[1].cell[0]", "row[1].cell[1]"]
    assert sorted(second.suspended) == ["row[0].cell[0]", "row[1].cell[1]"]


async def test_different_steps_inside_the_items_are_not_one_suspension(bench: Bench) -> None:
    """7.3: two steps of one item, with types of their own, are several suspensions: an error, never a guess."""
    workflow = Workflow("w", input=list[int]).foreach(A_AND_B, id="each", concurrency=9).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1])
        await started.result()
        with pytest.raises(ResumeTargetError, match=both_of("each[0].a", "each[0].b")):
            await started.resume("data")


async def test_two_foreach_at_once_are_two_suspensions(bench: Bench) -> None:
    """7.3: only the items of one foreach count as one."""
    left = Workflow("left", input=list[int]).foreach(ask, id="each", concurrency=9).commit()
    workflow = Workflow("w", input=list[int]).parallel([left, left.clone(id="right")]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1, 2])
        await started.result()
        with pytest.raises(ResumeTargetError, match=r"left\.each.*right\.each"):
            await started.resume("data")
        await started.resume("l", step="left")
        result = await started.resume("r", step="right.each")

    assert result.result == {"left": [[1, "l"], [2, "l"]], "right": [[1, "r"], [2, "r"]]}


async def test_foreach_window_moves_on_when_items_are_resumed(bench: Bench) -> None:
    """5.5, 7.6: every item gets its turn, at most `concurrency` at a time."""
    workflow = Workflow("w", input=list[int]).foreach(ask, id="each", concurrency=2).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1, 2, 3, 4, 5])
        result = await started.result()
        rounds = [sorted(result.suspended)]
        while result.status == "suspended":
            result = await started.resume("data")
            rounds.append(sorted(result.suspended))

    assert rounds == [["each[0]", "each[1]"], ["each[2]", "each[3]"], ["each[4]"], []]
    assert result.result == [[number, "data"] for number in range(1, 6)]


async def test_items_taken_by_a_racing_call_are_skipped(bench: Bench) -> None:
    """7.6: items that a racing call took are skipped; the rest is resumed; each item counts once."""
    await bench.run(EACH, [1, 2, 3], run_id="run")
    async with bench.app(EACH, worker=False) as app:
        one = await app.run("run").resume_async("one", index=1)
        rest = await app.run("run").resume_async("all")
        with pytest.raises(ResumeConflictError):
            await app.run("run").resume_async("late")
    async with bench.app(EACH) as app:
        result = await app.run("run").result(until="end", timeout=10)

    assert (one.skipped, rest.skipped) == ((), ("each[1]",))
    assert result.result == [[1, "all"], [2, "one"], [3, "all"]]


async def test_result_of_a_resume_names_the_items_that_were_skipped(bench: Bench) -> None:
    """7.6: skipped and reported, in Python and on the wire."""
    await bench.run(EACH, [1, 2, 3], run_id="run")
    async with bench.app(EACH, worker=False) as app:
        await app.run("run").resume_async("one", index=1)
        waiting = asyncio.create_task(app.run("run").resume("all"))
        await eventually(lambda: bench.is_awaited(app))
        async with bench.app(EACH):
            result = await waiting

    assert (result.result, result.skipped) == ([[1, "all"], [2, "one"], [3, "all"]], ("each[1]",))
    assert result.to_dict()["skipped"] == ["each[1]"]


async def test_one_item_with_two_resumers_is_resumed_once(bench: Bench) -> None:
    """7.2: per item as well."""
    await bench.run(EACH, [1, 2], run_id="run")
    async with bench.app(EACH, worker=False) as app:
        attempts = [app.run("run").resume_async(number, index=0) for number in range(10)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)

    assert sorted(type(each).__name__ for each in outcomes) == ["ResumeConflictError"] * 9 + ["StartedRun"]


async def test_items_that_are_workflows_suspend_by_themselves(bench: Bench) -> None:
    """7.6: an item may be a workflow; its index is that of the item."""
    workflow = Workflow("w", input=list[int]).foreach(CHILD, id="each", concurrency=9).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1, 2, 3])
        first = await started.result()
        second = await started.resume("one", index=1)
        result = await started.resume("all")

    assert sorted(first.suspended) == [f"each[{slot}].ask" for slot in range(3)]
    assert sorted(second.suspended) == ["each[0].ask", "each[2].ask"]
    assert result.result == [[2, "all"], [3, "one"], [4, "all"]]


async def test_failing_item_ends_a_foreach_whose_others_are_suspended(bench: Bench) -> None:
    """5.5, 21: a block with a failure and a suspension fails."""

    @step
    async def ask_or_fail(x: int, ctx: StepContext) -> Any:
        if x == 2:
            raise ValueError("two")
        return ctx.resume_data if ctx.resumed else ctx.suspend()

    workflow = Workflow("w", input=list[int]).foreach(ask_or_fail, id="each", concurrency=9).commit()

    result = await bench.run(workflow, [1, 2, 3])

    assert (result.status, result.error_path, list(result.suspended)) == ("failed", "each[1]", [])


async def test_collecting_foreach_waits_for_its_suspended_items(bench: Bench) -> None:
    """5.5, 7.6: with `collect` a failure ends nothing."""

    @step
    async def ask_or_fail(x: int, ctx: StepContext) -> Any:
        if x == 2:
            raise ValueError("two")
        return ctx.resume_data if ctx.resumed else ctx.suspend()

    workflow = Workflow("w", input=list[int]).foreach(ask_or_fail, concurrency=9, on_error="collect").commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1, 2, 3])
        first = await started.result()
        result = await started.resume("data")

    assert len(first.suspended) == 2
    assert [result.result[0], result.result[2]] == ["data", "data"]
    assert result.result[1]["error"]["message"] == "two"


async def test_suspension_of_one_item_times_out_by_itself(bench: Bench) -> None:
    """7.7: a timeout is that of one suspension."""

    @step
    async def patient(x: int, ctx: StepContext) -> Any:
        if ctx.timed_out:
            return "timed out"
        if ctx.resumed:
            return ctx.resume_data
        return ctx.suspend(timeout=timedelta(milliseconds=20) if x == 1 else None)

    workflow = Workflow("w", input=list[int]).foreach(patient, id="each", concurrency=9).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1, 2])
        await eventually(lambda: _is_over(started, "each[0]"))
        result = await started.resume("data")

    assert result.result == ["timed out", "data"]


async def test_nothing_is_suspended_any_more_when_the_run_has_ended(bench: Bench) -> None:
    """21: a verb that does not fit the status raises `RunStateError`."""
    async with bench.app(EACH) as app:
        started = await begin(app, EACH, [1, 2])
        await started.result()
        await started.resume("all")
        with pytest.raises(RunStateError):
            await started.resume("all", index=0)
