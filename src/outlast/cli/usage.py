"""Wrong command lines: boxes for people, and with `--json` the shape that all other errors have."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup

from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.screen import Screen

__all__ = ["Program"]


class Program(TyperGroup):
    """The whole command line. What it does not understand it says as `--json` asks, wherever that stands."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - typer's signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - as above
        **extra: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Run the command line and end the process with an exit code."""
        words = sys.argv[1:] if args is None else list(args)
        is_json = standalone_mode and "--json" in words
        mode = standalone_mode and not is_json
        try:
            ended = super().main(args, prog_name, complete_var, mode, windows_expand_args, **extra)
        except Exception as error:
            # What typer raises for a wrong command line has different names in its versions, and this method in all.
            words_of = getattr(error, "format_message", None)
            if not is_json or words_of is None:
                raise
            hint = f"see what there is: {prog_name or 'outlast'} --help"
            Screen(is_json=True).complain(Complaint(words_of(), hint=hint))
            sys.exit(Exit.USAGE)
        if is_json:
            sys.exit(ended)
        return ended
