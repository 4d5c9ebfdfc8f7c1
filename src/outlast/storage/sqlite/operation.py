"""Writes other than inserts and appends: each is one object that knows how to be recorded and how to be found again."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from outlast.storage.base import GraphKey, RunKey
from outlast.storage.flow import Flow
from outlast.storage.sqlite import flow as flows
from outlast.storage.sqlite.sql import one

__all__ = ["EnsureGraph", "Operation", "Post"]

T = TypeVar("T")


class Operation(ABC, Generic[T]):
    """Something done inside a transaction that the writer begins and commits."""

    is_long: ClassVar[bool] = False
    """Whether it may touch so many rows that it must not run on the event loop."""
    pages: ClassVar[int] = 0
    """A guess of how many pages of the log it makes, besides the few that everything makes."""

    @abstractmethod
    def apply(self, connection: sqlite3.Connection) -> T:
        """Write, and return the answer for the case that the commit succeeds. May be called again after a rollback."""

    def proves(self, connection: sqlite3.Connection) -> bool:
        """Say whether the store shows that the transaction of the last `apply` was committed; True must be certain.

        Asked when the answer of a commit was lost, for the sake of everything else in that transaction.
        """
        return False

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Say whether the answer of the last `apply` is true now, whoever brought it about."""
        return False

    def undo(self, answer: T) -> Operation[object] | None:
        """Return what takes the effect back if nobody is left to receive the answer; None if it may stay."""
        return None


class EnsureGraph(Operation[GraphKey]):
    """Stores a graph document once."""

    def __init__(self, workflow_id: str, fingerprint: str, document: bytes) -> None:
        self._identity = (workflow_id, fingerprint)
        self._document = document
        self._key: GraphKey | None = None

    def apply(self, connection: sqlite3.Connection) -> GraphKey:
        """Insert the document unless it is there; return its number."""
        connection.execute(one("insert_graph"), (*self._identity, self._document))
        self._key = GraphKey(connection.execute(one("find_graph"), self._identity).fetchone()[0])
        return self._key

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Look for the document under the number that was answered."""
        row = connection.execute(one("find_graph"), self._identity).fetchone()
        return row is not None and row[0] == self._key


class Post(Operation["bool | None"]):
    """Puts a request into an inbox. Answers None if there is no such run."""

    def __init__(
        self,
        run_id: str,
        *,
        kind: str,
        topic: str,
        at_ms: int,
        body: bytes,
        flow: Flow | None = None,
        execution: int | None = None,
    ) -> None:
        self._run_id = run_id
        self._flow = flow
        self._execution = execution
        self._topic = topic
        self._kind = kind
        self._at_ms = at_ms
        self._body = body
        self._run: RunKey | None = None
        self._is_first = False

    def apply(self, connection: sqlite3.Connection) -> bool | None:
        """Insert the request if it is the first of its topic, and wake the run."""
        self._is_first = False
        row = connection.execute(one("find_run_key"), (self._run_id,)).fetchone()
        if row is None:
            return None
        if self._execution not in (None, row[3]):
            return False
        self._run = RunKey(row[0])
        inserted = connection.execute(one("post"), (self._run, self._topic, self._kind, self._at_ms, self._body))
        self._is_first = inserted.rowcount == 1
        if self._is_first and self._flow is not None:
            flows.begin(connection, self._run, self._flow)
        if self._is_first and row[1] is None:
            connection.execute(one("wake_run"), (self._at_ms, self._at_ms, self._run))
            if row[2] is not None or self._flow is not None:
                flows.place(connection, self._run)
        return self._is_first

    def proves(self, connection: sqlite3.Connection) -> bool:
        """Look for this very request, if it was the first."""
        key = (self._run, self._topic, self._kind, self._at_ms, self._body)
        return self._is_first and connection.execute(one("is_posted"), key).fetchone() is not None
