"""Starting runs over HTTP: create-run, start and start-async."""

from __future__ import annotations

import asyncio
import base64
from datetime import date, timedelta

import pytest

from eventually import eventually
from outlast import StepContext, Workflow, step
from outlast.server import ServerOptions
from outlast.trace import UNTRACED, run_trace
from server.site import APPROVAL, GREET, site


@step
async def tell(x: object, ctx: StepContext) -> dict[str, object]:
    return dict(ctx.request_context)


@step
async def weekday(day: date) -> int:
    return day.weekday()


@step
async def fail(x: object) -> None:
    raise ValueError("no such luck")


TELL = Workflow("tell").then(tell).commit()
WEEKDAY = Workflow("weekday", input=date, output=int).then(weekday).commit()
FAIL = Workflow("fail").then(fail).commit()
UNKNOWN = {"error": "Workflow run not found", "code": "run-not-found", "details": ["nope"]}


async def test_created_run_is_pending_and_belongs_to_its_resource():
    async with site() as s:
        run_id = await s.created(GREET, {"resourceId": "ada", "disableScorers": True})
        details = (await s.get(f"/workflows/greet/runs/{run_id}")).json()

    assert (details["status"], details["resourceId"], details["steps"]) == ("pending", "ada", {})
    assert "payload" not in details


async def test_creating_a_run_again_changes_nothing():
    async with site() as s:
        first = await s.post("/workflows/greet/create-run?runId=r", {"resourceId": "ada"})
        again = await s.post("/workflows/greet/create-run?runId=r")
        details = (await s.get("/workflows/greet/runs/r")).json()

    assert first.json() == again.json() == {"runId": "r"}
    assert details["resourceId"] == "ada"


async def test_creating_a_run_of_another_workflow_is_a_conflict():
    async with site() as s:
        await s.post("/workflows/greet/create-run?runId=r")
        response = await s.post("/workflows/approval/create-run?runId=r")

    assert (response.status_code, response.json()["code"]) == (409, "run-exists")


async def test_created_run_that_nobody_starts_fails():
    options = ServerOptions(start_within=timedelta(milliseconds=30))
    async with site(GREET, options=options) as s:
        run_id = await s.created(GREET)
        result = await s.app.run(run_id).result()

    assert (result.status, result.error and result.error.type) == ("failed", "NeverStartedError")


async def test_start_answers_when_the_run_is_durable():
    async with site(GREET, worker=False) as s:
        run_id = await s.created(GREET)
        response = await s.post(f"/workflows/greet/start?runId={run_id}", {"inputData": "ada"})

    assert response.json() == {"message": "Workflow run started", "runId": run_id}


async def test_started_run_is_run():
    async with site() as s:
        run_id = await s.created(GREET)
        await s.post(f"/workflows/greet/start?runId={run_id}", {"inputData": "ada"})

        assert (await s.app.run(run_id).result()).unwrap() == "hello ada"


async def test_start_of_an_unknown_run_is_not_found():
    async with site() as s:
        response = await s.post("/workflows/greet/start?runId=nope", {"inputData": "ada"})

    assert (response.status_code, response.json()) == (404, UNKNOWN)


async def test_start_makes_a_run_if_it_is_told_to():
    async with site() as s:
        named = await s.post("/workflows/greet/start?runId=r&create=true", {"inputData": "ada", "resourceId": "eve"})
        unnamed = await s.post("/workflows/greet/start", {"inputData": "ada"})

        assert named.json()["runId"] == "r"
        assert (await s.app.run("r").result()).resource_id == "eve"
        assert (await s.app.run(unnamed.json()["runId"]).result()).unwrap() == "hello ada"


async def test_finished_run_is_not_started_again():
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        plain = await s.post(f"/workflows/greet/start?runId={run_id}", {"inputData": "ada"})
        waiting = await s.post(f"/workflows/greet/start-async?runId={run_id}", {"inputData": "ada"})

    assert (plain.status_code, plain.json()["code"]) == (409, "run-exists")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "run-state")
    assert 'already finished with status "success"' in waiting.json()["error"]


