"""Lives of workers: registered, renewed, retired, buried; and the runs they claim."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias

from outlast.storage.base import ClaimedRun, GraphKey, RunKey, WorkerKey, WorkerRow
from outlast.storage.flow import ABOVE, BELOW, LEVEL, Levels, admit, share
from outlast.storage.sqlite import clock
from outlast.storage.sqlite.flow import SqlQueue
from outlast.storage.sqlite.locks import is_life_over
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.sql import SqlValue, chunks, many, one

__all__ = [
    "Bury",
    "Claim",
    "Life",
    "Register",
    "Retire",
    "life_path",
    "read_dead",
    "read_lives",
    "read_workers",
    "remove_lives",
]


class Life(NamedTuple):
    """A row of `workers`."""

    key: WorkerKey
    incarnation: str
    pid: int
    boot_id: str
    lease_until_ns: int
    workflows: str
    graphs: str

    def is_gone(self, path: str) -> bool:
        """Say whether the process is gone; true for ever once it is."""
        return self.boot_id != clock.boot_id() or is_life_over(life_path(path, self.incarnation))

    def has_crashed(self, path: str) -> bool:
        """Say whether the process ended while the machine went on; a power cut is nobody's crash."""
        return self.boot_id == clock.boot_id() and is_life_over(life_path(path, self.incarnation))

    def is_dead(self, path: str) -> bool:
        """Say whether the process is gone or the lease is over; a lease that is over may still be renewed."""
        return clock.now_ns() > self.lease_until_ns or self.is_gone(path)


def life_path(path: str, incarnation: str) -> str:
    """Return the path of the lock that a worker holds during its life."""
    return f"{path}.workers/{incarnation}.lock"


def read_lives(connection: sqlite3.Connection) -> list[Life]:
    """Return all rows of `workers`."""
    return [Life(*row) for row in connection.execute(one("list_workers")).fetchall()]


def remove_lives(path: str, lives: Sequence[Life]) -> None:
    """Remove the lock files of the buried."""
    for life in lives:
        Path(life_path(path, life.incarnation)).unlink(missing_ok=True)


def read_dead(connection: sqlite3.Connection, path: str) -> list[Life]:
    """Read the lives that are over."""
    return [life for life in read_lives(connection) if life.is_dead(path)]


def read_workers(connection: sqlite3.Connection, path: str) -> list[WorkerRow]:
    """Read what others may know of all lives."""
    return [_worker_row(life, path) for life in read_lives(connection)]


def _worker_row(life: Life, path: str) -> WorkerRow:
    return WorkerRow(
        key=life.key,
        pid=life.pid,
        workflows=tuple(json.loads(life.workflows)),
        graphs=tuple(json.loads(life.graphs)),
        is_alive=not life.is_dead(path),
    )


class Register(Operation[WorkerKey]):
    """Begins a life. Its lock is held already."""

    def __init__(
        self, incarnation: str, *, workflows: Sequence[str], graphs: Sequence[GraphKey], lease_ns: int
    ) -> None:
        self._incarnation = incarnation
        self._workflows = json.dumps(list(workflows))
        self._graphs = json.dumps(list(graphs))
        self._lease_ns = lease_ns

    def apply(self, connection: sqlite3.Connection) -> WorkerKey:
        """Insert the row; the lease counts from now."""
        until = clock.now_ns() + self._lease_ns
        row = (self._incarnation, os.getpid(), clock.boot_id(), until, self._workflows, self._graphs)
        connection.execute(one("register_worker"), row)
        return WorkerKey(connection.execute(one("find_worker"), (self._incarnation,)).fetchone()[0])

    def proves(self, connection: sqlite3.Connection) -> bool:
        """Look for this incarnation."""
        return connection.execute(one("find_worker"), (self._incarnation,)).fetchone() is not None

    def undo(self, answer: WorkerKey) -> Operation[Any]:
        """End the life that nobody knows of."""
        return Retire(answer)


class Retire(Operation[int]):
    """Ends a life in good order. Answers how many runs it had."""

    is_long: ClassVar[bool] = True

    def __init__(self, worker: WorkerKey) -> None:
        self._worker = worker

    def apply(self, connection: sqlite3.Connection) -> int:
        """Set the runs free, claimable since their latest event, and remove the row."""
        freed = connection.execute(one("free_runs_of_retired"), (self._worker,)).rowcount
        connection.execute(one("free_deliveries"), (self._worker,))
        connection.execute(one("delete_worker"), (self._worker,))
        return freed

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Look whether the row is gone."""
        return connection.execute(one("read_lease"), (self._worker,)).fetchone() is None


class Bury(Operation[int]):
    """Ends lives that were found dead. Answers how many runs they had."""

    is_long: ClassVar[bool] = True

    def __init__(self, path: str, dead: Sequence[Life], *, now_ms: int) -> None:
        self._path = path
        self._dead = dead
        self._now_ms = now_ms
        self.buried: list[Life] = []

    def apply(self, connection: sqlite3.Connection) -> int:
        """Remove those that did not renew their lease in the meantime, and set their runs free."""
        self.buried = [
            life
            for life in self._dead
            if connection.execute(one("delete_dead_worker"), (life.key, life.lease_until_ns)).rowcount
        ]
        for life in self.buried:
            connection.execute(one("free_deliveries"), (life.key,))
        free = one("free_runs_of_dead")
        return sum(
            connection.execute(free, (self._now_ms, life.has_crashed(self._path), life.key)).rowcount
            for life in self.buried
        )

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Look whether the rows are gone."""
        gone = (connection.execute(one("read_lease"), (life.key,)).fetchone() is None for life in self.buried)
        return bool(self.buried) and all(gone)


