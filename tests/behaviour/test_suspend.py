"""Suspend and resume: rules 7.1 to 7.5 and 7.7, for one suspension at a time."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from behaviour.bench import Bench, begin, has_status, statuses
from eventually import eventually
from outlast import (
    InputError,
    ResumeConflictError,
    ResumeTargetError,
    RunNotFoundError,
    RunStateError,
    StartedRun,
    StepContext,
    Workflow,
    step,
)

SHORT = timedelta(milliseconds=20)


class Question(BaseModel):
    text: str
    options: list[str] = []


class Answer(BaseModel):
    approved: bool
    by: str = "nobody"


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend({"x": x})


@step(suspend=Question, resume=Answer)
async def approve(x: int, ctx: StepContext) -> str:
    if not ctx.resumed:
        ctx.suspend(Question(text=f"really {x}?"))
    return f"{type(ctx.resume_data).__name__} {ctx.resume_data.by} {type(ctx.suspend_data).__name__}"


@step
async def add_one(x: int) -> int:
    return x + 1


@step
async def never(x: Any) -> Any:
    raise AssertionError("a step ran that must not run")


ASK = Workflow("ask-once").then(ask).commit()
APPROVE = Workflow("approval", input=int).then(approve).commit()


# 7.1 suspending


def _plain(x: int, ctx: StepContext) -> Any:
    return ["resumed", ctx.resume_data] if ctx.resumed else ctx.suspend({"x": x})


async def _without_await(x: int, ctx: StepContext) -> Any:
    return _plain(x, ctx)


async def _with_await(x: int, ctx: StepContext) -> Any:
    return ["resumed", ctx.resume_data] if ctx.resumed else await ctx.suspend({"x": x})


@pytest.mark.parametrize("body", [_plain, _without_await, _with_await])
async def test_suspend_ends_the_call_and_resume_calls_the_body_again(bench: Bench, body: Any) -> None:
    """7.1, 7.2: in `def` and `async def`, with and without `await`."""
    workflow = Workflow("w", input=int).then(step(id="body")(body)).commit()

    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 3)
        first = await started.result()
        second = await started.resume("go")

    assert (first.status, list(first.suspended), dict(first.suspend_payload)) == (
        "suspended",
        ["body"],
        {"body": {"x": 3}},
    )
    assert (second.status, second.result) == ("success", ["resumed", "go"])


@pytest.mark.parametrize("payload", [None, 0, "", [], {}, [1, {"a": None}], "text", 1.5, True], ids=repr)
async def test_suspend_payload_may_be_any_json(bench: Bench, payload: Any) -> None:
    """7.1: the payload is told as it was given, and comes back as `ctx.suspend_data`."""

    @step
    async def tell(x: Any, ctx: StepContext) -> Any:
        return [ctx.suspend_data] if ctx.resumed else ctx.suspend(payload)

    workflow = Workflow("w").then(tell).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        first = await started.result()
        second = await started.resume()

    assert dict(first.suspend_payload) == {"tell": payload}
    assert second.result == [payload]


async def test_declared_types_of_payload_and_resume_data_are_those_the_body_sees(bench: Bench) -> None:
    """7.1, 7.2: payload and resume data are validated against, and decoded as, the declared types."""
    async with bench.app(APPROVE) as app:
        started = await begin(app, APPROVE, 3)
        first = await started.result()
        second = await started.resume({"approved": True, "by": "me"})

    assert dict(first.suspend_payload) == {"approve": {"text": "really 3?", "options": []}}
    assert second.result == "Answer me Question"


async def test_payload_that_does_not_fit_its_declared_type_fails_the_step(bench: Bench) -> None:
    """7.1: the payload is validated against the step's `suspend` type."""

    @step(suspend=Question)
    async def tell(x: int, ctx: StepContext) -> int:
        ctx.suspend({"text": 5})

    workflow = Workflow("w", input=int).then(tell).then(never).commit()

    result = await bench.run(workflow, 1)

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "OutputError", "tell")
    assert "text" in result.error.message


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_the_body_raises_or_returns_after_suspending_does_not_count(bench: Bench, is_async: bool) -> None:
    """7.1: whatever the body then raises or returns, the step is suspended."""

    def swallow(mode: str, ctx: StepContext) -> str:
        if ctx.resumed:
            return "done"
        try:
            ctx.suspend("asked")
        except BaseException:  # noqa: BLE001 - what authors must not do
            if mode == "raise":
                raise ValueError("not this") from None
        return "not this"

    async def swallow_async(mode: str, ctx: StepContext) -> str:
        return swallow(mode, ctx)

    body = step(id="swallow")(swallow_async if is_async else swallow)
    workflow = Workflow("w", input=str).then(body).commit()
    async with bench.app(workflow) as app:
        for mode in ("raise", "return"):
            started = await begin(app, workflow, mode)
            first = await started.result()
            assert (first.status, dict(first.suspend_payload)) == ("suspended", {"swallow": "asked"})
            assert (await started.resume()).result == "done"


