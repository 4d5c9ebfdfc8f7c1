"""Threads for sync bodies: our own, bounded and daemonic, so that a body that never returns cannot keep a process."""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable
from itertools import count

__all__ = ["BodyThreads", "ThreadCall"]

_log = logging.getLogger("outlast.worker")


class ThreadCall:
    """A call that waits for a thread, has one, or has ended."""

    __slots__ = ("_call", "_context", "has_ended", "is_given_up")

    def __init__(self, call: Callable[[], None], context: contextvars.Context) -> None:
        self._call = call
        self._context = context
        self.has_ended = False
        """Whether its thread is free again."""
        self.is_given_up = False
        """Whether nobody waits for it any more."""

    def make(self) -> None:
        """Call it, once."""
        call, context = self._call, self._context
        del self._call, self._context  # whoever keeps this must not keep all that the call leads to
        context.run(call)


class BodyThreads:
    """Runs calls in threads, at most `limit` at a time; more wait in a queue.

    A call that is given up keeps its thread until it returns. Until then one thread more is allowed for each, up to
    twice the limit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._most = 2 * limit
        self._calls: queue.SimpleQueue[ThreadCall | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._numbers = count()
        self._lock = threading.Lock()
        self._waiting = 0  # threads without a call; below zero, calls without a thread
        self._given_up = 0

    def submit(self, call: Callable[[], None], context: contextvars.Context) -> ThreadCall:
        """Run a call, which handles its own errors, in a thread under the given context.

        Raises:
            RuntimeError: There is no thread, and the system gives none just now.
        """
        submitted = ThreadCall(call, context)
        with self._lock:
            if self._waiting <= 0 and len(self._threads) < self._allowed():
                self._add_thread()
            self._waiting -= 1
        self._calls.put(submitted)
        return submitted

    def _allowed(self) -> int:
        return min(self._limit + self._given_up, self._most)

    def _add_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"outlast-body-{next(self._numbers)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:  # else the call waits for one of those that are there
                raise
        else:
            self._threads.append(thread)

    def give_up(self, submitted: ThreadCall) -> None:
        """Allow one thread more until this call returns, because nobody waits for it any more and it keeps its own."""
        with self._lock:
            if submitted.has_ended or submitted.is_given_up:
                return
            submitted.is_given_up = True
            self._given_up += 1
            if self._waiting < 0 and len(self._threads) < self._allowed():
                self._add_thread()  # else calls that wait already would go on waiting until there is another one
            is_at_end = len(self._threads) >= self._most and self._waiting <= 0
        if is_at_end:
            _log.error(
                "all %d threads are in sync bodies, of which some took longer than they may, and no more are added: "
                "others wait until one returns; give what such a body waits for a timeout of its own",
                self._most,
            )

    def close(self, timeout: float) -> None:
        """Let idle threads end and wait for them `timeout` seconds in all; those stuck in a body are left behind."""
        with self._lock:
            threads = list(self._threads)
        for _ in threads:
            self._calls.put(None)
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        submitted: ThreadCall | None = None
        while True:
            with self._lock:
                if submitted is not None and self._is_too_many_after(submitted):
                    return
                self._waiting += 1
            submitted = None
            submitted = self._calls.get()
            if submitted is None:
                return
            submitted.make()

    def _is_too_many_after(self, ended: ThreadCall) -> bool:
        """Note that a call ended, in whose thread this is; say whether that thread is one too many now."""
        ended.has_ended = True
        self._given_up -= ended.is_given_up
        if len(self._threads) <= self._allowed():
            return False
        self._threads.remove(threading.current_thread())
        return True
