"""The same verbs on a server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cli.terminal import Terminal
from outlast.cli import extras
from outlast.cli.exits import Exit

SECRET = "a-secret-of-more-than-twenty-characters"


@pytest.fixture
def url(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with the shop; the code is not where commands are typed."""
    monkeypatch.setenv("OUTLAST_TOKEN", SECRET)
    with terminal.spawn("serve", "shop", "--port", "0", "--json", "--log-level", "error") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        (terminal.directory / "shop.py").unlink()
        yield json.loads(line)["url"]


@pytest.mark.slow
def test_verbs_of_run_work_on_a_server(terminal: Terminal, url: str):
    there = ("--url", url)
    started = terminal.type("run", "start", "approval", "--id", "a1", "-i", '"a"', "--wait", "--json", *there)
    why = terminal.type("run", "why", "a1", *there)
    wrong = terminal.type("run", "resume", "a1", "--data", '"x"', *there)
    resumed = terminal.type("run", "resume", "a1", "--data", "7", "--wait", "--json", *there)
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 400}', "--wait", *there)
    failed = terminal.type("run", "watch", "o1", *there)
    forked = terminal.type("run", "fork", "o1", "pack", "-i", "3", "--id", "o2", "--wait", "--json", *there)
    travelled = terminal.type("run", "time-travel", "o1", "pack", "-i", "4", "--wait", "--json", *there)
    listed = terminal.type("run", "list", "--json", *there)
    counted = terminal.type("workflow", "list", "--json", *there)
    canceled = terminal.type("run", "cancel", "a1", *there)
    deleted = terminal.type("run", "delete", "o2", *there)
    unknown = terminal.type("run", "show", "o2", *there)

    assert (started.exit, "'ok' waits for somebody to resume it" in why.out) == (Exit.SUSPENDED, True)
    assert (wrong.exit, resumed.exit, resumed.json["result"]) == (Exit.INVALID, Exit.DONE, 7)
    assert (failed.exit, "step-result  pack  failed  ValueError" in failed.out) == (Exit.FAILED, True)
    assert (forked.json["result"], travelled.json["result"]) == ("box of 3.0", "box of 4.0")
    assert {run["runId"]: run["status"] for run in listed.json["runs"]} == dict.fromkeys(("a1", "o1", "o2"), "success")
    assert {each["workflowId"] for each in counted.json["workflows"]} == {"order", "approval"}
    assert (canceled.exit, deleted.exit, unknown.exit) == (Exit.REFUSED, Exit.DONE, Exit.NOT_FOUND)


@pytest.mark.slow
def test_workflow_of_a_server_is_shown_as_that_of_the_app(terminal: Terminal):
    local = {verb: terminal.type("workflow", verb, "order", "--app", "shop") for verb in ("show", "graph")}
    local_json = terminal.type("workflow", "show", "order", "--app", "shop", "--json").json
    with terminal.spawn("serve", "shop", "--port", "0", "--json", "--log-level", "error") as process:
        assert process.stdout is not None
        there = ("--url", json.loads(process.stdout.readline())["url"])
        remote = {verb: terminal.type("workflow", verb, "order", *there) for verb in ("show", "graph")}
        remote_json = terminal.type("workflow", "show", "order", "--json", *there).json
        mermaid = terminal.type("workflow", "graph", "order", "--format", "mermaid", *there)
        unknown = [terminal.type("workflow", verb, "nope", *there) for verb in ("show", "graph")]

    assert {verb: each.out for verb, each in remote.items()} == {verb: each.out for verb, each in local.items()}
    assert remote_json == local_json
    assert mermaid.out.startswith("flowchart TD\n")
    assert [(each.exit, each.err.splitlines()[0]) for each in unknown] == [
        (Exit.NOT_FOUND, "error: the server has no such workflow")
    ] * 2


@pytest.mark.slow
def test_wrong_token_is_said_in_a_sentence(terminal: Terminal, url: str):
    answer = terminal.type("run", "list", "--url", url, "--token", "another-secret-of-twenty-characters")

    assert (answer.exit, answer.out) == (Exit.UNAVAILABLE, "")
    assert answer.err.startswith("error: 401: ")


@pytest.mark.slow
def test_server_that_is_not_there_is_said_in_a_sentence(terminal: Terminal):
    answer = terminal.type("run", "list", "--url", "http://127.0.0.1:9")

    assert (answer.exit, answer.out, answer.err.count("Traceback")) == (Exit.UNAVAILABLE, "", 0)
    assert "next: check the address, and that something serves there: outlast serve APP\n" in answer.err


@pytest.mark.slow
def test_url_excludes_what_names_a_file_and_wins_over_variables(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    both = terminal.type("run", "list", "--url", "http://127.0.0.1:9", "--store", "shop.db")
    monkeypatch.setenv("OUTLAST_STORE", "shop.db")
    url = terminal.type("run", "list", "--url", "http://127.0.0.1:9")
    monkeypatch.setenv("OUTLAST_URL", "http://127.0.0.1:9")
    file = terminal.type("run", "list", "--store", "other.db")

    assert (both.exit, url.exit, file.exit) == (Exit.USAGE, Exit.UNAVAILABLE, Exit.NOT_FOUND)


def test_missing_client_extra_is_one_sentence(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)

    answer = terminal.type("run", "list", "--url", "http://127.0.0.1:9")

    assert (answer.exit, answer.err) == (
        Exit.NOT_INSTALLED,
        "error: --url needs httpx\nnext: install it with: pip install 'outlast[client]'\n",
    )
