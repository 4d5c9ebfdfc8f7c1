from __future__ import annotations

import re

import pytest

from cli.terminal import Terminal
from outlast.cli.exits import Exit

APP, FILE = ("--app", "shop:app"), ("--store", "shop.db")


def start(terminal: Terminal, workflow: str, run_id: str, data: str, *more: str) -> None:
    assert terminal.type("run", "start", workflow, "--id", run_id, "--input", data, *APP, *more).exit == Exit.DONE


def test_start_writes_the_id_alone_to_stdout(terminal: Terminal):
    answer = terminal.type("run", "start", "order", "--input", '{"n": 4}', *APP)

    assert (answer.exit, re.fullmatch(r"[0-9a-f-]{36}\n", answer.out) is not None) == (Exit.DONE, True)
    assert answer.err == "no live worker takes it yet; start one: outlast worker shop:app\n"


def test_start_tells_programs_id_and_status(terminal: Terminal):
    answer = terminal.type("run", "start", "order", "--id", "o1", "--input", '{"n": 4}', "--json", *APP)

    assert (answer.json, answer.err) == ({"runId": "o1", "status": "pending"}, "")


@pytest.mark.parametrize(("n", "status", "exit_code"), [(4, "success", Exit.DONE), (400, "failed", Exit.FAILED)])
def test_exit_code_of_a_run_that_was_waited_for_tells_how_it_ended(
    terminal: Terminal, n: int, status: str, exit_code: Exit
):
    answer = terminal.type("run", "start", "order", "--input", f'{{"n": {n}}}', "--work", "--json", *APP)

    assert (answer.exit, answer.json["status"]) == (exit_code, status)


def test_waiting_for_a_suspension_ends_with_its_own_exit_code(terminal: Terminal):
    answer = terminal.type("run", "start", "approval", "--input", '"a"', "--work", "--json", *APP)

    assert (answer.exit, answer.json["suspended"]) == (Exit.SUSPENDED, ["ok"])


def test_waiting_too_long_leaves_the_run_and_says_so(terminal: Terminal):
    answer = terminal.type("run", "start", "order", "--id", "o1", "--input", '{"n": 1}', "--timeout", "10ms", *APP)

    assert (answer.exit, answer.out) == (Exit.NOT_ENDED, "")
    assert "it goes on\nnext: ask what it waits for: outlast run why o1\n" in answer.err
    assert terminal.type("run", "show", "o1", "--json", *FILE).json["status"] == "pending"


def test_priority_decides_who_comes_first_and_has_bounds(terminal: Terminal):
    terminal.type("run", "start", "order", "--id", "o1", "--input", '{"n": 1}', "--priority", "7", *APP)

    assert "its priority is 7" in terminal.type("run", "why", "o1", *FILE).out
    refused = terminal.type("run", "start", "order", "--input", '{"n": 1}', "--priority", "101", *APP)
    assert (refused.exit, "--priority" in refused.err) == (Exit.USAGE, True)


def test_input_may_come_from_a_file_or_stdin(terminal: Terminal):
    (terminal.directory / "order.json").write_text('{"n": 2}')

    from_file = terminal.type("run", "start", "order", "-i", "@order.json", "--work", "--json", *APP)
    from_stdin = terminal.type("run", "start", "order", "-i", "-", "--work", "--json", *APP, stdin='{"n": 3}')

    assert (from_file.json["result"], from_stdin.json["result"]) == ("box of 5.0", "box of 7.5")


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (("-i", "{n: 1}"), Exit.INVALID, "--input is not JSON"),
        (("-i", '{"n": NaN}'), Exit.INVALID, "--input is not JSON: NaN is not a number of JSON"),
        (("-i", '{"n": "x"}'), Exit.INVALID, "input_data is not valid: n: input should be a valid integer"),
        (("-i", "@nowhere.json"), Exit.NOT_FOUND, "--input: cannot read nowhere.json: No such file or directory"),
        (("-i", '{"n": 1}', "--context", "[1]"), Exit.INVALID, "--context must be an object"),
        (("-i", '{"n": 1}', "--delay", "soon"), Exit.USAGE, "--delay: 'soon' is not a length of time"),
        (("-i", '{"n": 1}', "--timeout", "soon"), Exit.USAGE, "--timeout: 'soon' is not a length of time"),
        (("-i", '{"n": 1}', "--at", "noon"), Exit.USAGE, "--at: 'noon' is not a date"),
        (("-i", '{"n": 1}', "--id", "taken"), Exit.REFUSED, "run taken: already started"),
    ],
)
def test_wrong_start_is_refused_with_the_reason_and_records_nothing(
    terminal: Terminal, words: tuple[str, ...], exit_code: Exit, message: str
):
    start(terminal, "order", "taken", '{"n": 1}')

    answer = terminal.type("run", "start", "order", *words, *APP)

    assert (answer.exit, answer.out) == (exit_code, "")
    assert answer.err.startswith(f"error: {message}")
    assert terminal.type("run", "list", "--json", *FILE).json["total"] == 1


