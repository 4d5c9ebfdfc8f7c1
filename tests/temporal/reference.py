"""Workflows that test and worker processes share, and the traces that their bodies leave in files."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

from eventually import eventually
from outlast import RunResult, StepContext, Workflow, step

__all__ = ["ASKING", "FOUR", "HELD", "HOOKED", "TALKING", "calls_of", "leave_trace", "open_gate"]

_FILE = "OUTLAST_TEST_TRACES"


def leave_trace(ctx: StepContext) -> None:
    _leave(f"{ctx.run_id} {ctx.path} {os.getpid()} {int(ctx.recovered)}\n")


def _leave(line: str) -> None:
    """Append a line; whole lines of several processes never mix."""
    descriptor = os.open(os.environ[_FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def calls_of(traces: Path) -> dict[str, Counter[str]]:
    """Return how often each step of each run was called."""
    calls: dict[str, Counter[str]] = {}
    for line in traces.read_text().splitlines() if traces.exists() else []:
        run_id, path, *_ = line.split()
        calls.setdefault(run_id, Counter())[path] += 1
    return calls


def open_gate(traces: Path) -> None:
    traces.with_suffix(".gate").touch()


@step
async def first(x: int, ctx: StepContext) -> int:
    leave_trace(ctx)
    return x + 1


@step
async def held(x: int, ctx: StepContext) -> int:
    """Goes on when the gate is open."""
    leave_trace(ctx)
    gate = Path(os.environ[_FILE]).with_suffix(".gate")
    await eventually(gate.exists, within=60)
    return x + 1


@step
async def talk(x: int, ctx: StepContext) -> int:
    leave_trace(ctx)
    for number in range(3):
        ctx.write(number)
    gate = Path(os.environ[_FILE]).with_suffix(".gate")
    await eventually(gate.exists, within=60)
    return x


async def tell(result: RunResult[Any]) -> None:
    """A hook that ends when the gate is open."""
    _leave(f"{result.run_id} ?on_finish {os.getpid()} 0\n")
    gate = Path(os.environ[_FILE]).with_suffix(".gate")
    await eventually(gate.exists, within=60)


@step
async def brief(x: int, ctx: StepContext) -> int:
    leave_trace(ctx)
    await asyncio.sleep(0.05)  # noqa: TID251 - something to be killed in
    return x + 1


@step
async def ask(x: int, ctx: StepContext) -> object:
    return ctx.resume_data if ctx.resumed else ctx.suspend()


ASKING = Workflow("asking", input=int).then(ask).commit()
"""Waits to be resumed."""

HELD = Workflow("held", input=int).then(first).then(held).then(first.clone(id="last")).commit()
"""Stops in its second step until the gate is open."""

HOOKED = Workflow("hooked", input=int, on_finish=tell).then(first).commit()
"""Its hook ends when the gate is open."""

TALKING = Workflow("talking", input=int).then(talk).commit()
"""Says three things, and goes on when the gate is open."""

FOUR = (
    Workflow("four", input=int)
    .then(brief.clone(id="a"))
    .then(brief.clone(id="b"))
    .then(brief.clone(id="c"))
    .then(brief.clone(id="d"))
    .commit()
)
"""Four short steps."""
