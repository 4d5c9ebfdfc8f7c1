"""Scenarios for crashes at every commit: at least one for each kind of node, each way to wait and each way to end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Annotated, Any, cast

from pydantic import BaseModel

from crash.reference import ALL, add_one, double, hopeless, join, leave_effect, once_more, total
from outlast import (
    DELETE,
    Add,
    Append,
    CommittedWorkflow,
    Outlast,
    RateLimit,
    ReadContext,
    ResumeConflictError,
    ResumeTargetError,
    RunExistsError,
    RunHandle,
    RunResult,
    RunStateError,
    StepContext,
    Workflow,
    from_input,
    from_step,
    step,
    template,
)
from outlast.testing.crash import Scenario

__all__ = ["SCENARIOS"]


class Tally(BaseModel):
    """State whose fields are merged in every way."""

    count: Annotated[int, Add] = 0
    seen: Annotated[list[int], Append] = []
    last: int | None = None


@step
async def tally(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    ctx.set_state({"count": x, "seen": x, "last": x})
    return x


@step
async def report(xs: object, ctx: StepContext) -> list[int]:
    leave_effect(ctx, ctx.attempt)
    count, seen = ctx.state.count, sorted(ctx.state.seen)
    ctx.set_state({"last": DELETE})
    return [count, *seen]


@step(resume=int)
async def ask(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if not ctx.resumed:
        ctx.suspend({"asked": x}, label=f"ask-{x}")
    return x + int(ctx.resume_data)


@step
async def leave_early(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if x >= 3:
        ctx.bail(x * 100)
    return x + 1


@step
async def give_up(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    ctx.abort()


@step
async def odd_only(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if x % 2 == 0:
        raise ValueError(f"{x} is even")
    return x


@step
async def show(value: Any, ctx: StepContext) -> Any:
    leave_effect(ctx, ctx.attempt)
    return value


async def resume_with_five(run: RunHandle[Any]) -> None:
    while (await run.result()).status == "suspended":
        with suppress(ResumeConflictError, RunStateError):  # by the life before this one
            await run.resume_async(5)


async def resume_one_after_the_other(run: RunHandle[Any]) -> None:
    result = await run.result()
    while result.status == "suspended":
        with suppress(ResumeConflictError, ResumeTargetError, RunStateError):
            await run.resume_async(5, step=result.suspended[0])
        result = await run.result()


async def resume_by_label(run: RunHandle[Any]) -> None:
    if (await run.result()).status == "suspended":
        await run.resume_async(5, label="ask-2")


async def cancel(run: RunHandle[Any]) -> None:
    await run.result()
    await run.cancel("enough")


def is_big(ctx: ReadContext[int]) -> bool:
    return ctx.input >= 3


def is_odd(ctx: ReadContext[int]) -> bool:
    return ctx.input % 2 == 1


async def is_below_five(ctx: ReadContext[int]) -> bool:
    return ctx.input < 5


def broken(ctx: ReadContext[Any]) -> bool:
    raise LookupError("a condition that raises")


def _ints(id: str, **options: Any) -> Workflow[Any, Any, Any]:
    return Workflow(id, input=int, **options)


HALF = _ints("half").then(add_one).then(leave_early).commit()
WAITING = _ints("waiting").then(add_one).wait_for("number", resume=int).commit()
HELD = _ints("held").then(ask).commit()


def _scenario(workflow: Workflow[Any, Any, Any], input_data: object = 1, **options: Any) -> Scenario:
    committed: CommittedWorkflow[Any, Any] = workflow.commit()
    return Scenario(workflow=committed, input_data=input_data, **options)


_BLOCKS = [
    _scenario(_ints("branch").branch([(is_big, add_one), (is_odd, double)]).then(show), 3),
    _scenario(_ints("branch-first").branch([(is_big, add_one), (is_odd, double)], mode="first").then(show), 3),
    _scenario(_ints("branch-none").branch([(is_big, add_one), (is_below_five, double)], mode="first").then(show), 0),
    _scenario(_ints("branch-broken").then(add_one).branch([(broken, double)])),
    _scenario(_ints("dowhile").dowhile(add_one, is_below_five).then(double)),
    _scenario(_ints("dountil").dountil(add_one, is_big, max_iterations=9).then(double)),
    _scenario(_ints("loop-nested").dountil(HALF, is_big)),
    _scenario(_ints("loop-endless").dountil(add_one, lambda ctx: False, max_iterations=3)),
    _scenario(_ints("limited").parallel([add_one, double, add_one.clone(id="c")], limit=2).then(join)),
    _scenario(Workflow("collecting", input=list[int]).foreach(odd_only, on_error="collect").then(show), [1, 2, 3]),
    _scenario(Workflow("failing-item", input=list[int]).foreach(odd_only, concurrency=2), [1, 3, 4, 5]),
    _scenario(
        Workflow("counted", input=list[int], output=int)
        .foreach(add_one, concurrency=lambda ctx: len(ctx.input))
        .then(total),
        [1, 2, 3],
    ),
    _scenario(
        _ints("sources")
        .then(add_one)
        .map({"first": from_step(add_one), "given": from_input(""), "text": template("n=${inputData}")}, id="gather")
        .then(show),
    ),
]
_WAITS = [
    _scenario(_ints("sleep").then(add_one).sleep(0.03).then(double)),
    _scenario(_ints("sleep-computed").sleep(lambda ctx: 0.02 * ctx.input).then(double)),
    _scenario(_ints("sleep-past").sleep_until(datetime(2020, 1, 1, tzinfo=UTC)).then(double)),
    _scenario(_ints("wait").then(WAITING).then(double), drive=resume_with_five),
    _scenario(
        _ints("wait-late").wait_for("it", resume=int, timeout=timedelta(milliseconds=30), default=7).then(double)
    ),
    _scenario(_ints("wait-never").wait_for("it", resume=int, timeout=timedelta(milliseconds=30))),
    _scenario(_ints("ask").then(ask).then(double), drive=resume_with_five),
    _scenario(_ints("ask-by-label").then(add_one).then(ask), drive=resume_by_label),
    _scenario(Workflow("ask-items", input=list[int]).foreach(ask, concurrency=2), [1, 2, 3], drive=resume_with_five),
    _scenario(_ints("ask-side-by-side").parallel([ask, HELD, double]).then(join), drive=resume_one_after_the_other),
    _scenario(_ints("ask-again").dountil(ask, is_big), drive=resume_with_five),
]
_ENDS = [
    _scenario(_ints("bail").then(add_one).then(add_one.clone(id="b")).then(leave_early).then(double)),
    _scenario(_ints("bail-nested").then(add_one).then(HALF).then(double)),
    _scenario(_ints("bail-in-parallel").then(add_one).parallel([HALF, double]).then(join), 2),
    _scenario(Workflow("bail-item", input=list[int]).foreach(leave_early).then(show), [1, 3, 2]),
    _scenario(_ints("abort").then(add_one).then(give_up).then(double)),
    _scenario(_ints("cancel").then(WAITING).then(double), drive=cancel),
    _scenario(_ints("failing").then(add_one).then(hopeless).then(double)),
    _scenario(_ints("timed-out", timeout=timedelta(milliseconds=60)).sleep(60).then(double)),
]
_STATES = [
    _scenario(_ints("state", state=Tally).then(tally).then(tally.clone(id="b")).then(report)),
    _scenario(
        _ints("state-merged", state=Tally).parallel([tally, tally.clone(id="b"), tally.clone(id="c")]).then(report), 2
    ),
    _scenario(
        Workflow("state-items", input=list[int], state=Tally).foreach(tally, concurrency=3).then(report), [1, 2, 3]
    ),
    _scenario(_ints("retried", state=Tally).then(once_more).then(tally).then(report)),
]


@step
async def not_at_first(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if ctx.execution == 0:
        raise ConnectionError("not in this execution")
    return x + 5


@step
async def remember(x: int, ctx: StepContext) -> int:
    """Leave to the hooks, which see no request context, where effects go."""
    leave_effect(ctx, ctx.attempt)
    ctx.set_state({"effects": ctx.request_context.get("effects")})
    return x + 1


def is_told(result: RunResult[Any]) -> None:
    """Note it as a body does."""
    context = SimpleNamespace(request_context=result.state, run_id=result.run_id, path=f"told-{result.status}")
    leave_effect(cast("ReadContext[Any]", context))


@step(retries=2)
async def start_another(x: int, ctx: StepContext) -> int:
    """A start that the store refuses raises in the body, so it is tried again, and counted as one."""
    leave_effect(ctx)
    started = await ctx.start_async(HALF, input_data=x, request_context=dict(ctx.request_context))
    return (await started.result()).unwrap()


async def restart(run: RunHandle[Any]) -> None:
    if (await run.result()).execution == 0:
        await run.restart_async()


async def travel(run: RunHandle[Any]) -> None:
    if (await run.result()).execution == 0:
        await run.time_travel_async("double")


async def fork(run: RunHandle[Any]) -> None:
    await run.result()
    with suppress(RunExistsError):
        await run.fork_async("double", run_id="copy")
    while True:
        copy = await FORKED.get_workflow_run_execution_result("copy")
        if copy is not None and copy.status.is_terminal:
            assert copy.result == 4
            return
        await asyncio.sleep(0.005)  # noqa: TID251 - there is no handle on it here


async def until_told(run: RunHandle[Any]) -> None:
    await run.result(until="end")
    while await run.deliveries():  # noqa: ASYNC110 - it is told by others
        await asyncio.sleep(0.005)  # noqa: TID251 - as above


async def step_by_step(run: RunHandle[Any]) -> None:
    while (await run.result()).status == "paused":
        with suppress(RunStateError):  # a step of the life before this one is under way
            await run.step_async()


async def record_first(app: Outlast) -> None:
    run = app.run("run")
    with suppress(RunExistsError):
        await app.record_run(RECORDED, run_id="run")
    if await run.status() == "pending":
        await (await app.create_run(RECORDED, run_id="run")).start_async(input_data=1)


async def start_three(app: Outlast) -> None:
    await app.start_many(MANY, [{"input_data": n, "run_id": id} for n, id in enumerate(("run", "b", "c"), start=1)])


async def start_later(app: Outlast) -> None:
    await (await app.create_run(DELAYED, run_id="run")).start_async(input_data=1, delay=timedelta(milliseconds=30))


async def start_once(app: Outlast) -> None:
    await (await app.create_run(KEYED, run_id="run")).start_async(input_data=1, idempotency_key="k")


async def start_stepwise(app: Outlast) -> None:
    await (await app.create_run(STEPPED, run_id="run")).start_async(input_data=1, per_step=True)


FORKED = _ints("forked").then(add_one).then(double).commit()
RECORDED = _ints("recorded").then(add_one).then(double).commit()
MANY = _ints("many").then(add_one).then(double).commit()
DELAYED = _ints("delayed").then(add_one).then(double).commit()
KEYED = _ints("keyed").then(add_one).then(double).commit()
STEPPED = _ints("stepped").then(add_one).then(double).then(add_one.clone(id="last")).commit()

_REPAIRS = [
    _scenario(_ints("restarted").then(add_one).then(not_at_first).then(double), drive=restart),
    _scenario(_ints("traveled").then(add_one).then(double).then(not_at_first), drive=travel),
    Scenario(workflow=FORKED, input_data=1, drive=fork),
]
_TOLD = [
    _scenario(_ints("told", on_finish=is_told).then(remember).then(double), drive=until_told),
    _scenario(
        _ints("told-of-failure", on_finish=is_told, on_error=is_told).then(remember).then(hopeless), drive=until_told
    ),
    _scenario(_ints("starting").then(start_another).then(double), others=[HALF]),
]
_LIMITED = [
    _scenario(_ints("few-at-a-time", concurrency=1, rate_limit=RateLimit(limit=9, per=0.1)).then(add_one).then(double)),
    _scenario(_ints("few-again", concurrency=1).then(add_one).then(not_at_first).then(double), drive=restart),
]
_STARTS = [
    Scenario(workflow=RECORDED, start=record_first),
    Scenario(workflow=MANY, start=start_three),
    Scenario(workflow=DELAYED, start=start_later),
    Scenario(workflow=KEYED, start=start_once),
    Scenario(workflow=STEPPED, start=start_stepwise, drive=step_by_step),
]

SCENARIOS: tuple[Scenario, ...] = (
    *(Scenario(workflow=each.workflow, input_data=each.input) for each in ALL),
    *_BLOCKS,
    *_WAITS,
    *_ENDS,
    *_STATES,
    *_REPAIRS,
    *_TOLD,
    *_LIMITED,
    *_STARTS,
)
