"""What runs in a soak: every way in which a run goes on or waits, each call of a body noted with a token of its own.

The tokens that a run hands from step to step are those of the outcomes that were recorded. A token in the result that
no call noted, or two outcomes of one step, would be a lie.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from typing_extensions import TypedDict

from outlast import Retry, StepContext, Workflow, step
from soak.notes import Notes

__all__ = ["WORKFLOWS", "Trail", "expected_tokens", "note_calls_in"]


class Trail(TypedDict):
    """The value that goes through a run."""

    n: int
    tokens: list[str]


_notes: Notes | None = None


def note_calls_in(directory: Path) -> None:
    """Begin to note the calls of this process."""
    global _notes  # noqa: PLW0603 - bodies have nothing else to know it by
    _notes = Notes(directory, "calls")


def _note_call(context: StepContext) -> str:
    token = uuid4().hex[:12]
    if _notes is not None:
        _notes.add(run=context.run_id, path=context.path, token=token, at_ms=time.time() * 1000)
    return token


def _passed(trail: Trail, token: str) -> Trail:
    return {"n": trail["n"] + 1, "tokens": [*trail["tokens"], token]}


@step
async def think(trail: Trail, context: StepContext) -> Trail:
    token = _note_call(context)
    await asyncio.sleep(0.005 + trail["n"] % 7 * 0.005)
    return _passed(trail, token)


@step
def crunch(trail: Trail, context: StepContext) -> Trail:
    token = _note_call(context)
    time.sleep(0.005)
    return _passed(trail, token)


@step(retries=Retry(limit=3, delay=timedelta(milliseconds=50)))
async def stumble(trail: Trail, context: StepContext) -> Trail:
    token = _note_call(context)
    if context.attempt == 0:
        raise ConnectionError("the first attempt always fails")
    return _passed(trail, token)


@step
async def spread(trail: Trail, context: StepContext) -> list[Trail]:
    token = _note_call(context)
    return [{"n": index, "tokens": [*trail["tokens"], token] if index == 0 else []} for index in range(8)]


@step
async def gather(trails: list[Trail], context: StepContext) -> Trail:
    token = _note_call(context)
    return {"n": len(trails), "tokens": [*(each for trail in trails for each in trail["tokens"]), token]}


@step
async def after_approval(answer: str, context: StepContext) -> Trail:
    return {"n": 1, "tokens": [answer, _note_call(context)]}


chain = (
    Workflow("chain", input=Trail, output=Trail)
    .then(think)
    .then(crunch)
    .then(think.clone(id="think-again"))
    .then(stumble)
    .then(think.clone(id="think-last"))
    .commit()
)
fan = Workflow("fan", input=Trail, output=Trail).then(spread).foreach(think, concurrency=4).then(gather).commit()
nap = Workflow("nap", input=Trail, output=Trail).then(think).sleep(2.0).then(crunch).commit()
inner = Workflow("inner", input=Trail, output=Trail).then(think).then(stumble).commit()
nested = (
    Workflow("nested", input=Trail, output=Trail)
    .dountil(inner, lambda context: context.iteration_count >= 3)
    .then(crunch)
    .commit()
)
approval = (
    Workflow("approval", input=Trail, output=Trail)
    .then(think)
    .wait_for("approved", resume=str)
    .then(after_approval)
    .commit()
)

WORKFLOWS: dict[str, Any] = {each.id: each for each in (chain, fan, nap, nested, approval)}


def expected_tokens(workflow: str) -> int:
    """Return how many tokens the result of a run carries."""
    return {"chain": 5, "fan": 10, "nap": 2, "nested": 7, "approval": 2}[workflow]