@pytest.mark.parametrize("wish", ["suspend", "bail"])
async def test_async_body_that_goes_on_past_the_grace_period_fails(bench: Bench, wish: str) -> None:
    """7.1: a body that goes on past the grace period fails with `SignalSwallowedError`."""

    @step
    async def swallow(x: int, ctx: StepContext) -> int:
        try:
            getattr(ctx, wish)()
        except BaseException:  # noqa: BLE001 - what authors must not do
            await asyncio.Event().wait()
        return x

    workflow = Workflow("w", input=int, retries=3).then(swallow).commit()
    async with bench.app(workflow, grace=SHORT) as app:
        result = await (await begin(app, workflow, 1)).result()

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "SignalSwallowedError", "swallow")
    assert result.steps["swallow"].attempts == 1


@pytest.mark.parametrize("wish", ["suspend", "bail"])
async def test_sync_body_that_goes_on_past_the_grace_period_fails(bench: Bench, wish: str) -> None:
    """7.1: the same in a thread; what the thread does later counts for nothing."""
    release = threading.Event()

    @step
    def swallow(x: int, ctx: StepContext) -> int:
        try:
            getattr(ctx, wish)()
        except BaseException:  # noqa: BLE001 - what authors must not do
            release.wait(20)
        return x

    workflow = Workflow("w", input=int).then(swallow).commit()
    try:
        async with bench.app(workflow, grace=SHORT, drain=SHORT) as app:
            result = await (await begin(app, workflow, 1)).result(timeout=15)
    finally:
        release.set()

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "SignalSwallowedError", "swallow")


async def test_body_that_cleans_up_within_the_grace_period_is_suspended(bench: Bench) -> None:
    """7.1: `finally` blocks may take their time, up to the grace period."""
    gate = asyncio.Event()

    @step
    async def careful(x: int, ctx: StepContext) -> int:
        try:
            return x if ctx.resumed else ctx.suspend("asked")
        finally:
            await gate.wait()

    workflow = Workflow("w", input=int).then(careful).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await eventually(lambda: gate._waiters)  # noqa: SLF001 - the body has reached its clean-up
        status_before = await started.status()
        gate.set()
        result = await started.result()

    assert (status_before, result.status) == ("running", "suspended")


async def test_suspended_run_holds_no_memory_and_no_task(bench: Bench) -> None:
    """7.1: the run becomes `suspended`, holds no memory, task or thread."""
    async with bench.app(ASK) as app:
        await (await begin(app, ASK)).result()
        await eventually(lambda: not bench.live(app))
        before = len(asyncio.all_tasks())
        for _ in range(5):
            await (await begin(app, ASK)).result()
        await eventually(lambda: not bench.live(app))
        await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def test_suspended_step_is_read_with_what_it_told(bench: Bench) -> None:
    """17: steps show suspend payload, resume payload and both times."""
    async with bench.app(ASK) as app:
        started = await begin(app, ASK, 1)
        first = (await started.result()).steps["ask"]
        second = (await started.resume("data")).steps["ask"]

    assert (first.status, first.suspend_payload, first.ended_at, first.resumed_at) == (
        "suspended",
        {"x": 1},
        None,
        None,
    )
    assert (second.status, second.suspend_payload, second.resume_payload) == ("success", {"x": 1}, "data")
    assert first.suspended_at is not None
    assert second.suspended_at == first.suspended_at
    assert second.resumed_at is not None
    assert second.resumed_at >= first.suspended_at


