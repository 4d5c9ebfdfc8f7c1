"""One workflow for each kind of node and each way in which a run goes on: what the recorded histories show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from outlast import CommittedWorkflow, NonRetryableError, ReadContext, Retry, StepContext, Workflow, from_input, step

__all__ = ["EVENTS", "INPUTS", "LEFT", "RESTARTED", "RESUMED", "SCENARIOS", "TRAVELLED"]


@step
async def add_one(x: int) -> int:
    return x + 1


@step
def double(x: int) -> int:
    return x * 2


@step
def untyped(x: Any) -> Any:
    return x


@step(retries=Retry(limit=2, delay=0.01))
async def second_time(x: int, ctx: StepContext) -> int:
    if ctx.attempt == 0:
        raise ConnectionError("not yet")
    return x


@step
async def fail(x: int) -> int:
    raise NonRetryableError("never")


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend({"at": x}, label="please")


@step
async def leave(x: Any, ctx: StepContext) -> Any:
    ctx.set_state({"left": True})
    return ctx.bail("early")


@step
async def say(x: int, ctx: StepContext) -> int:
    ctx.write("with its outcome")
    return x


@step
async def say_before(x: int, ctx: StepContext) -> int:
    ctx.write("before")
    await asyncio.sleep(0.6)  # noqa: TID251 - until it is in the history
    ctx.progress(1, 1)
    return x


async def is_small(ctx: ReadContext[Any]) -> bool:
    return bool(ctx.input < 10)


def start(id: str) -> Workflow[Any, Any]:
    return Workflow(id, input=int)


def pass_by(told: Any) -> None:
    """A hook."""


INNER = Workflow("inner", input=int, output=int).then(add_one).then(double).commit()

SCENARIOS: Mapping[str, CommittedWorkflow[Any, Any]] = {
    each.id: each
    for each in (
        start("one").then(add_one).commit(),
        start("chain").then(add_one).then(double).then(add_one.clone(id="last")).commit(),
        start("parallel").parallel([add_one, double]).commit(),
        start("branch").branch([(lambda ctx: True, add_one), (lambda ctx: False, double)]).commit(),
        start("async-branch").branch([(is_small, add_one)]).commit(),
        start("loop").dountil(add_one, lambda ctx: ctx.iteration_count == 3, id="count").commit(),
        Workflow("foreach", input=list[int]).foreach(add_one, id="each", concurrency=2).commit(),
        start("map").then(add_one).map({"n": from_input("")}).commit(),
        start("sleep").sleep(0.05).then(add_one).commit(),
        start("computed-sleep").sleep(lambda ctx: 0.05).commit(),
        start("nested").then(INNER).commit(),
        Workflow("typed", input=int, output=int).then(add_one).commit(),
        Workflow("checked", input=int, output=int).then(INNER).then(add_one).commit(),
        Workflow("misfit", input=int, output=str).then(untyped).commit(),
        start("suspend").then(ask).then(add_one).commit(),
        start("wait").wait_for("approval", timeout=timedelta(hours=1)).commit(),
        start("wait-in-time").wait_for("approval", timeout=0.05, default="none").commit(),
        start("retry").then(second_time).commit(),
        start("failure").then(fail).commit(),
        start("bail").then(leave).then(add_one).commit(),
        Workflow("hooks", input=int, on_start=pass_by, on_finish=pass_by).then(add_one).commit(),
        start("suspend-listed").then(ask).then(add_one).commit(),
        start("suspend-updated").then(ask).then(add_one).commit(),
        start("travelled-from").then(add_one).then(ask).commit(),
        start("travelled-to").then(add_one).then(ask).commit(),
        start("restarted").then(add_one).then(fail).commit(),
        start("saying").then(say).commit(),
        start("saying-before").then(say_before).commit(),
        Workflow("run-timeout", input=int, timeout=0.2).wait_for("approval").commit(),
    )
}

INPUTS: Mapping[str, Any] = {"foreach": [1, 2, 3, 4, 5]}
"""The inputs that are not 1."""

RESUMED = frozenset({"suspend", "suspend-listed", "suspend-updated", "wait"})
"""Those that are resumed once."""

TRAVELLED = frozenset({"travelled-from", "travelled-to"})
"""Those that go back to `ask` when they are suspended."""

LEFT = frozenset({"travelled-from"})
"""Those whose first workflow is shown, which the run left; of the others it is the last one."""

RESTARTED = frozenset({"restarted"})
"""Those that are restarted once."""

EVENTS: Mapping[str, int] = {
    "one": 11,
    "chain": 23,
    "branch": 12,
    "loop": 26,
    "map": 12,
    "sleep": 16,
    "nested": 18,
    "typed": 11,
    "checked": 24,
    "misfit": 12,
    "failure": 11,
    "saying": 11,
    "saying-before": 15,
}
"""How many events of a history some of them take: what a change must not raise unseen."""
