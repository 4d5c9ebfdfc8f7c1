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
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final

from outlast.errors import StoreUnavailableError
from outlast.storage.sqlite.commit import Committer
from outlast.storage.sqlite.locks import WriterLock
from outlast.storage.sqlite.queue import Batch, Item, WriteQueue
from outlast.storage.sqlite.recording import Outcome, Write
from outlast.storage.sqlite.thread import LoopThread, post

__all__ = ["Writer"]

_PATIENCE_S: Final = 30.0
"""How long a write waits for another process before it is refused."""
_JOIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.01


class Writer:
    """Order and settlement of writes. Methods are called on the event loop unless they say otherwise."""

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
        self._waiting = WriteQueue()
        self._is_flush_due = False
        self._drained: asyncio.Future[None] | None = None
        self._is_dead = False
        # Guards the four below and, as soon as the thread is not idle, the taking from the queue; held for moments.
        self._mutex = threading.Lock()
        self._is_thread_idle = True
        self._unsettled = 0  # batches of the thread that the loop has not settled yet
        self._asked_lock_at: float | None = None
        self._is_changed = False
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._thread: LoopThread | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._version = committer.data_version()
        self._looked_at = 0.0

    def submit(self, write: Write, settle: Callable[[Any], None]) -> None:
        """Queue a write. It is taken at the end of this turn of the loop, with everything else of the turn."""
        self._waiting.put((write, settle))
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def has_changed(self) -> bool:
        """Say whether others committed since the last call. The writer's own commits do not count."""
        with self._mutex:
            is_idle = self._is_thread_idle
        if is_idle:
            self._look()
        with self._mutex:
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
        """Wait until the thread has ended and closed what the writer used.

        A thread that stands in line behind a stopped process cannot be ended. It finds nothing to write later.
        """
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._thread is None:
            self._let_go()
        else:
            await self._thread.join(within=_JOIN_S)
        self._refuse(StoreUnavailableError("the store was closed meanwhile; nothing was recorded"))

    def kill(self) -> None:
        """Act as if the process had been killed. Called on any thread."""
        self._is_dead = True
        self._lock.close()
        post(self._loop, self._flush)

    # ---- On the loop

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._is_dead:
            items = self._waiting.take_all()
            self._settle(items, _dead(len(items)))
            return
        with self._mutex:
            # Settling what the thread did comes first: it is on its way, and flushes again.
            if not self._is_thread_idle or (self._commits_on_loop and self._unsettled):
                return
        if self._waiting and not (self._commits_on_loop and self._commit_on_loop()):
            try:
                self._hand_over()
            except StoreUnavailableError as error:
                self._refuse(error)

    def _commit_on_loop(self) -> bool:
        """Commit one batch here; False if it has to wait for somebody, or would stop the loop for too long."""
        batch = self._waiting.take()
        outcomes: list[Outcome] | None = None
        if not batch.is_long and self._try_lock():
            try:
                outcomes = self._committer.try_commit(batch.writes)
            except Exception as error:  # noqa: BLE001 - as on the thread: nobody may wait for ever
                outcomes = _unknown(len(batch.items), error)
            except BaseException as error:  # the seam's word for the death of the process
                self._committer.close()
                self._on_death()
                outcomes = _dead(len(batch.items))
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    self._settle(batch.items, outcomes)
                    raise
            finally:
                self._lock.release()
        if outcomes is None:
            self._waiting.put_back(batch.items)
            return False
        self._settle(batch.items, outcomes)
        self._on_written(batch.pages)
        self._flush_soon()
        return True

    def _flush_soon(self) -> None:
        if self._waiting and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _try_lock(self) -> bool:
        try:
            return self._lock.try_acquire()
        except OSError:
            return False  # the thread meets the same error and settles with it

    def _hand_over(self) -> None:
        if self._thread is None:
            self._thread = LoopThread("outlast-writer", self._serve)
        with self._mutex:
            self._is_thread_idle = False
        self._wake.put(item=True)
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(_PATIENCE_S, self._watch)

    def _watch(self) -> None:
        """Refuse what waits if the thread does not get the lock, because its holder is stopped."""
        self._watchdog = None
        with self._mutex:
            waits = time.monotonic() - self._asked_lock_at if self._asked_lock_at is not None else 0.0
            items = self._waiting.take_all() if waits >= _PATIENCE_S else []
            is_needed = not self._is_thread_idle
        if is_needed:
            self._watchdog = self._loop.call_later(_PATIENCE_S, self._watch)
        message = f"another process has been writing for {waits:.0f} s and does not end; look whether it is stopped"
        self._settle(items, [StoreUnavailableError(message)] * len(items))

    def _refuse(self, error: StoreUnavailableError) -> None:
        with self._mutex:
            items = self._waiting.take_all()
        self._settle(items, [error] * len(items))

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
        self._flush_soon()

    # ---- On whatever thread has the connection

    def _look(self) -> None:
        try:
            version = self._committer.data_version()
        except sqlite3.Error:
            return  # commits report what is wrong
        if version != self._version:
            self._version = version
            with self._mutex:
                self._is_changed = True

    # ---- On the thread

    def _serve(self) -> None:
        while self._wake.get():
            while True:
                with self._mutex:
                    if self._is_dead or not self._waiting:
                        self._is_thread_idle = True
                        break
                self._commit_on_thread()
        self._let_go()

    def _let_go(self) -> None:
        self._committer.close()
        self._lock.close()

    def _commit_on_thread(self) -> None:
        batch: Batch | None = None
        outcomes: list[Outcome] = []
        with self._mutex:
            self._asked_lock_at = time.monotonic()
        try:
            with self._lock.held():
                # Taken only now: what came while the thread stood in line goes with the rest.
                batch = self._take_on_thread()
                self._look_sometimes()
                outcomes = self._committer.commit(batch.writes) if batch.items else []
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, and the thread must go on
            batch = batch or self._take_on_thread()
            outcomes = _unknown(len(batch.items), error)
        except BaseException:  # noqa: BLE001 - the seam's word for the death of the process
            batch = batch or self._take_on_thread()
            self._committer.close()
            self._on_death()
        if self._is_dead:
            outcomes = _dead(len(batch.items))
        post(self._loop, self._settle_from_thread, batch.items, outcomes)
        self._on_written(batch.pages)

    def _take_on_thread(self) -> Batch:
        with self._mutex:
            self._asked_lock_at = None
            self._unsettled += 1
            return self._waiting.take()

    def _look_sometimes(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > _LOOK_EVERY_S:  # the loop cannot look while the thread is busy
            self._looked_at = now
            self._look()


def _unknown(count: int, error: Exception) -> list[Outcome]:
    return [StoreUnavailableError(f"the writer failed: {error}; it is not known what is recorded")] * count


def _dead(count: int) -> list[Outcome]:
    return [StoreUnavailableError("the process is taken for dead; nothing more is written")] * count
