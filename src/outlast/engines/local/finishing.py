"""Doing what is left before an app is left: nothing that this worker could take, drive or tell now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from outlast.engines.local.deliveries import Deliveries
from outlast.engines.local.program import ProgramShelf
from outlast.engines.local.worker import Worker
from outlast.errors import StoreError
from outlast.storage.base import Store

__all__ = ["Finishing"]

_log = logging.getLogger("outlast.worker")

_LOOK_EVERY_S: Final = 0.01
_LEAST_PATIENCE_S: Final = 1.0


class Finishing:
    """Waits for a worker to have nothing to do."""

    def __init__(
        self,
        worker: Worker,
        deliveries: Deliveries | None,
        store: Store,
        shelf: ProgramShelf,
        now_ms: Callable[[], int],
    ) -> None:
        self._worker = worker
        self._deliveries = deliveries
        self._store = store
        self._shelf = shelf
        self._now_ms = now_ms

    async def until_idle(self) -> None:
        """Return once the worker drives no run, and nothing is left that it could take or must tell now.

        Raises:
            StoreError: The store did not answer.
        """
        while True:
            if await self._is_idle():
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def until_done(self, *, within: timedelta) -> None:
        """Wait likewise, unless the store refuses what is left for longer than bodies may take to end."""
        loop = asyncio.get_running_loop()
        patience = max(within.total_seconds(), _LEAST_PATIENCE_S)
        failing_since: float | None = None
        while True:
            try:
                if await self._is_idle():
                    return
            except StoreError:
                now = loop.time()
                failing_since = failing_since or now
                is_refused = now - failing_since >= patience
            else:
                failing_since = None
                is_told = self._deliveries is None or not self._deliveries.is_refused(patience)
                is_refused = not is_told or self._worker.is_refused(patience)
            if is_refused:
                _log.warning("the store has refused for %.0f s what is left to finish; leaving all the same", patience)
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _is_idle(self) -> bool:
        was_busy = self._worker.has_runs  # before, too: what ends meanwhile may let others go on under its limits
        ready_at = await self._store.next_ready_at(self._shelf.keys)
        is_told = self._deliveries is None or await self._deliveries.is_idle()
        return is_told and not (was_busy or self._worker.has_runs) and (ready_at is None or ready_at > self._now_ms())
