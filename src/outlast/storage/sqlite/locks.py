"""Locks of the operating system: who may write, and who is alive.

All are `flock` locks: they belong to an open file description, so threads of one process exclude each other as
processes do, and the kernel lets go of them when the process ends in whatever way. A forked child would inherit the
descriptions and keep a dead parent's locks: it closes its copies at once, which leaves the parent's locks in place.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from outlast.errors import StoreUnavailableError

__all__ = ["LifeLock", "TurnLock", "WriterLock", "is_life_over"]

_POLL_S: Final = 0.000_2

# Everything that must let go of its descriptors in a forked child.
_open_locks: weakref.WeakSet[_Locks] = weakref.WeakSet()


class _Locks:
    """Some descriptors of lock files."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []
        _open_locks.add(self)

    def open(self, path: str, flags: int = 0) -> int:
        # For reading: a lock needs no right to write, so accounts that share a store by group can share the files.
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o644)
        self._descriptors.append(descriptor)
        return descriptor

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())


class WriterLock(_Locks):
    """Who may write to a store: one at a time, in the order of asking.

    Two files make a turnstile. Whoever waits for the writer lock holds the queue lock meanwhile, so a busy writer that
    comes back at once finds the queue taken and lines up behind. SQLite's own busy handler sleeps and starves instead.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._queue = self.open(f"{path}.writer-queue")
        self._writer = self.open(f"{path}.writer")

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it or waits for it."""
        try:
            fcntl.flock(self._queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(self._writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)
        return True

    def acquire(self) -> None:
        """Take the lock; wait in line for it."""
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._writer, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)

    def acquire_within(self, seconds: float) -> bool:
        """Take the lock, waiting only so long: for those who write rarely and must not hang on a stopped process.

        Whoever has the queue lock is next, so asking again and again for the writer lock is fair.
        """
        deadline = time.monotonic() + seconds
        if not _poll(self._queue, deadline):
            return False
        try:
            return _poll(self._writer, deadline)
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)

    def release(self) -> None:
        """Let the next one write. Nothing happens after `close`, which let go already."""
        if self._descriptors:
            fcntl.flock(self._writer, fcntl.LOCK_UN)

    @contextmanager
    def held(self, *, within: float | None = None) -> Generator[None]:
        """Hold the lock for a block.

        Raises:
            StoreUnavailableError: Not free `within` so many seconds; another process is stopped, or its disk is.
        """
        if within is None:
            self.acquire()
        elif not self.acquire_within(within):
            raise StoreUnavailableError(
                f"another process has been writing for {within:g} s and does not end; look whether it is stopped"
            )
        try:
            yield
        finally:
            self.release()


class LifeLock(_Locks):
    """Held from before a worker is visible until its life is over."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        Path(path).parent.mkdir(exist_ok=True)
        fcntl.flock(self.open(path, os.O_EXCL), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Let go, and leave no file behind."""
        Path(self._path).unlink(missing_ok=True)
        self.close()


class TurnLock(_Locks):
    """Held by the one process on a machine that does something which several must not do at a time."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it; True also if it is held by this object."""
        if self._descriptors:
            return True
        try:
            fcntl.flock(self.open(self._path), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            return False
        return True

    def release(self) -> None:
        """Let go. Idempotent."""
        self.close()


def _poll(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def is_life_over(path: str) -> bool:
    """Say whether nobody holds the life lock at a path. True is final: a life lock is taken once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        # Shared, so that siblings who look at the same time do not take each other for the worker.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _let_go_in_child() -> None:
    for locks in list(_open_locks):
        locks.close()


os.register_at_fork(after_in_child=_let_go_in_child)
