"""Tokens made at a terminal are those that a server asks for."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from cli.terminal import Terminal
from outlast.cli import extras
from outlast.cli.exits import Exit
from outlast.server import load_tokens


@pytest.mark.slow
def test_server_takes_a_new_token_within_its_scope(terminal: Terminal):
    reader = terminal.type("token", "new", "dashboard", "--scope", "read")
    other = terminal.type("token", "new", "ci", "--json", "--file", "others.toml")
    serving = ("serve", "shop", "--port", "0", "--json", "--log-level", "error", "--tokens", "tokens.toml")
    with terminal.spawn(*serving) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        answers = {
            name: [
                httpx.get(f"{url}/api/workflows", headers={"authorization": f"Bearer {secret}"}).status_code,
                httpx.post(f"{url}/api/workflows/order/start", headers={"authorization": secret}).status_code,
            ]
            for name, secret in {"dashboard": reader.out.strip(), "ci": other.json["secret"]}.items()
        }

    assert answers == {"dashboard": [200, 403], "ci": [401, 401]}


def test_file_holds_what_was_asked_for_and_no_secret(terminal: Terminal):
    first = terminal.type("token", "new", 'the "shop" of Ada', "--resource", "ada", "--expires", "30d")
    second = terminal.type("token", "new", "boss", "--scope", "admin")
    file = terminal.directory / "tokens.toml"

    ada, boss = load_tokens(file)
    assert (ada.name, ada.scope, ada.resource_id) == ('the "shop" of Ada', "run", "ada")
    assert ada.expires_at is not None
    assert abs(ada.expires_at - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    assert (boss.name, boss.scope, boss.resource_id, boss.expires_at) == ("boss", "admin", None, None)
    assert not any(each.out.strip() in file.read_text() for each in (first, second))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_list_shows_no_secret_and_no_hash(terminal: Terminal):
    terminal.type("token", "new", "dashboard", "--scope", "read", "--resource", "ada")

    text = terminal.type("token", "list")
    data = terminal.type("token", "list", "--json").json

    assert text.out == "NAME       SCOPE  RESOURCE  EXPIRES\ndashboard  read   ada\n"
    assert data == {"tokens": [{"name": "dashboard", "scope": "read", "resourceId": "ada", "expiresAt": None}]}


@pytest.mark.parametrize("content", ["", "# who may call\n"], ids=["empty", "comment"])
def test_what_stands_in_a_file_is_left_as_it_is(terminal: Terminal, content: str):
    file = terminal.directory / "tokens.toml"
    file.write_text(content)

    made = terminal.type("token", "new", "ci")

    assert made.exit == Exit.DONE, made.err
    assert file.read_text().startswith(content)
    assert [each.name for each in load_tokens(file)] == ["ci"]


def test_name_that_is_taken_and_a_file_of_something_else_are_refused(terminal: Terminal):
    terminal.type("token", "new", "ci")
    before = (terminal.directory / "tokens.toml").read_text()
    (terminal.directory / "pyproject.toml").write_text('[project]\nname = "shop"\n')

    again = terminal.type("token", "new", "ci")
    foreign = terminal.type("token", "new", "ci", "--file", "pyproject.toml")
    nowhere = terminal.type("token", "new", "ci", "--file", "no/such/place.toml")
    missing = terminal.type("token", "list", "--file", "missing.toml")
    nameless = terminal.type("token", "new", "")

    assert [each.exit for each in (again, foreign, nowhere)] == [Exit.REFUSED, Exit.UNAVAILABLE, Exit.UNAVAILABLE]
    assert missing.exit == Exit.NOT_FOUND
    assert "has a token 'ci' already" in again.err
    assert nameless.exit == Exit.INVALID
    assert (terminal.directory / "tokens.toml").read_text() == before
    assert (terminal.directory / "pyproject.toml").read_text() == '[project]\nname = "shop"\n'


def test_missing_server_extra_is_one_sentence(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)

    answer = terminal.type("token", "new", "ci")

    assert (answer.exit, answer.out) == (Exit.NOT_INSTALLED, "")
