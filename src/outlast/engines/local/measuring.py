"""What a process measures beside its work, if somebody takes the numbers: how much waits, and how much it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from outlast.engines.local.worker import Worker
from outlast.engines.metrics import (
    QUEUE_AGE,
    QUEUE_DEPTH,
    WORKER_RUNS,
    WORKER_STEPS,
    WORKER_STEPS_WAITING,
    Meter,
    Observation,
)
from outlast.errors import StoreError
from outlast.storage.listing import QueueLength, RunIndex

__all__ = ["Measuring"]

_EVERY_S: Final = 5.0
_OUTDATED_S: Final = 30.0
"""A number that is older is not shown: the store does not answer, or the loop stands still."""


class Measuring:
    """Looks at the queue every few seconds, and shows the latest look to whoever asks."""

    def __init__(
        self,
        store: RunIndex,
        meter: Meter,
        *,
        worker: Worker | None,
        of: Sequence[str],
        now_ms: Callable[[], int],
    ) -> None:
        """Begin to answer for a process.

        Args:
            store: Where runs wait.
            meter: Asks.
            worker: Drives runs; None in a process that is no worker.
            of: Ids of the app's workflows: they are shown also if nothing of them waits.
            now_ms: Tells the time.
        """
        self._store = store
        self._meter = meter
        self._worker = worker
        self._of = of
        self._now_ms = now_ms
        self._queue: tuple[float, int, Sequence[QueueLength]] | None = None

    async def work_for_ever(self) -> None:
        """Look again and again, until canceled."""
        end = self._meter.observe(self._read)
        try:
            while True:
                with suppress(StoreError):  # the worker complains of it, and old numbers are not shown
                    now_ms = self._now_ms()
                    self._queue = (monotonic(), now_ms, await self._store.measure_queue(now_ms))
                await asyncio.sleep(_EVERY_S)
        finally:
            end()

    def _read(self) -> Iterator[Observation]:
        """Yield the latest numbers. Called on any thread."""
        if self._worker is not None:
            for gauge, value in zip((WORKER_RUNS, WORKER_STEPS, WORKER_STEPS_WAITING), self._worker.load, strict=True):
                yield Observation(gauge, value)
        if self._queue is None or monotonic() - self._queue[0] > _OUTDATED_S:
            return
        _, at_ms, lengths = self._queue
        waiting = dict.fromkeys(self._of, (0, at_ms))
        waiting |= {each.workflow_id: (each.runs, each.ready_at_ms) for each in lengths}
        for workflow_id, (runs, since_ms) in waiting.items():
            yield Observation(QUEUE_DEPTH, runs, (workflow_id,))
            yield Observation(QUEUE_AGE, max(0, at_ms - since_ms) / 1000, (workflow_id,))
