"""Resuming and canceling over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from outlast import StepContext, Workflow, step
from server.site import APPROVAL, GREET, approve, greet, site

VERBS = ["resume", "resume-async", "resume-no-wait"]


@step
async def ask(x: object, ctx: StepContext) -> object:
    return ctx.resume_data if ctx.resumed else ctx.suspend({"item": x}, label=f"item-{x}")


EACH = Workflow("each", input=list[int]).foreach(ask, concurrency=3).commit()
CHILD = Workflow("child", input=str, output=str).then(approve).commit()
PARENT = Workflow("parent", input=str, output=str).then(greet).then(CHILD).commit()
TWO = Workflow("two").parallel([ask.clone(id="a"), ask.clone(id="b")]).commit()


async def test_resume_answers_at_once_and_the_run_goes_on():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.post(f"/workflows/approval/resume?runId={run_id}", {"step": "approve", "resumeData": True})
        result = await s.app.run(run_id).result(until="end")

    assert response.json() == {"message": "Workflow run resumed"}
    assert result.unwrap() == "hello ada: yes"


async def test_resume_async_answers_with_the_result():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.post(f"/workflows/approval/resume-async?runId={run_id}", {"resumeData": False})

    result = response.json()
    assert (result["status"], result["result"]) == ("success", "hello ada: no")
    assert result["steps"]["approve"]["resumePayload"] is False


async def test_resume_no_wait_answers_with_the_id():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.post(f"/workflows/approval/resume-no-wait?runId={run_id}", {"label": "boss"})

    assert response.status_code == 400, "null is no truth value"
    assert response.json()["error"].startswith("Invalid resume data: \n- root: ")


async def test_label_names_a_suspension():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        details = (await s.get(f"/workflows/approval/runs/{run_id}")).json()
        body = {"label": "boss", "resumeData": True}
        response = await s.post(f"/workflows/approval/resume-no-wait?runId={run_id}", body)

    assert details["resumeLabels"] == {"boss": {"stepId": "approve"}}
    assert response.json() == {"runId": run_id}


@pytest.mark.parametrize("target", ["child.approve", ["child", "approve"], "child"])
async def test_step_of_a_nested_workflow_is_named_in_each_form(target: object):
    async with site(PARENT) as s:
        suspended = await s.started(PARENT)
        run_id = suspended["runId"]
        flat = (await s.get(f"/workflows/parent/runs/{run_id}", params={"withNestedWorkflows": "false"})).json()
        nested = (await s.get(f"/workflows/parent/runs/{run_id}")).json()
        body = {"step": target, "resumeData": True}
        response = await s.post(f"/workflows/parent/resume-async?runId={run_id}", body)

    assert suspended["suspended"] == [["child", "approve"]]
    assert suspended["suspendPayload"] == {"child": {"please": "hello ada"}}
    assert (flat["steps"]["child"]["status"], list(flat["steps"])) == ("suspended", ["greet", "child"])
    assert [nested["steps"][path]["status"] for path in ("child", "child.approve")] == ["running", "suspended"]
    assert nested["suspendedPaths"] == {"child": [1]}
    assert response.json()["result"] == "hello ada: yes"


async def test_items_of_a_foreach_are_resumed_by_index_and_all_at_once():
    async with site(EACH) as s:
        suspended = await s.started(EACH, [1, 2, 3])
        run_id = suspended["runId"]
        details = (await s.get(f"/workflows/each/runs/{run_id}")).json()
        path = f"/workflows/each/resume-async?runId={run_id}"
        one = await s.post(path, {"step": "ask", "forEachIndex": 1, "resumeData": "one"})
        again = await s.post(path, {"step": "ask", "forEachIndex": 1, "resumeData": "one"})
        rest = await s.post(path, {"step": "ask", "resumeData": "rest"})

    assert suspended["suspended"] == [["ask"]]
    assert details["steps"]["ask"]["status"] == "suspended"
    assert details["resumeLabels"]["item-2"] == {"stepId": "ask", "foreachIndex": 1}
    assert one.json()["status"] == "suspended"
    assert (again.status_code, again.json()["code"]) == (409, "resume-target")
    assert rest.json()["result"] == ["rest", "one", "rest"]


@pytest.mark.parametrize("verb", VERBS)
async def test_run_that_is_not_suspended_is_a_conflict(verb: str):
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        response = await s.post(f"/workflows/greet/{verb}?runId={run_id}", {"resumeData": True})

    assert (response.status_code, response.json()["code"]) == (409, "run-state")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("target", [{"step": "greet"}, {"label": "nobody"}, {"forEachIndex": 7}])
async def test_wrong_target_is_a_conflict(verb: str, target: dict[str, object]):
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.post(f"/workflows/approval/{verb}?runId={run_id}", {"resumeData": True, **target})

        assert (response.status_code, response.json()["code"]) == (409, "resume-target")
        assert "'approve'" in response.json()["error"]
        assert await s.app.run(run_id).status() == "suspended"


async def test_several_suspensions_need_a_step():
    async with site(TWO) as s:
        run_id = (await s.started(TWO, 1))["runId"]
        response = await s.post(f"/workflows/two/resume?runId={run_id}", {"resumeData": 1})

    assert (response.status_code, response.json()["code"]) == (400, "resume-target")
    assert "'a'" in response.json()["error"]


async def test_of_two_that_resume_at_once_one_gets_a_conflict():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        path = f"/workflows/approval/resume-async?runId={run_id}"
        both = await asyncio.gather(*(s.post(path, {"resumeData": data}) for data in (True, False)))

    assert sorted(each.status_code for each in both) == [200, 409]
    loser = next(each for each in both if each.status_code == 409)
    assert loser.json()["code"] in ("resume-conflict", "run-state")


async def test_bad_resume_data_changes_nothing():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.post(f"/workflows/approval/resume?runId={run_id}", {"resumeData": "perhaps"})

        assert (response.status_code, response.json()["code"]) == (400, "input")
        assert await s.app.run(run_id).status() == "suspended"


async def test_run_of_another_workflow_is_not_found():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        answers = [
            await s.post(f"/workflows/greet/resume?runId={run_id}", {"resumeData": True}),
            await s.post(f"/workflows/greet/runs/{run_id}/cancel"),
            await s.get(f"/workflows/greet/runs/{run_id}"),
        ]

    assert [each.status_code for each in answers] == [404, 404, 404]


async def test_cancel_ends_a_run():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.post(f"/workflows/approval/runs/{run_id}/cancel", {"reason": "too late"})
        result = await s.app.run(run_id).result(until="end")

    assert response.json() == {"message": "Workflow run cancelled"}
    assert (result.status, result.cancel_reason) == ("canceled", "too late")


async def test_cancel_of_a_finished_run_changes_nothing():
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        response = await s.post(f"/workflows/greet/runs/{run_id}/cancel")

        assert response.status_code == 409
        assert response.json()["error"] == f'Workflow run {run_id} already finished with status "success"'
        assert await s.app.run(run_id).status() == "success"
