"""Writes other than inserts and appends: each is one object that knows how to be recorded and how to be found again."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from outlast.storage.base import GraphKey, RunKey
from outlast.storage.sqlite.sql import one

__all__ = ["EnsureGraph", "Operation", "Post"]

T = TypeVar("T")


class Operation(ABC, Generic[T]):
    """Something done inside a transaction that the writer begins and commits."""

    is_long: ClassVar[bool] = False
    """Whether it may touch so many rows that it must not run on the event loop."""

    @abstractmethod
    def apply(self, connection: sqlite3.Connection) -> T:
        """Write, and return the answer for the case that the commit succeeds. May be called again after a rollback."""

    @abstractmethod
    def is_recorded(self, connection: sqlite3.Connection) -> bool:
        """Say whether the effect of the last `apply` stands in the store; asked when the answer of a commit was lost."""

    def undo(self, answer: T) -> Operation[object] | None:
        """Return what takes the effect back if nobody is left to receive the answer; None if it may stay."""
        return None


class EnsureGraph(Operation[GraphKey]):
    """Stores a graph document once."""

    def __init__(self, workflow_id: str, fingerprint: str, document: bytes) -> None:
        self._identity = (workflow_id, fingerprint)
        self._document = document

    def apply(self, connection: sqlite3.Connection) -> GraphKey:
        """Insert the document unless it is there; return its number."""
        connection.execute(one("insert_graph"), (*self._identity, self._document))
        return GraphKey(connection.execute(one("find_graph"), self._identity).fetchone()[0])

    def is_recorded(self, connection: sqlite3.Connection) -> bool:
        """Look for the document."""
        return connection.execute(one("find_graph"), self._identity).fetchone() is not None


class Post(Operation["bool | None"]):
    """Puts a request into an inbox. Answers None if there is no such run."""

    def __init__(self, run_id: str, *, kind: str, topic: str, at_ms: int, body: bytes) -> None:
        self._run_id = run_id
        self._topic = topic
        self._kind = kind
        self._at_ms = at_ms
        self._body = body
        self._run: RunKey | None = None

    def apply(self, connection: sqlite3.Connection) -> bool | None:
        """Insert the request if it is the first of its topic, and wake the run."""
        row = connection.execute(one("find_run_key"), (self._run_id,)).fetchone()
        if row is None:
            return None
        self._run = RunKey(row[0])
        inserted = connection.execute(one("post"), (self._run, self._topic, self._kind, self._at_ms, self._body))
        if not inserted.rowcount:
            return False
        if row[1] is None:
            connection.execute(one("wake_run"), (self._run, self._at_ms))
        return True

    def is_recorded(self, connection: sqlite3.Connection) -> bool:
        """Look for this very request."""
        key = (self._run, self._topic, self._kind, self._at_ms, self._body)
        return connection.execute(one("is_posted"), key).fetchone() is not None
