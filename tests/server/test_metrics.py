"""`GET /metrics`: numbers of the app and of the server, for Prometheus, and not for everybody."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from eventually import eventually
from outlast import Outlast
from outlast.server import Token, create_app
from server.site import APPROVAL, GREET

SECRETS = {name: f"secret-of-{name}-0123456789" for name in ("reader", "ada")}
TOKENS = [
    Token.of(SECRETS["reader"], name="reader", scope="read"),
    Token.of(SECRETS["ada"], name="ada", scope="admin", resource_id="ada"),
]


@asynccontextmanager
async def served(app: Outlast, **options: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """Serve an app that the server enters by itself."""
    asgi = create_app(app, **options)
    async with (
        asgi.router.lifespan_context(asgi),
        httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://127.0.0.1:4111") as client,
    ):
        yield client


async def values(client: httpx.AsyncClient, **headers: str) -> dict[tuple[str, ...], float]:
    """Scrape, and return the values by name and labels in the order of their names."""
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    text = answer.text
    families = parse_openmetrics(text) if "openmetrics" in answer.headers["content-type"] else parse(text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"])
async def test_scrape_shows_what_the_app_and_the_server_did(accept: str):
    async with served(Outlast([GREET], store="memory")) as client:
        for _ in range(2):
            await client.post("/api/workflows/greet/start-async", json={"inputData": "ada"})
        await client.post("/api/workflows/greet/start-async", json={"inputData": 7})
        await eventually(lambda: _knows_the_queue(client))
        shown = await values(client, accept=accept)

    route = "/workflows/{workflow_id}/start-async"
    assert shown["outlast_runs_started_total", "greet"] == 2
    assert shown["outlast_runs_ended_total", "success", "greet"] == 2
    assert shown["outlast_step_duration_seconds_count", "success", "greet", "greet"] == 2
    assert shown["outlast_commit_duration_seconds_count",] == 4
    assert shown["outlast_queue_depth", "greet"] == 0
    assert shown["http_server_request_duration_seconds_count", "POST", "200", route] == 2
    assert shown["http_server_request_duration_seconds_count", "POST", "400", route] == 1
    assert shown["outlast_http_streams",] == 0
    assert shown["outlast_worker_runs",] == 0


async def _knows_the_queue(client: httpx.AsyncClient) -> bool:
    return ("outlast_queue_depth", "greet") in await values(client)


async def test_paths_of_requests_are_not_shown():
    """There is no end of them, and they may tell what is not for whoever reads numbers."""
    async with served(Outlast([GREET], store="memory")) as client:
        await client.get("/api/workflows/secret-name")
        answer = await client.get("/metrics")

    assert "secret-name" not in answer.text
    assert 'http_route="/workflows/{workflow_id}"' in answer.text


async def test_web_process_that_only_starts_shows_the_queue(tmp_path: Any):
    async with served(Outlast([GREET], store=tmp_path / "runs.db", worker=False)) as client:
        await client.post("/api/workflows/greet/create-run", params={"runId": "a"}, json={})
        assert (await values(client)).get(("outlast_runs_started_total", "greet")) is None
        await client.post(
            "/api/workflows/greet/start", params={"runId": "b", "create": "true"}, json={"inputData": "x"}
        )
    async with served(Outlast([GREET], store=tmp_path / "runs.db", worker=False)) as client:
        await eventually(lambda: _knows_the_queue(client))
        assert (await values(client))["outlast_queue_depth", "greet"] == 1


@pytest.mark.parametrize(("name", "status", "code"), [("", 401, "unauthenticated"), ("ada", 403, "bound-token")])
async def test_numbers_are_for_those_who_may_see_all_runs(name: str, status: int, code: str):
    headers = {"authorization": f"Bearer {SECRETS[name]}"} if name else {}
    async with served(Outlast([GREET], store="memory"), tokens=TOKENS) as client:
        refused = await client.get("/metrics", headers=headers)
        await values(client, authorization=f"Bearer {SECRETS['reader']}")

    assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_foreign_host_and_page_see_no_numbers():
    async with served(Outlast([GREET], store="memory")) as client:
        for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
            assert (await client.get("/metrics", headers=headers)).status_code == 403


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "without metrics"])
async def test_app_that_keeps_no_numbers_shows_those_of_the_server(is_open: bool):
    app = Outlast([APPROVAL], store="memory", metrics=None if is_open else False)
    if is_open:
        async with app, served(app) as client:
            shown = await values(client)
    else:
        async with served(app) as client:
            shown = await values(client)

    assert {name for name, *_ in shown} == {"outlast_http_streams"}


async def test_app_that_was_asked_before_it_was_entered_is_shown():
    app = Outlast([GREET], store="memory")
    app.expose_metrics()
    async with app, served(app) as client:
        await client.post("/api/workflows/greet/start-async", json={"inputData": "ada"})
        shown = await values(client)

    assert shown["outlast_runs_ended_total", "success", "greet"] == 1
