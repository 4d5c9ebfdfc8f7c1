"""What can happen to a step, inside a nested workflow, inside every kind of block, inside another block: all pairs.

A step suspends, is tried again, takes too long, bails, fails, sleeps, or is canceled; it stands in a workflow, which
stands in a block of a workflow, which stands in a block of the run. So a death at a commit finds all the frames between
the run and the step alive, each of them at every moment of its life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from typing import Any

from crash.reference import add_one, double, hopeless, leave_effect, third_time_lucky
from outlast import (
    CommittedWorkflow,
    ReadContext,
    ResumeConflictError,
    ResumeTargetError,
    RunHandle,
    RunStateError,
    StepContext,
    Workflow,
    step,
)
from outlast.testing.clock import VirtualClock
from outlast.testing.crash import Scenario

__all__ = ["ALL", "DEEDS", "SOME", "nested_scenario"]

Task = Any
SHORT = timedelta(milliseconds=15)


@dataclass(frozen=True)
class Deed:
    """What happens to the innermost step, and what the world does about it."""

    body: Task
    """The step; or, for what is no step, a workflow of that one node."""
    drive: Callable[[RunHandle[Any]], Awaitable[object]] | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of the run's workflow."""
    is_tallied: bool = True
    """Whether the bodies that are called follow from the graph alone; not where a run is cut off from outside."""


