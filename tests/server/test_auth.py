"""Tokens: who is let in, to do what, with whose runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from outlast import ConfigurationError, Outlast
from outlast.server import Principal, Scope, ServerOptions, Token, create_app, load_tokens, new_secret, serve
from server.site import APPROVAL, GREET, Site, site

SECRETS = {name: f"secret-of-{name}-0123456789" for name in ("reader", "driver", "boss", "ada", "eve", "old")}
TOKENS = [
    Token.of(SECRETS["reader"], name="reader", scope="read"),
    Token.of(SECRETS["driver"], name="driver", scope="run"),
    Token.of(SECRETS["boss"], name="boss", scope="admin"),
    Token.of(SECRETS["ada"], name="ada", scope="run", resource_id="ada"),
    Token.of(SECRETS["eve"], name="eve", scope="run", resource_id="eve"),
    Token.of(SECRETS["old"], name="old", scope="admin", expires_at=datetime.now(UTC) - timedelta(seconds=1)),
]
DENIED = {"error": "Access denied: workflow run belongs to a different resource", "code": "foreign-run"}


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {SECRETS[name]}"}


async def started_by(s: Site, name: str) -> str:
    response = await s.post("/workflows/approval/start-async", {"inputData": "x"}, headers=bearer(name))
    assert response.status_code == 200, response.text
    return str(response.json()["runId"])


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer nope"},
        {"authorization": f"Basic {SECRETS['boss']}"},
        {"authorization": f"Bearer {SECRETS['boss']}x"},
        {"authorization": f"Bearer {SECRETS['old']}"},
        {"x-mastra-client-type": "studio", "x-mastra-dev-playground": "true"},
    ],
    ids=["none", "empty", "no secret", "unknown", "other scheme", "longer", "expired", "studio"],
)
async def test_without_a_valid_token_nothing_is_served(header: dict[str, str]):
    async with site(tokens=TOKENS) as s:
        for path in ("/workflows", "/workflows/nope", "/openapi.json"):
            response = await s.get(path, headers=header)
            assert (response.status_code, response.json()["error"]) == (401, "Invalid or expired token")
        await s.post("/workflows/greet/start", {"inputData": "x"}, headers=header)
        assert (await s.app.list_runs()).total == 0


async def test_token_in_the_query_is_not_taken():
    """Addresses end up in logs and histories."""
    async with site(tokens=TOKENS) as s:
        response = await s.get("/workflows", params={"apiKey": SECRETS["boss"]})

    assert response.status_code == 401


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "{}"])
async def test_token_of_the_header_is_taken_in_each_form_that_clients_send(form: str):
    async with site(tokens=TOKENS) as s:
        response = await s.get("/workflows", headers={"authorization": form.format(SECRETS["reader"])})

    assert response.status_code == 200


async def test_with_tokens_any_host_is_served():
    async with site(tokens=TOKENS) as s:
        response = await s.get("/workflows", headers={"host": "flows.example.org", **bearer("reader")})

    assert response.status_code == 200


async def test_health_needs_no_token():
    async with site(tokens=TOKENS) as s:
        answers = [await s.client.get(path) for path in ("/health", "/ready")]

    assert [each.json() for each in answers] == [{"success": True}] * 2


async def test_capabilities_are_public():
    async with site(tokens=TOKENS) as protected, site() as free:
        answers = [(await each.get("/auth/capabilities")).json() for each in (protected, free)]

    assert answers == [{"enabled": True, "login": None}, {"enabled": False, "login": None}]


@pytest.mark.parametrize(
    "path", ["create-run", "start", "start-async", "resume?runId=r", "resume-async?runId=r", "runs/r/cancel"]
)
async def test_scope_that_is_too_small_is_refused(path: str):
    async with site(tokens=TOKENS) as s:
        response = await s.post(f"/workflows/greet/{path}", {"inputData": "x"}, headers=bearer("reader"))

        assert (response.status_code, response.json()["code"]) == (403, "scope-too-small")
        assert (await s.app.list_runs()).total == 0


async def test_runs_belong_to_the_resource_of_the_token():
    async with site(tokens=TOKENS) as s:
        body = {"inputData": "x", "resourceId": "eve"}
        response = await s.post("/workflows/approval/start-async", body, headers=bearer("ada"))
        created = await s.post("/workflows/approval/create-run", {"resourceId": "eve"}, headers=bearer("ada"))
        runs = [response.json()["runId"], created.json()["runId"]]

        assert [(await s.app.run(run_id).snapshot()).resource_id for run_id in runs] == ["ada", "ada"]


async def test_run_of_another_resource_is_out_of_reach():
    async with site(tokens=TOKENS) as s:
        run_id = await started_by(s, "ada")
        path = "/workflows/approval"
        answers = [
            await s.get(f"{path}/runs/{run_id}", headers=bearer("eve")),
            await s.post(f"{path}/resume?runId={run_id}", {"resumeData": True}, headers=bearer("eve")),
            await s.post(f"{path}/resume-async?runId={run_id}", {"resumeData": True}, headers=bearer("eve")),
            await s.post(f"{path}/runs/{run_id}/cancel", headers=bearer("eve")),
            await s.post(f"{path}/start?runId={run_id}", {"inputData": "x"}, headers=bearer("eve")),
            await s.post(f"{path}/start-async?runId={run_id}", {"inputData": "x"}, headers=bearer("eve")),
            await s.post(f"{path}/create-run?runId={run_id}", headers=bearer("eve")),
        ]

        assert [(each.status_code, each.json()) for each in answers] == [(403, DENIED)] * len(answers)
        assert await s.app.run(run_id).status() == "suspended"


async def test_created_run_of_another_resource_is_not_started():
    async with site(tokens=TOKENS) as s:
        created = await s.post("/workflows/greet/create-run?runId=r", headers=bearer("ada"))
        answers = [
            await s.post(f"/workflows/greet/{verb}", {"inputData": "x"}, headers=bearer("eve"))
            for verb in ("start?runId=r", "start?runId=r&create=true", "start-async?runId=r")
        ]

        assert created.status_code == 200
        assert [(each.status_code, each.json()) for each in answers] == [(403, DENIED)] * 3
        assert await s.app.run("r").status() == "pending"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/workflows/approval/runs/r"),
        ("DELETE", "/workflows/approval/runs/r"),
        ("POST", "/workflows/approval/create-run?runId=r"),
        ("POST", "/workflows/approval/start?runId=r"),
        ("POST", "/workflows/approval/start?runId=r&create=true"),
        ("POST", "/workflows/approval/start-async?runId=r"),
        ("POST", "/workflows/approval/stream?runId=r"),
        ("POST", "/workflows/approval/observe?runId=r"),
        ("POST", "/workflows/approval/resume?runId=r"),
        ("POST", "/workflows/approval/resume-stream?runId=r"),
        ("POST", "/workflows/approval/restart?runId=r"),
        ("POST", "/workflows/approval/time-travel?runId=r"),
        ("POST", "/workflows/approval/runs/r/cancel"),
        ("GET", "/runs/r"),
        ("GET", "/runs/r/result"),
        ("GET", "/runs/r/why"),
        ("GET", "/runs/r/events"),
        ("GET", "/runs/r/deliveries"),
        ("POST", "/runs/r/resume"),
        ("POST", "/runs/r/cancel"),
        ("POST", "/runs/r/restart"),
        ("POST", "/runs/r/time-travel"),
        ("POST", "/runs/r/fork"),
        ("POST", "/runs/r/step"),
        ("DELETE", "/runs/r"),
    ],
)
@pytest.mark.parametrize("is_created", [True, False], ids=["created", "started"])
async def test_run_of_nobody_is_out_of_reach_of_a_token_bound_to_a_resource(method: str, path: str, is_created: bool):
    bound = Token.of(SECRETS["eve"], name="eve", scope="admin", resource_id="eve")
    free = Token.of(SECRETS["driver"], name="driver", scope="run")
    async with site(tokens=[bound, free]) as s:
        verb = "create-run" if is_created else "start-async"
        made = await s.post(f"/workflows/approval/{verb}?runId=r", {"inputData": "x"}, headers=bearer("driver"))
        before = await s.app.run("r").status()
        body = {"inputData": "x", "step": "approve"} if method == "POST" else None
        refused = await s.client.request(method, f"/api{path}", json=body, headers=bearer("eve"))

        assert made.status_code == 200
        assert (refused.status_code, refused.json()) == (403, DENIED)
        assert await s.app.run("r").status() == before


async def test_fork_belongs_to_the_resource_of_the_token():
    """What a bound token starts is its own, whatever resource it names."""
    async with site(tokens=TOKENS) as s:
        run_id = await started_by(s, "ada")
        body = {"step": "approve", "inputData": "secret", "runId": "forked", "resourceId": "eve"}
        forked = await s.post(f"/runs/{run_id}/fork", body, headers=bearer("ada"))
        seen = await s.get("/workflows/approval/runs/forked", headers=bearer("eve"))

        assert forked.status_code == 200, forked.text
        assert (await s.app.run("forked").snapshot()).resource_id == "ada"
        assert (seen.status_code, seen.json()) == (403, DENIED)


async def test_another_way_to_find_out_who_asks():
    async def by_header(connection: HTTPConnection) -> Principal | None:
        user = connection.headers.get("x-user")
        return None if user is None else Principal(name=user, scope=Scope.RUN, resource_id=user)

    import httpx  # noqa: PLC0415 - the one test without the site

    async with Outlast([GREET], store="memory") as app:
        transport = httpx.ASGITransport(create_app(app, authenticate=by_header))
        async with httpx.AsyncClient(transport=transport, base_url="http://flows.example.org") as client:
            refused = await client.get("/api/workflows")
            taken = await client.post(
                "/api/workflows/greet/start-async?runId=r", json={"inputData": "x"}, headers={"x-user": "ada"}
            )

        assert (refused.status_code, taken.status_code) == (401, 200)
        assert (await app.run("r").snapshot()).resource_id == "ada"


@pytest.mark.parametrize("resource_id", ["", "a\nb", "x" * 1_000])
def test_nobody_is_bound_to_a_resource_that_no_run_can_have(resource_id: str):
    """An empty one must not pass for none: who is bound to nothing sees everything."""
    with pytest.raises(ConfigurationError, match="is bound to the resource"):
        Principal(name="u", scope=Scope.RUN, resource_id=resource_id)
    with pytest.raises(ConfigurationError, match="is bound to the resource"):
        Token.of(new_secret(), name="t", resource_id=resource_id)


async def test_user_with_an_empty_name_is_not_taken_for_everybody():
    async def by_header(connection: HTTPConnection) -> Principal | None:
        return Principal(name="user", scope=Scope.RUN, resource_id=connection.headers.get("x-user", ""))

    import httpx  # noqa: PLC0415 - as above

    async with Outlast([GREET], store="memory") as app:
        transport = httpx.ASGITransport(create_app(app, authenticate=by_header), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://flows.example.org") as client:
            refused = await client.post("/api/workflows/greet/start-async", json={"inputData": "x"})

        assert refused.status_code == 500
        assert (await app.list_runs()).total == 0


def test_secrets_are_long_and_never_kept():
    secret = new_secret()
    token = Token.of(secret, name="t")

    assert len(secret) > 40
    assert secret not in repr(token)
    with pytest.raises(ConfigurationError, match="shorter than 20 characters"):
        Token.of("hunter2", name="t")
    with pytest.raises(ConfigurationError, match="there are read, run, admin"):
        Token.of(secret, name="t", scope="root")


def test_tokens_are_read_from_a_file(tmp_path: Path):
    token = Token.of(
        new_secret(), name="ci", scope="read", resource_id="x", expires_at=datetime(2030, 1, 1, tzinfo=UTC)
    )
    file = tmp_path / "tokens.toml"
    file.write_text(
        f'[[token]]\nname = "ci"\ndigest = "{token.digest}"\nscope = "read"\nresource_id = "x"\n'
        f"expires_at = 2030-01-01T00:00:00Z\n"
    )

    assert load_tokens(file) == [token]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "has no \\[\\[token\\]\\] in it"),
        ("[[token]", "cannot be read from"),
        ('[[token]]\nname = "a"\nscope = "read"', "token 1 in .* has no digest"),
        ('[[token]]\nname = "a"\nscope = "read"\ndigest = "x"\nscopes = 1', "has unknown scopes"),
        ('[[token]]\nname = "a"\nscope = "read"\ndigest = "x"', "64 hexadecimal digits"),
        ('[[token]]\nname = "a"\nscope = "root"\ndigest = "x"', "has the scope 'root'"),
        (
            f'[[token]]\nname = "a"\nscope = "run"\ndigest = "{"0" * 64}"\nexpires_at = 2030-01-01T00:00:00',
            "without a zone",
        ),
        ('token = "a"', "has no \\[\\[token\\]\\] in it"),
        ('token = ["a"]', "token 1 in .* is a str; write each token as a table"),
        ('[[token]]\nname = 1\nscope = "read"\ndigest = "x"', "token 1 in .* has an int as name; it needs a text"),
        (
            f'[[token]]\nname = "a"\nscope = "run"\ndigest = "{"0" * 64}"\nexpires_at = "2030-01-01"',
            "has a str as expires_at; it needs a time with a zone",
        ),
        (
            f'[[token]]\nname = "a"\nscope = "run"\ndigest = "{"0" * 64}"\nresource_id = ""',
            "'a' is bound to the resource '', which needs 1 to",
        ),
    ],
)
def test_wrong_token_file_is_refused(tmp_path: Path, content: str, problem: str):
    file = tmp_path / "tokens.toml"
    file.write_text(content)

    with pytest.raises(ConfigurationError, match=problem):
        load_tokens(file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
async def test_without_tokens_only_the_loopback_is_listened_on(host: str):
    with pytest.raises(ConfigurationError, match="without tokens lets anybody in"):
        await serve(Outlast([APPROVAL], store="memory"), host=host)


@pytest.mark.parametrize("prefix", ["", "/flows/v1"])
async def test_protection_follows_the_prefix(prefix: str):
    """Whatever the prefix is, nothing below it is served without a token, and nothing is served elsewhere."""
    async with site(tokens=TOKENS, options=ServerOptions(prefix=prefix)) as s:
        path = f"{prefix}/workflows"
        anonymous = await s.client.get(path)
        posted = await s.client.post(f"{path}/greet/start", json={"inputData": "x"})
        known = await s.client.get(path, headers=bearer("reader"))
        elsewhere = await s.client.get("/api/workflows", headers=bearer("reader"))

        assert [each.status_code for each in (anonymous, posted, known, elsewhere)] == [401, 401, 200, 404]
        assert (await s.app.list_runs()).total == 0
