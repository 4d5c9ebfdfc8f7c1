"""The heartbeat of a worker: a thread that renews the lease, so that a busy event loop does not lose its runs."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta

from outlast.engines.clock import Clock
from outlast.errors import StoreError
from outlast.storage.base import WorkerKey, WorkerStore

__all__ = ["Heartbeat"]

_log = logging.getLogger("outlast.worker")

_STALLED_AFTER = timedelta(seconds=30)


class Heartbeat:
    """Renews a lease every third of its length while the loop turns.

    If the loop has not turned for 30 seconds its stack is logged and renewing stops, so that a sibling may take over.
    """

    def __init__(
        self, store: WorkerStore, worker: WorkerKey, *, lease: timedelta, on_lost: Callable[[], None], clock: Clock
    ) -> None:
        self._store = store
        self._worker = worker
        self._lease = lease
        self._on_lost = on_lost
        self._loop_thread = threading.get_ident()
        self._clock = clock
        self._pulse = clock.monotonic()
        self._is_stalled = False
        self._is_stopped = False
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to renew."""
        self._stop = self._clock.repeat(self._lease.total_seconds() / 3, self._beat)

    def pulse(self) -> None:
        """Note that the loop turns."""
        self._pulse = self._clock.monotonic()

    def stop(self) -> None:
        """End it, and wait for a renewal in progress."""
        self._is_stopped = True
        if self._stop is not None:
            self._stop()

    def _beat(self) -> bool:
        """Renew the lease; say whether to go on."""
        if self._loop_stalled():
            return True
        try:
            is_alive = self._store.renew_lease(self._worker, self._lease)
        except StoreError as error:
            _log.warning("could not renew the lease of this worker, trying again: %s", error)
            return True
        except Exception:  # noqa: BLE001 - the outer loop of a thread: without it nobody renews, and nobody notices
            _log.exception("a fault while the lease of this worker was renewed, trying again")
            return True
        if not is_alive and not self._is_stopped:
            self._on_lost()
        return is_alive

    def _loop_stalled(self) -> bool:
        silence = self._clock.monotonic() - self._pulse
        was_stalled, self._is_stalled = self._is_stalled, silence > _STALLED_AFTER.total_seconds()
        if self._is_stalled and not was_stalled:
            frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented
            frame = frames.get(self._loop_thread)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no stack)"
            _log.error(
                "the event loop has not turned for %.0f s; its runs may be taken over. "
                "A sync step (def) runs in a thread and does not block the loop. It is in:\n%s",
                silence,
                stack,
            )
        return self._is_stalled
