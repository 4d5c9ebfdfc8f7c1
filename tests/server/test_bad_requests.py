"""What comes over the wire and must not get in: the right status, nothing stored, nothing leaked."""

from __future__ import annotations

import asyncio
import json

import pytest

from outlast.server import ServerOptions
from outlast.server.routes import route
from server.site import APPROVAL, Site, site

JSON = {"content-type": "application/json"}
START = "/workflows/greet/start?runId=r&create=true"


async def assert_nothing_is_stored(s: Site) -> None:
    assert (await s.app.list_runs()).total == 0


async def test_oversized_body_is_refused_by_its_declared_length():
    async with site() as s:
        body = json.dumps({"inputData": "x" * 4_500_000}).encode()
        response = await s.client.post(f"/api{START}", content=body, headers=JSON)

        assert (response.status_code, response.json()["error"]) == (413, "Request body too large")
        await assert_nothing_is_stored(s)


async def test_oversized_body_is_refused_while_it_is_read():
    async def parts():
        yield b'{"inputData":"'
        for _ in range(100):
            yield b"x" * 100

    async with site(options=ServerOptions(max_body_bytes=1000)) as s:
        response = await s.client.post(f"/api{START}", content=parts(), headers=JSON)

        assert response.status_code == 413
        await assert_nothing_is_stored(s)


async def test_body_that_trickles_in_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    """The request is answered, and its connection closed: nobody would read what comes later."""

    async def parts():
        yield b'{"inputData":"'
        await asyncio.Event().wait()

    monkeypatch.setattr(route, "BODY_SECONDS", 0.01)
    async with site() as s:
        response = await s.client.post(f"/api{START}", content=parts(), headers=JSON)

        assert (response.status_code, response.json()["code"]) == (408, "body-too-slow")
        assert response.headers["connection"] == "close"
        await assert_nothing_is_stored(s)


async def test_body_that_comes_at_a_fair_pace_has_longer(monkeypatch: pytest.MonkeyPatch):
    """Each 16 KiB earn a second: after the first piece this one has six, and needs a little."""
    done = asyncio.Event()

    async def parts():
        yield b'{"inputData":"' + b"x" * 100_000
        asyncio.get_running_loop().call_later(0.1, done.set)
        await done.wait()
        yield b'"}'

    monkeypatch.setattr(route, "BODY_SECONDS", 0.05)
    async with site() as s:
        response = await s.client.post(f"/api{START}", content=parts(), headers=JSON)

        assert response.status_code == 200


async def test_long_names_are_not_repeated_whole():
    """9.7: a megabyte that names nothing is answered with its beginning."""
    async with site() as s:
        await s.started(APPROVAL)
        (run,) = (await s.app.list_runs()).runs
        long = "x" * 1_000_000
        answers = [
            await s.post(f"/runs/{run.run_id}/resume", {"resumeData": True, "step": long}),
            await s.post(f"/runs/{run.run_id}/resume", {"resumeData": True, "label": long}),
            await s.post(f"/runs/{run.run_id}/time-travel", {"step": long}),
        ]

    assert [each.status_code for each in answers] == [409, 409, 400]
    assert all("x... (1,000,000 characters)" in each.text and len(each.text) < 1000 for each in answers)


async def test_value_over_the_limit_of_the_journal_is_refused():
    async with site() as s:
        response = await s.post(START, {"inputData": "x" * 4_300_000})

        assert (response.status_code, response.json()["code"]) == (413, "payload-too-large")
        await assert_nothing_is_stored(s)


@pytest.mark.parametrize("depth", [200, 2_000, 200_000])
async def test_deeply_nested_body_is_refused(depth: int):
    async with site() as s:
        body = b'{"inputData":' + b"[" * depth + b"]" * depth + b"}"
        response = await s.client.post("/api/workflows/approval/start", content=body, headers=JSON)

        assert response.status_code == 400
        await assert_nothing_is_stored(s)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe{\x00}\x00",
        b'{"inputData": "\xff"}',
        '{"inputData": "ä"}'.encode("latin-1"),
        '{"inputData": "x"}'.encode("utf-16"),
        b'{"inputData": NaN}',
        b'{"inputData": 1e999}',
        b"[]",
        b"null",
        b'"text"',
        b'{"inputData": "\\ud800"}',
        b'{"inputData": "x", "requestContext": []}',
        b'{"inputData": "x", "resourceId": 7}',
        b'{"inputData": "x", "resourceId": ""}',
        b'{"inputData": "x", "resourceId": "a\\u0000b"}',
        b'{"inputData": "x", "initialState": 7}',
    ],
    ids=lambda body: repr(body)[2:40],
)
async def test_body_of_the_wrong_shape_or_encoding_is_refused(body: bytes):
    async with site() as s:
        response = await s.client.post(f"/api{START}", content=body, headers=JSON)

        assert response.status_code == 400, response.text
        assert set(response.json()) >= {"error", "code"}
        await assert_nothing_is_stored(s)


HALF = b'"\\ud800"'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workflows/approval/resume?runId=r", b'{"resumeData": true, "step": %s}'),
        ("/workflows/approval/resume?runId=r", b'{"resumeData": true, "label": %s}'),
        ("/workflows/approval/time-travel?runId=r", b'{"step": %s}'),
        ("/workflows/approval/runs/r/cancel", b'{"reason": %s}'),
        ("/workflows/greet/start", b'{"inputData": "x", "idempotency": {"scope": %s}}'),
        ("/schedules", b'{"workflowId": "greet", "cron": "@daily", "timezone": %s, "inputData": "x"}'),
        ("/schedules", b'{"workflowId": "greet", "cron": %s, "inputData": "x"}'),
    ],
)
async def test_half_a_surrogate_pair_is_refused_wherever_it_stands(path: str, body: bytes):
    """It is no text, so that no answer could quote it."""
    async with site() as s:
        await s.post("/workflows/approval/start-async?runId=r", {"inputData": "ada"})
        response = await s.client.post(f"/api{path}", content=body % HALF, headers=JSON)

        assert (response.status_code, response.json()["code"]) == (400, "invalid-request")
        assert (await s.app.list_runs()).total == 1
        assert await s.app.run("r").status() == "suspended"