def test_unknown_workflow_is_answered_with_those_that_there_are(terminal: Terminal):
    answer = terminal.type("run", "start", "oder", *APP)

    assert answer.exit == Exit.NOT_FOUND
    assert answer.err == "error: the app has no workflow 'oder'\nnext: its workflows: approval, order, slow\n"


def test_list_fits_80_columns_and_cuts_nothing(terminal: Terminal):
    start(terminal, "order", "01234567-89ab-7def-8123-456789abcdef", '{"n": 4}', "--tag", "urgent")
    start(terminal, "approval", "approval-of-a-very-long-name-" * 4 + "end", '"a"')

    answer = terminal.type("run", "list", *FILE)

    assert max(map(len, answer.out.splitlines())) <= 80
    assert re.sub(r"\ds", "0s", answer.out) == (
        "RUN                                                       WORKFLOW  STATUS   AGE\n"
        "approval-of-a-very-long-name-approval-of-a-very-long-nam  approval  pending  0s\n"
        "e-approval-of-a-very-long-name-approval-of-a-very-long-n\n"
        "ame-end\n"
        "01234567-89ab-7def-8123-456789abcdef                      order     pending  0s\n"
    )


def test_list_filters_and_pages(terminal: Terminal):
    for number in range(3):
        start(terminal, "order", f"o{number}", '{"n": 4}', "--tag", f"t{number}", "--resource", "ada")
    start(terminal, "approval", "a1", '"a"')

    first = terminal.type("run", "list", "--workflow", "order", "--limit", "2", *FILE)
    place = re.search(r"2 of 3; the next page: --after (\S+)", first.err)
    assert place is not None
    second = terminal.type("run", "list", "--workflow", "order", "--limit", "2", "--after", place[1], "--json", *FILE)
    tagged = terminal.type("run", "list", "--tag", "t1", "--since", "1h", "--json", *FILE)
    others = terminal.type("run", "list", "--status", "success", *FILE)

    assert [run["runId"] for run in second.json["runs"]] == ["o0"]
    assert [run["runId"] for run in tagged.json["runs"]] == ["o1"]
    assert (others.out, others.err) == ("", "no run matches\n")


def test_show_tells_how_each_step_went_and_how_the_run_ended(terminal: Terminal):
    start(terminal, "order", "o1", '{"n": 400}')
    terminal.type("worker", "shop:app", "--until-idle", "--log-level", "error")

    answer = terminal.type("run", "show", "o1", *FILE)

    assert re.sub(r"(TOOK|\d+ms|\d\.\ds) +", "TOOK  ", answer.out) == (
        "run       o1\n"
        "workflow  order\n"
        "status    failed\n"
        'input     {"n": 400}\n'
        "\n"
        "STEP   STATUS   TRIES  TOOK  DETAIL\n"
        "price  success  1      TOOK  1000.0\n"
        "pack   failed   2      TOOK  ValueError: too [red]heavy[/red]\\x1b[2J\n"
        "\n"
        "error  ValueError: too [red]heavy[/red]\\x1b[2J (at pack)\n"
    )


def test_show_gives_the_recorded_traceback(terminal: Terminal):
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 400}', "--work", *APP)

    answer = terminal.type("run", "show", "o1", "--traceback", *FILE)

    assert "Traceback (most recent call last)" in answer.out
    assert "shop.py" in answer.out