async def test_why_says_what_a_suspended_run_waits_for(bench: Bench) -> None:
    """3.1: `why` says what it waits for."""

    @step
    async def labelled(x: Any, ctx: StepContext) -> Any:
        ctx.suspend(label="boss")

    workflow = Workflow("w").then(labelled).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        why = await started.why()

    assert "labelled" in why
    assert "boss" in why


# 7.2 resuming


async def test_null_resume_data_is_told_from_no_resume(bench: Bench) -> None:
    """21: `ctx.resumed` tells a resume with null data from no resume."""
    seen: list[Any] = []

    @step
    async def look(x: int, ctx: StepContext) -> int:
        seen.append((ctx.resumed, ctx.resume_data, ctx.suspend_data, ctx.timed_out))
        return x if ctx.resumed else ctx.suspend("payload")

    workflow = Workflow("w", input=int).then(look).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        result = await started.resume(None)

    assert result.status == "success"
    assert seen == [(False, None, None, False), (True, None, "payload", False)]


async def test_step_may_suspend_again(bench: Bench) -> None:
    """7.2: each suspension is one of its own, with its own payload and data."""
    seen: list[Any] = []

    @step
    async def twice(x: int, ctx: StepContext) -> list[Any]:
        seen.append((ctx.resume_data, ctx.suspend_data))
        if ctx.resume_data != "enough":
            ctx.suspend(len(seen))
        return seen

    workflow = Workflow("w", input=int).then(twice).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        results = [await started.result()]
        results.extend([await started.resume(data) for data in ("a", "b", "enough")])

    assert [dict(each.suspend_payload) for each in results] == [{"twice": 1}, {"twice": 2}, {"twice": 3}, {}]
    assert seen == [(None, None), ("a", 1), ("b", 2), ("enough", 3)]
    assert results[-1].steps["twice"].attempts == 1


async def test_body_gets_the_same_input_when_it_is_called_again(bench: Bench) -> None:
    """5.9: what a step receives is always decoded from what was recorded."""
    inputs: list[Any] = []

    @step
    async def spoil(x: list[int], ctx: StepContext) -> list[int]:
        inputs.append(list(x))
        x.append(99)
        return x if ctx.resumed else ctx.suspend()

    workflow = Workflow("w", input=list[int]).then(spoil).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1])
        await started.result()
        await started.resume()

    assert inputs == [[1], [1]]


async def test_resume_data_that_does_not_fit_is_refused_before_anything_is_written(bench: Bench) -> None:
    """7.2, 3.3: data is validated against the `resume` type first; the suspension is still open."""
    async with bench.app(APPROVE) as app:
        started = await begin(app, APPROVE, 1)
        await started.result()
        before = await bench.journal(started.run_id)
        with pytest.raises(InputError) as caught:
            await started.resume({"approved": "perhaps", "by": 5})
        after = await bench.journal(started.run_id)
        result = await started.resume({"approved": True})

    assert sorted(each.path for each in caught.value.problems) == ["approved", "by"]
    assert after == before
    assert result.status == "success"


@pytest.mark.parametrize("verb", ["resume", "resume_async"])
async def test_resume_data_that_is_not_json_is_refused(bench: Bench, verb: str) -> None:
    """7.2: also without a declared type."""
    async with bench.app(ASK) as app:
        started = await begin(app, ASK)
        await started.result()
        with pytest.raises(InputError):
            await getattr(started, verb)({"x": object()})

        assert (await started.resume(1)).result == 1


async def test_resume_from_an_app_that_does_not_drive_the_run(bench: Bench) -> None:
    """7.2: from any process."""
    async with bench.app(APPROVE) as worker, bench.app(APPROVE, worker=False) as other:
        started = await begin(worker, APPROVE, 1)
        await started.result()
        result = await other.run(started.run_id).resume(Answer(approved=True, by="afar"))

    assert result.result == "Answer afar Question"


async def test_resume_after_the_app_that_ran_it_is_gone(bench: Bench) -> None:
    """7.1, 7.2: it can wait for years; the body is called in the process that is there."""
    await bench.run(APPROVE, 1, run_id="run")

    async with bench.app(APPROVE) as app:
        result = await app.run("run").resume({"approved": True})

    assert result.result == "Answer nobody Question"


