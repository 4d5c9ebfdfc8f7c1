"""The page about the command line has each command with each of its options, and no others; and all exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from outlast.cli.exits import Exit
from outlast.cli.root import app

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"^## (outlast\b[^\n]*)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
EVERYWHERE = {"--help", "--json"}


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each command that does something by itself, with the words that call it."""
    if not getattr(group, "commands", None):
        yield name, group
        return
    for word, each in group.commands.items():
        yield from commands(each, f"{name} {word}")


ROOT = typer.main.get_command(app)
COMMANDS = {"outlast": ROOT, **dict(commands(ROOT, "outlast"))}


def test_page_has_the_commands_that_there_are():
    assert sorted(SECTIONS) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_page_has_the_options_that_there_are(name: str):
    words = [word for each in COMMANDS[name].params for word in (*each.opts, *each.secondary_opts)]
    rows = "\n".join(re.findall(r"^\| (`-[^|]*)\|", SECTIONS.get(name, ""), re.MULTILINE))

    assert set(OPTION.findall(rows)) == {word for word in words if word.startswith("-")} - EVERYWHERE


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_and_each_option_does(name: str):
    assert COMMANDS[name].help
    assert [each.name for each in COMMANDS[name].params if not getattr(each, "help", None)] == []


def test_page_has_the_exit_codes_that_there_are():
    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", PAGE, re.MULTILINE)

    assert [(int(number), name) for number, name in rows] == [(each.value, each.name) for each in Exit]


def test_every_command_takes_json():
    without = [name for name, each in COMMANDS.items() if "as_json" not in {option.name for option in each.params}]

    assert without == ["outlast"]
