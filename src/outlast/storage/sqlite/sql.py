"""The statements of the store by name, and the sizes in which multi-row statements come."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from typing import Final, TypeAlias

__all__ = ["LARGEST_EXACT", "NULL", "SqlValue", "chunks", "many", "one", "read_text"]

SqlValue: TypeAlias = str | bytes | bytearray | int | None
"""What a placeholder takes."""

NULL: Final = bytearray()
"""Stands for NULL in the columns that a statement names as nullable.

Python's sqlite3 asks each `None` and each `bytes` for an adapter, which costs more than it takes to write the value; a
`bytearray` it takes as it is.
"""

# Few sizes, so that each multi-row statement is compiled once per connection and then found in its cache. Small numbers
# come exact: the lone write is the one whose latency counts.
_LARGE: Final = (256, 128, 64, 32)
LARGEST_EXACT: Final = 16
"""Up to this number of rows there is a statement of just that size."""


def one(name: str) -> str:
    """Return a statement of fixed size."""
    return _STATEMENTS[name][0]


@cache
def many(name: str, count: int) -> str:
    """Return a statement for `count` rows or keys."""
    text, row = _STATEMENTS[name]
    return text.replace("{rows}", ", ".join([row] * count)).replace("{keys}", ", ".join("?" * count))


def chunks(count: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows into pieces of the usual sizes; yield the first index and the size of each."""
    start = 0
    for size in _LARGE:
        while count - start >= size:
            yield start, size
            start += size
    if count - start > LARGEST_EXACT:
        yield start, LARGEST_EXACT
        start += LARGEST_EXACT
    if count > start:
        yield start, count - start


def _parse(text: str) -> dict[str, tuple[str, str]]:
    """Return the text of each statement, and one row of its placeholders."""
    statements: dict[str, tuple[str, str]] = {}
    for part in re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n")
        name, _, rest_of_head = head.partition(" ")
        columns, _, nullable = rest_of_head.strip("()").partition("; NULL: ")
        body = "\n".join(line for line in rest.splitlines() if not line.startswith("--")).strip()
        statements[name] = (body, _row(int(columns or 1), {int(column) for column in nullable.split()}))
    return statements


def _row(columns: int, nullable: set[int]) -> str:
    return "(" + ", ".join("nullif(?, x'')" if n in nullable else "?" for n in range(1, columns + 1)) + ")"


def read_text(name: str) -> str:
    """Return a text that lies beside this module."""
    data = pkgutil.get_data("outlast.storage.sqlite", name)  # `importlib.resources` takes longer than the whole store
    if data is None:
        raise FileNotFoundError(name)
    return data.decode()


_STATEMENTS: Final = _parse(read_text("queries.sql"))
