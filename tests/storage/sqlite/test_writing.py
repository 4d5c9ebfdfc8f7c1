"""How writes become transactions: few statements, one fence, and the truth when something fails."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from eventually import eventually
from outlast import Outlast
from outlast.core.status import RunStatus
from outlast.errors import OutlastError, RunExistsError, StaleRunError, StoreError, StoreUnavailableError
from outlast.storage.base import CommitSeam, Receipt, RunKey
from outlast.storage.sqlite import SqliteStore, commit, writer
from outlast.storage.sqlite.commit import Committer
from outlast.storage.sqlite.connection import Synchronous, rollback
from outlast.storage.sqlite.locks import WriterLock
from outlast.testing.conformance.scenario import LEASE, NOW, Held, append, find, hold, insert, new_run, records

NO_FILE = sqlite3.OperationalError("unable to open database file")

both = pytest.mark.parametrize("durability", ["full", "normal"])


@asynccontextmanager
async def opened(
    path: Path, durability: Synchronous = "normal", seam: CommitSeam | None = None
) -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(path, durability=durability, allow_network_filesystem=True, seam=seam)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class Statements:
    """Counts what the writer sends to SQLite."""

    def __init__(self, store: SqliteStore) -> None:
        self.seen: list[str] = []
        connection = store._machinery.writer._committer._connection  # type: ignore[union-attr] # noqa: SLF001
        connection.set_trace_callback(lambda text: self.seen.append(text.split(maxsplit=1)[0]))

    def taken(self) -> list[str]:
        seen, self.seen[:] = list(self.seen), []
        return seen


@pytest.mark.parametrize(("durability", "level"), [(None, 2), ("full", 2), ("normal", 1)])
async def test_commits_wait_for_what_their_class_promises(
    tmp_path: Path, durability: Synchronous | None, level: int
) -> None:
    """3.5: `full`, the default, for the disk (2), `normal` for the system (1); also on a connection opened again."""
    app = Outlast([], store=tmp_path / "store.db", durability=durability).with_options(worker=False)
    async with app:
        committer = app._store._machinery.writer._committer  # type: ignore[union-attr] # noqa: SLF001
        first = committer._connection.execute("PRAGMA synchronous").fetchone()  # noqa: SLF001
        committer._is_lost = True  # noqa: SLF001
        again = committer._usable().execute("PRAGMA synchronous").fetchone()  # noqa: SLF001

    assert (first, again) == ((level,), (level,))


@both
async def test_lone_append_costs_four_statements(tmp_path: Path, durability: Synchronous) -> None:
    async with opened(tmp_path / "store.db", durability) as store:
        held = await hold(store)
        statements = Statements(store)

        await append(store, held.write(2, 2))

        assert [text for text in statements.taken() if text != "PRAGMA"] == ["BEGIN", "UPDATE", "INSERT", "COMMIT"]


async def test_lone_insert_costs_four_statements_and_a_look_whether_others_wrote(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        held = await hold(store)
        statements = Statements(store)

        await insert(store, new_run(held.graph, "other", owner=held.worker))

        assert statements.taken() == ["BEGIN", "PRAGMA", "INSERT", "INSERT", "COMMIT"]


async def test_a_run_without_limits_costs_no_statement_and_no_row_for_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        held = await hold(store)
        await insert(store, new_run(held.graph, "waiting"))
        statements = Statements(store)

        (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
        taken = statements.taken()
        await held.release(None)

        assert not claimed.is_limited
        assert [text for text in taken if text != "PRAGMA"] == ["BEGIN", "SELECT", "UPDATE", "COMMIT"]
        assert statements.taken() == ["BEGIN", "UPDATE", "INSERT", "COMMIT"]
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        for table in ("limits", "flows", "lines", "lanes", "slots", "rates"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        assert connection.execute("SELECT DISTINCT lane FROM runs").fetchall() == [(None,)]


async def test_insert_after_a_failed_one_has_the_next_number(tmp_path: Path) -> None:
    seam = Fail()
    async with opened(tmp_path / "store.db", seam=seam) as store:
        held = await hold(store)
        seam.is_armed = True
        failed = await insert(store, new_run(held.graph, "failed", owner=held.worker))
        seam.is_armed = False

        receipt = await insert(store, new_run(held.graph, "other", owner=held.worker))

        assert isinstance(failed, StoreUnavailableError)
        assert receipt == Receipt(RunKey(held.key + 1), 1, is_owned=True)


async def test_writes_of_one_turn_are_one_transaction_of_few_statements(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        first = await hold(store)
        helds = [await hold(store, f"run-{number}", worker=first.worker) for number in range(50)]
        statements = Statements(store)

        outcomes = await asyncio.gather(*[append(store, held.write(2, 2)) for held in helds])

        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        taken = statements.taken()
        assert taken.count("COMMIT") == 1
        assert len(taken) <= 10


async def test_stale_writes_do_not_disturb_the_others_of_their_batch(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        good, other, unknown = [await hold(store, name) for name in ("good", "other", "unknown")]
        writes = [
            good.write(2),
            other.write(2, epoch=7),
            Held(store=store, worker=other.worker, graph=other.graph, key=unknown.key, epoch=1).write(2),
            other.write(5),
            good.write(3, is_released=True),
            good.write(4),
            other.write(2),
        ]

        outcomes = await asyncio.gather(*[append(store, write) for write in writes])

        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [Receipt, StaleRunError, StaleRunError, StaleRunError, Receipt, StaleRunError, Receipt]
        assert (await find(store, "good")).head == 3
        assert (await find(store, "other")).head == 2
        assert (await find(store, "unknown")).head == 1


async def test_appends_to_one_run_in_one_turn_are_one_row_change(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        held = await hold(store)
        statements = Statements(store)

        outcomes = await asyncio.gather(*[append(store, held.write(seq)) for seq in range(2, 12)])

        assert all(outcome == Receipt(held.key, 1, is_owned=True) for outcome in outcomes)
        assert len(statements.taken()) <= 8
        assert [record.seq for record in await store.load_records(held.key)] == list(range(1, 12))


async def test_same_id_twice_in_one_turn_is_recorded_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        held = await hold(store)

        outcomes = await asyncio.gather(
            *[insert(store, new_run(held.graph, name)) for name in ("a", "run", "b", "a", "c")]
        )

        assert [isinstance(outcome, RunExistsError) for outcome in outcomes] == [False, True, False, True, False]
        for name in ("a", "b", "c"):
            assert len(await store.load_records((await find(store, name)).key)) == 1


@both
async def test_large_backlog_is_cut_into_batches_and_settles_in_order(tmp_path: Path, durability: Synchronous) -> None:
    settled: list[int] = []
    async with opened(tmp_path / "store.db", durability) as store:
        held = await hold(store)
        for number in range(2_500):
            store.insert(new_run(held.graph, f"run-{number}"), lambda _, number=number: settled.append(number))

        await eventually(lambda: len(settled) == 2_500)

    assert settled == list(range(2_500))


@both
async def test_close_settles_what_was_handed_over(tmp_path: Path, durability: Synchronous) -> None:
    settled: list[Receipt | OutlastError] = []
    async with opened(tmp_path / "store.db", durability) as store:
        held = await hold(store)
        for number in range(100):
            store.insert(new_run(held.graph, f"run-{number}"), settled.append)

    assert len(settled) == 100
    assert all(isinstance(outcome, Receipt) for outcome in settled)


@both
async def test_value_that_sqlite_cannot_hold_fails_alone(tmp_path: Path, durability: Synchronous) -> None:
    async with opened(tmp_path / "store.db", durability) as store:
        held = await hold(store)

        bad, good = await asyncio.gather(
            insert(store, new_run(held.graph, "bad", created_at_ms=2**70)), insert(store, new_run(held.graph, "good"))
        )

        assert isinstance(bad, StoreError)
        assert isinstance(good, Receipt)
        assert await store.find_run("bad") is None


@both
async def test_settle_callback_that_fails_does_not_stop_the_others(tmp_path: Path, durability: Synchronous) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with opened(tmp_path / "store.db", durability) as store:
        held = await hold(store)
        store.insert(new_run(held.graph, "a"), lambda _: 1 / 0)  # type: ignore[arg-type,return-value]

        assert isinstance(await insert(store, new_run(held.graph, "b")), Receipt)

    assert isinstance(reported[0]["exception"], ZeroDivisionError)


@both
async def test_foreign_program_that_holds_a_transaction_is_waited_for(tmp_path: Path, durability: Synchronous) -> None:
    path = tmp_path / "store.db"
    async with opened(path, durability) as store:
        held = await hold(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            answer = append(store, held.write())
            reads = [await store.find_run("run") for _ in range(20)]  # the loop turns meanwhile
            assert not answer.done()
            foreign.execute("ROLLBACK")

        assert isinstance(await answer, Receipt)
        assert all(reads)


@pytest.mark.slow
@both
async def test_foreign_program_that_does_not_let_go_makes_the_store_unavailable(
    tmp_path: Path, durability: Synchronous
) -> None:
    path = tmp_path / "store.db"
    async with opened(path, durability) as store:
        held = await hold(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            outcome = await append(store, held.write())
            foreign.execute("ROLLBACK")

        assert isinstance(outcome, StoreUnavailableError)
        assert "another program holds it locked" in str(outcome)
        assert isinstance(await append(store, held.write()), Receipt)


@both
async def test_writer_lock_of_a_stopped_process_makes_the_store_unavailable(
    tmp_path: Path, durability: Synchronous, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PATIENCE_S", 0.05)
    path = tmp_path / "store.db"
    async with opened(path, durability) as store:
        held = await hold(store)
        stopped = os.open(f"{path}.writer", os.O_RDONLY)
        fcntl.flock(stopped, fcntl.LOCK_EX)

        outcome = await append(store, held.write())

        os.close(stopped)
        assert isinstance(outcome, StoreUnavailableError)
        assert "look whether it is stopped" in str(outcome)
        assert isinstance(await append(store, held.write()), Receipt)


@both
async def test_close_does_not_wait_for_a_stopped_process(
    tmp_path: Path, durability: Synchronous, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(writer, "_JOIN_S", 0.05)
    path = tmp_path / "store.db"
    async with opened(path, durability) as store:
        held = await hold(store)
        stopped = os.open(f"{path}.writer", os.O_RDONLY)
        fcntl.flock(stopped, fcntl.LOCK_EX)
        answer = append(store, held.write())

    assert isinstance(answer.result(), StoreUnavailableError)
    os.close(stopped)
    await eventually(lambda: "outlast-writer" not in {thread.name for thread in threading.enumerate()})
    async with opened(path, durability) as store:
        assert (await find(store)).head == 1


@both
async def test_full_disk_is_reported_and_survived(tmp_path: Path, durability: Synchronous) -> None:
    async with opened(tmp_path / "store.db", durability) as store:
        held = await hold(store)
        writer_of(store).execute("PRAGMA max_page_count = 30")

        outcome = await append(store, held.write(records=records(2, 1, payload=b"1" * 300_000)))
        writer_of(store).execute("PRAGMA max_page_count = 1000000")

        assert isinstance(outcome, StoreUnavailableError)
        assert "the disk is full" in str(outcome)
        assert isinstance(await append(store, held.write()), Receipt)


def writer_of(store: SqliteStore) -> sqlite3.Connection:
    connection: sqlite3.Connection = store._machinery.writer._committer._connection  # type: ignore[union-attr] # noqa: SLF001
    return connection


def committer_of(store: SqliteStore) -> Committer:
    committer: Committer = store._machinery.writer._committer  # type: ignore[union-attr] # noqa: SLF001
    return committer


class LoseAnswer:
    """Loses the answer of every commit."""

    def before_commit(self) -> None:
        pass

    def after_commit(self) -> None:
        raise OSError(errno.EIO, "answer lost")


class Fail:
    """Fails every commit once armed."""

    is_armed = False

    def before_commit(self) -> None:
        if self.is_armed:
            raise OSError(errno.EIO, "disk gone")

    def after_commit(self) -> None:
        pass


@both
async def test_every_answer_may_be_lost(tmp_path: Path, durability: Synchronous) -> None:
    async with opened(tmp_path / "store.db", durability, LoseAnswer()) as store:
        held = await hold(store)
        outcomes = await asyncio.gather(*[append(store, held.write(seq)) for seq in range(2, 5)])

        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert await store.post("run", kind="k", topic="t", at_ms=1, body=b"{}")
        assert not await store.post("run", kind="k", topic="t", at_ms=1, body=b"{}")
        assert store.renew_lease(held.worker, LEASE)
        assert await store.retire_worker(held.worker) == 1


async def test_failed_batch_is_not_taken_for_recorded_because_of_an_older_request(tmp_path: Path) -> None:
    seam = Fail()
    async with opened(tmp_path / "store.db", seam=seam) as store:
        held = await hold(store)
        assert await store.post("run", kind="k", topic="t", at_ms=1, body=b"{}")
        seam.is_armed = True

        answer = append(store, held.write())
        with pytest.raises(StoreUnavailableError):
            await store.post("run", kind="k", topic="t", at_ms=1, body=b"{}")

        assert isinstance(await answer, StoreUnavailableError)
        assert (await find(store)).head == 1


async def test_claim_that_nobody_waits_for_is_given_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db", "full") as store:
        held = await hold(store)
        await insert(store, new_run(held.graph, "waiting"))

        claim = asyncio.create_task(store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=9))
        await asyncio.wait({claim}, timeout=0)  # it is handed over
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim

        async def is_free() -> bool:
            row = await find(store, "waiting")
            return row.epoch == 1 and row.owner is None

        await eventually(is_free)
        assert (await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=9))[0].run_id == "waiting"


async def test_unknown_encoding_of_a_payload_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        held = await hold(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
            foreign.execute("UPDATE events SET payload = x'09ffff'")

        with pytest.raises(StoreError, match="encoding 09"):
            await store.load_records(held.key)


async def test_log_is_checkpointed_and_used_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        held = await hold(store)
        payload, sizes = b"1" * 500_000, list[int]()
        for seq in range(2, 62):  # 30 MB
            write = held.write(records=[record._replace(payload=payload) for record in records(seq, 1)])
            assert isinstance(await append(store, write), Receipt)
            sizes.append(Path(f"{path}-wal").stat().st_size)
            if sizes[-2:-1] == sizes[-1:]:  # written at the beginning, over what was copied
                return
            if seq % 10 == 0:  # nobody copies the last 8 MB of the log before there is more of it
                await eventually(lambda seq=seq: path.stat().st_size > (seq - 18) * 500_000)

    pytest.fail(f"each write made the log longer: {sizes}")


@both
async def test_close_leaves_no_thread_and_no_descriptor(tmp_path: Path, durability: Synchronous) -> None:
    path = tmp_path / "store.db"
    async with opened(path, durability) as store:
        held = await hold(store)
        await append(store, held.write())
        await asyncio.gather(*[store.find_run("run") for _ in range(10)])

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("outlast")]
    links = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert not [link for link in links if link.startswith(str(tmp_path))]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "store.db", "store.db.workers", "store.db.writer", "store.db.writer-queue",
    ]  # fmt: skip


async def test_status_and_execution_follow_the_last_write_of_a_turn(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        held = await hold(store)

        await asyncio.gather(
            append(store, held.write(2)),
            append(store, held.write(3, status=RunStatus.WAITING, execution=1, is_released=True, ready_at_ms=7)),
        )

        row = await find(store)
        assert (row.status, row.execution, row.head, row.ready_at_ms) == (RunStatus.WAITING, 1, 3, 7)


class Refuse:
    """Stands for what cannot be done for a while: fails so many times."""

    def __init__(self, error: Exception, times: int = 1) -> None:
        self.error, self.times = error, times

    def once_more(self) -> None:
        if self.times:
            self.times -= 1
            raise self.error


@both
@pytest.mark.parametrize("times", [1, 2])
async def test_connection_that_cannot_be_opened_again_is_opened_later(
    tmp_path: Path, durability: Synchronous, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is away for a moment costs some writes, not the store."""
    seam = Fail()
    async with opened(tmp_path / "store.db", durability, seam) as store:
        held = await hold(store)
        undoing, opening = Refuse(sqlite3.OperationalError("disk I/O error")), Refuse(NO_FILE, times)
        monkeypatch.setattr(commit, "rollback", lambda connection: (undoing.once_more(), rollback(connection)))
        connect = committer_of(store)._connect  # noqa: SLF001
        monkeypatch.setattr(committer_of(store), "_connect", lambda: (opening.once_more(), connect())[1])

        seam.is_armed = True
        outcomes = [await append(store, held.write())]
        seam.is_armed = False
        while isinstance(outcomes[-1], StoreUnavailableError):
            outcomes.append(await append(store, held.write()))

        assert isinstance(outcomes[-1], Receipt)
        assert len(outcomes) <= 2 + times
        assert (await find(store)).head == 2


