"""Restart, time travel, fork and single steps, over HTTP."""

from __future__ import annotations

import pytest

from outlast import StepContext, Workflow, step
from server.site import APPROVAL, GREET, approve, greet, site


@step
async def breaks(text: str, ctx: StepContext) -> str:
    if ctx.execution == 0:
        raise ValueError("no such luck")
    return text.upper()


BREAKS = Workflow("breaks", input=str, output=str).then(greet).then(breaks).commit()
CHILD = Workflow("child", input=str, output=str).then(greet).then(approve).commit()
PARENT = Workflow("parent", input=str, output=str).then(CHILD).commit()


async def test_restart_goes_on_from_what_failed():
    async with site(BREAKS) as s:
        run_id = (await s.started(BREAKS))["runId"]
        waited = await s.post(f"/workflows/breaks/restart-async?runId={run_id}")
        whole = (await s.get(f"/runs/{run_id}")).json()

    assert waited.json()["result"] == "HELLO ADA"
    assert whole["execution"] == 1


async def test_restart_by_id_tells_where_to_wait_from():
    async with site(BREAKS) as s:
        run_id = (await s.started(BREAKS))["runId"]
        marked = (await s.post(f"/runs/{run_id}/restart")).json()
        result = (await s.get(f"/runs/{run_id}/result", params={"wait": 30, "mark": marked["mark"]})).json()

    assert result["result"] == "HELLO ADA"


@pytest.mark.parametrize("verb", ["restart", "restart-async"])
async def test_restart_of_what_has_not_failed_is_a_conflict(verb: str):
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.post(f"/workflows/approval/{verb}?runId={run_id}")

    assert (response.status_code, response.json()["code"]) == (409, "run-state")


async def test_time_travel_takes_records_of_earlier_steps():
    async with site(PARENT) as s:
        await s.post("/workflows/parent/create-run?runId=r")
        body = {
            "step": ["child", "approve"],
            "nestedStepsContext": {"child": {"greet": {"status": "success", "output": "hi", "startedAt": 1}}},
            "context": {},
            "resumeData": True,
            "inputData": "hi",
        }
        response = await s.post("/workflows/parent/time-travel-async?runId=r", body)

    assert response.status_code == 200, response.text
    assert response.json()["result"] == "hi: yes"


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"step": "nope"}, 400), ({"step": []}, 400), ({"step": "greet", "context": 3}, 400)],
)
async def test_time_travel_to_nowhere_is_refused(body: dict[str, object], status: int):
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        response = await s.post(f"/workflows/greet/time-travel?runId={run_id}", body)

        assert response.status_code == status
        assert (await s.get(f"/runs/{run_id}")).json()["execution"] == 0


async def test_fork_is_a_new_run_and_leaves_the_old_one():
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        body = {"step": "greet", "inputData": "eve", "runId": "forked"}
        marked = (await s.post(f"/runs/{run_id}/fork", body)).json()
        result = (await s.get("/runs/forked/result", params={"wait": 30, "mark": marked["mark"]})).json()
        old = (await s.get(f"/runs/{run_id}")).json()

    assert (marked["runId"], result["result"], old["result"]) == ("forked", "hello eve", "hello ada")


async def test_paused_run_is_led_step_by_step():
    async with site(BREAKS) as s:
        paused = await s.post("/workflows/breaks/start-async?runId=r", {"inputData": "ada", "perStep": True})
        marked = (await s.post("/runs/r/step", {"perStep": False})).json()
        result = (await s.get("/runs/r/result", params={"wait": 30, "mark": marked["mark"]})).json()
        late = await s.post("/runs/r/step")

    assert paused.json()["status"] == "paused"
    assert result["status"] == "failed"
    assert (late.status_code, late.json()["code"]) == (409, "run-state")


RESERVED = {"a": 1, "mastra__resourceId": "eve"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workflows/tells/restart-async?runId=r", {}),
        ("/workflows/tells/time-travel-async?runId=r", {"step": "tell"}),
        ("/runs/r/restart", {}),
        ("/runs/r/time-travel", {"step": "tell"}),
        ("/runs/r/fork", {"step": "tell", "runId": "forked"}),
    ],
)
async def test_request_context_of_a_repair_is_that_of_a_start(path: str, body: dict[str, object]):
    """Reserved keys are dropped, and entries of the query win over those of the body."""

    @step
    async def tell(x: object, ctx: StepContext) -> dict[str, object]:
        if ctx.execution == 0 and ctx.run_id == "r":
            raise ValueError("not yet")
        return dict(ctx.request_context)

    workflow = Workflow("tells").then(tell).commit()
    async with site(workflow) as s:
        await s.post("/workflows/tells/start-async?runId=r")
        query = {"requestContext": '{"b": 2, "mastra__x": 1}'}
        url, _, given = path.partition("?")
        if given:
            query["runId"] = "r"
        response = await s.post(url, {**body, "requestContext": {**RESERVED, "b": 0}}, params=query)
        result = await s.app.run("forked" if "fork" in path else "r").result(timeout=30)

    assert response.status_code == 200, response.text
    assert result.unwrap() == {"a": 1, "b": 2}


@pytest.mark.parametrize("is_stepping", [True, False])
async def test_resume_may_say_how_the_run_goes_on_and_nothing_else(is_stepping: bool):
    """12.6: whether a run pauses after each step is said at its start; no parameter is accepted and ignored."""
    async with site() as s:
        start = {"inputData": "ada", "perStep": is_stepping}
        await s.post("/workflows/approval/start-async?runId=r", start)
        if is_stepping:
            await s.app.run("r").step()
        path = "/workflows/approval/resume-async?runId=r"
        refused = await s.post(path, {"resumeData": True, "perStep": not is_stepping})
        before = await s.app.run("r").status()
        taken = await s.post(path, {"resumeData": True, "perStep": is_stepping})

    assert (refused.status_code, refused.json()["issues"][0]["field"]) == (400, "perStep")
    assert before == "suspended"
    assert (taken.status_code, taken.json()["status"]) == (200, "success")
