"""What the tests of the store contract are made of: processes, runs that a worker holds, and answers to await."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias

from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.errors import OutlastError
from outlast.immutable import immutable
from outlast.storage.base import Append, CommitSeam, GraphKey, NewRun, Receipt, RunKey, RunRow, Store, WorkerKey

__all__ = [
    "LEASE",
    "NOW",
    "OVER",
    "Answer",
    "Held",
    "StoreScenario",
    "append",
    "find",
    "hold",
    "insert",
    "new_run",
    "records",
    "until",
]

NOW = 1_700_000_000_000
"""The time that all callers agree on; nothing was ever recorded later."""
LEASE = timedelta(minutes=1)
"""Longer than any test."""
OVER = timedelta(0)
"""A lease that is over at once."""

Answer: TypeAlias = "asyncio.Future[Receipt | OutlastError]"
"""How a write settles."""


class StoreScenario:
    """Opens stores for a test and closes them after it."""

    async def open_store(self, seam: CommitSeam | None = None) -> Store:
        """Return one more open store on the data of this test."""
        raise NotImplementedError

    @asynccontextmanager
    async def process(self, seam: CommitSeam | None = None) -> AsyncGenerator[Store, None]:
        """One more process on the data of this test, for the length of the block."""
        store = await self.open_store(seam)
        try:
            yield store
        finally:
            await store.close()


def records(first: int, count: int, *, payload: bytes | None = b'"value"') -> list[Record]:
    """Make events with consecutive numbers."""
    return [
        Record(seq, 0, True, "step-succeeded", 1, NOW, "fetch", 0, b'{"n":1}', payload)  # noqa: FBT003
        for seq in range(first, first + count)
    ]


def new_run(
    graph: GraphKey,
    run_id: str = "run",
    *,
    owner: WorkerKey | None = None,
    created_at_ms: int = NOW,
    journal: list[Record] | None = None,
) -> NewRun:
    """Make a run about to be recorded."""
    return NewRun(
        run_id=run_id,
        workflow_id="orders",
        graph=graph,
        resource_id="customer-1",
        created_at_ms=created_at_ms,
        status=RunStatus.PENDING if owner is None else RunStatus.RUNNING,
        owner=owner,
        records=records(1, 1) if journal is None else journal,
    )


def insert(store: Store, run: NewRun) -> Answer:
    """Hand over a run; the future is done when it settles."""
    answer: Answer = asyncio.get_running_loop().create_future()
    store.insert(run, answer.set_result)
    return answer


def append(store: Store, write: Append) -> Answer:
    """Hand over a write; the future is done when it settles."""
    answer: Answer = asyncio.get_running_loop().create_future()
    store.append(write, answer.set_result)
    return answer


async def find(store: Store, run_id: str = "run") -> RunRow:
    """Return the row of a run that must be there."""
    row = await store.find_run(run_id)
    assert row is not None
    return row


@immutable(kw_only=True)
class Held:
    """A run that a worker holds, with one event in its journal."""

    store: Store
    """The worker's store."""
    worker: WorkerKey
    """The worker."""
    graph: GraphKey
    """The run's graph."""
    key: RunKey
    """The run."""
    epoch: int
    """Its epoch."""

    def write(self, first: int = 2, count: int = 1, **changes: Any) -> Append:  # noqa: ANN401
        """Make a write of this worker: `count` events from `first` on."""
        fields: dict[str, Any] = {
            "run": self.key,
            "owner": self.worker,
            "epoch": self.epoch,
            "records": records(first, count),
            "status": RunStatus.RUNNING,
        }
        return Append(**(fields | changes))

    def release(self, ready_at_ms: int | None, *, first: int = 2, **changes: Any) -> Answer:  # noqa: ANN401
        """Hand over the write that gives the run up, with one event."""
        write = self.write(first, status=RunStatus.SUSPENDED, is_released=True, ready_at_ms=ready_at_ms, **changes)
        return append(self.store, write)


async def hold(store: Store, run_id: str = "run", *, worker: WorkerKey | None = None) -> Held:
    """Record a run that belongs to a worker from its first moment; to a new one if none is given."""
    graph = await store.ensure_graph("orders", "v1", b"{}")
    if worker is None:
        worker = await store.register_worker(workflows=["orders"], lease=LEASE)
    receipt = await insert(store, new_run(graph, run_id, owner=worker))
    assert isinstance(receipt, Receipt)
    assert receipt.is_owned
    return Held(store=store, worker=worker, graph=graph, key=receipt.run, epoch=receipt.epoch)


async def until(predicate: Callable[[], Awaitable[bool]], *, within: float = 10.0) -> None:
    """Wait for a fact that no call announces; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not await predicate():
        assert time.monotonic() < deadline, f"not within {within} s"
        await asyncio.sleep(0.002)
