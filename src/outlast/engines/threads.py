"""Threads for sync bodies: our own, bounded and daemonic, so that a body that never returns cannot keep a process."""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["BodyThreads"]

_log = logging.getLogger("outlast.worker")

_Job: TypeAlias = tuple[contextvars.Context, Callable[[], None]]


class BodyThreads:
    """Runs calls in threads, at most `limit` at a time; more wait in a queue."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._most = 2 * limit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting = 0

    def submit(self, call: Callable[[], None], context: contextvars.Context) -> None:
        """Run a call, which handles its own errors, in a thread under the given context.

        Raises:
            RuntimeError: There is no thread, and the system gives none just now.
        """
        with self._lock:
            if self._waiting <= 0 and len(self._threads) < self._limit:
                self._add_thread()
            self._waiting -= 1
        self._jobs.put((context, call))

    def _add_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"outlast-body-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:  # else the call waits for one of those that are there
                raise
        else:
            self._threads.append(thread)

    def replace_one(self) -> None:
        """Allow one thread more, because a body that nobody waits for any more keeps one; at most twice the limit."""
        with self._lock:
            self._limit = min(self._limit + 1, self._most)
            is_at_end = len(self._threads) >= self._most and self._waiting <= 0
        if is_at_end:
            _log.error(
                "all %d threads are in sync bodies, of which some took longer than they may, and no more are added: "
                "others wait until one returns; give what such a body waits for a timeout of its own",
                self._most,
            )

    def close(self, timeout: float) -> None:
        """Let idle threads end and wait for them `timeout` seconds in all; those stuck in a body are left behind."""
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while True:
            with self._lock:
                self._waiting += 1
            job = self._jobs.get()
            if job is None:
                return
            context, call = job
            context.run(call)
            del job, context, call
