"""Deliveries: recorded with the events that they tell of, claimed, and ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from outlast.storage.base import Append, Ending, GraphKey, RunKey, WorkerKey
from outlast.storage.keys import DeliveryKey
from outlast.storage.outbox import Delivery, DeliveryRow, first_to_deliver
from outlast.storage.sqlite import clock
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.sql import SqlValue, chunks, many, one

__all__ = ["ClaimDeliveries", "EndDelivery", "delivery_row", "insert_deliveries"]

_COLUMNS = 5


def insert_deliveries(connection: sqlite3.Connection, writes: Sequence[Append | Ending]) -> None:
    """Record what the writes of a transaction ask for."""
    values: list[SqlValue] = []
    for write in writes:
        for kind, seq, execution, due_at_ms in write.outbox:
            values += (write.run, execution, seq, kind, due_at_ms)
    for start, size in chunks(len(values) // _COLUMNS):
        connection.execute(many("insert_deliveries", size), values[start * _COLUMNS : (start + size) * _COLUMNS])


def delivery_row(row: tuple[Any, ...]) -> DeliveryRow:
    """Read a row of `outbox`."""
    key, kind, seq, execution, tries, due_at_ms, owner, failure = row
    return DeliveryRow(
        DeliveryKey(key), kind, seq, execution, tries, due_at_ms, None if owner is None else WorkerKey(owner), failure
    )


class ClaimDeliveries(Operation[list[Delivery]]):
    """Takes due deliveries for a worker."""

    def __init__(self, worker: WorkerKey, *, graphs: Sequence[GraphKey], now_ms: int, limit: int) -> None:
        self._worker = worker
        self._graphs = graphs
        self._now_ms = now_ms
        self._limit = limit
        self._claimed: list[Delivery] = []

    def apply(self, connection: sqlite3.Connection) -> list[Delivery]:
        """Read the first that are due, then make them the worker's. Writes nothing if there are none."""
        alive = (self._worker, clock.boot_id(), clock.now_ns())
        values = (*self._graphs, self._now_ms, self._limit, *alive, self._limit)
        rows = connection.execute(many("select_deliverable", len(self._graphs)), values).fetchall()
        if rows:
            owned, is_lost_owned = connection.execute(one("count_owned_deliveries"), (self._worker,)).fetchone()
            is_lost = [bool(row[-1]) for row in rows]
            rows[:] = first_to_deliver(rows, is_lost=is_lost, owned=owned, is_lost_owned=bool(is_lost_owned))
        keys: list[SqlValue] = [row[0] for row in rows]
        for start, size in chunks(len(keys)):
            connection.execute(many("claim_deliveries", size), (self._worker, *keys[start : start + size]))
        self._claimed = [
            Delivery(
                key=DeliveryKey(key),
                run=RunKey(run),
                run_id=run_id,
                workflow_id=workflow_id,
                graph=GraphKey(graph),
                resource_id=resource_id,
                created_at_ms=created_at_ms,
                kind=kind,
                seq=seq,
                execution=execution,
                tries=tries + 1,
            )
            for key, run, run_id, workflow_id, graph, resource_id, created_at_ms, kind, seq, execution, tries, _ in rows
        ]
        return self._claimed

    def proves(self, connection: sqlite3.Connection) -> bool:
        """Look whether the worker makes any of these deliveries in this try."""
        values = ((each.key, self._worker, each.tries) for each in self._claimed)
        return any(connection.execute(one("is_delivery_claimed"), value).fetchone() for value in values)

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Having claimed nothing is true without any commit."""
        return not self._claimed

    def undo(self, answer: list[Delivery]) -> Operation[Any] | None:
        """Give back what nobody knows of."""
        return UnclaimDeliveries(self._worker, [each.key for each in answer]) if answer else None


class UnclaimDeliveries(Operation[None]):
    """Gives back deliveries that were claimed for somebody who does not wait for them any more."""

    def __init__(self, worker: WorkerKey, deliveries: Sequence[DeliveryKey]) -> None:
        self._worker = worker
        self._deliveries = list(deliveries)

    def apply(self, connection: sqlite3.Connection) -> None:
        """Let others claim them; the try counts."""
        for start, size in chunks(len(self._deliveries)):
            values = (self._worker, *self._deliveries[start : start + size])
            connection.execute(many("unclaim_deliveries", size), values)


class EndDelivery(Operation[bool]):
    """Records what became of a delivery. Answers whether it was the worker's."""

    def __init__(
        self, worker: WorkerKey, delivery: DeliveryKey, *, failure: bytes | None, due_at_ms: int | None
    ) -> None:
        self._identity = (delivery, worker)
        self._failure = failure
        self._due_at_ms = due_at_ms

    def apply(self, connection: sqlite3.Connection) -> bool:
        """Remove the row, or give it back with the failure."""
        if self._failure is None:
            return connection.execute(one("delete_delivery"), self._identity).rowcount == 1
        values = (self._failure, self._due_at_ms, *self._identity)
        return connection.execute(one("postpone_delivery"), values).rowcount == 1