async def test_start_async_answers_with_the_result():
    async with site() as s:
        result = await s.started(GREET)

    step = result["steps"]["greet"]
    assert result == {
        "runId": result["runId"],
        "traceId": run_trace(result["runId"], 0, UNTRACED).trace_id,
        "spanId": run_trace(result["runId"], 0, UNTRACED).span_id,
        "status": "success",
        "input": "ada",
        "steps": {"input": "ada", "greet": step},
        "stepExecutionPath": ["greet"],
        "result": "hello ada",
    }
    assert (step["status"], step["output"]) == ("success", "hello ada")
    assert isinstance(step["startedAt"], int)
    assert "payload" not in step, "it is the input of the workflow"


async def test_start_async_tells_a_failure_without_its_traceback():
    async with site(FAIL) as s:
        result = await s.started(FAIL)

    assert (result["status"], result["error"]) == ("failed", {"name": "ValueError", "message": "no such luck"})
    assert result["steps"]["fail"]["error"] == result["error"]


async def test_start_async_tells_a_suspension():
    async with site() as s:
        result = await s.started(APPROVAL)

    assert result["status"] == "suspended"
    assert result["suspended"] == [["approve"]]
    assert result["suspendPayload"] == {"approve": {"please": "hello ada"}}
    assert result["steps"]["approve"]["suspendPayload"] == {"please": "hello ada"}
    assert result["stepExecutionPath"] == ["greet", "approve"]


async def test_repeated_start_async_waits_for_the_run_in_flight():
    """A client that got no answer in time asks again; the run must not happen twice."""
    go, calls = asyncio.Event(), []

    @step
    async def slow(x: str) -> str:
        calls.append(x)
        await go.wait()
        return x

    workflow = Workflow("slow", input=str).then(slow).commit()
    async with site(workflow) as s:
        first = asyncio.create_task(s.post("/workflows/slow/start-async?runId=r", {"inputData": "ada"}))
        await eventually(lambda: calls)
        second = asyncio.create_task(s.post("/workflows/slow/start-async?runId=r", {"inputData": "ada"}))
        await asyncio.wait([second], timeout=0.05)
        go.set()

        assert (await first).json() == (await second).json()
        assert calls == ["ada"]


async def test_start_async_gives_up_waiting_but_not_the_run():
    go = asyncio.Event()

    @step
    async def slow(x: str) -> str:
        await go.wait()
        return x

    workflow = Workflow("slow", input=str).then(slow).commit()
    async with site(workflow, options=ServerOptions(answer_timeout=timedelta(milliseconds=20))) as s:
        late = await s.post("/workflows/slow/start-async?runId=r", {"inputData": "ada"})
        go.set()
        result = await s.app.run("r").result()

    assert (late.status_code, late.json()["code"]) == (504, "still-running")
    assert "GET /runs/r/result" in late.json()["hint"]
    assert result.unwrap() == "ada"


@pytest.mark.parametrize("verb", ["start?create=true", "start-async?create=true"])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"inputData": 3}, "Invalid input data: \n- root: input should be a valid string"),
        ({}, "Invalid input data: \n- root: input should be a valid string"),
    ],
)
async def test_bad_input_is_refused_and_nothing_is_stored(verb: str, body: dict[str, object], text: str):
    async with site() as s:
        response = await s.post(f"/workflows/greet/{verb}&runId=r", body)

        assert (response.status_code, response.json()["error"]) == (400, text)
        assert response.json()["issues"] == [{"field": "root", "message": "input should be a valid string"}]
        assert (await s.get("/workflows/greet/runs/r")).status_code == 404


async def test_input_is_read_as_json_of_the_declared_type():
    """In JSON a date is a text."""
    async with site(WEEKDAY) as s:
        result = await s.started(WEEKDAY, "2026-11-23")

    assert result["result"] == 0


async def test_request_context_of_the_query_wins_over_the_body():
    query = base64.b64encode(b'{"a": 1, "mastra__x": 1}').decode()
    async with site(TELL) as s:
        path = "/workflows/tell/start-async"
        body = {"requestContext": {"a": 0, "b": 2, "mastra__resourceId": "x"}}
        both = await s.client.post(f"/api{path}", params={"requestContext": query}, json=body)
        plain = await s.client.post(f"/api{path}", params={"requestContext": '{"a":3}'}, json=body)
        garbage = await s.client.post(f"/api{path}", params={"requestContext": "%%%"}, json=body)

    assert both.json()["result"] == {"a": 1, "b": 2}
    assert plain.json()["result"] == {"a": 3, "b": 2}
    assert garbage.json()["result"] == {"a": 0, "b": 2}