async def test_resume_of_an_unknown_run(bench: Bench) -> None:
    """21: an unknown id raises `RunNotFoundError`."""
    async with bench.app(ASK) as app:
        with pytest.raises(RunNotFoundError):
            await app.run("unknown").resume()


async def test_resume_of_a_finished_run(bench: Bench) -> None:
    """21: a verb that does not fit the run's status raises `RunStateError` with the status."""
    workflow = Workflow("w", input=int).then(add_one).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        with pytest.raises(RunStateError) as caught:
            await started.resume()

    assert (caught.value.verb, caught.value.status) == ("resume", "success")


async def test_resume_of_a_running_run(bench: Bench) -> None:
    """21: also of one in which nothing is suspended yet."""
    gate = asyncio.Event()

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    workflow = Workflow("w", input=int).then(hold).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await eventually(lambda: has_status(started, "running"))
        with pytest.raises(RunStateError) as caught:
            await started.resume()
        gate.set()
        await started.result()

    assert caught.value.status == "running"


async def test_request_context_of_resume_wins_and_stored_entries_fill_the_gaps(bench: Bench) -> None:
    """21: `resume(request_context=...)`: the caller's entries win, the stored ones fill gaps, also for later steps."""

    @step
    async def look(x: Any, ctx: StepContext) -> list[Any]:
        return [x, dict(ctx.request_context)]

    @step
    async def ask_with_context(x: Any, ctx: StepContext) -> dict[str, Any]:
        return dict(ctx.request_context) if ctx.resumed else ctx.suspend()

    workflow = Workflow("w").then(ask_with_context).then(look).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, request_context={"a": 1, "b": 1})
        await started.result()
        result = await started.resume(request_context={"b": 2, "c": 2})

    merged = {"a": 1, "b": 2, "c": 2}
    assert result.result == [merged, merged]


async def test_request_context_of_resume_is_kept_for_whoever_takes_the_run_next(bench: Bench) -> None:
    """21: and after a second suspension, in another process."""

    @step
    async def look(x: Any, ctx: StepContext) -> dict[str, Any]:
        return dict(ctx.request_context)

    workflow = Workflow("w").then(ask).then(ask.clone(id="again")).then(look).commit()
    await bench.run(workflow, run_id="run", request_context={"a": 1, "b": 1})
    async with bench.app(workflow) as app:
        await app.run("run").resume(request_context={"b": 2})
    async with bench.app(workflow) as app:
        result = await app.run("run").resume(step="again")

    assert result.result == {"a": 1, "b": 2}


async def test_state_set_before_suspending_is_kept(bench: Bench) -> None:
    """8.1: the merge is recorded with the outcome, also with a suspension."""

    @step
    async def note(x: int, ctx: StepContext) -> dict[str, Any]:
        if not ctx.resumed:
            ctx.set_state({"asked": x})
            ctx.suspend()
        ctx.set_state({"answered": ctx.resume_data})
        return ctx.plain_state

    workflow = Workflow("w", input=int).then(note).commit()
    await bench.run(workflow, 1, run_id="run")
    async with bench.app(workflow) as app:
        result = await app.run("run").resume(2)

    assert result.result == {"asked": 1, "answered": 2}


async def test_retry_policy_still_holds_after_a_resume(bench: Bench) -> None:
    """9.1: a resume does not reset attempts, and each attempt sees the resume data."""
    seen: list[tuple[int, Any]] = []

    @step(retries=2)
    async def flaky(x: int, ctx: StepContext) -> int:
        seen.append((ctx.attempt, ctx.resume_data))
        if len(seen) == 2:
            ctx.suspend()
        raise ValueError(len(seen))

    workflow = Workflow("w", input=int).then(flaky).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        first = await started.result()
        result = await started.resume("data")

    assert first.status == "suspended"
    assert (result.status, result.steps["flaky"].attempts) == ("failed", 3)
    assert seen == [(0, None), (1, None), (1, "data"), (2, "data")]


# races


