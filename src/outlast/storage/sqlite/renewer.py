"""Renewing leases: from any thread, past everything that waits for the writer."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from outlast.errors import OutlastError, StoreUnavailableError
from outlast.storage.base import WorkerKey
from outlast.storage.sqlite import clock
from outlast.storage.sqlite.commit import Committer
from outlast.storage.sqlite.locks import WriterLock
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.sql import one

__all__ = ["Renewer", "nanoseconds"]

_PATIENCE_S: Final = 10.0


class Renewer:
    """A connection and a writer lock of its own, so it waits for one transaction at most, not for a queue of them."""

    def __init__(self, committer: Committer, lock: WriterLock, on_death: Callable[[], None]) -> None:
        self._committer = committer
        self._lock = lock
        self._on_death = on_death
        self._mutex = threading.Lock()

    def renew(self, worker: WorkerKey, lease: timedelta) -> bool:
        """Prolong a lease; False if the life is over.

        Raises:
            StoreUnavailableError: The lease was not renewed; try again before it is over.
        """
        try:
            with self._mutex, self._lock.held(within=_PATIENCE_S):
                (outcome,) = self._committer.commit([_Renew(worker, nanoseconds(lease))])
        except OSError as error:
            raise StoreUnavailableError(f"the lease was not renewed: {error}") from error
        except Exception:
            raise
        except BaseException as error:
            self._committer.close()
            self._on_death()
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise StoreUnavailableError("the process is taken for dead; nothing more is written") from error
        if isinstance(outcome, OutlastError):
            raise outcome
        return bool(outcome)

    def close(self) -> None:
        """Let go of connection and lock."""
        with self._mutex:
            self._committer.close()
            self._lock.close()


class _Renew(Operation[bool]):
    def __init__(self, worker: WorkerKey, lease_ns: int) -> None:
        self._worker = worker
        self._lease_ns = lease_ns
        self._until_ns = 0

    def apply(self, connection: sqlite3.Connection) -> bool:
        self._until_ns = clock.now_ns() + self._lease_ns
        return bool(connection.execute(one("renew_lease"), (self._until_ns, self._worker)).rowcount)

    def stands(self, connection: sqlite3.Connection) -> bool:
        row = connection.execute(one("read_lease"), (self._worker,)).fetchone()
        return row is None or row[0] == self._until_ns


def nanoseconds(duration: timedelta) -> int:
    """Return a duration as a whole number."""
    return duration // timedelta(microseconds=1) * 1_000
