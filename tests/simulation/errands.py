"""What is run in the simulated world: a workflow of each kind, what it must come to, and what others do to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from outlast import CommittedWorkflow, ReadContext, Retry, RunResult, StepContext, Workflow, step
from simulation.process import the_loop

__all__ = ["CASES", "TOLD", "Case"]

TOLD: Counter[str] = Counter()
"""How often the hook was told of the end of each run."""


async def _take_time(longest: float = 0.6) -> None:
    await asyncio.sleep(the_loop().chance.uniform(0, longest))  # noqa: TID251 - simulated time


@step
async def add_one(n: int) -> int:
    await _take_time()
    return n + 1


@step
async def double(n: int) -> int:
    await _take_time()
    return n * 2


@step
async def total(numbers: list[int]) -> int:
    await _take_time()
    return sum(numbers)


@step
async def join(parts: dict[str, int]) -> int:
    await _take_time()
    return sum(parts.values())


@step(retries=Retry(limit=2, delay=timedelta(milliseconds=300)))
async def third_time_lucky(n: int, ctx: StepContext) -> int:
    await _take_time()
    if ctx.attempt < 2:
        raise ConnectionError("not yet")
    return n + 100


@step(resume=int)
async def ask(n: int, ctx: StepContext) -> int:
    await _take_time()
    if not ctx.resumed:
        ctx.suspend()
    return n + int(ctx.resume_data)


@step
async def hopeless(n: int) -> int:
    await _take_time()
    raise ValueError("never")


@step
async def not_at_first(n: int, ctx: StepContext) -> int:
    await _take_time()
    if ctx.execution == 0:
        raise ConnectionError("not in this execution")
    return n * 3


@step
async def say(n: int, ctx: StepContext) -> int:
    for number in range(3):
        ctx.write(number)
        await _take_time(0.2)
    return n


def is_big(ctx: ReadContext[int]) -> bool:
    return ctx.input >= 4


async def tell(result: RunResult[Any]) -> None:
    await _take_time()
    TOLD[result.run_id] += 1


@dataclass(frozen=True)
class Case:
    """A workflow and what becomes of its runs, whatever happens meanwhile."""

    workflow: CommittedWorkflow[Any, Any]
    input: Any
    result: Any
    status: str = "success"
    verb: Literal["resume", "cancel", "restart"] | None = None
    """What somebody does to the run while it waits, or when it has failed."""


def _of_int(id: str, **options: Any) -> Workflow[Any, Any, Any]:
    return Workflow(id, input=int, **options)


CASES = (
    Case(_of_int("chain").then(add_one).then(double).then(add_one, id="last").commit(), 1, 5),
    Case(Workflow("items", input=list[int]).foreach(add_one, concurrency=2).then(total).commit(), [1, 2, 3], 9),
    Case(_of_int("fan").parallel([add_one, double]).then(join).commit(), 3, 10),
    Case(_of_int("retried").then(third_time_lucky).then(double).commit(), 1, 202),
    Case(_of_int("nap").then(add_one).sleep(2.5).then(double).commit(), 1, 4),
    Case(_of_int("loop").dountil(add_one, is_big).then(double).commit(), 1, 8),
    Case(_of_int("asked").then(ask).then(double).commit(), 1, 12, verb="resume"),
    Case(
        _of_int("late").wait_for("it", resume=int, timeout=timedelta(seconds=2), default=7).then(double).commit(),
        1,
        14,
    ),
    Case(_of_int("doomed").then(add_one).then(hopeless).commit(), 1, None, status="failed"),
    Case(_of_int("dropped").then(add_one).wait_for("it", resume=int).commit(), 1, None, "canceled", "cancel"),
    Case(_of_int("repaired").then(add_one).then(not_at_first).then(double).commit(), 1, 12, verb="restart"),
    Case(_of_int("told", on_finish=tell).then(say).then(double).commit(), 1, 2),
)