def test_what_needs_no_code_works_on_a_file_alone(terminal: Terminal):
    start(terminal, "approval", "a1", '"a"')
    (terminal.directory / "shop.py").unlink()

    why = terminal.type("run", "why", "a1", *FILE)
    canceled = terminal.type("run", "cancel", "a1", "--reason", "too late", "--json", *FILE)
    shown = terminal.type("run", "show", "a1", *FILE)

    assert "waits for a worker; no live worker takes runs of workflow 'approval'" in why.out
    assert canceled.json == {"runId": "a1", "outcome": "requested", "status": "canceled"}
    assert "reason  too late" in shown.out


def test_cancel_of_a_finished_run_is_refused(terminal: Terminal):
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 4}', "--work", *APP)

    answer = terminal.type("run", "cancel", "o1", "--json", *FILE)

    assert (answer.exit, answer.out) == (Exit.REFUSED, "")
    assert '"code": "run-state"' in answer.err


def test_resume_checks_the_data_and_goes_on(terminal: Terminal):
    terminal.type("run", "start", "approval", "--id", "a1", "-i", '"a"', "--work", *APP)

    wrong = terminal.type("run", "resume", "a1", "--data", '"much"', *APP)
    unknown = terminal.type("run", "resume", "a1", "--data", "1", "--step", "nope", *APP)
    right = terminal.type("run", "resume", "a1", "--data", "7", "--json", *APP)
    late = terminal.type("run", "resume", "a1", "--data", "8", *APP)
    terminal.type("worker", "shop:app", "--until-idle", "--log-level", "error")

    assert (wrong.exit, unknown.exit, right.exit, late.exit) == (Exit.INVALID, Exit.REFUSED, Exit.DONE, Exit.REFUSED)
    assert right.json == {"runId": "a1", "outcome": "resumed"}
    assert terminal.type("run", "show", "a1", "--json", *FILE).json["result"] == 7


def test_resume_needs_the_code_and_says_how_to_name_it(terminal: Terminal):
    start(terminal, "approval", "a1", '"a"')

    answer = terminal.type("run", "resume", "a1", "--data", "7", *FILE)

    assert answer.exit == Exit.USAGE
    assert "next: name the app: --app module:app, or set OUTLAST_APP\n" in answer.err


@pytest.mark.parametrize("verb", ["show", "why", "cancel"])
def test_unknown_run_is_not_found(terminal: Terminal, verb: str):
    start(terminal, "order", "o1", '{"n": 4}')

    answer = terminal.type("run", verb, "nope", *FILE)

    assert (answer.exit, answer.out) == (Exit.NOT_FOUND, "")
    assert answer.err.startswith("error: run nope: no such run here\nnext: ")


def test_looking_at_a_file_that_is_not_there_creates_none(terminal: Terminal):
    answer = terminal.type("run", "list")

    assert (answer.exit, list(terminal.directory.glob("*.db*"))) == (Exit.NOT_FOUND, [])
    assert answer.err.startswith("error: there is no file outlast.db\nnext: name it: --store FILE")


def test_a_file_that_is_no_store_is_left_alone(terminal: Terminal):
    (terminal.directory / "notes.txt").write_text("nothing of Outlast, and long enough to have a header " * 20)

    answer = terminal.type("run", "list", "--store", "notes.txt")

    assert answer.exit == Exit.UNAVAILABLE
    assert "is not an Outlast store" in answer.err


def test_idempotency_key_gives_the_run_that_it_started(terminal: Terminal):
    words = ("run", "start", "order", "-i", '{"n": 1}', "--idempotency-key", "may", *APP)

    first, second = terminal.type(*words), terminal.type(*words)
    other = terminal.type("run", "start", "order", "-i", '{"n": 2}', "--idempotency-key", "may", *APP)

    assert (first.out, other.exit) == (second.out, Exit.REFUSED)
    assert terminal.type("run", "list", "--json", *FILE).json["total"] == 1


def test_run_goes_on_step_by_step(terminal: Terminal):
    paused = terminal.type(
        "run", "start", "order", "--id", "o1", "-i", '{"n": 1}', "--per-step", "--work", "--json", *APP
    )
    stepped = terminal.type("run", "step", "o1", "--to-end", "--json", *FILE)
    terminal.type("worker", "shop", "--until-idle", "--log-level", "error")

    assert (paused.exit, stepped.json) == (Exit.PAUSED, {"runId": "o1", "outcome": "stepped"})
    assert terminal.type("run", "show", "o1", "--json", *FILE).json["status"] == "success"