async def test_body_that_is_not_declared_as_json_counts_for_nothing():
    async with site(TELL) as s:
        raw = {"content": b'{"inputData": 1}', "headers": {"content-type": "text/plain"}}
        response = await s.client.post("/api/workflows/tell/start-async", **raw)
        empty = await s.client.post("/api/workflows/tell/start-async")

    assert (response.json()["input"], empty.json()["input"]) == (None, None)


KEY = {"idempotency-key": "order-7"}


async def test_start_with_a_key_is_one_run():
    async with site() as s:
        first = await s.post("/workflows/greet/start", {"inputData": "ada"}, headers=KEY)
        again = await s.post("/workflows/greet/start", {"inputData": "ada"}, headers=KEY)
        other = await s.post("/workflows/greet/start", {"inputData": "eve"}, headers=KEY)

    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


async def test_start_async_with_a_key_is_one_run_also_when_it_has_ended():
    async with site() as s:
        first = await s.post("/workflows/greet/start-async", {"inputData": "ada"}, headers=KEY)
        again = await s.post("/workflows/greet/start-async", {"inputData": "ada"}, headers=KEY)

    assert first.json() == again.json()


async def test_created_run_with_a_key_is_one_run_of_its_owner():
    async with site() as s:
        answers = [
            await s.post("/workflows/greet/create-run", body, headers=headers)
            for body, headers in (({}, KEY), ({}, KEY), ({"resourceId": "x"}, KEY), ({}, {"idempotency-key": "8"}))
        ]

    ids = [each.json()["runId"] for each in answers]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("verb", ["start", "start-async"])
async def test_key_makes_the_start_of_a_named_run_safe_to_repeat(verb: str):
    async with site() as s:
        run_id = await s.created(GREET)
        path = f"/workflows/greet/{verb}?runId={run_id}"
        first = await s.post(path, {"inputData": "ada"}, headers=KEY)
        await s.app.run(run_id).result()
        again = await s.post(path, {"inputData": "ada"}, headers=KEY)
        other = await s.post(path, {"inputData": "eve"}, headers=KEY)

    assert (first.status_code, again.json()) == (200, first.json())
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


async def test_meaning_of_a_key_can_be_told():
    async with site() as s:
        body = {"inputData": "ada", "idempotency": {"whileRunning": "reject", "whenFinished": "rerun"}}
        first = await s.post("/workflows/greet/start-async", body, headers=KEY)
        again = await s.post("/workflows/greet/start-async", body, headers=KEY)

    assert (again.status_code, again.json()["result"]) == (200, "hello ada")
    assert again.json()["runId"] != first.json()["runId"]


async def test_priority_is_taken_and_an_impossible_one_refused():
    async with site(worker=False) as s:
        run_id = (await s.post("/workflows/greet/start", {"inputData": "ada", "priority": 7})).json()["runId"]
        why = (await s.get(f"/runs/{run_id}/why")).json()["why"]
        refused = await s.post("/workflows/greet/start", {"inputData": "ada", "priority": 101})

    assert "waits for its turn: its limits are open, its priority is 7" in why
    assert (refused.status_code, "priority" in refused.text) == (400, True)


async def test_options_of_a_start_are_those_in_process():
    async with site() as s:
        body = {
            "inputData": "ada",
            "tags": ["night"],
            "delayMs": 3_600_000,
            "includeState": True,
            "startWithinMs": 60_000,
        }
        run_id = (await s.post("/workflows/greet/start", body)).json()["runId"]
        (run,) = (await s.get("/runs", params={"tags": "night"})).json()["runs"]
        why = (await s.get(f"/runs/{run_id}/why")).json()["why"]

    assert (run["runId"], run["status"], run["tags"]) == (run_id, "pending", ["night"])
    assert "to start at" in why


async def test_created_run_is_started_under_its_id_with_a_key_too():
    async with site() as s:
        run_id = await s.created(GREET)
        path, headers = f"/workflows/greet/start?runId={run_id}&create=true", {"idempotency-key": "k"}
        first = await s.post(path, {"inputData": "ada"}, headers=headers)
        again = await s.post(path, {"inputData": "ada"}, headers=headers)
        other = await s.post(path, {"inputData": "eve"}, headers=headers)
        result = await s.app.run(run_id).result(timeout=10)

    assert [each.status_code for each in (first, again, other)] == [200, 200, 409]
    assert result.result == "hello ada"
