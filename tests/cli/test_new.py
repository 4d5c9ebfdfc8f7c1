from __future__ import annotations

import subprocess
import sys

import pytest

from cli.terminal import Terminal
from outlast.cli.exits import Exit


@pytest.mark.slow
def test_new_project_passes_its_tests_and_runs(terminal: Terminal):
    made = terminal.type("new", "my-shop", "--json")
    project = Terminal(terminal.directory / "my-shop")

    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    with project.spawn(
        "run", "start", "order", "--input", "@order.json", "--app", "my_shop.app", "--work", "--json"
    ) as process:
        out, err = process.communicate(timeout=50)

    assert (made.exit, made.json["package"]) == (Exit.DONE, "my_shop")
    assert (tested.returncode, "2 passed" in tested.stdout) == (0, True), tested.stdout
    assert (process.returncode, '"result":"shipped to ada@example.org for 60.00"' in out) == (Exit.DONE, True), err


def test_new_project_is_in_good_style(terminal: Terminal):
    terminal.type("new", "shop_two")

    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,I,UP,B", "--line-length", "120", "."],
        cwd=terminal.directory / "shop_two",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_new_writes_over_nothing(terminal: Terminal):
    (terminal.directory / "full").mkdir()
    (terminal.directory / "full" / "dear.txt").touch()

    answer = terminal.type("new", "full")

    assert (answer.exit, answer.err.splitlines()[0]) == (Exit.REFUSED, "error: full is there already")
    assert [each.name for each in (terminal.directory / "full").iterdir()] == ["dear.txt"]


@pytest.mark.parametrize("name", ["9lives", "class", "json", "outlast"])
def test_name_that_no_package_can_have_is_refused(terminal: Terminal, name: str):
    answer = terminal.type("new", name)

    assert (answer.exit, (terminal.directory / name).exists()) == (Exit.USAGE, False)


def test_directory_with_a_space_is_quoted_for_the_shell(terminal: Terminal):
    answer = terminal.type("new", "my shop")

    assert "next: cd 'my shop', then: outlast dev my_shop.app" in answer.err
