"""What the processes of a soak write down as they go: lines that survive the death of whoever wrote them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Notes", "read_notes"]


class Notes:
    """A file of JSON lines, each written by one system call: a killed process leaves whole lines behind."""

    def __init__(self, directory: Path, kind: str) -> None:
        self._file = os.open(directory / f"{kind}-{os.getpid()}.notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, **fields: object) -> None:
        os.write(self._file, json.dumps(fields).encode() + b"\n")


def read_notes(directory: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Yield what all processes wrote of one kind, with the process that wrote it."""
    for path in sorted(directory.glob(f"{kind}-*.notes")):
        pid = int(path.stem.rpartition("-")[2])
        for line in path.read_text(encoding="utf-8").splitlines():
            yield {"pid": pid, **json.loads(line)}