@pytest.mark.parametrize("apps", [1, 2])
async def test_of_twenty_resumers_exactly_one_wins(bench: Bench, apps: int) -> None:
    """7.2: one suspension is resumed once: the loser of a race gets `ResumeConflictError`."""
    calls: list[Any] = []

    @step
    async def count(x: Any, ctx: StepContext) -> Any:
        if not ctx.resumed:
            ctx.suspend()
        calls.append(ctx.resume_data)
        return ctx.resume_data

    workflow = Workflow("w").then(count).commit()
    await bench.run(workflow, run_id="run")
    async with bench.app(workflow, worker=False) as first, bench.app(workflow, worker=False) as second:
        handles = [(first, second)[number % apps].run("run") for number in range(20)]
        attempts = [handle.resume_async(number) for number, handle in enumerate(handles)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    async with bench.app(workflow) as app:
        result = await app.run("run").result(until="end", timeout=10)

    winners = [number for number, each in enumerate(outcomes) if isinstance(each, StartedRun)]
    assert len(winners) == 1
    assert [type(each) for each in outcomes if isinstance(each, BaseException)] == [ResumeConflictError] * 19
    assert calls == winners == [result.result]


async def test_of_twenty_resumers_of_a_live_app_exactly_one_wins(bench: Bench) -> None:
    """7.2: the same while the run goes on under their feet; nobody is left waiting."""
    calls: list[Any] = []

    @step
    async def count(x: Any, ctx: StepContext) -> Any:
        if not ctx.resumed:
            ctx.suspend()
        calls.append(ctx.resume_data)
        return ctx.resume_data

    workflow = Workflow("w").then(count).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        attempts = [started.resume(number) for number in range(20)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        result = await started.result()

    losers = [each for each in outcomes if isinstance(each, BaseException)]
    assert len(losers) == 19
    assert {type(each) for each in losers} <= {ResumeConflictError, RunStateError}
    assert calls == [result.result]


async def test_late_resumer_of_an_old_suspension_does_not_resume_the_next_one(bench: Bench) -> None:
    """7.2: a suspension that was resumed cannot be resumed once more, also if the step suspended again."""

    @step
    async def twice(x: Any, ctx: StepContext) -> Any:
        return ctx.suspend("second" if ctx.resumed else "first") if ctx.suspend_data != "second" else ctx.resume_data

    workflow = Workflow("w").then(twice).commit()
    await bench.run(workflow, run_id="run")
    async with bench.app(workflow, worker=False) as app:
        outcomes = await asyncio.gather(
            *(app.run("run").resume_async(number) for number in range(5)), return_exceptions=True
        )
    async with bench.app(workflow) as app:
        result = await eventually(lambda: _suspended_with(app.run("run"), "second"))

    assert sum(isinstance(each, StartedRun) for each in outcomes) == 1
    assert result.status == "suspended"


async def _suspended_with(handle: Any, payload: Any) -> Any:
    result = await handle.snapshot()
    return result if payload in result.suspend_payload.values() else None


# 7.3 targets, for one suspension


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"step": ask},
        {"step": "ask"},
        {"step": ["ask"]},
        {"step": [ask]},
    ],
    ids=["alone", "object", "id", "list-of-id", "list-of-object"],
)
async def test_resume_by_each_form_of_target(bench: Bench, target: Any) -> None:
    """7.3: step (object, id or list), else the only suspended one."""
    async with bench.app(ASK) as app:
        started = await begin(app, ASK)
        await started.result()

        assert (await started.resume("data", **target)).result == "data"


@pytest.mark.parametrize(
    "target", [{"step": "other"}, {"label": "other"}, {"index": 0}, {"step": "ask", "index": 0}, {"step": "as"}]
)
async def test_unknown_target_is_an_error_that_lists_what_is_suspended(bench: Bench, target: Any) -> None:
    """7.3: an unknown label, step or index is an error, never a guess; it lists the suspended paths."""
    async with bench.app(ASK) as app:
        started = await begin(app, ASK)
        await started.result()
        before = await bench.journal(started.run_id)
        with pytest.raises(ResumeTargetError, match="'ask'"):
            await started.resume(**target)

        assert await bench.journal(started.run_id) == before


