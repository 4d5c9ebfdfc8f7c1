"""Starts are answered without the framework, and as the framework would answer them."""

from __future__ import annotations

from typing import Annotated

import pytest
from starlette.types import Receive, Scope, Send

from outlast.server import create_app
from outlast.server.routes.direct import DirectRoute, Shortcut
from outlast.server.routes.starting import router
from server.site import site


async def test_starts_are_answered_without_the_framework():
    handed_on: list[str] = []

    async def framework(scope: Scope, receive: Receive, send: Send) -> None:
        handed_on.append(f"{scope['method']} {scope['path']}")

    async def nothing() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ignore(message: object) -> None:
        pass

    routes = [each for each in router.routes if isinstance(each, DirectRoute)]
    shortcut = Shortcut(framework, routes)
    asked = [("POST", f"/workflows/w/{verb}") for verb in ("resume", "start/x")]
    for method, path in [*asked, ("GET", "/workflows/w/start")]:
        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
        await shortcut(scope, nothing, ignore)

    assert {each.path for each in routes} == {
        f"/workflows/{{workflow_id}}/{n}" for n in ("create-run", "start", "start-async")
    }
    assert handed_on == ["POST /workflows/w/resume", "POST /workflows/w/start/x", "GET /workflows/w/start"]


def test_direct_route_refuses_an_argument_that_it_could_not_read():
    async def endpoint(anything: Annotated[str, "no mark"]) -> None: ...

    with pytest.raises(TypeError, match="cannot read 'anything'"):
        DirectRoute("/x", endpoint, methods=["POST"]).get_route_handler()


@pytest.mark.parametrize(
    ("query", "headers", "body", "field"),
    [
        ("?runId=", {}, b"{}", "runId"),
        ("?runId=" + "x" * 201, {}, b"{}", "runId"),
        ("?create=perhaps&runId=r", {}, b"{}", "create"),
        ("", {"idempotency-key": ""}, b"{}", "Idempotency-Key"),
        ("", {}, b'{"perStep": "perhaps"}', "perStep"),
        ("", {}, b'{"tracingOptions": {"tags": 3}}', "tracingOptions.tags"),
        ("", {}, b"[]", "root"),
        ("", {}, b"{", "body"),
        ("", {}, b'"\xff"', "body"),
        ("", {}, b"NaN", "body"),
    ],
)
async def test_start_of_a_wrong_shape_is_refused_with_the_place(
    query: str, headers: dict[str, str], body: bytes, field: str
):
    async with site() as s:
        response = await s.client.post(
            f"/api/workflows/greet/start{query}", content=body, headers={"content-type": "application/json", **headers}
        )

        assert response.status_code == 400, response.text
        assert response.json()["code"] == "invalid-request"
        assert [each["field"] for each in response.json()["issues"]] == [field]
        assert (await s.app.list_runs()).total == 0


@pytest.mark.parametrize("path", ["start", "resume?runId=r"], ids=["direct", "by the framework"])
async def test_caller_that_goes_away_in_its_body_starts_nothing_and_is_no_fault(
    path: str, caplog: pytest.LogCaptureFixture
):
    messages = [
        {"type": "http.request", "body": b'{"inputData": "ad', "more_body": True},
        {"type": "http.disconnect"},
    ]
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/workflows/greet/{path}",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def ignore(message: object) -> None:
        pass

    async with site() as s:
        await create_app(s.app)(scope, receive, ignore)

        assert (await s.app.list_runs()).total == 0
    assert [each for each in caplog.records if each.name == "outlast.server"] == []


@pytest.mark.parametrize("body", [b"", b"null", b"{}"])
async def test_start_without_a_body_has_no_input(body: bytes):
    """The workflow needs one: the refusal is that of the input, not of the shape."""
    async with site() as s:
        response = await s.client.post(
            "/api/workflows/greet/start", content=body, headers={"content-type": "application/json"}
        )

    assert response.status_code == 400
    assert response.json()["error"].startswith("Invalid input data")
