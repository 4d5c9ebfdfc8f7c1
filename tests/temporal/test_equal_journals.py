"""One contract, two engines (rule 20): what is recorded on Temporal is what the local engine records, path by path."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crash.reference import ALL, TEN_STEPS, Reference
from outlast import CommittedWorkflow, Outlast, RunResult
from outlast.core.record import Record
from property.test_random_workflows import INPUT, Case, check_end, facts_by_path
from property.workflows import WorkflowPlan, answer_for, build, workflow_plans
from temporal.place import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GRAPHS = int(os.environ.get("OUTLAST_GRAPHS", "100"))
SAME = [each for each in (*ALL, TEN_STEPS) if each.name != "talk"]
"""All but the one whose bodies say something while they run."""


async def drive(app: Outlast, workflow: CommittedWorkflow[Any, Any], value: Any, **options: Any) -> RunResult[Any]:
    """Run to the end, and resume what is suspended one by one, in the order of its paths."""
    run = await app.create_run(workflow, run_id="run")
    await run.start_async(input_data=value, **options)
    handle = app.run("run")
    while True:
        result = await handle.result(timeout=60)
        if result.status.is_terminal:
            return result
        path = min(result.suspended)
        await handle.resume_async(answer_for(path), step=path)


async def journal_of(app: Outlast) -> Sequence[Record]:
    history = await app.engine.load_history("run")
    assert history is not None
    return history.records


@pytest.mark.parametrize("reference", SAME, ids=lambda reference: reference.name)
async def test_reference_workflows_are_recorded_alike(place: Place, reference: Reference) -> None:
    found = []
    context = {"effects": str(place.traces)}
    for app in (Outlast([reference.workflow], store="memory"), place.app(reference.workflow, lease=15)):
        async with app:
            result = await drive(app, reference.workflow, reference.input, request_context=context)
            found.append((result.status, result.result, facts_by_path(await journal_of(app), [])))

    assert found[0] == found[1]


def test_random_workflows_are_recorded_alike(place: Place) -> None:
    """100 of them in CI; each also means what the interpreter says."""

    @settings(max_examples=GRAPHS, database=None, suppress_health_check=list(HealthCheck))
    @given(plan=st.booleans().flatmap(lambda has_failures: workflow_plans(has_failures=has_failures)))
    def check(plan: WorkflowPlan) -> None:
        asyncio.run(check_plan(place, plan))

    check()


async def check_plan(place: Place, plan: WorkflowPlan) -> None:
    workflow, case = build(plan), Case(plan, is_eager=False, deaths=[])
    elsewhere = Place(place.server, place.traces.parent).app(workflow, lease=15)
    found = []
    for app in (Outlast([workflow], store="memory"), elsewhere):
        async with app:
            result = await drive(app, workflow, INPUT)
            meaning = check_end(case, result)
            found.append((result.status, facts_by_path(await journal_of(app), meaning.open)))
    assert found[0] == found[1]
