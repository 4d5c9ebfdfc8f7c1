"""How the demo talks: lines and a progress bar; colours and redrawing only where a person looks on."""

from __future__ import annotations

import os
import sys

_WIDTH = 52


class Screen:
    """Standard output, as plain or as pretty as it can be."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._has_color = self._is_terminal and "NO_COLOR" not in os.environ
        is_unicode = "utf" in (sys.stdout.encoding or "").lower()
        self._full, self._empty, self._yes, self._no = "━─✓✗" if is_unicode else "#.+!"
        self._fifths = 0

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(f"  {text}" if text else "", flush=True)

    def check(self, *, holds: bool, text: str) -> None:
        """Print a claim and whether it holds."""
        self.say(f"{self.color(self._yes, '32')} {text}" if holds else f"{self.color(self._no, '31')} NOT TRUE: {text}")

    def bold(self, text: str) -> str:
        """Return the text in bold type."""
        return self.color(text, "1")

    def color(self, text: str, code: str) -> str:
        """Return the text with an ANSI code, if that means anything here."""
        return f"\033[{code}m{text}\033[0m" if self._has_color else text

    def progress(self, done: int, total: int) -> None:
        """Redraw the bar; without a terminal print a line every 20 %."""
        if self._is_terminal:
            print(f"\r  {self._bar(done, total)}", end="", flush=True)
        elif done * 5 // total > self._fifths:
            self._fifths = done * 5 // total
            self.say(self._bar(done, total))

    def end_progress(self, done: int, total: int) -> None:
        """Leave the bar as it is and go on below it."""
        self.progress(done, total)
        if self._is_terminal:
            print(flush=True)
        self._fifths = 0

    def _bar(self, done: int, total: int) -> str:
        full = _WIDTH * done // total
        return f"{self.color(self._full * full, '36')}{self._empty * (_WIDTH - full)}  {done:>3} of {total}"
