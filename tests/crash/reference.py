"""The reference workflows: one for each way in which a run can be in flight when its process dies.

Every body appends a line to a file that the request context names, so that a test can count what really happened beside
what is recorded. Results depend on the input only.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from outlast import CommittedWorkflow, ReadContext, Retry, StepContext, Workflow, step
from outlast.values import JsonValue

__all__ = [
    "ALL",
    "CHUNKS",
    "COPY",
    "REPAIRED",
    "REPAIRED_KEPT",
    "REPAIRED_RESULT",
    "STEPPED",
    "TEN_STEPS",
    "Reference",
    "effects_of",
    "leave_effect",
]


@dataclass(frozen=True)
class Reference:
    """A workflow with an input, and what a run that nobody disturbs does."""

    workflow: CommittedWorkflow[Any, Any]
    input: JsonValue
    result: JsonValue
    effects: Mapping[tuple[str, int], int]
    """How often each body is called, by path and attempt."""

    @property
    def name(self) -> str:
        return self.workflow.id


def leave_effect(ctx: ReadContext[Any], attempt: int = 0) -> None:
    """Append one line with one system call, so that lines of several processes never mix."""
    file = ctx.request_context.get("effects")
    if isinstance(file, str):
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, f"{ctx.run_id} {ctx.path} {attempt}\n".encode())
        finally:
            os.close(descriptor)


def effects_of(file: Path) -> dict[str, Counter[tuple[str, int]]]:
    """Count the calls of bodies in an effects file: by run, then by path and attempt."""
    effects: dict[str, Counter[tuple[str, int]]] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        run_id, path, attempt = line.split(" ")
        effects.setdefault(run_id, Counter())[path, int(attempt)] += 1
    return effects


@step
async def add_one(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    return x + 1


@step
def double(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    return x * 2


CHUNKS = 3


@step
async def talk(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    for number in range(CHUNKS):
        await ctx.write(number)
    return x + 1


@step
def talk_in_thread(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    for number in range(CHUNKS):
        ctx.write(number)
    return x + 1


@step
async def total(xs: list[int], ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    return sum(xs)


@step
async def join(parts: dict[str, int], ctx: StepContext) -> list[str]:
    leave_effect(ctx, ctx.attempt)
    return [f"{key}={value}" for key, value in parts.items()]


@step(retries=Retry(limit=2, delay=timedelta(milliseconds=15)))
async def third_time_lucky(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if ctx.attempt < 2:
        raise ConnectionError(f"not at attempt {ctx.attempt}")
    return x + 100


@step(retries=3)
def once_more(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if ctx.attempt < 1:
        raise OSError("once")
    return x + 7


@step
async def hopeless(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    raise ValueError(f"{x} is not to be had")


def split(ctx: ReadContext[int]) -> list[int]:
    leave_effect(ctx)
    return [ctx.input, ctx.input + 1, ctx.input + 2]


async def shift(ctx: ReadContext[int]) -> int:
    leave_effect(ctx)
    return ctx.input - 1


def _once(*paths: str) -> dict[tuple[str, int], int]:
    return {(path, 0): 1 for path in paths}


INNER = Workflow("inner", input=int, output=int).then(add_one).then(double).commit()

CHAIN = Reference(
    Workflow("chain", input=int, output=int)
    .then(add_one)
    .then(add_one.clone(id="again"))
    .then(add_one.clone(id="last"))
    .commit(),
    1,
    4,
    _once("add_one", "again", "last"),
)

FOREACH = Reference(
    Workflow("items", input=list[int], output=int).foreach(add_one, concurrency=2).then(total).commit(),
    [1, 2, 3, 4],
    14,
    _once("add_one[0]", "add_one[1]", "add_one[2]", "add_one[3]", "total"),
)

PARALLEL = Reference(
    Workflow("fan", input=int).parallel([add_one, double, INNER]).then(join).commit(),
    5,
    ["add_one=6", "double=10", "inner=12"],
    _once("add_one", "double", "inner.add_one", "inner.double", "join"),
)

NESTED = Reference(
    Workflow("outer", input=int, output=int)
    .then(INNER)
    .map(split, id="split")
    .foreach(INNER, concurrency=2, id="each")
    .then(total)
    .commit(),
    1,
    (5 + 6 + 7) * 2,
    _once(
        "inner.add_one",
        "inner.double",
        "split",
        *(f"each[{index}].{each}" for index in range(3) for each in ("add_one", "double")),
        "total",
    ),
)

RETRIES = Reference(
    Workflow("stubborn", input=int, output=int).then(third_time_lucky).then(once_more).commit(),
    1,
    108,
    {("third_time_lucky", attempt): 1 for attempt in range(3)} | {("once_more", attempt): 1 for attempt in range(2)},
)

THREADS = Reference(
    Workflow("threads", input=int, output=int)
    .then(double)
    .map(shift, id="shift")
    .then(double.clone(id="again"))
    .map(split, id="split")
    .foreach(double, concurrency=3, id="each")
    .then(total)
    .commit(),
    3,
    (10 + 11 + 12) * 2,
    _once("double", "shift", "again", "split", "each[0]", "each[1]", "each[2]", "total"),
)

FAILURE = Reference(
    Workflow("doomed", input=int).then(add_one).parallel([double, hopeless]).then(join).commit(),
    1,
    None,
    _once("add_one", "double", "hopeless"),
)

TALK = Reference(
    Workflow("talk", input=int, output=int).then(talk).then(talk_in_thread).commit(),
    1,
    3,
    _once("talk", "talk_in_thread"),
)

ALL = (CHAIN, FOREACH, PARALLEL, NESTED, RETRIES, THREADS, FAILURE, TALK)


def _ten_steps() -> CommittedWorkflow[int, int]:
    builder = Workflow("ten", input=int, output=int).then(add_one.clone(id="s0"))
    for number in range(1, 10):
        builder = builder.then((double if number == 5 else add_one).clone(id=f"s{number}"))
    return builder.commit()


TEN_STEPS = Reference(_ten_steps(), 0, 14, _once(*(f"s{number}" for number in range(10))))


COPY = "copy"
"""Ids of forks begin like this: they are made to go well."""


@step
async def fail_at_first(x: int, ctx: StepContext) -> int:
    leave_effect(ctx, ctx.attempt)
    if ctx.execution == 0 and not ctx.run_id.startswith(COPY):
        raise ConnectionError("not in this execution")
    return x + 5


_CHILD = Workflow("child", input=int, output=int).then(double).then(fail_at_first).commit()

REPAIRED = Workflow("repaired", input=int).then(add_one).parallel([double.clone(id="side"), _CHILD]).then(join).commit()
"""Fails in its first execution, and goes well in the next."""
REPAIRED_KEPT = {("add_one", 0), ("side", 0), ("child.double", 0)}
"""The bodies of it that no later execution calls."""
REPAIRED_RESULT = ["side=4", "child=9"]
"""What comes of the input 1."""
STEPPED = Workflow("stepped", input=int).then(add_one).then(double).then(add_one.clone(id="last")).commit()
"""To be run step by step: 1, 2, 4, 5."""
