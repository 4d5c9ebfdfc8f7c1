"""Keeps no more than it must: deletes runs that ended long ago, in the background and in small steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from outlast.errors import StoreError
from outlast.storage.base import Store

__all__ = ["Housekeeper"]

_log = logging.getLogger("outlast.retention")

_FIRST_AFTER_S = 2.0
_EVERY_S = 60.0
_BREATH_S = 0.005
"""The shortest pause after a step. It rests as long as the step took, so that others have at least half of the time."""
_MEGABYTE = 1_000_000
_MILLISECOND = timedelta(milliseconds=1)


class Housekeeper:
    """Sweeps the store as long as its process is a worker; of several processes on a machine, one does it."""

    def __init__(
        self,
        store: Store,
        *,
        retention: timedelta | None,
        stream_retention: timedelta | None,
        identity_ttl: timedelta,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._retention = retention
        self._stream_retention = stream_retention
        self._identity_ttl = identity_ttl
        self._now_ms = now_ms

    async def work_for_ever(self) -> None:
        """Sweep now and then."""
        pause = _FIRST_AFTER_S  # also a script that lives for moments may be the only one there is
        while True:
            await asyncio.sleep(pause)
            pause = _EVERY_S
            try:
                await self.sweep()
            except StoreError as error:
                _log.warning("old runs could not be deleted now, trying again later: %s", error)
            except Exception:  # noqa: BLE001 - the worker's outer loop: it must go on whatever happened
                _log.exception("a fault while deleting old runs; trying again later")

    async def sweep(self) -> None:
        """Do all that is to be done, step by step."""
        loop = asyncio.get_running_loop()
        deleted = forgotten = silenced = freed = 0
        began = loop.time()
        while True:
            step_began = loop.time()
            now = self._now_ms()
            step = await self._store.sweep(
                ended_before_ms=_before(now, self._retention),
                deleted_before_ms=now - self._identity_ttl // _MILLISECOND,
                said_before_ms=_before(now, self._stream_retention),
                now_ms=now,
            )
            if step is None:
                return  # another process on this machine does it
            deleted, forgotten = deleted + step.deleted, forgotten + step.forgotten
            silenced, freed = silenced + step.silenced, freed + step.freed_bytes
            if step.is_done:
                break
            await asyncio.sleep(max(_BREATH_S, loop.time() - step_began))
        if deleted or forgotten or silenced or freed:
            _log.info(
                "deleted %d runs that ended more than %s ago, set %d ids of deleted runs free, removed %d events that "
                "bodies had said, and gave %.1f MB back, in %.1f s",
                deleted,
                self._retention,
                forgotten,
                silenced,
                freed / _MEGABYTE,
                loop.time() - began,
            )


def _before(now_ms: int, kept: timedelta | None) -> int | None:
    return None if kept is None else now_ms - kept // _MILLISECOND