@pytest.mark.parametrize("target", [{"label": 5}, {"index": "0"}, {"index": True}, {"index": 0.0}])
async def test_target_of_another_type_is_refused(bench: Bench, target: Any) -> None:
    """7.3: an index that is a text is not taken for the number that it looks like."""
    workflow = Workflow("each", input=list[int]).foreach(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, [1])
        await started.result()
        before = await bench.journal(started.run_id)
        with pytest.raises(InputError, match=next(iter(target))):
            await started.resume(**target)

        assert await bench.journal(started.run_id) == before


async def test_label_and_step_must_both_fit(bench: Bench) -> None:
    """7.3: two targets that contradict each other are an error, never a guess."""

    @step
    async def labelled(x: Any, ctx: StepContext) -> Any:
        return 1 if ctx.resumed else ctx.suspend(label="boss")

    workflow = Workflow("w").parallel([labelled, ask]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        with pytest.raises(ResumeTargetError):
            await started.resume(step="ask", label="boss")


async def test_used_label_is_an_error(bench: Bench) -> None:
    """7.3: a label that was used resumes nothing else."""

    @step
    async def twice(x: Any, ctx: StepContext) -> Any:
        if not ctx.resumed:
            ctx.suspend(label="first")
        return ctx.resume_data if ctx.suspend_data == "again" else ctx.suspend("again", label="second")

    workflow = Workflow("w").then(twice).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        await started.resume(label="first")
        with pytest.raises(ResumeTargetError, match="second"):
            await started.resume(label="first")
        result = await started.resume("end", label="second")

    assert result.result == "end"


# 7.4 resume_async


async def test_resume_async_does_not_wait_for_the_step(bench: Bench) -> None:
    """7.4: `resume_async` is to `resume` what `start_async` is to `start`."""
    gate = asyncio.Event()

    @step
    async def hold(x: Any, ctx: StepContext) -> Any:
        if not ctx.resumed:
            ctx.suspend()
        await gate.wait()
        return ctx.resume_data

    workflow = Workflow("w").then(hold).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()
        again = await started.resume_async("data")
        status = await again.status()
        gate.set()
        result = await eventually(lambda: _ended(again))

    assert status in ("suspended", "running")
    assert (again.run_id, result.result) == (started.run_id, "data")


async def _ended(handle: Any) -> Any:
    result = await handle.snapshot()
    return result if result.status.is_terminal else None


async def test_result_after_resume_async_is_not_the_old_rest(bench: Bench) -> None:
    """2.6, 7.4: what the handle of `resume_async` waits for is the next rest, as with `start_async`."""
    async with bench.app(ASK) as app:
        started = await begin(app, ASK)
        await started.result()
        again = await started.resume_async("data")
        result = await again.result()

    assert (result.status, result.result) == ("success", "data")


async def test_resume_async_is_durable_when_it_returns(bench: Bench) -> None:
    """7.4, 3.1: the run goes on whenever a worker lives."""
    await bench.run(ASK, run_id="run")
    async with bench.app(ASK, worker=False) as app:
        await app.run("run").resume_async("data")

    async with bench.app(ASK) as app:
        result = await app.run("run").result(until="end", timeout=10)

    assert result.result == "data"


async def test_result_until_end_waits_through_suspensions(bench: Bench) -> None:
    """2.6: `result(until="end")` waits through suspensions."""
    workflow = Workflow("w").then(ask).then(ask.clone(id="again")).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        end = asyncio.create_task(started.result(until="end"))
        assert (await started.result()).status == "suspended"
        assert (await started.resume("first")).status == "suspended"
        is_waiting = not end.done()
        await started.resume("second")
        result = await end

    assert is_waiting
    assert (result.status, result.result) == ("success", "second")


async def test_result_with_a_timeout_leaves_a_suspended_run_untouched(bench: Bench) -> None:
    """2.6: waiting too long raises the builtin `TimeoutError` and leaves the run untouched."""
    async with bench.app(ASK) as app:
        started = await begin(app, ASK)
        await started.result()
        with pytest.raises(TimeoutError):
            await started.result(until="end", timeout=0.03)

        assert (await started.resume(1)).result == 1


# 7.5 wait_for


async def test_wait_for_gives_the_resume_data_to_the_next_node(bench: Bench) -> None:
    """7.5: `wait_for` suspends without user code before it; its output is the resume data."""

    @step
    async def use(answer: Answer) -> str:
        return answer.by

    workflow = (
        Workflow("w", input=int)
        .then(add_one)
        .wait_for("approval", resume=Answer, payload={"please": "approve"})
        .then(use)
        .commit()
    )
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        first = await started.result()
        with pytest.raises(InputError):
            await started.resume({"by": "me"}, step="approval")
        second = await started.resume({"approved": True, "by": "me"}, step="approval")

    assert dict(first.suspend_payload) == {"approval": {"please": "approve"}}
    assert second.result == "me"
    assert second.steps["approval"].output == {"approved": True, "by": "me"}


async def test_wait_for_with_default_goes_on_when_its_time_is_over(bench: Bench) -> None:
    """7.5, 7.7: `wait_for(default=...)` handles the timeout."""
    workflow = Workflow("w", input=int).wait_for("answer", resume=int, timeout=SHORT, default=7).then(add_one).commit()
    async with bench.app(workflow) as app:
        result = await (await begin(app, workflow, 1)).result(until="end", timeout=10)

    assert (result.result, result.steps["answer"].output) == (8, 7)


async def test_wait_for_with_default_null(bench: Bench) -> None:
    """7.5: null is a default like any other."""
    workflow = Workflow("w").wait_for("answer", timeout=SHORT, default=None).commit()
    async with bench.app(workflow) as app:
        result = await (await begin(app, workflow)).result(until="end", timeout=10)

    assert (result.status, result.result) == ("success", None)


async def test_wait_for_without_default_fails_when_its_time_is_over(bench: Bench) -> None:
    """7.7: a recorded `SuspensionTimeoutError`."""
    workflow = Workflow("w").wait_for("answer", timeout=SHORT).then(never).commit()
    async with bench.app(workflow) as app:
        result = await (await begin(app, workflow)).result(until="end", timeout=10)

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "SuspensionTimeoutError", "answer")


