"""The server as the shell runs it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cli.terminal import Terminal
from outlast.cli import extras
from outlast.cli.exits import Exit


@contextmanager
def serving(terminal: Terminal, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process that listens, and its address."""
    with terminal.spawn("serve", "shop", "--port", "0", "--json", "--log-level", "error", *words) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        ready = json.loads(line)
        assert (ready["event"], ready["pid"]) == ("ready", process.pid)
        yield process, ready["url"]


@pytest.mark.slow
def test_server_answers_until_it_is_told_to_stop_and_ends_well(terminal: Terminal):
    with serving(terminal) as (process, url):
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            assert b"outlast_worker_runs 0.0" in answer.read(), "the numbers of the app, too"

        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=50)

    assert (process.returncode, json.loads(out)["event"], err) == (0, "ended", "")


def test_port_that_is_taken_is_said_in_a_sentence(terminal: Terminal):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = terminal.type("serve", "shop", "--port", str(taken.getsockname()[1]), "--log-level", "error")

    assert answer.exit == Exit.UNAVAILABLE
    assert "next: choose another port: --port 4112" in answer.err


def test_others_are_let_in_with_tokens_only(terminal: Terminal):
    answer = terminal.type("serve", "shop", "--host", "0.0.0.0", "--log-level", "error")

    assert (answer.exit, "without tokens lets anybody in" in answer.err) == (Exit.UNAVAILABLE, True)


def test_missing_server_extra_is_one_sentence(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "uvicorn" else True)

    answer = terminal.type("serve", "shop")

    assert (answer.exit, answer.err) == (
        Exit.NOT_INSTALLED,
        "error: serving needs uvicorn\nnext: install it with: pip install 'outlast[server]'\n",
    )
