from __future__ import annotations

import pytest

from cli.terminal import Answer, Terminal
from outlast.cli.exits import Exit

APP, FILE = ("--app", "shop:app"), ("--store", "shop.db")


@pytest.fixture
def failed(terminal: Terminal) -> Terminal:
    """A terminal beside a store with a run that failed, and what to mend in its code."""
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 400}', "--work", *APP)
    return terminal


def work(terminal: Terminal, run_id: str) -> Answer:
    terminal.type("worker", "shop", "--until-idle", "--log-level", "error")
    return terminal.type("run", "show", run_id, "--json", *FILE)


def test_restart_needs_no_code_and_opens_the_next_execution(failed: Terminal):
    answer = failed.type("run", "restart", "o1", "--json", *FILE)

    assert answer.json == {"runId": "o1", "outcome": "restarted"}
    assert work(failed, "o1").json["execution"] == 1


def test_time_travel_goes_on_from_a_step_with_other_data(failed: Terminal):
    answer = failed.type("run", "time-travel", "o1", "pack", "--input", "3", *APP)

    assert (answer.exit, answer.out) == (Exit.DONE, "")
    assert answer.err == "travels: o1\nno live worker takes it yet; start one: outlast worker shop:app\n"
    assert work(failed, "o1").json["result"] == "box of 3.0"


def test_time_travel_refuses_data_that_does_not_fit_and_unknown_steps(failed: Terminal):
    data = failed.type("run", "time-travel", "o1", "pack", "--input", '"much"', *APP)
    step = failed.type("run", "time-travel", "o1", "nowhere", *APP)

    assert (data.exit, step.exit) == (Exit.INVALID, Exit.INVALID)
    assert "nowhere" in step.err


@pytest.mark.parametrize(
    "words",
    [("restart", "o1"), ("time-travel", "o1", "pack"), ("fork", "o1", "pack"), ("step", "o1"), ("resume", "o1")],
)
def test_time_to_wait_that_is_none_changes_nothing(failed: Terminal, words: tuple[str, ...]):
    answer = failed.type("run", *words, "--timeout", "soon", *APP)
    shown = failed.type("run", "show", "o1", "--json", *FILE).json

    assert (answer.exit, answer.err.splitlines()[0]) == (
        Exit.USAGE,
        "error: --timeout: 'soon' is not a length of time",
    )
    assert (shown["status"], shown.get("execution", 0)) == ("failed", 0)
    assert failed.type("run", "list", "--json", *FILE).json["total"] == 1


def test_fork_writes_the_new_id_and_leaves_the_run(failed: Terminal):
    answer = failed.type("run", "fork", "o1", "pack", "--input", "3", "--id", "o2", *APP)

    assert (answer.out, work(failed, "o2").json["result"]) == ("o2\n", "box of 3.0")
    assert failed.type("run", "show", "o1", "--json", *FILE).json["status"] == "failed"


def test_repair_of_a_run_that_is_active_is_refused(terminal: Terminal):
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 1}', *APP)

    restart = terminal.type("run", "restart", "o1", *FILE)
    delete = terminal.type("run", "delete", "o1", *FILE)

    assert (restart.exit, delete.exit) == (Exit.REFUSED, Exit.REFUSED)
    assert "next: ask what it does: outlast run why o1\n" in restart.err


def test_delete_removes_a_run_that_has_ended(failed: Terminal):
    answer = failed.type("run", "delete", "o1", "--json", *FILE)

    assert answer.json == {"runId": "o1", "outcome": "deleted"}
    assert failed.type("run", "show", "o1", *FILE).exit == Exit.NOT_FOUND


def test_check_finds_what_runs_in_flight_would_miss(terminal: Terminal):
    terminal.type("run", "start", "order", "-i", '{"n": 1}', *APP)
    code = (terminal.directory / "shop.py").read_text()
    same = terminal.type("check", "shop")
    (terminal.directory / "later.py").write_text(
        code.replace("\n    .then(pack)", "").replace("output=str, d", "output=float, d")
    )
    (terminal.directory / "other.py").write_text(code.replace("[order, approval, slow]", "[approval, slow]"))

    changed = terminal.type("check", "later", "--json")
    missing = terminal.type("check", "other")

    assert (same.exit, same.err) == (Exit.DONE, "no run in flight would notice\n")
    assert (changed.exit, changed.json["findings"][0]["kind"]) == (Exit.FINDINGS, "missing-function")
    assert (missing.exit, missing.out) == (
        Exit.FINDINGS,
        "1 run of workflow 'order' would wait: this code has no such workflow\n",
    )


def test_check_counts_changes_only_if_it_is_told_to(terminal: Terminal):
    terminal.type("run", "start", "order", "-i", '{"n": 1}', *APP)
    code = (terminal.directory / "shop.py").read_text()
    (terminal.directory / "later.py").write_text(code.replace("2.5", "2.6"))

    assert terminal.type("check", "later").exit == Exit.DONE
    assert terminal.type("check", "later", "--strict").exit == Exit.FINDINGS


def test_verb_that_does_not_fit_names_what_does(failed: Terminal):
    step = failed.type("run", "step", "o1", *FILE)
    cancel = failed.type("run", "cancel", "o1", *FILE)

    assert (step.exit, cancel.exit) == (Exit.REFUSED, Exit.REFUSED)
    assert step.err == (
        "error: run o1: cannot step while the run is failed: it has ended; restart drives a failed or canceled run "
        "again, time travel goes on from any of its steps\nnext: look at it: outlast run show o1\n"
    )
    assert "it has ended, and nothing of it is left to cancel" in cancel.err
