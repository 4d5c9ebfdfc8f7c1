"""The heartbeat of a worker: a thread that renews the lease, so that a busy event loop does not lose its runs."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta

from outlast.errors import StoreError
from outlast.storage.base import WorkerKey, WorkerStore

__all__ = ["Heartbeat"]

_log = logging.getLogger("outlast.worker")

_STALLED_AFTER = timedelta(seconds=30)


class Heartbeat:
    """Renews a lease every third of its length while the loop turns.

    If the loop has not turned for 30 seconds its stack is logged and renewing stops, so that a sibling may take over.
    """

    def __init__(self, store: WorkerStore, worker: WorkerKey, *, lease: timedelta, on_lost: Callable[[], None]) -> None:
        self._store = store
        self._worker = worker
        self._lease = lease
        self._on_lost = on_lost
        self._loop_thread = threading.get_ident()
        self._pulse = time.monotonic()
        self._is_stalled = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="outlast-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def pulse(self) -> None:
        """Note that the loop turns."""
        self._pulse = time.monotonic()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopped.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _beat(self) -> None:
        pause = self._lease.total_seconds() / 3
        while not self._stopped.wait(pause):
            if self._loop_stalled():
                continue
            try:
                is_alive = self._store.renew_lease(self._worker, self._lease)
            except StoreError as error:
                _log.warning("could not renew the lease of this worker, trying again: %s", error)
                continue
            if not is_alive and not self._stopped.is_set():
                self._on_lost()
                return

    def _loop_stalled(self) -> bool:
        silence = time.monotonic() - self._pulse
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
