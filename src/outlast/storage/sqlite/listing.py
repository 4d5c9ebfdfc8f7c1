"""Lists and counts: a scan of `runs` from the newest on that ends as soon as it has enough, or indexes for a few."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from outlast.core.status import RunStatus
from outlast.storage.listing import (
    COUNTED,
    MEASURED,
    QueueLength,
    RunCount,
    RunListing,
    RunQuery,
    RunSummary,
    parse_position,
)
from outlast.storage.sqlite.sql import SqlValue, chunks, many, one

__all__ = ["count_runs", "list_runs", "measure_queue", "summarize_run"]

_FEW: Final = 100_000
"""Up to how many runs are looked up one by one; a scan that finds more of them soon has enough for a page."""


def list_runs(connection: sqlite3.Connection, query: RunQuery) -> RunListing:
    """Return a page: one scan finds the keys of the first matches, which give the page and its total at once.

    Raises:
        InputError: `after` was not told by this store.
    """
    position = None if query.after is None else parse_position(query.after)
    connection.execute("BEGIN")  # all of it sees one moment
    try:
        keys = _matching_keys(connection, query, below=None, limit=COUNTED + 1)
        counted = len(keys)
        if position is not None:
            keys = [key for key in keys if key < position]
        page = keys[query.offset : query.offset + query.limit + 1]
        if len(page) <= query.limit and counted > COUNTED:  # the page lies, or ends, beyond what was counted
            last = query.limit + query.offset + 1
            page = _matching_keys(connection, query, below=position, limit=last)[query.offset :]
        has_more, page = len(page) > query.limit, page[: query.limit]
        runs = _load_summaries(connection, page)
    finally:
        connection.execute("COMMIT")
    return RunListing(
        runs=runs,
        after=f"r{page[-1]}" if has_more else None,
        total=min(counted, COUNTED),
        is_total_exact=counted <= COUNTED,
    )


def summarize_run(connection: sqlite3.Connection, run_id: str) -> RunSummary | None:
    """Return what lists show of one run."""
    row = connection.execute(one("summarize_run"), (run_id,)).fetchone()
    return None if row is None else _summary(row[1:])


def count_runs(connection: sqlite3.Connection, workflow_id: str | None) -> list[RunCount]:
    """Count the runs by workflow and status."""
    rows = connection.execute(one("count_runs"), (workflow_id,)).fetchall()
    return [RunCount(workflow_id=workflow, status=RunStatus(status), count=count) for workflow, status, count in rows]


def measure_queue(connection: sqlite3.Connection, now_ms: int) -> list[QueueLength]:
    """Count the runs that could go on now, by workflow."""
    found = connection.execute(one("measure_queue"), (now_ms, MEASURED, now_ms)).fetchall()
    found += connection.execute(one("measure_lanes"), (MEASURED, now_ms)).fetchall()
    lengths: dict[str, QueueLength] = {}
    for length in map(QueueLength._make, found):
        known = lengths.get(length.workflow_id, length._replace(runs=0))
        ready_at_ms = min(known.ready_at_ms, length.ready_at_ms)
        lengths[length.workflow_id] = QueueLength(length.workflow_id, known.runs + length.runs, ready_at_ms)
    return [lengths[workflow_id] for workflow_id in sorted(lengths)]


def _matching_keys(connection: sqlite3.Connection, query: RunQuery, *, below: int | None, limit: int) -> list[int]:
    condition, values = _condition(connection, query)
    if below is not None:
        condition, values = f"key < ? AND {condition}", [below, *values]
    statement = f"SELECT key FROM runs WHERE {condition} ORDER BY key DESC LIMIT ?"  # noqa: S608 - only placeholders
    return [key for (key,) in connection.execute(statement, [*values, limit]).fetchall()]


def _condition(connection: sqlite3.Connection, query: RunQuery) -> tuple[str, list[SqlValue]]:
    """Return what the rows must fulfil. Everything that comes from a caller is a placeholder."""
    parts: list[str] = [one("is_kept")]
    values: list[SqlValue] = []
    for column, value in (
        ("workflow_id = ?", query.workflow_id),
        ("resource_id = ?", query.resource_id),
        ("created_at_ms >= ?", query.from_ms),
        ("created_at_ms <= ?", query.to_ms),
    ):
        if value is not None:
            parts.append(column)
            values.append(value)
    if query.statuses:
        parts.append(f"status IN ({', '.join('?' * len(query.statuses))})")
        values += [status.value for status in query.statuses]
    for tag in query.tags:
        parts.append(one("has_tag"))
        values.append(tag)
    if query.search:
        ranges = (query.search, query.search + chr(0x10FFFF)) * 3
        (found,) = connection.execute(one("count_few"), (*ranges, _FEW + 1)).fetchone()
        parts.append(one("begins_with" if found > _FEW else "is_one_of_few"))
        values += ranges
    return " AND ".join(parts), values


def _load_summaries(connection: sqlite3.Connection, keys: Sequence[int]) -> list[RunSummary]:
    found: dict[int, RunSummary] = {}
    for start, size in chunks(len(keys)):
        rows = connection.execute(many("summarize_runs", size), keys[start : start + size]).fetchall()
        found.update((row[0], _summary(row[1:])) for row in rows)
    return [found[key] for key in keys]


def _summary(row: tuple[Any, ...]) -> RunSummary:
    run_id, workflow_id, resource_id, status, execution, created_at_ms, updated_at_ms, tags = row
    return RunSummary(
        run_id=run_id,
        workflow_id=workflow_id,
        resource_id=resource_id,
        status=RunStatus(status),
        execution=execution,
        created_at_ms=created_at_ms,
        updated_at_ms=updated_at_ms,
        tags=tuple(sorted(tags.split("\n"))) if tags else (),
    )
