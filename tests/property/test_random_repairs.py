"""Random workflows, repaired: after a restart or a time travel they end as the interpreter says.

Bodies give the same for the same path and input. So an execution that keeps a part of the results and runs the rest
again must come to the end that the whole workflow means. `OUTLAST_GRAPHS` sets how many are tried.
"""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import Any

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from outlast import Outlast, RunHandle, RunResult, RunStatus
from property.interpreter import Done, Failed, Interpreter
from property.workflows import WorkflowPlan, answer_for, build, plain, workflow_plans

INPUT = 5
SOME = settings(
    max_examples=int(os.environ.get("OUTLAST_GRAPHS", min(15, settings().max_examples))),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


async def to_end(run: RunHandle[Any]) -> tuple[RunResult[Any], frozenset[str]]:
    """Resume one suspension after the other until the run ends; return the result and what was resumed."""
    resumed: set[str] = set()
    result = await run.result(timeout=20)
    while not result.status.is_terminal:
        path = min(result.suspended)
        resumed.add(path)
        result = await run.resume(answer_for(path), step=path)
    return result, frozenset(resumed)


def check(plan: WorkflowPlan, result: RunResult[Any], resumed: frozenset[str]) -> None:
    """The execution ended as the interpreter says."""
    end = Interpreter(plan, INPUT, resumed).end
    if isinstance(end, Failed):
        assert result.error is not None
        assert (result.status, result.error_path, result.error.type) == ("failed", end.path, end.type)
    else:
        assert isinstance(end, Done)
        assert (result.status, plain(result.result)) == ("success", end.value)


@SOME
@given(plan=workflow_plans(has_failures=False), seed=st.integers(0, 2**32))
def test_time_travelled_workflow_ends_as_it_means(plan: WorkflowPlan, seed: int) -> None:
    """12.3: from any node that ran, also twice: the rest runs again and comes to the same end."""

    async def scenario() -> None:
        workflow = build(plan)
        async with Outlast([workflow], store="memory") as app:
            run = await app.create_run(workflow)
            started = await run.start_async(input_data=INPUT)
            result, resumed = await to_end(started)
            check(plan, result, resumed)
            assume(result.steps)  # nothing ran: there is nothing to travel to
            for execution in (1, 2):
                target = Random(seed + execution).choice([*result.steps])
                result, again = await to_end(await started.time_travel_async(target))
                resumed |= again
                assert result.execution == execution
                check(plan, result, resumed)

    asyncio.run(scenario())


@SOME
@given(plan=workflow_plans(has_failures=True))
def test_restarted_workflow_ends_as_it_means(plan: WorkflowPlan) -> None:
    """12.3: what failed fails again, whatever was kept: the end is that of the whole workflow."""

    async def scenario() -> RunStatus:
        workflow = build(plan)
        async with Outlast([workflow], store="memory") as app:
            run = await app.create_run(workflow)
            started = await run.start_async(input_data=INPUT)
            result, resumed = await to_end(started)
            if result.status is RunStatus.FAILED and not resumed:
                result, again = await to_end(await started.restart_async())
                assert result.execution == 1
                if not again:
                    check(plan, result, resumed)
            return result.status

    status = asyncio.run(scenario())
    event(f"ended {status}")
    assume(status is RunStatus.FAILED)
