"""What is shown: results on stdout, everything said about them on stderr; text for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from outlast.cli.complaint import Complaint
from outlast.values import JsonValue

__all__ = ["STYLES", "Screen", "age_of", "plain", "short_json", "span", "status_text"]

STYLES: Final = {
    "success": "green",
    "bailed": "green",
    "failed": "red",
    "canceled": "yellow",
    "suspended": "magenta",
    "paused": "magenta",
    "running": "cyan",
    "waiting": "blue",
    "pending": "dim",
    "skipped": "dim",
}
"""How statuses look; the word always stands there too."""


class Screen:
    """Both streams of one command. Colors only on a terminal, and never with NO_COLOR; JSON is never colored."""

    def __init__(self, *, is_json: bool = False) -> None:
        self.is_json = is_json
        """Whether stdout is for programs."""
        # What runs and authors say is data: no markup, no emoji codes, no guessed highlights.
        self.out = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        """For results."""
        self.err = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        """For everything else."""

    def json(self, value: JsonValue) -> None:
        """Write one JSON document on one line."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def say(self, text: str | Text = "", *, style: str | None = None) -> None:
        """Write a line of a result; long ones are wrapped by the terminal, so that they can be copied."""
        shown = text if isinstance(text, Text) else Text(plain(text))
        self.out.print(shown, style=style, soft_wrap=True)

    def line(self, text: str) -> None:
        """Write a line at once, for whoever reads them as they come."""
        sys.stdout.write(plain(text).replace("\n", "\\n") + "\n")
        sys.stdout.flush()

    def note(self, text: str, *, style: str | None = "dim") -> None:
        """Write a line about what goes on, to stderr."""
        self.err.print(Text(plain(text)), style=style, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        """Write a table without lines that fits the terminal: nothing is cut off, long words are folded."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row))
        self.draw(table)

    def fields(self, pairs: Iterable[tuple[str, str | Text]]) -> None:
        """Write names and values below each other; pairs without a value are left out."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in pairs:
            if value:
                table.add_row(name, value if isinstance(value, Text) else Text(plain(value)))
        self.draw(table)

    def draw(self, picture: RenderableType) -> None:
        """Write something that is as wide as the terminal; where no terminal is, without the spaces that fill lines."""
        if self.out.is_terminal:
            self.out.print(picture)
            return
        with self.out.capture() as capture:
            self.out.print(picture)
        sys.stdout.write("".join(line.rstrip() + "\n" for line in capture.get().splitlines()))

    def complain(self, complaint: Complaint) -> None:
        """Say what is wrong and what to do, to stderr; with --json in the shape of the HTTP API's errors."""
        if self.is_json:
            body = {"error": complaint.message, "code": complaint.code}
            if complaint.hint:
                body["hint"] = complaint.hint
            sys.stderr.write(json.dumps(body, ensure_ascii=False) + "\n")
            return
        self.err.print(Text.assemble(("error: ", "bold red"), plain(complaint.message)), soft_wrap=True)
        if complaint.hint:
            self.err.print(Text.assemble(("next: ", "bold"), plain(complaint.hint)), soft_wrap=True)


def status_text(status: str) -> Text:
    """Return a status in its color."""
    return Text(status, style=STYLES.get(status, ""))


def plain(text: str) -> str:
    """Return text that a terminal shows as it is: what would steer it is written as an escape."""
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


def short_json(value: JsonValue, width: int = 60) -> str:
    """Return JSON on one line, cut if it is long; `--json` shows it whole."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else text[: width - 3] + "..."


def age_of(at: datetime, now: datetime | None = None) -> str:
    """Return how long ago something was, in one unit: `12s`, `5m`, `3h`, `20d`."""
    seconds = max(0, int(((now or datetime.now(UTC)) - at).total_seconds()))
    for unit, length, enough in (("s", 1, 120), ("m", 60, 120), ("h", 3_600, 48)):
        if seconds < length * enough:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86_400}d"


def span(time: timedelta) -> str:
    """Return a length of time, in at most two units: `40ms`, `1.5s`, `2m05s`, `3h20m`, `4d`."""
    ms = max(0, time // timedelta(milliseconds=1))
    minutes, hours = ms // 60_000, ms // 3_600_000
    if hours >= 48:  # noqa: PLR2004 - two days
        return f"{hours // 24}d"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    if minutes:
        return f"{minutes}m{ms // 1_000 % 60:02}s"
    return f"{ms / 1000:.1f}s" if ms >= 1_000 else f"{ms}ms"  # noqa: PLR2004 - a second
