"""Where the program begins. Loads nothing but the standard library before it knows that the rest is there."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Final

__all__ = ["main"]

_NEEDED: Final = ("typer", "rich")
_NOT_INSTALLED: Final = 7


def main() -> None:
    """Run the command line of this process and end it with an exit code; see docs/reference/cli.md."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        sys.stderr.write(
            f"error: the command line needs {' and '.join(missing)}\n"
            "next: install it with: pip install 'outlast[cli]'\n"
        )
        sys.exit(_NOT_INSTALLED)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot show a character gets an escape, not a fault
            stream.reconfigure(errors="backslashreplace")
    # Completion is asked for by the shell at every press of a key: it must find the program under this name.
    importlib.import_module("outlast.cli.root").app(prog_name="outlast")
