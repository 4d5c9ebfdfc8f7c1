"""What tracing, numbers and sensitive data cost those who use none of them, in calls of functions."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType

import pytest

from outlast import Outlast, StepContext, Workflow, step

STEPS = 50
TRACING = ("outlast.core.span", "outlast.engines.local.trail", "outlast.engines.telemetry", "outlast.telemetry")
METRICS = (
    "outlast.engines.metrics",
    "outlast.engines.local.tally",
    "outlast.engines.local.metered",
    "outlast.engines.local.measuring",
    "opentelemetry",
    "prometheus_client",
)
SEALING = ("outlast.sealing", "outlast.keys", "outlast.sensitivity", "outlast.graph.sensitive", "cryptography")


def share(calls: Counter[str], modules: tuple[str, ...]) -> float:
    """Return which part of all calls went to modules."""
    return sum(number for name, number in calls.items() if name.startswith(modules)) / calls.total()


@pytest.mark.parametrize("asked", [None, False])
async def test_step_without_exporter_and_sensitive_types_calls_nothing_of_them(asked: bool | None):
    """15: with no exporter the cost of tracing is under 2 % of a step: of the calls of Python functions that it makes.

    All calls on the thread of the loop are counted, those of asyncio included, from the start of a run to its result.
    What is left of tracing are the ids that the start derives, once for a run, and tests whether there is a tracer. Of
    the numbers nothing is left: the store of an app without them is the store itself.
    """
    workflow = Workflow("chain", input=int, output=int)
    for number in range(STEPS):

        @step(id=f"step{number}")
        async def add_one(x: int, ctx: StepContext) -> int:
            return x + 1

        workflow = workflow.then(add_one)
    chain = workflow.commit()
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            calls[str(frame.f_globals.get("__name__"))] += 1

    async with Outlast([chain], store="memory", tracing=asked, metrics=asked) as app:
        run = await app.create_run(chain)
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            result = await run.start(input_data=0)
        finally:
            sys.setprofile(before)

    assert result.result == STEPS
    assert calls.total() > STEPS * 50
    assert share(calls, TRACING) < 0.02
    assert sum(number for name, number in calls.items() if name.startswith(TRACING)) < STEPS
    assert sum(number for name, number in calls.items() if name.startswith(METRICS)) == 0
    assert sum(number for name, number in calls.items() if name.startswith(SEALING)) < STEPS / 5
