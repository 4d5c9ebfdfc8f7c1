"""The worker as the shell runs it: real processes, real signals."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import IO, TypeVar
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from cli.terminal import Terminal
from cli.test_serve import serving
from eventually import eventually
from outlast.cli.exits import Exit

T = TypeVar("T")


def wait_until(predicate: Callable[[], T]) -> T:
    """Wait for a fact outside a loop, as commands that are typed here have loops of their own."""
    return asyncio.run(eventually(predicate, within=50))


@contextmanager
def working(terminal: Terminal, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A worker process that is ready."""
    with terminal.spawn("worker", "shop:app", "--json", "--log-level", "error", *words) as process:
        assert event(process) == "ready"
        yield process


def event(process: subprocess.Popen[str]) -> str:
    stdout: IO[str] | None = process.stdout
    assert stdout is not None
    line = stdout.readline()
    assert line, process.communicate()[1]
    return json.loads(line)["event"]


def end(opened: object, number: signal.Signals) -> int:
    """Send a signal to a worker or a server, and return how the process ended."""
    process = opened[0] if isinstance(opened, tuple) else opened
    assert isinstance(process, subprocess.Popen)
    process.send_signal(number)
    return process.wait(50)


def start_slow(terminal: Terminal, run_id: str) -> Path:
    """Start a run whose step makes a file, and ends when another one appears."""
    terminal.type("run", "start", "slow", "--id", run_id, "--input", f'"{run_id}"', "--app", "shop:app")
    return terminal.directory / run_id


def status(terminal: Terminal, run_id: str) -> str:
    return terminal.type("run", "show", run_id, "--store", "shop.db", "--json").json["status"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_lets_the_steps_in_flight_end(terminal: Terminal, number: signal.Signals):
    begun = start_slow(terminal, "s1")
    with working(terminal) as process:
        wait_until(begun.exists)

        process.send_signal(number)
        assert event(process) == "draining"
        Path(f"{begun}.go").touch()

        assert (event(process), process.wait(50)) == ("ended", 0)
    assert status(terminal, "s1") == "success"


@pytest.mark.slow
def test_second_signal_ends_the_process_at_once_and_loses_nothing(terminal: Terminal):
    begun = start_slow(terminal, "s1")
    with working(terminal) as process:
        wait_until(begun.exists)

        process.send_signal(signal.SIGINT)
        assert event(process) == "draining"
        process.send_signal(signal.SIGTERM)

        assert process.wait(50) == 128 + signal.SIGTERM
    Path(f"{begun}.go").touch()
    with working(terminal, "--until-idle") as process:
        assert (event(process), process.wait(50)) == ("ended", 0)


@pytest.mark.slow
def test_cancel_of_a_run_that_nobody_can_end_now_says_what_to_start(terminal: Terminal):
    """10: it is recorded; the worker that had it is dead, and the next one ends it."""
    begun = start_slow(terminal, "s1")
    with working(terminal) as process:
        wait_until(begun.exists)
        end(process, signal.SIGKILL)

    answer = terminal.type("run", "cancel", "s1", "--store", "shop.db")

    assert answer.err == (
        "asked s1 to end; it is running until then\nno live worker takes it yet; start one: outlast worker APP\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["worker", "serve"])
def test_run_of_a_killed_process_goes_on_in_the_next_one(terminal: Terminal, killed: str):
    """12.2: recovery needs no call, for `outlast serve` and `outlast worker` alike."""
    begun = start_slow(terminal, "s1")
    first, second = (working, serving) if killed == "worker" else (serving, working)
    with first(terminal) as opened:
        wait_until(begun.exists)
        assert end(opened, signal.SIGKILL) == -signal.SIGKILL
    why = terminal.type("run", "why", "s1", "--store", "shop.db").out
    assert ", which is dead; no live worker takes runs of workflow 'slow': start one" in why
    begun.unlink()
    with second(terminal) as opened:
        wait_until(begun.exists)  # the step that was in flight runs again
        Path(f"{begun}.go").touch()
        assert end(opened, signal.SIGTERM) == 0

    assert status(terminal, "s1") == "success"


@pytest.mark.slow
def test_until_idle_ends_when_nothing_is_left_that_could_run(terminal: Terminal):
    Path(f"{start_slow(terminal, 's1')}.go").touch()
    terminal.type("run", "start", "approval", "--id", "a1", "--input", '"a"', "--app", "shop:app")

    with working(terminal, "--until-idle") as process:
        assert (event(process), process.wait(50)) == ("ended", 0)

    assert (status(terminal, "s1"), status(terminal, "a1")) == ("success", "suspended")


@pytest.mark.slow
def test_signal_while_waiting_for_idleness_drains(terminal: Terminal):
    begun = start_slow(terminal, "s1")
    with working(terminal, "--until-idle", "--drain", "10ms") as process:
        wait_until(begun.exists)

        process.send_signal(signal.SIGTERM)

        assert (event(process), event(process), process.wait(50)) == ("draining", "ended", 0)


@pytest.mark.slow
def test_concurrency_bounds_the_steps_that_run_at_a_time(terminal: Terminal):
    files = [start_slow(terminal, f"s{number}") for number in range(3)]
    with working(terminal, "--concurrency", "1", "--until-idle") as process:
        wait_until(lambda: any(file.exists() for file in files))
        for _ in files:
            begun = wait_until(lambda: [f for f in files if f.exists() and not Path(f"{f}.go").exists()])
            assert len(begun) == 1
            Path(f"{begun[0]}.go").touch()

        assert (event(process), process.wait(50)) == ("ended", 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--concurrency", "0"), "'--concurrency'"), (("--drain", "long"), "--drain: 'long' is not a length of time")],
)
def test_wrong_option_is_refused_before_anything_is_opened(terminal: Terminal, words: tuple[str, ...], message: str):
    answer = terminal.type("worker", "shop:app", *words)

    assert (answer.exit, message in answer.err, (terminal.directory / "shop.db").exists()) == (2, True, False)


@pytest.mark.slow
def test_numbers_are_shown_to_prometheus_on_this_machine(terminal: Terminal):
    """A port of its own, on the loopback unless told otherwise; it ends with the worker."""
    Path(f"{start_slow(terminal, 's1')}.go").touch()
    with terminal.spawn("worker", "shop:app", "--json", "--log-level", "error", "--metrics-port", "0") as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["metrics"]
        assert address.startswith("http://127.0.0.1:")
        ended = wait_until(lambda: ended_runs(address))
        process.send_signal(signal.SIGTERM)

        assert process.wait(50) == 0
    assert ended == {"slow": 1}


def ended_runs(address: str) -> dict[str, float]:
    """Scrape, and return how many runs have ended, by workflow."""
    with urlopen(address) as answer:
        families = list(parse(answer.read().decode()))
    ended = [each for family in families for each in family.samples if each.name == "outlast_runs_ended_total"]
    return {each.labels["outlast_workflow_id"]: each.value for each in ended}


def test_taken_port_is_said_before_anything_is_opened(terminal: Terminal):
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = terminal.type("worker", "shop:app", "--metrics-port", str(taken.getsockname()[1]))

    assert (answer.exit, "cannot listen on 127.0.0.1" in answer.err) == (Exit.UNAVAILABLE, True)
    assert not (terminal.directory / "shop.db").exists()
