"""No query of a hot path looks at rows that it does not return."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from outlast.core.status import RunStatus
from outlast.storage.listing import RunQuery
from outlast.storage.sqlite import listing
from outlast.storage.sqlite.listing import list_runs
from outlast.storage.sqlite.schema import prepare
from outlast.storage.sqlite.sql import many


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "store.db"
    prepare(str(path), allow_network_filesystem=True)
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("advance_runs", "SEARCH runs USING INTEGER PRIMARY KEY"),
        ("release_runs", "SEARCH inbox USING INDEX inbox_open"),
        ("before_inserts", "SEARCH runs"),
        ("find_run", "SEARCH runs USING INDEX sqlite_autoindex_runs_1"),
        ("load_facts", "SEARCH events USING PRIMARY KEY (run_key=? AND seq>? AND seq<?)"),
        ("load_records", "MERGE (UNION ALL)"),
        ("load_heads", "SEARCH runs USING INTEGER PRIMARY KEY"),
        ("load_journals", "SEARCH events USING PRIMARY KEY (run_key=?)"),
        ("list_inbox", "SEARCH runs USING INTEGER PRIMARY KEY"),
        ("select_claimable", "SEARCH runs USING INDEX runs_claimable (graph=? AND ready_at_ms<?)"),
        ("next_ready_at", "SEARCH runs USING INDEX runs_claimable (graph=?"),
        ("measure_queue", "SEARCH runs USING INDEX runs_claimable (graph=? AND ready_at_ms<?)"),
        ("measure_lanes", "SEARCH runs USING INDEX runs_in_lane (lane>?)"),
        ("free_runs_of_retired", "SEARCH runs USING INDEX runs_owned (owner=?)"),
        ("free_runs_of_dead", "SEARCH runs USING INDEX runs_owned (owner=?)"),
    ],
)
def test_query_searches(connection: sqlite3.Connection, name: str, search: str) -> None:
    statement = many(name, 2)
    values = [None] * statement.count("?")
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()]

    assert any(line.startswith(search) for line in plan), plan
    assert not [line for line in plan if line.startswith(("SCAN runs", "SCAN events", "SCAN ready"))]


def test_statements_bind_by_position() -> None:
    """From Python 3.12 on, binding a sequence to placeholders with numbers or names is deprecated."""
    text = resources.files("outlast.storage.sqlite").joinpath("queries.sql").read_text(encoding="utf-8")

    assert not re.findall(r"\?\d+|[:@$]\w+", re.sub(r"--.*|'[^']*'", "", text))


def test_deadlines_of_deleted_runs_are_found_by_their_runs(connection: sqlite3.Connection) -> None:
    (plan,) = connection.execute(f"EXPLAIN QUERY PLAN {many('drop_start_deadlines', 2)}", [1, 2]).fetchall()

    assert plan[3] == "SEARCH start_deadlines USING INTEGER PRIMARY KEY (rowid=?)"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (RunQuery(), "SCAN runs"),
        (RunQuery(workflow_id="w", statuses=[RunStatus.FAILED], from_ms=1), "SCAN runs"),
        (RunQuery(search="x"), "SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"),
        (RunQuery(search="x", statuses=[RunStatus.FAILED]), "SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"),
        (RunQuery(resource_id="ada"), "SEARCH runs USING INDEX runs_of_resource (resource_id=?)"),
        (RunQuery(resource_id="ada", workflow_id="w"), "SEARCH runs USING INDEX runs_of_resource"),
        (RunQuery(tags=["red"]), "SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"),
    ],
    ids=str,
)
def test_list_takes_rows_in_order_and_sorts_nothing_it_does_not_need(
    connection: sqlite3.Connection, query: RunQuery, expected: str
) -> None:
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    list_runs(connection, query)
    statement = next(each for each in asked if each.startswith("SELECT key FROM runs"))

    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()]

    assert plan[0].startswith(expected), plan
    assert not [line for line in plan if "TEMP B-TREE" in line and not query.tags], plan


def test_search_finds_the_same_whether_few_or_many_begin_so(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """17: search is a prefix of run id, resource id or tag; which way it goes depends on how many runs match."""
    for key in range(1, 61):
        row = (key, f"r{key % 7}-{key}", f"c{key % 5}", "failed" if key % 3 else "success", key, key)
        connection.execute(
            "INSERT INTO runs (key, run_id, workflow_id, graph, resource_id, status, execution, epoch, head, "
            "created_at_ms, updated_at_ms) VALUES (?, ?, 'w', 1, ?, ?, 0, 1, 1, ?, ?)",
            row,
        )
        connection.execute("INSERT INTO run_tags (run_key, tag) VALUES (?, ?)", (key, f"r{key % 4}"))
    connection.commit()
    queries = [
        RunQuery(search=search, statuses=statuses, limit=9, after=after)
        for search in ("r", "r1", "r1-1", "c", "c3", "x", "r9")
        for statuses in ([], [RunStatus.FAILED])
        for after in (None, "r30")
    ]
    few = [list_runs(connection, query) for query in queries]
    monkeypatch.setattr(listing, "_FEW", -1)
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    many_match = [list_runs(connection, query) for query in queries]

    assert many_match == few
    assert {page.total for page in few} > {0, 60}
    scans = [each for each in asked if each.startswith("SELECT key FROM runs")]
    assert all("+run_id" in each for each in scans)
