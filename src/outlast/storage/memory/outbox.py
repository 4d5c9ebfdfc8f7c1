"""The outbox of the memory store. Whoever calls holds the lock of the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import count

from outlast.storage.base import GraphKey, WorkerKey
from outlast.storage.keys import DeliveryKey
from outlast.storage.memory.table import Run
from outlast.storage.outbox import Delivery, DeliveryRow, NewDelivery, first_to_deliver

__all__ = ["Outbox"]


@dataclass(slots=True)
class _Entry:
    run: Run
    row: DeliveryRow


class Outbox:
    """The deliveries that have not succeeded, in the order in which they were recorded."""

    def __init__(self) -> None:
        self._entries: dict[DeliveryKey, _Entry] = {}
        self._numbers = count(1)

    def add(self, run: Run, deliveries: Sequence[NewDelivery]) -> None:
        """Record what a write asks for."""
        for kind, seq, execution, due_at_ms in deliveries:
            key = DeliveryKey(next(self._numbers))
            row = DeliveryRow(key, kind, seq, execution, tries=0, due_at_ms=due_at_ms, owner=None, failure=None)
            self._entries[key] = _Entry(run, row)

    def next_at(self, graphs: Collection[GraphKey]) -> int | None:
        """Return when the earliest delivery may be claimed."""
        return min((due for due, _ in self._claimable(graphs)), default=None)

    def would_claim(self, worker: WorkerKey, graphs: Collection[GraphKey], now_ms: int, limit: int) -> bool:
        """Say whether `claim` would give the worker a delivery."""
        return bool(self._choose(worker, graphs, now_ms, limit))

    def claim(self, worker: WorkerKey, graphs: Collection[GraphKey], now_ms: int, limit: int) -> list[Delivery]:
        """Give deliveries to a worker, those due for the longest time first."""
        claimed: list[Delivery] = []
        for key in self._choose(worker, graphs, now_ms, limit):
            entry = self._entries[key]
            entry.row = row = replace(entry.row, owner=worker, tries=entry.row.tries + 1)
            run = entry.run
            claimed.append(
                Delivery(
                    key=key,
                    run=run.key,
                    run_id=run.run_id,
                    workflow_id=run.workflow_id,
                    graph=run.graph,
                    resource_id=run.resource_id,
                    created_at_ms=run.created_at_ms,
                    kind=row.kind,
                    seq=row.seq,
                    execution=row.execution,
                    tries=row.tries,
                )
            )
        return claimed

    def unclaim(self, worker: WorkerKey, claimed: Sequence[Delivery]) -> None:
        """Give back what was claimed for somebody who does not wait for it any more."""
        for each in claimed:
            if self.is_owned(worker, each.key):
                entry = self._entries[each.key]
                entry.row = replace(entry.row, owner=None)

    def is_owned(self, worker: WorkerKey, delivery: DeliveryKey) -> bool:
        """Say whether the worker makes this delivery."""
        entry = self._entries.get(delivery)
        return entry is not None and entry.row.owner == worker

    def end(self, delivery: DeliveryKey, *, failure: bytes | None, due_at_ms: int | None) -> None:
        """Remove a delivery that is done; give back one that failed."""
        if failure is None:
            del self._entries[delivery]
        else:
            entry = self._entries[delivery]
            entry.row = replace(entry.row, owner=None, failure=failure, due_at_ms=due_at_ms)

    def has_due(self, run: Run) -> bool:
        """Say whether something must still be delivered because of a run."""
        return any(each.run is run and each.row.due_at_ms is not None for each in self._entries.values())

    def forget(self, run: Run) -> None:
        """Drop what was given up."""
        given_up = [key for key, each in self._entries.items() if each.run is run]
        for key in given_up:
            del self._entries[key]

    def set_free(self, worker: WorkerKey) -> None:
        """Let others claim what a worker leaves behind."""
        for entry in self._entries.values():
            if entry.row.owner == worker:
                entry.row = replace(entry.row, owner=None, failure=None)

    def rows_of(self, run: Run) -> list[DeliveryRow]:
        """Return the deliveries of a run."""
        return [entry.row for entry in self._entries.values() if entry.run is run]

    def _choose(
        self, worker: WorkerKey, graphs: Collection[GraphKey], now_ms: int, limit: int
    ) -> Sequence[DeliveryKey]:
        """Give those that the worker may deliver now."""
        due = [key for at_ms, key in sorted(self._claimable(graphs)) if at_ms <= now_ms][:limit]
        if not due:
            return due
        rows = [self._entries[key].row for key in due]
        owned = [entry.row for entry in self._entries.values() if entry.row.owner == worker]
        return first_to_deliver(
            due,
            is_lost=[row.tries > 0 and row.failure is None for row in rows],
            owned=len(owned),
            is_lost_owned=any(row.tries > 1 and row.failure is None for row in owned),
        )

    def _claimable(self, graphs: Collection[GraphKey]) -> list[tuple[int, DeliveryKey]]:
        """Give those that are the first due ones of their runs and that nobody makes, each with its time."""
        claimable: list[tuple[int, DeliveryKey]] = []
        begun: set[str] = set()
        for key, entry in self._entries.items():
            row, run_id = entry.row, entry.run.run_id
            if row.due_at_ms is None or run_id in begun:
                continue
            begun.add(run_id)
            if row.owner is None and entry.run.graph in graphs:
                claimable.append((row.due_at_ms, key))
        return claimable
