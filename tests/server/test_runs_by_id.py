"""Our own routes: runs by their id alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from outlast import Workflow, step
from outlast.server import ServerOptions, Token
from server.site import APPROVAL, GREET, site

ADMIN, READER = "secret-of-admin-0123456789", "secret-of-reader-0123456789"


@step
async def fail(x: object) -> None:
    raise ValueError("no such luck")


FAIL = Workflow("fail").then(fail).commit()


async def test_result_of_a_run_at_rest_comes_at_once():
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        result = (await s.get(f"/runs/{run_id}/result", params={"wait": 30})).json()
        snapshot = (await s.get(f"/runs/{run_id}")).json()

    assert (result["status"], result["result"], result["isAtRest"]) == ("success", "hello ada", True)
    assert snapshot == result


async def test_result_is_waited_for_as_long_as_asked():
    go = asyncio.Event()

    @step
    async def slow(x: str) -> str:
        await go.wait()
        return x

    workflow = Workflow("slow", input=str).then(slow).commit()
    async with site(workflow) as s:
        await s.post("/workflows/slow/start?runId=r&create=true", {"inputData": "x"})
        early = (await s.get("/runs/r/result", params={"wait": 0.02})).json()
        waiting = asyncio.create_task(s.get("/runs/r/result", params={"wait": 30}))
        await asyncio.wait([waiting], timeout=0.02)
        go.set()
        late = (await waiting).json()

    assert (early["status"], early["isAtRest"]) == ("running", False)
    assert (late["status"], late["isAtRest"]) == ("success", True)


async def test_server_bounds_how_long_a_poll_waits():
    async with site(options=ServerOptions(poll_timeout=timedelta(milliseconds=10)), worker=False) as s:
        await s.post("/workflows/greet/start?runId=r&create=true", {"inputData": "x"})
        response = await s.get("/runs/r/result", params={"wait": 3600})

    assert response.json()["status"] == "pending"


async def test_mark_waits_for_what_comes_of_a_resume():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        marked = (await s.post(f"/runs/{run_id}/resume", {"resumeData": True})).json()
        result = (await s.get(f"/runs/{run_id}/result", params={"wait": 30, "mark": marked["mark"]})).json()

    assert result["status"] == "success"


async def test_until_end_waits_through_suspensions():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        path = f"/runs/{run_id}/result"
        early = (await s.get(path, params={"wait": 0.01, "until": "end"})).json()
        await s.post(f"/runs/{run_id}/resume", {"resumeData": True})
        late = (await s.get(path, params={"wait": 30, "until": "end"})).json()

    assert (early["status"], early["isAtRest"]) == ("suspended", False)
    assert late["result"] == "hello ada: yes"


@pytest.mark.parametrize("mark", ["x", "bm9uc2Vuc2U", "WzEsWzFdXQ", "ä", "A" * 4096])
async def test_mark_that_is_none_is_refused(mark: str):
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        response = await s.get(f"/runs/{run_id}/result", params={"mark": mark})

    assert (response.status_code, response.json()["error"].splitlines()[0]) == (400, "Invalid mark: ")


async def test_why_says_in_words_what_a_run_waits_for():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        response = await s.get(f"/runs/{run_id}/why")

    assert "'approve' (label 'boss') waits for somebody to resume it" in response.json()["why"]


async def test_cancel_tells_where_to_wait_from():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        marked = (await s.post(f"/runs/{run_id}/cancel", {"reason": "late"})).json()
        result = (await s.get(f"/runs/{run_id}/result", params={"wait": 30, "mark": marked["mark"]})).json()
        again = await s.post(f"/runs/{run_id}/cancel")

    assert (result["status"], result["cancelReason"]) == ("canceled", "late")
    assert again.status_code == 409


async def test_tracebacks_are_shown_to_admins_only():
    tokens = [Token.of(ADMIN, name="admin", scope="admin"), Token.of(READER, name="reader", scope="read")]
    async with site(FAIL, tokens=tokens) as s:
        run = await s.app.create_run(FAIL)
        await run.start()
        seen = [
            (await s.get(f"/runs/{run.run_id}", headers={"authorization": f"Bearer {secret}"})).json()
            for secret in (ADMIN, READER)
        ]

    assert "no such luck" in seen[0]["error"]["traceback"]
    assert (seen[1]["error"]["traceback"], seen[1]["steps"]["fail"]["error"]["traceback"]) == ("", "")
    assert (seen[1]["error"]["type"], seen[1]["errorPath"]) == ("ValueError", "fail")


@pytest.mark.parametrize("path", ["", "/result", "/why"])
async def test_unknown_run_is_not_found(path: str):
    async with site() as s:
        response = await s.get(f"/runs/nope{path}")

    assert (response.status_code, response.json()["code"]) == (404, "run-not-found")
