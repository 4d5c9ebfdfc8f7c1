"""The statements of the store by name, and the sizes in which multi-row statements come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final, TypeAlias

__all__ = ["SqlValue", "chunks", "many", "one"]

SqlValue: TypeAlias = str | bytes | int | None
"""What a placeholder takes."""

# Few sizes, so that each multi-row statement is compiled once per connection and then found in its cache. Small numbers
# come exact: the lone write is the one whose latency counts.
_LARGE: Final = (256, 128, 64, 32)
_LARGEST_EXACT: Final = 16


def one(name: str) -> str:
    """Return a statement of fixed size."""
    return _STATEMENTS[name][0]


@cache
def many(name: str, count: int) -> str:
    """Return a statement for `count` rows or keys."""
    text, columns = _STATEMENTS[name]
    row = "(" + ", ".join("?" * columns) + ")"
    return text.replace("{rows}", ", ".join([row] * count)).replace("{keys}", ", ".join("?" * count))


def chunks(count: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows into pieces of the usual sizes; yield the first index and the size of each."""
    start = 0
    for size in _LARGE:
        while count - start >= size:
            yield start, size
            start += size
    if count - start > _LARGEST_EXACT:
        yield start, _LARGEST_EXACT
        start += _LARGEST_EXACT
    if count > start:
        yield start, count - start


def _parse(text: str) -> dict[str, tuple[str, int]]:
    statements: dict[str, tuple[str, int]] = {}
    for part in re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n")
        name, _, columns = head.partition(" ")
        body = "\n".join(line for line in rest.splitlines() if not line.startswith("--")).strip()
        statements[name] = (body, int(columns.strip("()") or 1))
    return statements


_STATEMENTS: Final = _parse(
    resources.files("outlast.storage.sqlite").joinpath("queries.sql").read_text(encoding="utf-8")
)