_Row: TypeAlias = tuple[Any, ...]


class Claim(Operation[list[ClaimedRun]]):
    """Takes claimable runs for a worker."""

    def __init__(
        self, worker: WorkerKey, *, graphs: Sequence[GraphKey], now_ms: int, limit: int, is_odd_limited: bool = False
    ) -> None:
        self._worker = worker
        self._graphs = graphs
        self._now_ms = now_ms
        self._limit = limit
        self._is_odd_limited = is_odd_limited
        self._claimed: list[ClaimedRun] = []

    def apply(self, connection: sqlite3.Connection) -> list[ClaimedRun]:
        """Read the first runs that are ready, then make them the worker's. Writes nothing if there are none."""
        alive = (self._worker, clock.boot_id(), clock.now_ns())
        values = (*self._graphs, self._now_ms, self._limit, *alive, self._limit)
        rows = connection.execute(many("select_claimable", len(self._graphs)), values).fetchall()
        has_lanes = rows[0][-1] if rows else connection.execute(one("has_lanes"), alive).fetchone() is not None
        if has_lanes:
            rows = self._choose(connection, rows)
        keys: list[SqlValue] = [row[0] for row in rows]
        for start, size in chunks(len(keys)):
            connection.execute(many("claim_runs", size), (self._worker, *keys[start : start + size]))
        self._claimed = [
            ClaimedRun(
                key=RunKey(key),
                run_id=run_id,
                workflow_id=workflow_id,
                graph=GraphKey(graph),
                resource_id=resource_id,
                epoch=epoch + 1,
                head=head,
                has_crashed=bool(crashed),
                is_limited=bool(is_limited),
            )
            for key, run_id, workflow_id, graph, resource_id, epoch, crashed, head, is_limited, _ in rows
        ]
        return self._claimed

    def _choose(self, connection: sqlite3.Connection, plain: list[_Row]) -> list[_Row]:
        """Let runs under flow control go on beside, before and after those that need nothing but a worker."""
        queue = SqlQueue(connection)

        def admitted(limit: int, levels: Levels) -> list[_Row]:
            runs = admit(queue, self._graphs, now_ms=self._now_ms, limit=limit, levels=levels)
            found: dict[int, _Row] = {}
            for start, size in chunks(len(runs)):
                rows = connection.execute(many("select_admitted", size), runs[start : start + size]).fetchall()
                found.update((row[0], row) for row in rows)
            return [found[run] for run in runs]

        chosen = admitted(self._limit, ABOVE)
        room = self._limit - len(chosen)
        chosen += admitted(share(room, len(plain), is_odd_ours=self._is_odd_limited), LEVEL)
        chosen += plain[: self._limit - len(chosen)]
        return chosen + admitted(self._limit - len(chosen), BELOW)

    def proves(self, connection: sqlite3.Connection) -> bool:
        """Look whether the worker owns any of these runs in the new epoch."""
        values = ((run.key, self._worker, run.epoch) for run in self._claimed)
        return any(connection.execute(one("is_claimed"), value).fetchone() for value in values)

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Having claimed nothing is true without any commit."""
        return not self._claimed

    def undo(self, answer: list[ClaimedRun]) -> Operation[Any] | None:
        """Set the runs free again that nobody knows of."""
        return Unclaim(self._worker, answer) if answer else None


class Unclaim(Operation[None]):
    """Gives back runs that were claimed for somebody who does not wait for them any more."""

    def __init__(self, worker: WorkerKey, runs: Sequence[ClaimedRun]) -> None:
        self._worker = worker
        self._runs = runs

    def apply(self, connection: sqlite3.Connection) -> None:
        """Set the runs free, claimable since their latest event; whoever takes them learns of the crash of an owner."""
        for has_crashed in (False, True):
            keys = [run.key for run in self._runs if run.has_crashed is has_crashed]
            for start, size in chunks(len(keys)):
                values = (has_crashed, self._worker, *keys[start : start + size])
                connection.execute(many("unclaim_runs", size), values)
