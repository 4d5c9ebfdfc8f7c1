"""Transactions: begin, record, commit, and the truth about those whose answer was lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from outlast.errors import OutlastError, StoreUnavailableError
from outlast.storage.base import CommitSeam
from outlast.storage.sqlite.connection import rollback, translate
from outlast.storage.sqlite.place import Place
from outlast.storage.sqlite.premises import Premises
from outlast.storage.sqlite.recording import Outcome, Write, proves, record, stands
from outlast.storage.sqlite.sql import one

__all__ = ["Committer", "NoSeam"]

_PATIENCE_MS: Final = 5_000


class NoSeam:
    """The seam of everybody who is not a test."""

    def before_commit(self) -> None:
        """Let the commit happen."""

    def after_commit(self) -> None:
        """Let the answer through."""


class Committer:
    """A connection that writes. The caller holds the writer lock and sees to it that one thread at a time calls."""

    def __init__(self, path: str, connect: Callable[[], sqlite3.Connection], seam: CommitSeam | None) -> None:
        self._path = path
        self._connect = connect
        self._seam: CommitSeam = seam or NoSeam()
        self._premises = Premises()
        self._connections = 0
        self._is_lost = False
        self._connection = self._open()
        self._place = Place(path)

    def data_version(self) -> tuple[int, int]:
        """Return what changes when another connection committed. SQLite counts for each connection by itself."""
        version = self._usable().execute(one("data_version")).fetchone()[0]
        return self._connections, int(version)

    def try_commit(self, writes: Sequence[Write]) -> list[Outcome] | None:
        """Commit writes without waiting for anybody; None, and nothing happened, if that is not possible."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            return None  # whatever it is: `commit` meets it again and has the time to deal with it
        return self._commit_begun(writes)

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Commit writes, waiting for foreign programs if need be. Return their outcomes, whatever happens."""
        try:
            self._usable()
            self._begin_patiently()
        except sqlite3.Error as error:
            self._undo()
            return [translate(error, self._path)] * len(writes)
        return self._commit_begun(writes)

    def close(self) -> None:
        """Close the connection; undoes what is not committed."""
        self._connection.close()

    def _begin_patiently(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            # A connection that is used on the loop never waits by itself: it learns to for this once.
            self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            finally:
                self._connection.execute("PRAGMA busy_timeout = 0")

    def _commit_begun(self, writes: Sequence[Write]) -> list[Outcome]:
        changes_before = self._connection.total_changes
        try:
            self._place.check()
            outcomes = record(self._connection, writes, self._premises)
        except Exception as error:  # noqa: BLE001 - also what a value that cannot be bound raises
            self._undo()
            if len(writes) > 1 and not isinstance(error, sqlite3.OperationalError | StoreUnavailableError):
                # One of them cannot be recorded; the others must not suffer for it.
                return [outcome for write in writes for outcome in self.commit([write])]
            return [self._failure(error)] * len(writes)
        if self._connection.total_changes == changes_before:
            self._undo()  # nothing was written, so nothing is committed
            return outcomes
        try:
            self._seam.before_commit()
        except Exception as error:  # noqa: BLE001 - tests raise what they like
            self._undo()
            return [self._failure(error)] * len(writes)
        try:
            self._connection.execute("COMMIT")
            self._seam.after_commit()
        except Exception as error:  # noqa: BLE001 - tests raise what they like
            return self._find_out(writes, outcomes, error)
        return outcomes

    def _find_out(self, writes: Sequence[Write], outcomes: list[Outcome], error: Exception) -> list[Outcome]:
        """Look up writes whose commit gave no answer. They are atomic, so one that is found proves them all."""
        self._undo()
        failure = self._failure(error)
        try:
            connection = self._usable()
            if any(proves(connection, *pair) for pair in zip(writes, outcomes, strict=True)):
                return outcomes
            return [
                outcome if stands(connection, write) else failure
                for write, outcome in zip(writes, outcomes, strict=True)
            ]
        except sqlite3.Error:
            self._lose()
        return [failure] * len(writes)

    def _failure(self, error: Exception) -> OutlastError:
        if isinstance(error, OutlastError):
            failure = error
        elif isinstance(error, sqlite3.Error):
            failure = translate(error, self._path)
        else:
            failure = StoreUnavailableError(f"{self._path}: {error}; nothing was recorded")
        return failure

    def _undo(self) -> None:
        self._premises.forget()
        if self._is_lost:
            return
        try:
            rollback(self._connection)
        except sqlite3.Error:
            self._lose()

    def _lose(self) -> None:
        """Give up a connection of which nobody knows in what state it is. Whoever needs one next opens it."""
        self._premises.forget()  # the count of foreign commits is the connection's own
        self._is_lost = True
        self._connection.close()

    def _usable(self) -> sqlite3.Connection:
        if self._is_lost:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        # The loop must not wait; `commit` changes this for one statement.
        connection.execute("PRAGMA busy_timeout = 0")
        self._connections += 1
        self._is_lost = False
        return connection
