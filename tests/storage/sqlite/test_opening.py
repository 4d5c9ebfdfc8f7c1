"""What is refused when a store opens, and what a fresh one looks like."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import ConfigurationError, NetworkFilesystemError, SchemaVersionError, StoreUnavailableError
from outlast.storage.sqlite import SqliteStore, schema
from outlast.storage.sqlite.connection import require_sqlite
from outlast.storage.sqlite.filesystem import filesystem_type, is_network, parse_bsd_mounts, parse_mountinfo

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /mnt/share rw,relatime shared:9 - nfs4 server:/export rw,vers=4.2
31 30 254:1 / /mnt/share/local rw - xfs /dev/vdb rw
32 22 0:40 / /mnt/with\\040space rw - fuse.sshfs me@host: rw
33 22 0:41 / /over rw - ext4 /dev/vdc rw
34 33 0:42 / /over rw - cifs //server/share rw
"""


async def open_and_close(path: Path, *, allow_network_filesystem: bool = True) -> None:
    store = SqliteStore(path, allow_network_filesystem=allow_network_filesystem)
    await store.open()
    await store.close()


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


async def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no directory .*create it"):
        await open_and_close(tmp_path / "missing" / "store.db")

    assert not list(tmp_path.iterdir())


async def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a directory"):
        await open_and_close(tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("locked", ["directory", "file"])
async def test_path_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    path = tmp_path / "store.db"
    path.touch()
    refused = tmp_path if locked == "directory" else path
    # The tests may run as root, who may write anywhere.
    monkeypatch.setattr(schema.os, "access", lambda asked, _, **__: Path(asked) != refused)

    with pytest.raises(ConfigurationError, match="cannot be written by this user"):
        await open_and_close(path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["store.db"]


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, and they are worth keeping.\n" * 100)

    with pytest.raises(SchemaVersionError, match="is not an Outlast store"):
        await open_and_close(path)

    assert path.read_text().startswith("These are my notes")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
async def test_database_of_another_program_is_refused_and_untouched(tmp_path: Path, journal_mode: str) -> None:
    path = tmp_path / "other.db"
    execute(path, f"PRAGMA journal_mode = {journal_mode}", "CREATE TABLE notes (text)")
    before = path.read_bytes()

    with pytest.raises(SchemaVersionError, match="is not an Outlast store"):
        await open_and_close(path)

    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["other.db"]


async def test_database_of_another_program_that_is_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = wal")
        other.execute("CREATE TABLE notes (text)")  # only in its log so far

        with pytest.raises(SchemaVersionError, match="is not an Outlast store"):
            await open_and_close(path)

        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]


async def test_newer_schema_is_refused_naming_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await open_and_close(path)
    execute(path, "PRAGMA user_version = 99")

    with pytest.raises(SchemaVersionError, match=f"version 99, and this Outlast knows versions up to {schema.VERSION}"):
        await open_and_close(path)


async def test_network_filesystem_is_refused_unless_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "read_mounts", lambda: [("/", "nfs4")])

    with pytest.raises(NetworkFilesystemError, match=r"\(nfs4\).*allow_network_filesystem=True"):
        await open_and_close(tmp_path / "store.db", allow_network_filesystem=False)
    assert not list(tmp_path.iterdir())

    await open_and_close(tmp_path / "store.db")


def test_old_sqlite_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"SQLite 3\.34\.1 is too old; Outlast needs 3\.35\.0"):
        require_sqlite((3, 34, 1))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/store.db", "ext4"),
        ("/mnt/share/store.db", "nfs4"),
        ("/mnt/shared/store.db", "ext4"),
        ("/mnt/share/local/store.db", "xfs"),
        ("/mnt/with space/store.db", "fuse.sshfs"),
        ("/over/store.db", "cifs"),
    ],
)
def test_longest_and_latest_mount_decides(path: str, kind: str) -> None:
    assert filesystem_type(path, parse_mountinfo(MOUNTS)) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "lustre"])
def test_network_filesystems_are_known(kind: str) -> None:
    assert is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "apfs", "tmpfs", "overlay"])
def test_local_filesystems_are_taken(kind: str) -> None:
    assert not is_network(kind)