async def test_wait_for_resumed_in_time_does_not_time_out(bench: Bench) -> None:
    """7.7: the timeout ends with the suspension."""
    workflow = Workflow("w").wait_for("answer", timeout=3600, default="late").commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await started.result()

        assert (await started.resume("in time")).result == "in time"


# 7.7 timeouts of suspensions


async def test_body_is_called_with_timed_out_when_nobody_resumed_it_in_time(bench: Bench) -> None:
    """7.7, 21: after a suspension timeout the body runs with `ctx.timed_out`."""

    @step
    async def patient(x: Any, ctx: StepContext) -> Any:
        if not ctx.timed_out:
            ctx.suspend("anybody?", timeout=SHORT)
        return [ctx.resumed, ctx.resume_data, ctx.suspend_data, ctx.attempt]

    workflow = Workflow("w").then(patient).commit()
    async with bench.app(workflow) as app:
        result = await (await begin(app, workflow)).result(until="end", timeout=10)

    assert result.result == [False, None, "anybody?", 0]


async def test_step_that_suspends_again_after_its_timeout(bench: Bench) -> None:
    """7.7: `ctx.timed_out` is about the latest suspension only."""
    seen: list[tuple[bool, bool]] = []

    @step
    async def patient(x: Any, ctx: StepContext) -> Any:
        seen.append((ctx.timed_out, ctx.resumed))
        if not ctx.resumed:
            ctx.suspend(len(seen), timeout=None if ctx.timed_out else SHORT)
        return ctx.resume_data

    workflow = Workflow("w").then(patient).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await eventually(lambda: _suspended_with(started, 2))
        result = await started.resume("at last")

    assert result.result == "at last"
    assert seen == [(False, False), (True, False), (False, True)]


async def test_resume_and_timeout_race_for_one_suspension(bench: Bench) -> None:
    """7.2, 7.7: either the resumer wins or the timeout, never both, and nobody waits for ever."""
    calls: dict[str, int] = {}

    @step
    async def patient(x: Any, ctx: StepContext) -> str:
        if not ctx.resumed and not ctx.timed_out:
            ctx.suspend(timeout=0.01)
        calls[ctx.run_id] = calls.get(ctx.run_id, 0) + 1
        return "resumed" if ctx.resumed else "timed out"

    workflow = Workflow("w").then(patient).commit()
    async with bench.app(workflow) as app:
        runs = [await begin(app, workflow) for _ in range(20)]

        async def resume(run: Any) -> bool:
            try:
                await run.resume()
            except (RunStateError, ResumeConflictError):
                return False
            return True

        won = await asyncio.gather(*(resume(run) for run in runs))
        results = [await run.result(until="end", timeout=10) for run in runs]

    assert all(result.status == "success" for result in results)
    assert set(calls.values()) == {1}
    assert all(result.result == "timed out" for result, is_won in zip(results, won, strict=True) if not is_won)


