"""Random workflows, repaired by processes that die at random commits: they end as the interpreter says.

A death at a commit is that of the process: the store writes nothing more, and its locks are free. The next process
finds the execution that was opened, or the run as it was, and uses the verb again. `OUTLAST_GRAPHS` sets how many are
tried.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from crash.test_every_commit import Disk, Ground
from crash.test_executions import live
from outlast import (
    Outlast,
    ResumeConflictError,
    ResumeTargetError,
    RunHandle,
    RunResult,
    RunStateError,
    RunStatus,
)
from outlast.testing.faults import FaultMode, KillAt
from property.test_random_repairs import INPUT, check
from property.workflows import WorkflowPlan, answer_for, build, workflow_plans

DEATHS = st.lists(st.tuples(st.integers(1, 14), st.sampled_from(["before", "after", "lost"])), min_size=1, max_size=4)
SOME = settings(
    max_examples=int(os.environ.get("OUTLAST_GRAPHS", "12")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
RUN = "run"


async def to_end(run: RunHandle[Any]) -> RunResult[Any]:
    """Resume one suspension after the other until the run ends, also those that a process resumed and then died."""
    while not (result := await run.result(timeout=20)).status.is_terminal:
        path = min(result.suspended)
        try:
            await run.resume_async(answer_for(path), step=path)
        except (ResumeConflictError, ResumeTargetError, RunStateError):  # it is asked for, and not done yet
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.01)
    return result


async def repaired(app: Outlast, execution: int, seed: int) -> Any:
    """See to it that the run comes to the end of an execution, whatever is recorded so far; return its result."""
    run = app.run(RUN)
    result = await to_end(run)
    while result.execution < execution:
        if result.status is RunStatus.FAILED and (seed % 2 or not result.steps):
            await run.restart_async()
        else:
            assume(result.steps)  # nothing ran: there is nothing to travel to
            target = Random(seed + result.execution).choice([*result.steps])
            await run.time_travel_async(target)
        result = await to_end(run)
    return result


async def resumed_in(disk: Disk) -> frozenset[str]:
    """Return what was resumed, as it is recorded: whoever resumed it may have died before it was told."""
    store = disk.open_store(None)
    await store.open()
    try:
        row = await store.find_run(RUN)
        assert row is not None
        records = await store.load_facts(row.key)
        return frozenset(record.path for record in records if record.type == "step-resumed")
    finally:
        await store.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("has_failures", [False, True], ids=["successes", "failures"])
def test_repaired_workflow_ends_as_it_means_whenever_its_processes_die(has_failures: bool) -> None:
    """12.1, 12.3: on a file, with deaths before and after commits and lost answers, in each of two repairs."""
    struck = 0

    @SOME
    @given(plan=workflow_plans(has_failures=has_failures), seed=st.integers(0, 2**32), deaths=DEATHS)
    def try_plan(plan: WorkflowPlan, seed: int, deaths: list[tuple[int, FaultMode]]) -> None:
        nonlocal struck

        async def scenario() -> int:
            with TemporaryDirectory() as directory:
                disk = Ground("normal", Path(directory)).fresh()
                return await repair_and_die(plan, seed, deaths, disk)

        struck += asyncio.run(scenario())

    try_plan()
    print(f"{struck} deaths")
    assert struck


async def repair_and_die(plan: WorkflowPlan, seed: int, deaths: list[tuple[int, FaultMode]], disk: Disk) -> int:
    """Repair a run twice, with deaths on the way, and compare; return how many processes died."""
    workflow = build(plan)
    async with Outlast([workflow], store=disk.open_store(None)) as app:
        await to_end(await (await app.create_run(workflow, run_id=RUN)).start_async(input_data=INPUT))
    faults = [KillAt(*death) for death in deaths]
    for execution in (1, 2):
        for fault in faults[execution - 1 :: 2]:

            async def drive(app: Outlast, wanted: int = execution) -> None:
                await repaired(app, wanted, seed)

            await live(disk, workflow, fault, drive)
        async with Outlast([workflow], store=disk.open_store(None)) as app:
            result = await repaired(app, execution, seed)
        assert result.execution == execution
        resumed = await resumed_in(disk)
        if not (plan_fails := result.status is RunStatus.FAILED) or not resumed:
            check(plan, result, resumed)
        assert plan_fails or result.status is RunStatus.SUCCESS
    return sum(fault.struck for fault in faults)
