"""What inserts have to know of the store, asked once and kept for as long as nobody else writes."""

from __future__ import annotations

import sqlite3

from outlast.storage.base import WorkerKey
from outlast.storage.sqlite import clock
from outlast.storage.sqlite.sql import one

__all__ = ["Premises"]


class Premises:
    """The largest number of a run, and the leases of workers, as the transaction of one connection sees them.

    SQLite counts the commits of other connections, the one that renews leases among them. What this connection itself
    does is told by whoever does it: `count` after inserts, `forget` after anything else that may change the answer.
    """

    def __init__(self) -> None:
        self.last = 0
        """The largest number of a run in use."""
        self._leases: dict[WorkerKey, int] = {}
        self._version: int | None = None

    def bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        """Ask again if somebody else may have written. Called inside a transaction that nobody can write beside."""
        (version,) = connection.execute(one("data_version")).fetchone()
        if version == self._version:
            return
        self.last, leases = connection.execute(one("before_inserts"), (clock.boot_id(),)).fetchone()
        pairs = (lease.split() for lease in leases.split(",")) if leases else ()
        self._leases = {WorkerKey(int(key)): int(until_ns) for key, until_ns in pairs}
        self._version = version

    def count(self, inserted: int) -> None:
        """Note that runs were inserted under the next numbers."""
        self.last += inserted

    def forget(self) -> None:
        """Ask again next time: something was undone, or something else than runs was written."""
        self._version = None

    def is_alive(self, worker: WorkerKey | None, now_ns: int) -> bool:
        """Say whether the lease of a worker is not over."""
        return worker is not None and self._leases.get(worker, 0) > now_ns