async def test_whole_surrogate_pair_is_a_text():
    async with site() as s:
        body = b'{"inputData": "\\ud83d\\ude00"}'
        response = await s.client.post("/api/workflows/greet/start-async", content=body, headers=JSON)

    assert response.json()["result"] == "hello \N{GRINNING FACE}"


@pytest.mark.parametrize("run_id", ["", "a%00b", "x" * 201, "%0aid", "%ff"])
async def test_run_id_that_is_no_usable_text_is_refused(run_id: str):
    async with site() as s:
        response = await s.client.post(
            f"/api/workflows/greet/start?runId={run_id}&create=true", json={"inputData": "ada"}
        )

        assert response.status_code in (200, 400)
        assert (response.status_code == 200) == (run_id == "%ff"), "it is decoded leniently, to a usable text"


@pytest.mark.parametrize(
    "path",
    [
        "/workflows/",
        "/workflows/greet/",
        "/workflows/../greet",
        "/workflows/%2e%2e/greet",
        "/workflows/greet%2Fruns/x",
        "/workflows/greet/runs/..%2f..%2fetc%2fpasswd",
        "/runs/..%2f..%2fetc%2fpasswd",
        "/runs/%00",
        "//workflows",
        "/workflows/greet/runs/a/b",
        "/nope",
    ],
)
async def test_path_tricks_find_nothing(path: str):
    async with site() as s:
        response = await s.client.get(f"http://127.0.0.1/api{path}")

    assert response.status_code == 404
    assert "root:" not in response.text


@pytest.mark.parametrize(("method", "path"), [("PUT", "/workflows"), ("GET", "/workflows/greet/start"), ("POST", "/")])
async def test_wrong_method_is_answered_as_in_the_reference(method: str, path: str):
    async with site() as s:
        response = await s.client.request(method, f"/api{path}")

    assert (response.status_code, response.text) == (404, "404 Not Found")
    assert response.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example:4111",
        "",
        "[::1",
        "@",
        "evil.example@localhost",
    ],
)
async def test_foreign_host_is_refused(host: str):
    """DNS rebinding: a foreign name that points to the loopback."""
    async with site() as s:
        response = await s.post(START, {"inputData": "ada"}, headers={"host": host})

        assert (response.status_code, response.json()["code"]) == (403, "foreign-host")
        assert response.headers["x-content-type-options"] == "nosniff"
        await assert_nothing_is_stored(s)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:4111", "127.0.0.1", "127.3.2.1:80", "[::1]:4111", "LOCALHOST"]
)
async def test_loopback_is_served(host: str):
    async with site() as s:
        response = await s.get("/workflows", headers={"host": host})

    assert response.status_code == 200


async def test_named_host_is_served():
    async with site(options=ServerOptions(allowed_hosts=("ops.internal",))) as s:
        response = await s.get("/workflows", headers={"host": "ops.internal:4111"})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1.evil", "http://[", ""]
)
async def test_foreign_origin_is_refused(origin: str):
    """A page of another site, in a browser on this machine."""
    async with site() as s:
        response = await s.post(START, {"inputData": "ada"}, headers={"origin": origin})

        assert (response.status_code, response.json()["code"]) == (403, "foreign-origin")
        assert "access-control-allow-origin" not in response.headers
        await assert_nothing_is_stored(s)


async def test_page_of_the_server_itself_may_call():
    async with site() as s:
        response = await s.get("/workflows", headers={"origin": "http://127.0.0.1:4111"})

    assert response.status_code == 200


async def test_named_origin_may_call_and_is_told_so():
    origin = "https://ops.example.org"
    async with site(options=ServerOptions(allowed_origins=(origin,))) as s:
        response = await s.get("/workflows", headers={"origin": origin})
        asked = await s.client.options("/api/workflows/greet/start", headers={"origin": origin})

    assert response.headers["access-control-allow-origin"] == origin
    assert response.headers["access-control-allow-credentials"] == "true", "some web interfaces always ask for it"
    assert response.headers["access-control-expose-headers"] == "x-request-id"
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, origin)
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "Authorization" in asked.headers["access-control-allow-headers"]


async def test_fault_of_the_server_tells_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    async with site(APPROVAL) as s:

        async def broken(*_args: object) -> None:
            raise RuntimeError("password=hunter2")

        monkeypatch.setattr(s.app.engine, "summarize_run", broken)
        response = await s.get("/workflows/approval/runs/r?requestContext=secret")

    assert response.status_code == 500
    assert (response.json()["error"], response.json()["code"]) == ("Internal Server Error", "internal")
    assert "hunter2" not in response.text
    assert response.headers["x-request-id"] in caplog.text
    assert "requestContext" not in caplog.text


async def test_path_in_the_log_holds_nothing_that_a_terminal_would_obey(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with site(APPROVAL) as s:

        async def broken(*_args: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(s.app.engine, "summarize_run", broken)
        await s.get("/workflows/approval/runs/r%1b%5B2J")

    (record,) = [each for each in caplog.records if each.name == "outlast.server"]
    assert "r\\x1b[2J" in record.getMessage()


async def test_answers_are_not_sniffed_and_not_kept():
    async with site() as s:
        response = await s.get("/workflows")

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
