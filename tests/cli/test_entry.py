"""The program as a whole: how it is found, what it loads, and how it behaves among other programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.terminal import Terminal
from outlast.cli.exits import Exit

WITHOUT_TYPER = """
import sys
from importlib.abc import MetaPathFinder

class Hide(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "typer":
            raise ModuleNotFoundError(name=name)

import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "typer" else find(name, *rest)
from outlast.cli.entry import main
main()
"""


@pytest.mark.slow
def test_missing_extra_is_one_sentence_that_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TYPER], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (Exit.NOT_INSTALLED, "")
    assert done.stderr == ("error: the command line needs typer\nnext: install it with: pip install 'outlast[cli]'\n")


@pytest.mark.slow
def test_console_script_and_module_are_the_same_program():
    script = Path(sys.executable).parent / "outlast"
    texts = [
        subprocess.run([*program, "--version"], capture_output=True, text=True, check=True).stdout
        for program in ([script], [sys.executable, "-m", "outlast"])
    ]

    assert texts[0] == texts[1] == "0.1.0\n"


def test_command_without_arguments_shows_help_and_is_a_usage_error(terminal: Terminal):
    answer = terminal.type("run")

    assert (answer.exit, "Start, look at and change runs." in answer.err + answer.out) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    "words", [("rum",), ("run", "list", "--colour"), ("run", "list", "--limit", "0"), ("run", "show")]
)
def test_wrong_command_line_is_a_usage_error_on_stderr(terminal: Terminal, words: tuple[str, ...]):
    answer = terminal.type(*words)

    assert (answer.exit, answer.out) == (Exit.USAGE, "")
    assert "--help" in answer.err


def test_output_without_terminal_has_no_colors_even_for_statuses(terminal: Terminal):
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 1}', "--work", "-a", "shop")

    assert "\033" not in terminal.type("run", "show", "o1", "-s", "shop.db").out


@pytest.mark.slow
def test_reader_that_goes_away_ends_the_program_quietly(terminal: Terminal):
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 1}', "-a", "shop")
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "outlast", "run", "list", "--json", "--store", "shop.db"],
        cwd=terminal.directory,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (Exit.BROKEN_PIPE, "")


@pytest.mark.slow
def test_ctrl_c_while_waiting_leaves_the_run_and_says_so(terminal: Terminal):
    with terminal.spawn("run", "start", "order", "--id", "o1", "-i", '{"n": 1}', "--wait", "-a", "shop") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "started o1\n"
        assert "no live worker" in process.stderr.readline()

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=50)

    assert (process.returncode, out, err) == (Exit.INTERRUPTED, "", "not waiting any more; run o1 goes on\n")
    assert terminal.type("run", "show", "o1", "--json", "--store", "shop.db").json["status"] == "pending"


@pytest.mark.slow
def test_ctrl_c_while_working_says_why_it_takes_long_and_ends_at_the_second(terminal: Terminal):
    words = ("run", "start", "slow", "--id", "s1", "-i", '"s1"', "--work", "-a", "shop")
    with terminal.spawn(*words) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "started s1\n"

        process.send_signal(signal.SIGINT)
        assert any("steps that run here may end; Ctrl-C ends them at once" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=50)

    assert process.returncode == Exit.INTERRUPTED


@pytest.mark.slow
def test_terminal_that_cannot_show_a_character_gets_an_escape(terminal: Terminal):
    terminal.type("run", "start", "approval", "--id", "é", "-i", '"ü"', "-a", "shop")

    done = subprocess.run(
        [sys.executable, "-m", "outlast", "run", "list", "--store", "shop.db"],
        cwd=terminal.directory,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "\\xe9" in done.stdout) == (Exit.DONE, True)


def test_shell_completes_commands_and_options(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    def complete(line: str) -> list[str]:
        words = {"_OUTLAST_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        with monkeypatch.context() as shell:
            for name, value in words.items():
                shell.setenv(name, value)
            return terminal.type().out.split()

    assert complete("outlast run re") == ["resume", "restart"]
    assert complete("outlast run show --trace") == ["--traceback"]


@pytest.mark.parametrize(
    "words",
    [("rum",), ("run", "list", "--colour"), ("run", "list", "--limit", "0"), ("run", "list", "--status", "odd")],
)
def test_wrong_command_line_is_json_where_json_is_asked_for(terminal: Terminal, words: tuple[str, ...]):
    answer = terminal.type(*words, "--json")

    assert (answer.exit, answer.out, json.loads(answer.err)["code"]) == (Exit.USAGE, "", "usage")


def test_command_with_json_ends_with_its_own_exit_code(terminal: Terminal):
    help_text = terminal.type("run", "list", "--json", "--help")
    missing = terminal.type("run", "list", "--json", "--store", "nope.db")

    assert (help_text.exit, "--limit" in help_text.out, missing.exit) == (0, True, Exit.NOT_FOUND)
