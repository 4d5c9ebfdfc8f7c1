from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from cli.terminal import Terminal
from outlast.cli.exits import Exit


@pytest.fixture
def stored(terminal: Terminal) -> Terminal:
    """A terminal beside a store with one run that ended and one that waits."""
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 1}', "--work", "--app", "shop")
    terminal.type("run", "start", "order", "--id", "o2", "-i", '{"n": 1}', "--app", "shop")
    return terminal


def test_info_counts_what_a_store_holds(stored: Terminal):
    text = stored.type("db", "info", "shop.db")
    data = stored.type("db", "info", "shop.db", "--json").json

    assert (data["runs"], data["workers"], data["schemaVersion"]) == ({"pending": 1, "success": 1}, 0, 1)
    assert data["events"] > 3
    assert "runs     1 pending, 1 success\n" in text.out
    assert max(map(len, text.out.splitlines())) <= 80 + len(str(stored.directory))


def test_backup_is_a_store_of_its_own(stored: Terminal):
    answer = stored.type("db", "backup", "copy.db", "shop.db", "--json")
    stored.type("run", "cancel", "o2", "--store", "shop.db")

    assert answer.json["path"] == "copy.db"
    assert stored.type("run", "show", "o2", "--json", "--store", "copy.db").json["status"] == "pending"
    worked = stored.type("worker", "shop", "--store", "copy.db", "--until-idle", "--log-level", "error")
    assert worked.exit == Exit.DONE
    assert stored.type("run", "show", "o2", "--json", "--store", "copy.db").json["status"] == "success"


def test_backup_into_a_directory_is_named_after_the_time(stored: Terminal):
    answer = stored.type("db", "backup", ".", "shop.db")

    assert (stored.directory / answer.out.strip()).name.startswith("shop-2")


def test_backup_writes_over_nothing(stored: Terminal):
    (stored.directory / "copy.db").write_text("dear")

    answer = stored.type("db", "backup", "copy.db", "shop.db")

    assert (answer.exit, (stored.directory / "copy.db").read_text()) == (Exit.REFUSED, "dear")


def test_backup_that_cannot_be_written_leaves_nothing(stored: Terminal):
    answer = stored.type("db", "backup", "no/such/copy.db", "shop.db")

    assert answer.exit == Exit.UNAVAILABLE
    assert answer.err.startswith("error: no/such/copy.db cannot be written: ")


def test_vacuum_gives_back_the_room_of_what_was_deleted(stored: Terminal):
    with closing(sqlite3.connect(stored.directory / "shop.db")) as connection:
        connection.execute("CREATE TABLE ballast (data BLOB)")
        connection.execute("INSERT INTO ballast VALUES (zeroblob(10000000))")
        connection.commit()
        connection.execute("DROP TABLE ballast")
        connection.commit()
    before = stored.type("db", "info", "shop.db", "--json").json

    gained = stored.type("db", "vacuum", "shop.db", "--json").json["bytes"]
    after = stored.type("db", "info", "shop.db", "--json").json

    assert before["freeBytes"] > 9_000_000
    assert gained > 9_000_000
    assert (after["freeBytes"], after["logBytes"], after["runs"]) == (0, 0, before["runs"])


def test_migrate_says_that_nothing_was_to_do(stored: Terminal):
    assert stored.type("db", "migrate", "shop.db", "--json").json == {"before": 1, "now": 1}


@pytest.mark.parametrize("verb", ["info", "migrate", "vacuum"])
def test_file_that_is_no_store_or_newer_is_left_alone(terminal: Terminal, verb: str):
    with closing(sqlite3.connect(terminal.directory / "other.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with closing(sqlite3.connect(terminal.directory / "newer.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute(f"PRAGMA application_id = {int.from_bytes(b'OUTL', 'big')}")

    other = terminal.type("db", verb, "other.db")
    newer = terminal.type("db", verb, "newer.db")
    missing = terminal.type("db", verb, "missing.db")

    assert (other.exit, newer.exit, missing.exit) == (Exit.UNAVAILABLE, Exit.UNAVAILABLE, Exit.NOT_FOUND)
    assert "other.db is not an Outlast store" in other.err
    assert "newer.db has schema version 99" in newer.err
    assert not (terminal.directory / "missing.db").exists()