async def test_changes_of_others_are_seen_after_a_connection_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite counts the commits of others for each connection: a new one must not be taken for an old one."""
    path, seam = tmp_path / "store.db", Fail()
    async with opened(path, seam=seam) as store, opened(path) as other:
        held = await hold(store)
        store.has_changed()
        undoing = Refuse(sqlite3.OperationalError("disk I/O error"))
        monkeypatch.setattr(commit, "rollback", lambda connection: (undoing.once_more(), rollback(connection)))
        seam.is_armed = True
        await append(store, held.write())
        await other.post("run", kind="k", topic="t", at_ms=1, body=b"{}")

        assert await eventually(store.has_changed)


@both
async def test_writer_whose_thread_cannot_start_refuses_and_tries_again(
    tmp_path: Path, durability: Synchronous, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for a thread that the system did not give."""
    async with opened(tmp_path / "store.db", durability) as store:
        started = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name == "outlast-writer":
                raise RuntimeError("can't start new thread")
            started(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)
        monkeypatch.setattr(WriterLock, "try_acquire", lambda _: False)  # so that it is handed over in either class
        with pytest.raises(StoreUnavailableError, match="can't start new thread"):
            await asyncio.wait_for(hold(store), 10)
        monkeypatch.undo()

        assert isinstance(await append(store, (await hold(store)).write()), Receipt)


async def test_reader_without_a_second_thread_goes_on_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with opened(tmp_path / "store.db") as store:
        await hold(store)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            assert (await find(store)).head == 1


@pytest.mark.parametrize("name", ["outlast-reader-0", "outlast-checkpoint"])
async def test_store_without_threads_is_not_opened_and_leaves_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StoreUnavailableError, match="can't start new thread"):
        async with opened(tmp_path / "store.db"):
            pass

    assert not descriptors_in(tmp_path)


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
async def test_opening_that_is_canceled_leaves_nothing(tmp_path: Path, turns: int) -> None:
    store = SqliteStore(tmp_path / "store.db", allow_network_filesystem=True)
    opening = asyncio.create_task(store.open())
    for _ in range(turns):
        await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop
    opening.cancel()
    await asyncio.wait([opening])
    await store.close()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("outlast")]
    assert not descriptors_in(tmp_path)


def descriptors_in(directory: Path) -> list[str]:
    """Return the files below a directory that this process has open."""
    links = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [link for link in links if link.startswith(str(directory))]
