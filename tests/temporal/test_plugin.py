"""Programs that make their own workers: a plugin of the SDK lets these drive runs, too."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleSpec
from temporalio.worker import Worker

from eventually import eventually
from outlast import DefinitionError, RunExistsError, Workflow, step
from outlast.engines.temporal import OutlastPlugin
from temporal.place import Place

pytestmark = pytest.mark.slow


@step
async def add_one(x: int) -> int:
    return x + 1


@step
def double(x: int) -> int:
    return x * 2


COUNT = Workflow("count", input=int, output=int).then(add_one).then(double).commit()


@activity.defn
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow.defn(sandboxed=False)
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(greet, name, start_to_close_timeout=timedelta(seconds=10))


@workflow.defn(sandboxed=False)
class EveryMorning:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("start_count", start_to_close_timeout=timedelta(seconds=10))


async def test_worker_drives_runs_beside_what_else_it_does(place: Place) -> None:
    """20: async and sync steps, typed values, and workflows of another author in the same worker."""
    client = await Client.connect(place.server.address)
    worker = Worker(
        client, task_queue=place.name, workflows=[Greeting], activities=[greet], plugins=[OutlastPlugin([COUNT])]
    )
    async with worker, place.app(COUNT, worker=False) as app:
        result = await (await app.create_run(COUNT)).start(input_data=1)
        greeting = await client.execute_workflow(Greeting.run, "ada", id=place.name, task_queue=place.name)

    assert (result.result, greeting) == (4, "hello ada")


@pytest.mark.parametrize("wrong", [[COUNT, Workflow("count", input=int).then(double).commit()], [add_one], COUNT])
def test_what_is_no_list_of_workflows_is_refused(wrong: Any) -> None:
    """1.3: the error is that of an app."""
    with pytest.raises(DefinitionError):
        OutlastPlugin(wrong)


async def test_schedule_of_the_server_starts_runs(place: Place) -> None:
    """The way that the guide shows, as the engine has no schedules: once for each time, with the code of today."""
    client = await Client.connect(place.server.address)
    app = place.app(COUNT, worker=False)
    started: list[str] = []

    @activity.defn
    async def start_count() -> None:
        run = await app.create_run(COUNT, run_id=f"{activity.info().workflow_id}-run")
        with suppress(RunExistsError):  # the activity was called before
            await run.start_async(input_data=1)
        started.append(run.run_id)

    schedule = Schedule(
        action=ScheduleActionStartWorkflow(EveryMorning.run, id=f"{place.name}-morning", task_queue=place.name),
        spec=ScheduleSpec(cron_expressions=["0 7 * * MON-FRI"], time_zone_name="Europe/Berlin"),
    )
    worker = Worker(
        client,
        task_queue=place.name,
        workflows=[EveryMorning],
        activities=[start_count],
        plugins=[OutlastPlugin([COUNT])],
    )
    async with worker, app:
        handle = await client.create_schedule(f"{place.name}-schedule", schedule)
        try:
            await handle.trigger()
            await eventually(lambda: started, within=30)
            result = await app.run(started[0]).result(timeout=30)
        finally:
            await handle.delete()

    assert (len(started), result.result) == (1, 4)
    assert started[0].startswith(f"{place.name}-morning-2")
