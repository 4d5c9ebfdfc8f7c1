"""The one writer of a process: everything that waits is committed in one transaction.

Who commits is settled by one flag. While the thread is idle, the event loop may use the connection; once the loop has
handed over, the thread keeps it until nothing waits. Class `normal` commits on the loop, once per turn, if the writer
lock is free at once; otherwise, and always in class `full` whose commits wait for the disk, the thread commits.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

from outlast.errors import StoreUnavailableError
from outlast.storage.base import Append, NewRun
from outlast.storage.sqlite.commit import Committer
from outlast.storage.sqlite.locks import WriterLock
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.recording import Outcome, Write
from outlast.storage.sqlite.thread import LoopThread

__all__ = ["Item", "Writer"]

Item: TypeAlias = "tuple[Write, Callable[[Any], None]]"
"""A write, and whom to tell."""

_MAX_WRITES: Final = 1_000
_MAX_BYTES: Final = 8 * 1024 * 1024
_PAGE: Final = 4_000
_LOOK_EVERY_S: Final = 0.01


class Writer:
    """Queue, order and settlement. Methods are called on the event loop unless they say otherwise."""

    def __init__(
        self,
        *,
        committer: Committer,
        lock: WriterLock,
        commits_on_loop: bool,
        on_written: Callable[[int], None],
        on_death: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._committer = committer
        self._lock = lock
        self._commits_on_loop = commits_on_loop
        self._on_written = on_written
        self._on_death = on_death
        self._waiting: deque[Item] = deque()
        self._is_flush_due = False
        self._drained: asyncio.Future[None] | None = None
        # Guards the two below; held for a few instructions only.
        self._mutex = threading.Lock()
        self._is_thread_idle = True
        self._unsettled = 0
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._thread: LoopThread | None = None
        self._is_dead = False
        self._version = committer.data_version()
        self._is_changed = False
        self._looked_at = 0.0

    def submit(self, write: Write, settle: Callable[[Any], None]) -> None:
        """Queue a write. It is taken at the end of this turn of the loop, with everything else of the turn."""
        self._waiting.append((write, settle))
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def has_changed(self) -> bool:
        """Say whether others committed since the last call. The writer's own commits do not count."""
        with self._mutex:
            is_idle = self._is_thread_idle
        if is_idle:
            self._look()
        changed, self._is_changed = self._is_changed, False
        return changed

    async def drain(self) -> None:
        """Wait until everything that was handed over is settled."""
        while self._waiting or self._unsettled:
            self._drained = self._loop.create_future()
            await self._drained

    def stop(self) -> None:
        """Let the thread end when nothing waits."""
        self._wake.put(item=False)

    async def join(self) -> None:
        """Wait until the thread has ended, and close what the writer used."""
        if self._thread is not None:
            await self._thread.join()
        self._committer.close()
        self._lock.close()

    def kill(self) -> None:
        """Act as if the process had been killed. Called on any thread."""
        self._is_dead = True
        self._lock.close()
        self._loop.call_soon_threadsafe(self._bury)

    # ---- On the loop

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._is_dead:
            self._bury()
            return
        with self._mutex:
            # Settling what the thread did comes first: it is on its way, and flushes again.
            if not self._is_thread_idle or (self._commits_on_loop and self._unsettled):
                return
        if not self._waiting:
            return
        if not (self._commits_on_loop and self._flush_on_loop()):
            self._hand_over()

    def _flush_on_loop(self) -> bool:
        """Commit one batch here; False if it has to wait for somebody, or would stop the loop for too long."""
        items, pages = self._take()
        if any(isinstance(write, Operation) and write.is_long for write, _ in items) or not self._try_lock():
            self._waiting.extendleft(reversed(items))
            return False
        try:
            outcomes = self._committer.try_commit([write for write, _ in items])
        except BaseException as error:  # noqa: BLE001 - the seam's word for the death of the process
            self._die(items)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return True
        finally:
            self._lock.release()
        if outcomes is None:
            self._waiting.extendleft(reversed(items))
            return False
        self._settle(items, outcomes)
        self._on_written(pages)
        if self._waiting and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return True

    def _try_lock(self) -> bool:
        try:
            return self._lock.try_acquire()
        except OSError:
            return False  # the thread meets the same error and settles with it

    def _hand_over(self) -> None:
        with self._mutex:
            self._is_thread_idle = False
        if self._thread is None:
            self._thread = LoopThread("outlast-writer", self._serve)
        self._wake.put(item=True)

    def _settle(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        for (_, settle), outcome in zip(items, outcomes, strict=True):
            try:
                settle(outcome)
            except Exception as error:  # noqa: BLE001 - the others must be told all the same
                context = {"message": "a settle callback failed", "exception": error}
                self._loop.call_exception_handler(context)
        drained = self._drained
        if drained is not None and not self._waiting and not self._unsettled and not drained.done():
            drained.set_result(None)

    def _settle_from_thread(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        with self._mutex:
            self._unsettled -= 1
        self._settle(items, outcomes)
        if self._waiting and not self._is_flush_due:
            self._flush()

    def _die(self, items: Sequence[Item]) -> None:
        """Handle the word of the seam that the process dies, on the thread where it happened, with what it had taken."""
        self._committer.close()
        self._loop.call_soon_threadsafe(self._settle, items, _dead(len(items)))
        self._on_death()

    def _bury(self) -> None:
        items = list(self._waiting)
        self._waiting.clear()
        self._settle(items, _dead(len(items)))

    # ---- On whatever thread has the connection

    def _take(self) -> tuple[list[Item], int]:
        """Take the next batch, and guess how many pages of the log it makes.

        A batch ends before a write that follows an operation, so that operations always come last in it.
        """
        items: list[Item] = []
        size = 0
        waiting = self._waiting
        has_operation = False
        while waiting and len(items) < _MAX_WRITES and size < _MAX_BYTES:
            write = waiting[0][0]
            if isinstance(write, (Append, NewRun)):
                if has_operation:
                    break
                for record in write.records:
                    size += 100 + len(record[9] or b"") + len(record[8] or b"")
            else:
                has_operation = True
            items.append(waiting.popleft())
        return items, 2 + len(items) + size // _PAGE

    def _look(self) -> None:
        try:
            version = self._committer.data_version()
        except sqlite3.Error:
            return  # commits report what is wrong
        if version != self._version:
            self._version = version
            self._is_changed = True

    # ---- On the thread

    def _serve(self) -> None:
        while self._wake.get():
            while True:
                with self._mutex:
                    if self._is_dead or not self._waiting:
                        self._is_thread_idle = True
                        break
                    items, pages = self._take()
                    self._unsettled += 1
                self._commit_on_thread(items, pages)

    def _commit_on_thread(self, items: list[Item], pages: int) -> None:
        outcomes: list[Outcome]
        try:
            with self._lock.held():
                if time.monotonic() - self._looked_at > _LOOK_EVERY_S:  # the loop cannot look while the thread is busy
                    self._looked_at = time.monotonic()
                    self._look()
                outcomes = self._committer.commit([write for write, _ in items])
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, and the thread must go on
            outcomes = [StoreUnavailableError(f"the writer failed: {error}; nothing was recorded")] * len(items)
        except BaseException:  # noqa: BLE001 - the seam's word for the death of the process
            with self._mutex:
                self._unsettled -= 1
            self._die(items)
            return
        self._loop.call_soon_threadsafe(self._settle_from_thread, items, outcomes)
        self._on_written(pages)


def _dead(count: int) -> list[Outcome]:
    return [StoreUnavailableError("the process is taken for dead; nothing more is written")] * count
