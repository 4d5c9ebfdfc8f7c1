"""Everything that an open store runs, so that it can be started, stopped and killed as one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import NamedTuple

from outlast.storage.base import CommitSeam, WorkerKey
from outlast.storage.sqlite.commit import Committer
from outlast.storage.sqlite.connection import Synchronous, connect
from outlast.storage.sqlite.locks import LifeLock, TurnLock, WriterLock
from outlast.storage.sqlite.maintenance import Maintenance
from outlast.storage.sqlite.readers import Readers
from outlast.storage.sqlite.renewer import Renewer
from outlast.storage.sqlite.schema import prepare
from outlast.storage.sqlite.sweeper import Sweeper
from outlast.storage.sqlite.writer import Writer

__all__ = ["Machinery", "start"]


class Machinery:
    """The parts of an open store."""

    def __init__(
        self,
        *,
        writer: Writer,
        readers: Readers,
        renewer: Renewer,
        maintenance: Maintenance,
        sweeper: Sweeper,
        turn: TurnLock,
    ) -> None:
        self.writer = writer
        self.turn = turn
        self.sweeper = sweeper
        self.readers = readers
        self.renewer = renewer
        self.maintenance = maintenance
        self.lives: dict[WorkerKey, LifeLock] = {}

    async def close(self) -> None:
        """Wait for what was handed over, then end all threads and close everything."""
        async with AsyncExitStack() as closing:  # from the last on; each is done also if one before it is canceled
            closing.callback(self._remove_lives)
            closing.callback(self.turn.release)
            closing.callback(self.sweeper.close)
            closing.callback(self.renewer.close)
            closing.push_async_callback(self.readers.join)
            closing.push_async_callback(self.maintenance.join)
            closing.push_async_callback(self.writer.join)
            closing.callback(self._stop)
            await self.writer.drain()

    def _remove_lives(self) -> None:
        while self.lives:
            self.lives.popitem()[1].remove()

    def kill(self) -> None:
        """Do what the kernel does when a process ends: locks are free, nothing more is written. On any thread."""
        for life in self.lives.values():
            life.close()
        self.lives.clear()
        self.sweeper.close()
        self.turn.release()
        self.writer.kill()
        self._stop()

    def _stop(self) -> None:
        self.writer.stop()
        self.maintenance.stop()
        self.readers.stop()


async def start(
    path: str,
    *,
    synchronous: Synchronous,
    allow_network_filesystem: bool,
    seam: CommitSeam | None,
    on_death: Callable[[], None],
) -> Machinery:
    """Bring the file up to date and start everything."""
    readers = Readers(path, partial(connect, path, is_reader=True))
    opened: list[_Parts] = []  # also what is opened while nobody waits for it any more
    try:
        await readers.call(lambda: opened.append(_open_parts(path, synchronous, seam, allow=allow_network_filesystem)))
        return _start_on(opened[0], path, readers=readers, commits_on_loop=synchronous == "normal", on_death=on_death)
    except BaseException:
        readers.stop()
        await readers.join()
        for parts in opened:
            parts.close()
        raise


def _start_on(
    parts: _Parts, path: str, *, readers: Readers, commits_on_loop: bool, on_death: Callable[[], None]
) -> Machinery:
    maintenance = Maintenance(partial(connect, path), parts.checkpoint_lock)
    writer = Writer(
        committer=parts.committer,
        lock=parts.writer_lock,
        commits_on_loop=commits_on_loop,
        on_written=maintenance.note,
        on_death=on_death,
    )
    renewer = Renewer(parts.renewing, parts.renewer_lock, on_death)
    sweeper = Sweeper(
        turn=TurnLock(f"{path}.sweeper"),
        lock=parts.sweeper_lock,
        readers=readers,
        connect=partial(connect, path),
        on_written=maintenance.note,
        is_log_long=maintenance.is_due,
    )
    turn = TurnLock(f"{path}.suspects")
    return Machinery(
        writer=writer, readers=readers, renewer=renewer, maintenance=maintenance, sweeper=sweeper, turn=turn
    )


class _Parts(NamedTuple):
    """What has to be opened off the loop."""

    committer: Committer
    renewing: Committer
    writer_lock: WriterLock
    renewer_lock: WriterLock
    checkpoint_lock: WriterLock
    sweeper_lock: WriterLock

    def close(self) -> None:
        """Let go of all of it, if nobody will use it."""
        for each in self:
            each.close()


def _open_parts(path: str, synchronous: Synchronous, seam: CommitSeam | None, *, allow: bool) -> _Parts:
    prepare(path, allow_network_filesystem=allow)
    with ExitStack() as undo:
        committer = Committer(path, partial(connect, path, synchronous=synchronous), seam)
        undo.callback(committer.close)
        # A lease need not survive a power loss: after it, the boot is another one.
        renewing = Committer(path, partial(connect, path), seam)
        undo.callback(renewing.close)
        locks: list[WriterLock] = []
        for _ in range(4):  # one for each that writes: threads exclude each other only by descriptors of their own
            locks.append(WriterLock(path))
            undo.callback(locks[-1].close)
        undo.pop_all()
    return _Parts(committer, renewing, *locks)