def test_mounts_of_macos_are_read() -> None:
    text = "/dev/disk3s1 on / (apfs, local, journaled)\n//me@server/share on /Volumes/my share (smbfs, nodev)\n"

    assert parse_bsd_mounts(text) == [("/", "apfs"), ("/Volumes/my share", "smbfs")]


async def test_fresh_store_has_the_settings_that_cannot_be_changed_later(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    await open_and_close(path)

    assert query(path, "PRAGMA application_id") == [(int.from_bytes(b"OUTL", "big"),)]
    assert query(path, "PRAGMA user_version") == [(1,)]
    assert query(path, "PRAGMA auto_vacuum") == [(2,)]
    assert query(path, "PRAGMA page_size") == [(4096,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


async def test_schema_is_the_published_one(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await open_and_close(path)

    columns = {
        str(table): [str(column) for _, column, *_ in query(path, f"PRAGMA table_info({table})")]
        for (table,) in query(path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    }

    assert columns == {
        "graphs": ["key", "workflow_id", "fingerprint", "document"],
        "runs": [
            "key", "run_id", "workflow_id", "graph", "resource_id", "status", "execution", "epoch", "owner", "head",
            "crashed", "ready_at_ms", "created_at_ms", "updated_at_ms", "lane",
        ],
        "run_tags": ["run_key", "tag"],
            "events": [
            "run_key", "seq", "execution", "type", "v", "at_ms", "path", "attempt", "body", "payload",
        ],
            "stream_events": [
            "run_key", "seq", "execution", "type", "v", "at_ms", "path", "attempt", "body", "payload",
        ],
        "inbox": ["key", "run_key", "topic", "kind", "at_ms", "body", "taken"],
        "workers": ["key", "incarnation", "pid", "boot_id", "lease_until_ns", "workflows", "graphs"],
        "start_deadlines": ["run_key", "due_at_ms", "head"],
        "holds": ["run_key", "epoch", "head", "reason"],
        "identity_keys": ["scope", "key", "run_key", "input_hash", "expires_at_ms"],
        "outbox": ["key", "run_key", "graph", "execution", "seq", "kind", "due_at_ms", "tries", "owner", "failure"],
        "schedules": [
            "key", "id", "version", "workflow_id", "declared", "status", "due_at_ms", "waiting", "plan", "memory",
            "last_number", "created_at_ms", "updated_at_ms",
        ],
        "triggers": [
            "schedule", "number", "kind", "scheduled_at_ms", "until_ms", "count", "at_ms", "outcome", "run_id",
            "reason",
        ],
        "limits": ["name", "most", "per_ms", "burst"],
        "flows": ["run_key", "priority", "gates", "begun"],
        "lines": ["key", "graph", "gates"],
        "lanes": ["key", "line", "priority", "gates", "turn", "due_at_ms", "closed_until_ms", "gate"],
        "slots": ["run_key", "gate"],
        "rates": ["gate", "theoretical_us"],
    }  # fmt: skip


async def test_creation_that_was_cut_off_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    execute(path, "PRAGMA journal_mode = wal")  # the last thing before the first migration

    await open_and_close(path)

    assert query(path, "PRAGMA user_version") == [(1,)]


async def test_file_that_becomes_a_store_while_it_is_looked_at_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.2: two processes may meet at a new file; what one sees of it is of one moment."""
    path = tmp_path / "store.db"
    execute(path, "PRAGMA journal_mode = wal")
    connect = schema.connect

    def make_tables(statement: str) -> None:
        if "user_version" in statement:
            monkeypatch.setattr(schema, "connect", connect)
            schema.prepare(str(path), allow_network_filesystem=True)

    def connect_and_be_overtaken(name: str, **options: Any) -> sqlite3.Connection:
        connection = connect(name, **options)
        connection.set_trace_callback(make_tables)
        return connection

    monkeypatch.setattr(schema, "connect", connect_and_be_overtaken)
    await open_and_close(path)

    assert query(path, "PRAGMA user_version") == [(1,)]


async def test_two_names_of_one_file_lead_to_the_same_locks(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    await open_and_close(tmp_path / "link" / "store.db")

    assert (tmp_path / "real" / "store.db.writer").exists()


async def test_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")

    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.find_run("run")
