"""Outlast as a subject: its workflows, and what a caller does to start them and to get their results."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict

from benchmarks.subject import Open, Sizes, Subject, System
from outlast import CommittedWorkflow, Outlast, StartedRun, StepResult, Workflow, step

__all__ = ["DISK", "OURS", "Count", "Durability", "chain", "location", "open_ours"]

Durability = Literal["full", "normal", "memory"]
DISK: dict[Durability, str] = {"full": "fsync", "normal": "no fsync", "memory": "nothing"}


class Count(TypedDict):
    n: int


@step
async def add(count: Count) -> Count:
    return {"n": count["n"] + 1}


@cache
def chain(steps: int) -> CommittedWorkflow[Count, Count]:
    workflow: Workflow[Any, Any, Any] = Workflow(id=f"chain-{steps}", input=Count, output=Count)
    for index in range(steps):
        workflow = workflow.then(add, id=f"add{index}")
    return workflow.commit()


@cache
def mapping(width: int) -> CommittedWorkflow[list[Count], list[Count]]:
    workflow: Workflow[Any, Any, Any] = Workflow(id="mapping", input=list[Count], output=list[Count])
    return workflow.foreach(add, concurrency=width).commit()


def location(directory: Path, durability: Durability) -> dict[str, Any]:
    """Return the options of an app that keeps its runs in a directory, or in memory."""
    if durability == "memory":
        return {"store": "memory"}
    return {"store": directory / "outlast.db", "durability": durability}


class OutlastStarted:
    def __init__(self, started: StartedRun[Count], span: int) -> None:
        self._started = started
        self._span = span

    async def result(self) -> int:
        return (await self._started.result()).unwrap()["n"]

    async def look_back(self) -> dict[str, float]:
        began = time.perf_counter()
        result = await self._started.snapshot()
        figures = {"read": (time.perf_counter() - began) * 1000}
        steps = list(result.steps.values())
        first, last = _span_ms(steps[: self._span]), _span_ms(steps[-self._span :])
        if first and last:  # the journal counts milliseconds: a few steps may take none
            figures["last/first"] = last / first
        return figures


class OutlastSubject:
    def __init__(self, app: Outlast, sizes: Sizes) -> None:
        self._app = app
        self._sizes = sizes

    async def start(self, steps: int, n: int) -> OutlastStarted:
        run = await self._app.create_run(chain(steps))
        return OutlastStarted(await run.start_async(input_data={"n": n}), self._sizes.span)

    async def map(self, numbers: Sequence[int], width: int) -> list[int]:
        run = await self._app.create_run(mapping(width))
        result = await run.start(input_data=[{"n": n} for n in numbers])
        return [count["n"] for count in result.unwrap()]


@asynccontextmanager
async def open_ours(durability: Durability, directory: Path, sizes: Sizes) -> AsyncIterator[Subject]:
    workflows = [chain(1), chain(10), chain(sizes.loop), mapping(sizes.width)]
    async with Outlast(workflows, **location(directory, durability)) as app:
        yield OutlastSubject(app, sizes)


OURS: dict[System, Open] = {
    System(key=durability, label=f"outlast, {durability}", disk=disk): partial(open_ours, durability)
    for durability, disk in DISK.items()
}


def _span_ms(steps: Sequence[StepResult]) -> float:
    ends = [step.ended_at for step in steps if step.ended_at is not None]
    return (max(ends) - steps[0].started_at).total_seconds() * 1000