async def test_resuming_what_has_timed_out_is_an_error(bench: Bench) -> None:
    """7.7: the suspension has ended."""
    workflow = Workflow("w").wait_for("answer", timeout=SHORT, default=1).then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await eventually(lambda: _suspended_with(started, {"x": 1}))
        with pytest.raises(ResumeTargetError, match="'ask'"):
            await started.resume(step="answer")

    assert statuses(await bench_snapshot(bench, workflow, started.run_id)) == {"answer": "success", "ask": "suspended"}


async def bench_snapshot(bench: Bench, workflow: Any, run_id: str) -> Any:
    async with bench.app(workflow, worker=False) as app:
        return await app.run(run_id).snapshot()


async def test_step_may_resume_another_run(bench: Bench) -> None:
    """7.2: from any process, also from within a step of another run."""

    @step
    async def wake(run_id: str, ctx: StepContext) -> Any:
        return (await app.run(run_id).resume("woken")).result

    other = Workflow("other", input=str).then(wake).commit()
    async with bench.app(ASK, other) as app:
        started = await begin(app, ASK)
        await started.result()

        assert (await (await begin(app, other, started.run_id)).result(timeout=30)).result == "woken"


async def test_many_suspensions_one_after_the_other(bench: Bench) -> None:
    """7.2: the hundredth suspension is like the first."""

    @step
    async def often(x: Any, ctx: StepContext) -> Any:
        count = 0 if ctx.suspend_data is None else ctx.suspend_data + 1
        return count if count == 30 else ctx.suspend(count)

    workflow = Workflow("w").then(often).commit()
    async with bench.app(workflow) as app:
        result = await (started := await begin(app, workflow)).result()
        while result.status == "suspended":
            result = await started.resume()

    assert result.result == 30


@pytest.mark.parametrize("wish", ["suspend", "bail"])
async def test_signals_from_within_a_task_group_count(bench: Bench, wish: str) -> None:
    """7.1: the call is noted in the context, wherever in the body it is made; a task group wraps what it raises."""

    @step
    async def grouped(x: Any, ctx: StepContext) -> Any:
        async def leave() -> None:
            getattr(ctx, wish)("from a task")

        async with asyncio.TaskGroup() as group:
            group.create_task(leave())

    workflow = Workflow("w").then(grouped).commit()
    async with bench.app(workflow, drain=timedelta()) as app:
        result = await (await begin(app, workflow)).result(timeout=30)

    if wish == "suspend":
        assert (result.status, dict(result.suspend_payload)) == ("suspended", {"grouped": "from a task"})
    else:
        assert (result.status, result.result) == ("success", "from a task")


async def test_suspend_from_a_thread_that_the_body_waits_for(bench: Bench) -> None:
    """7.1: also in `asyncio.to_thread`."""

    @step
    async def elsewhere(x: Any, ctx: StepContext) -> Any:
        return "done" if ctx.resumed else await asyncio.to_thread(lambda: ctx.suspend("from a thread"))

    workflow = Workflow("w").then(elsewhere).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        first = await started.result(timeout=30)

        assert (first.status, (await started.resume()).result) == ("suspended", "done")


@pytest.mark.parametrize("label", [5, "\ud800", object()], ids=["number", "surrogate", "object"])
async def test_label_that_is_no_text_fails_the_step(bench: Bench, label: Any) -> None:
    """7.3, 9.5: never a fault of the engine."""

    @step
    async def labelled(x: Any, ctx: StepContext) -> None:
        ctx.suspend(label=label)

    workflow = Workflow("w").then(labelled).commit()
    async with bench.app(workflow, drain=timedelta()) as app:
        result = await (await begin(app, workflow)).result(timeout=30)

    assert (result.status, result.error_path) == ("failed", "labelled")
