"""A person at a terminal: types commands, reads both streams and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

__all__ = ["Answer", "Terminal"]


@cache
def _program() -> TyperGroup:
    """The command line, made once: that takes longer than most commands."""
    from outlast.cli.root import app  # noqa: PLC0415 - loads typer and rich

    made = typer.main.get_command(app)
    assert isinstance(made, TyperGroup)
    return made


@dataclass(frozen=True)
class Answer:
    """What a command wrote, and how it ended."""

    exit: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Commands in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def type(self, *words: str, stdin: str | None = None) -> Answer:
        """Run a command in this process."""
        with CliRunner().isolation(input=stdin) as (out, err, _):
            try:
                _program().main(words, prog_name="outlast")
                code: object = 0
            except SystemExit as end:
                code = end.code
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            texts = [each.getvalue().decode() for each in (out, err)]
        assert isinstance(code, int)
        return Answer(code, *texts)

    @contextmanager
    def spawn(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command as a process of its own, as the shell does; killed at the end if it still lives."""
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "outlast", *words],
            cwd=self.directory,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()
