"""What a process does for runs that nobody drives: it ends those that are to end, so that this takes no worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from outlast.core.codec import UnknownEventError, encode_event
from outlast.core.events import Fact
from outlast.core.outside import end_from_outside
from outlast.core.state import JournalMismatchError, RunState
from outlast.core.view import fold_state
from outlast.engines.local.program import ProgramShelf
from outlast.engines.local.requests import fact_asked_for
from outlast.graph.document import UnknownGraphError
from outlast.storage.base import Ending, InboxRow, RunRow, RunStore

__all__ = ["Bystander"]

_log = logging.getLogger("outlast.worker")

_Asked: TypeAlias = tuple[str, bytes]
"""Kind and body of a request."""


class Bystander:
    """Ends runs without driving them.

    What it records is what a worker would have recorded. The store compares the run with what was read here, so a
    worker that claims the run meanwhile wins, and is told through the inbox.
    """

    def __init__(self, store: RunStore, shelf: ProgramShelf, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._shelf = shelf
        self._now_ms = now_ms

    async def cancel(self, run_id: str, body: bytes) -> bool:
        """End a run as canceled if nobody owns it; say whether it has ended so."""
        row = await self._store.find_run(run_id)
        if row is None or row.owner is not None or row.status.is_terminal:
            return False
        requests = await self._store.list_requests(row.key)
        return await self._end(row, requests, [*_asked(requests), ("cancel", body)])

    async def settle(self, row: RunRow) -> bool:
        """End a run that nobody owns if that was asked for and no worker has taken it; say whether it was ended.

        A run whose inbox holds something is claimable at once: one that is not yet claimable is left alone.
        """
        if row.owner is not None or row.status.is_terminal:
            return False
        if row.ready_at_ms is None or row.ready_at_ms > self._now_ms():
            return False
        requests = await self._store.list_requests(row.key)
        if not any(request.kind == "cancel" for request in requests):
            return False
        return await self._end(row, requests, _asked(requests))

    async def _end(self, row: RunRow, taken: Sequence[InboxRow], asked: Sequence[_Asked]) -> bool:
        try:
            state = fold_state(
                await self._shelf.load_graph(row.graph), await self._store.load_records(row.key, limit=row.head)
            )
            facts = end_from_outside(state, _facts_asked_for(state, asked, self._now_ms()))
        except (UnknownEventError, UnknownGraphError, JournalMismatchError) as error:
            _log.warning("run %s is left to a worker that can read it: %s", row.run_id, error)
            return False
        return await self._store.end_run(
            Ending(
                run=row.key,
                epoch=row.epoch,
                head=row.head,
                records=[
                    encode_event(event, seq=seq, execution=row.execution, payload=payload)
                    for seq, (event, payload) in enumerate(facts, start=row.head + 1)
                ],
                status=state.status(),
                inbox_taken=[request.key for request in taken],
            )
        )


def _asked(requests: Sequence[InboxRow]) -> list[_Asked]:
    return [(request.kind, request.body) for request in requests]


def _facts_asked_for(state: RunState, asked: Sequence[_Asked], now_ms: int) -> Iterator[Fact]:
    """Read the requests in their order, each as it is when those before it are folded."""
    for kind, body in asked:
        fact = fact_asked_for(state, kind, body, now_ms)
        if fact is not None:
            yield fact
