"""What commands that go on for a while have in common: they log, and say what they do."""

from __future__ import annotations

import logging
import os
import sys

from outlast.cli.screen import Screen

__all__ = ["log_to_stderr", "tell"]


def tell(screen: Screen, event: str, text: str = "", **details: str) -> None:
    """Say what happens: for people on stderr, for programs as one JSON object a line on stdout."""
    if screen.is_json:
        screen.json({"event": event, "pid": os.getpid(), **details})
    else:
        screen.note(f"{event}: {text}" if text else event)


def log_to_stderr(level: str) -> None:
    """Let log records reach stderr, unless the author's code has set up logging already."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if level != "debug":  # the server's own four lines about starting and stopping say nothing that we do not
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