@step(resume=int)
async def ask_first(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if not ctx.resumed:
        ctx.suspend({"asked": x})
    return x + int(ctx.resume_data)


@step(resume=int, retries=1)
async def ask_and_stumble(x: int, ctx: StepContext) -> int:
    """Fails once after it was resumed: what it was told is there at the next attempt too."""
    leave_effect(ctx, ctx.attempt)
    if not ctx.resumed:
        ctx.suspend({"asked": x})
    if ctx.attempt == 0:
        raise ConnectionError("not at the first attempt")
    return x + int(ctx.resume_data)


@step
async def ask_in_vain(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if not ctx.timed_out:
        ctx.suspend({"asked": x}, timeout=SHORT)
    return x + 50


@step(retries=1, timeout=SHORT)
async def dawdle_once(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if ctx.attempt == 0:
        await asyncio.Event().wait()
    return x + 7


@step(timeout=SHORT)
async def dawdle(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    await asyncio.Event().wait()
    return x


@step
async def leave(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    ctx.bail(x * 100)


def _is_second(ctx: StepContext) -> bool:
    return "[1]" in ctx.path or "other-" in ctx.path


@step(resume=int)
async def ask_or_fail(x: int, ctx: StepContext) -> int:
    """Fails where it is the second of its kind, so that a block ends without those of it that are suspended."""
    leave_effect(ctx, ctx.attempt)
    if _is_second(ctx):
        raise ValueError("the second one")
    if not ctx.resumed:
        ctx.suspend({"asked": x})
    return x + int(ctx.resume_data)


@step(resume=int)
async def ask_or_leave(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if _is_second(ctx):
        ctx.bail(x * 100)
    if not ctx.resumed:
        ctx.suspend({"asked": x})
    return x + int(ctx.resume_data)


@step
async def hold_on(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    await ctx.canceled
    return x


def _of_one(id: str) -> Workflow[Any, Any, Any]:
    return Workflow(id, input=int)


async def _resume_all(run: RunHandle[Any]) -> None:
    result = await run.result()
    while result.status == "suspended":
        with suppress(ResumeConflictError, ResumeTargetError, RunStateError):  # by the life before this one
            await run.resume_async(5, step=result.suspended[-1])
        result = await run.result()


async def _cancel_at_rest(run: RunHandle[Any]) -> None:
    await run.result()
    await run.cancel()


async def _cancel_in_flight(run: RunHandle[Any]) -> None:
    while not any(path.endswith("hold_on") for path in (await run.snapshot()).steps):  # noqa: ASYNC110 - others do it
        await asyncio.sleep(0.001)  # noqa: TID251 - there is nothing to wait for here
    await run.cancel()


DEEDS: dict[str, Deed] = {
    "suspends": Deed(ask_first, _resume_all),
    "suspends-and-is-retried": Deed(ask_and_stumble, _resume_all),
    "suspends-in-vain": Deed(ask_in_vain),
    "waits": Deed(_of_one("waits").wait_for("it", resume=int).commit(), _resume_all),
    "sleeps": Deed(_of_one("sleeps").sleep(SHORT).commit()),
    "is-retried": Deed(third_time_lucky),
    "takes-too-long-once": Deed(dawdle_once),
    "takes-too-long": Deed(dawdle),
    "fails": Deed(hopeless),
    "bails": Deed(leave),
    "suspends-or-fails": Deed(ask_or_fail, _resume_all),
    "suspends-or-bails": Deed(ask_or_leave, _resume_all),
    "is-canceled-at-rest": Deed(ask_first, _cancel_at_rest),
    "is-canceled-in-flight": Deed(hold_on, _cancel_in_flight, is_tallied=False),
    "outlives-its-run": Deed(hold_on, options={"timeout": timedelta(milliseconds=40)}, is_tallied=False),
}


async def two(ctx: ReadContext[int]) -> list[int]:
    return [ctx.input, ctx.input + 10]


def add_up(ctx: ReadContext[Any]) -> int:
    values = ctx.input.values() if isinstance(ctx.input, dict) else ctx.input
    return sum(each if isinstance(each, int) else 1_000 for each in values)


def always(ctx: ReadContext[Any]) -> bool:
    return True


def never(ctx: ReadContext[Any]) -> bool:
    return False


async def twice(ctx: ReadContext[Any]) -> bool:
    return ctx.iteration_count == 2


Builder = Workflow[Any, Any, Any]


def _foreach(builder: Builder, body: Task, **options: Any) -> Builder:
    listed = builder.map(two, id="list")
    return listed.foreach(body, id="each", **options).map(add_up, id="sum")


def _other(body: Task, name: str = "other") -> Task:
    return body.clone(id=f"{name}-{body.id}")


BLOCKS: dict[str, Callable[[Builder, Task], Builder]] = {
    "workflow": lambda builder, body: builder.then(body),
    "foreach": _foreach,
    "foreach-two": lambda builder, body: _foreach(builder, body, concurrency=2),
    "collect": lambda builder, body: _foreach(builder, body, concurrency=3, on_error="collect"),
    "parallel": lambda builder, body: builder.parallel([body, _other(body)]).map(add_up, id="sum"),
    "limited": lambda builder, body: builder.parallel([body, _other(body)], limit=1).map(add_up, id="sum"),
    "branch": lambda builder, body: builder.branch(
        [(never, _other(body, "never")), (always, body), (always, _other(body))]
    ).map(add_up, id="sum"),
    "loop": lambda builder, body: builder.dountil(body, twice, id="again"),
}


def nested_scenario(outer: str, inner: str, deed: str) -> Scenario:
    """Return a run: its `outer` block holds workflows, whose `inner` block holds those that do the deed."""
    what = DEEDS[deed]
    leaf = Workflow("leaf", input=int).then(add_one).then(what.body).then(double).commit()
    middle = BLOCKS[inner](Workflow("middle", input=int), leaf).commit()
    root = BLOCKS[outer](Workflow(f"{deed}-in-{inner}-in-{outer}", input=int, **what.options), middle)
    workflow: CommittedWorkflow[Any, Any] = root.then(add_one, id="last").commit()
    return Scenario(workflow=workflow, input_data=1, drive=what.drive, clock=VirtualClock())


def _some() -> Iterator[tuple[str, str, str]]:
    """Every deed in every outer block, and every block in every other one."""
    inner = list(BLOCKS)
    for shift, deed in enumerate(DEEDS):
        for place, outer in enumerate(BLOCKS):
            yield outer, inner[(shift + place) % len(inner)], deed


SOME: tuple[tuple[str, str, str], ...] = tuple(_some())
"""A part of all combinations: outer block, inner block, deed."""
ALL: tuple[tuple[str, str, str], ...] = tuple(product(BLOCKS, BLOCKS, DEEDS))
"""All combinations."""
