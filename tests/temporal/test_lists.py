"""Lists on Temporal: what the server makes visible of runs, by search attributes that the first process registers."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import OperatorService, RPCError, RPCStatusCode

from behaviour.bench import begin
from eventually import eventually
from outlast import (
    InputError,
    Outlast,
    PayloadTooLargeError,
    RunStatus,
    StepContext,
    UnsupportedByEngineError,
    Workflow,
    step,
)
from outlast.engines.capability import Capability
from outlast.engines.temporal import TemporalEngine
from temporal.place import Place

pytestmark = pytest.mark.slow


@step
async def add_one(x: int) -> int:
    return x + 1


@step
async def give_up(x: int, ctx: StepContext) -> int:
    return ctx.abort()


ONE = Workflow("one", input=int).then(add_one).commit()


async def listed(app: Outlast, **conditions: Any) -> dict[str, RunStatus]:
    return {run.run_id: run.status for run in (await app.list_runs(**conditions)).runs}


async def becomes(app: Outlast, expected: dict[str, str], **conditions: Any) -> None:
    async def is_so() -> bool:
        return await listed(app, **conditions) == expected

    await eventually(is_so, within=20)


async def test_status_is_that_of_what_the_run_does(place: Place) -> None:
    """17: waiting for long, aborted by a body, ended by somebody else: each is listed as what it is."""
    long = Workflow("long", input=int).sleep(timedelta(days=1)).commit()
    brief = Workflow("brief", input=int).sleep(0.05).wait_for("ok").commit()
    aborted = Workflow("aborted", input=int).then(give_up).commit()
    async with place.app(long, brief, aborted) as app:
        for workflow in (long, brief, aborted):
            await begin(app, workflow, 1, run_id=workflow.id)
        await begin(app, long, 1, run_id="ended")
        await becomes(app, {"long": "waiting", "ended": "waiting", "brief": "suspended", "aborted": "canceled"})

        client = await Client.connect(place.server.address)
        await client.get_workflow_handle(f"{place.name}-ended").terminate()

        await becomes(app, {"ended": "failed"}, status="failed")
        await becomes(app, {"aborted": "canceled"}, status="canceled")
        assert await app.counts() == {
            "aborted": {RunStatus.CANCELED: 1},
            "brief": {RunStatus.SUSPENDED: 1},
            "long": {RunStatus.FAILED: 1, RunStatus.WAITING: 1},
        }


async def test_any_text_can_be_looked_for(place: Place) -> None:
    """17: quotation marks, backslashes and signs of the query language are nothing special in resources and tags."""
    odd = 'it\'s "odd" \\ 100% (a_b)'
    async with place.app(ONE, worker=False) as app:
        run = await app.create_run(ONE, run_id="it's", resource_id=odd)
        await run.start_async(input_data=1, tags=[odd])

        await becomes(app, {"it's": "running"})
        for conditions in ({"resource_id": odd}, {"tags": [odd]}, {"search": "it's"}):
            assert await listed(app, **conditions) == {"it's": "running"}
        [run] = (await app.list_runs(tags=[odd])).runs
        assert (run.resource_id, run.tags) == (odd, (odd,))
        with pytest.raises(InputError, match="cannot be searched for quotation marks"):
            await app.list_runs(search='"')


async def test_more_tags_than_the_server_takes_are_refused(place: Place) -> None:
    """2.3: before anything is started."""
    async with place.app(ONE, worker=False) as app:
        run = await app.create_run(ONE, run_id="run")
        with pytest.raises(PayloadTooLargeError, match="tags of the run"):
            await run.start_async(input_data=1, tags=[f"{number}" * 100 for number in range(30)])

        assert await app.find_result(ONE, "run") is None


async def test_namespace_without_the_attributes_runs_everything_and_lists_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20: what this server cannot do is refused with what to do; nothing else misses it."""

    async def refuse(self: OperatorService, request: AddSearchAttributesRequest, **options: object) -> None:
        raise RPCError("only an operator may", RPCStatusCode.PERMISSION_DENIED, b"")

    client = await Client.connect(place.server.address)
    monkeypatch.setattr(type(client.operator_service), "add_search_attributes", refuse)
    bare = f"bare-{uuid.uuid4().hex[:8]}"
    kept = Duration(seconds=24 * 3600)
    request = RegisterNamespaceRequest(namespace=bare, workflow_execution_retention_period=kept)
    await client.workflow_service.register_namespace(request)
    elsewhere = await Client.connect(place.server.address, namespace=bare)
    await eventually(lambda: knows(elsewhere), within=60)

    async with Outlast([ONE], engine=TemporalEngine(elsewhere, task_queue=place.name)) as app:
        result = await (await app.create_run(ONE)).start(input_data=1, tags=["red"])
        with pytest.raises(UnsupportedByEngineError, match=r"OutlastStatus \(Keyword\)") as caught:
            await app.list_runs()

    assert (result.result, caught.value.capability) == (2, Capability.LISTS)


async def knows(client: Client) -> bool:
    """Whether the server has noticed its new namespace."""
    try:
        async with asyncio.timeout(5):
            await client.count_workflows("")
    except (RPCError, TimeoutError):
        return False
    return True
