"""Looking at one run over HTTP."""

from __future__ import annotations

import re

import pytest
from typing_extensions import TypedDict

from outlast import StepContext, Workflow, step
from server.site import APPROVAL, GREET, site

HEAD = {"runId", "workflowName", "resourceId", "createdAt", "updatedAt", "status"}
ALWAYS = HEAD | {"suspendedPaths", "resumeLabels", "waitingPaths"}


class Tally(TypedDict):
    count: int


@step
async def count(x: object, ctx: StepContext) -> None:
    ctx.set_state({"count": 5})


COUNT = Workflow("count", state=Tally).then(count).commit()


async def test_details_have_all_that_is_known():
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        details = (await s.get(f"/workflows/greet/runs/{run_id}")).json()

    assert set(details) == ALWAYS | {"result", "payload", "steps", "activeStepsPath", "serializedStepGraph"}
    assert (details["workflowName"], details["resourceId"], details["status"]) == ("greet", None, "success")
    assert (details["payload"], details["result"]) == ("ada", "hello ada")
    assert details["steps"]["greet"]["payload"] == "ada", "records in details keep what they received"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", details["createdAt"])


async def test_fields_choose_parts():
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        details = (await s.get(f"/workflows/greet/runs/{run_id}", params={"fields": "result, steps"})).json()

    assert set(details) == ALWAYS | {"result", "steps"}


@pytest.mark.parametrize("query", [{"fields": "result,nope"}, {"withNestedWorkflows": "perhaps"}])
async def test_unknown_field_is_refused(query: dict[str, str]):
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        response = await s.get(f"/workflows/greet/runs/{run_id}", params=query)

    assert (response.status_code, response.json()["error"]) == (400, "Invalid query parameters")
    assert response.json()["issues"][0]["field"] == next(iter(query))


async def test_state_is_shown_as_it_is_now():
    async with site(COUNT) as s:
        response = await s.post("/workflows/count/start-async", {"initialState": {"count": 1}})
        details = (await s.get(f"/workflows/count/runs/{response.json()['runId']}")).json()
        refused = await s.post("/workflows/count/start-async", {"initialState": {"count": "x"}})

    assert details["initialState"] == {"count": 5}
    assert refused.json()["error"].startswith("Invalid initial data: \n- count: ")


async def test_suspended_run_shows_where_it_waits():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        details = (await s.get(f"/workflows/approval/runs/{run_id}")).json()

    assert details["suspendedPaths"] == {"approve": [1]}
    assert details["activeStepsPath"] == {}


async def test_unknown_run_is_not_found():
    async with site() as s:
        response = await s.get("/workflows/greet/runs/nope")

    assert (response.status_code, response.json()["error"]) == (404, "Workflow run not found")


async def test_run_that_has_ended_is_deleted():
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        path = f"/api/workflows/greet/runs/{run_id}"
        deleted = await s.client.delete(path)
        again = await s.client.delete(path)
        read = await s.client.get(path)

    assert deleted.json() == {"message": "Workflow run deleted"}
    assert (again.status_code, read.status_code) == (404, 404)


@pytest.mark.parametrize("path", ["/workflows/approval/runs/", "/runs/"])
async def test_run_that_has_not_ended_is_not_deleted(path: str):
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.client.delete(f"/api{path}{run_id}")

        assert (response.status_code, response.json()["code"]) == (409, "run-state")
        assert await s.app.run(run_id).status() == "suspended"
