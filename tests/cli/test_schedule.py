from __future__ import annotations

from typing import Any

import pytest

from cli.terminal import Terminal
from outlast.cli.exits import Exit

ORDER = ("create", "order", "--input", '{"n": 1}', "--id", "nightly", "--cron", "0 2 * * *")


@pytest.fixture
def made(terminal: Terminal) -> Terminal:
    """A terminal beside a store with a schedule."""
    answer = terminal.type("schedule", *ORDER, "--timezone", "Europe/Berlin", "-t", "night", "--app", "shop")
    assert (answer.exit, answer.out) == (Exit.DONE, "nightly\n")
    return terminal


def read(terminal: Terminal, verb: str, *words: str) -> Any:
    return terminal.type("schedule", verb, *words, "--json", "--store", "shop.db").json


def test_list_and_show_need_no_code(made: Terminal):
    table = made.type("schedule", "list", "--store", "shop.db")
    shown = made.type("schedule", "show", "nightly", "--store", "shop.db")
    (listed,) = read(made, "list")["schedules"]

    assert table.out.splitlines()[0].split() == ["SCHEDULE", "WORKFLOW", "WHEN", "STATUS", "NEXT", "LAST"]
    assert "Europe/Berlin" in shown.out
    assert '{"n": 1}' in shown.out
    assert listed == read(made, "show", "nightly")
    assert (listed["cron"], listed["tags"], listed["status"]) == ("0 2 * * *", ["night"], "active")
    assert read(made, "list", "--status", "paused") == {"schedules": [], "after": None}
    assert made.type("schedule", "list", "--workflow", "other", "--store", "shop.db").err == "no schedules\n"


def test_pause_and_resume(made: Terminal):
    paused = made.type("schedule", "pause", "nightly", "--store", "shop.db")
    assert (paused.exit, paused.out, paused.err) == (Exit.DONE, "", "paused nightly\n")
    assert read(made, "show", "nightly")["status"] == "paused"

    resumed = made.type("schedule", "resume", "nightly", "--store", "shop.db")
    assert resumed.err.startswith("resumed nightly; it fires next at ")
    assert read(made, "show", "nightly")["status"] == "active"


def test_run_prints_the_id_of_the_run_and_history_has_it(made: Terminal):
    assert made.type("schedule", "history", "nightly", "--store", "shop.db").err == "it has not fired yet\n"

    run_id = made.type("schedule", "run", "nightly", "--app", "shop").out.strip()

    (trigger,) = read(made, "history", "nightly")["triggers"]
    assert (trigger["runId"], trigger["outcome"], trigger["triggerKind"]) == (run_id, "fired", "manual")
    table = made.type("schedule", "history", "nightly", "--store", "shop.db", "--since", "1h")
    assert table.out.splitlines()[1].split()[0] == "1"
    assert made.type("run", "show", run_id, "--store", "shop.db").exit == Exit.DONE


def test_delete(made: Terminal):
    assert made.type("schedule", "delete", "nightly", "--store", "shop.db").err == "deleted nightly\n"
    assert read(made, "list")["schedules"] == []


@pytest.mark.parametrize("verb", ["show", "history", "pause", "resume", "delete"])
def test_unknown_schedule_is_not_found(made: Terminal, verb: str):
    answer = made.type("schedule", verb, "nope", "--store", "shop.db")

    assert answer.exit == Exit.NOT_FOUND
    assert answer.err.splitlines()[0] == "error: schedule nope: no such schedule here"
    assert "outlast schedule list" in answer.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((*ORDER[:-1], "61 * * * *"), Exit.INVALID, "bad minute"),
        ((*ORDER, "--every", "5m"), Exit.INVALID, "exactly one of cron, every and at"),
        ((*ORDER, "--overlap", "both"), Exit.USAGE, "overlap"),
        (ORDER, Exit.REFUSED, "exists already"),
        (("create", "order", "--every", "5m", "--input", '{"n": "x"}'), Exit.INVALID, "input_data"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(made: Terminal, words: tuple[str, ...], code: Exit, text: str):
    answer = made.type("schedule", *words, "--app", "shop")

    assert answer.exit == code
    assert text in answer.err
    assert len(read(made, "list")["schedules"]) == 1
