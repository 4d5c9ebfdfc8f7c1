"""Checkpoints beside writers: what is copied while they wait, counted and not timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from outlast.storage.sqlite import maintenance
from outlast.storage.sqlite.maintenance import Maintenance


class Log:
    """A write-ahead log that grows while it is copied, and the lock of its writers."""

    def __init__(self, *, length: int, growth: list[int]) -> None:
        self.length = length
        self.copied = 0
        self.growth = growth
        """How much is written during each copy that is made beside the writers."""
        self.copies: list[tuple[bool, int]] = []
        """Whether the writers waited, and how many pages were copied, each time."""
        self.is_locked = False
        self.maintenance: Any = None

    @contextmanager
    def held(self, *, within: float) -> Iterator[None]:
        self.is_locked = True
        yield
        self.is_locked = False

    def close(self) -> None:
        """As a lock."""

    def copy(self, connection: object) -> tuple[int, int]:
        self.copies.append((self.is_locked, self.length - self.copied))
        self.copied = seen = self.length
        if not self.is_locked and self.growth:
            grown = self.growth.pop(0)
            self.length += grown
            self.maintenance.note(grown)
        return seen, seen

    def execute(self, statement: str) -> None:
        assert (self.is_locked, statement[:19]) == (True, "PRAGMA user_version")


async def checkpoint(log: Log, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Return what was copied, and whether the writers waited for it."""
    monkeypatch.setattr(maintenance, "_copy_pages", log.copy)
    connection: Any = log
    lock: Any = log
    log.maintenance = Maintenance(lambda: connection, lock)
    try:
        log.maintenance._checkpoint(connection)  # noqa: SLF001 - in this thread, at once
    finally:
        log.maintenance.stop()
        await log.maintenance.join()
    return log.copies


async def test_writers_do_not_wait_for_a_disk_where_little_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """17: retention goes on beside starts: the log is copied until nothing is left, and only then they wait."""
    copies = await checkpoint(Log(length=2_000, growth=[20, 7, 1, 0]), monkeypatch)

    assert copies == [(False, 2_000), (False, 20), (False, 7), (False, 1), (False, 0), (True, 0)]


async def test_where_much_is_written_the_log_is_copied_no_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never end, and take the disk from those who write."""
    copies = await checkpoint(Log(length=2_000, growth=[300]), monkeypatch)

    assert copies == [(False, 2_000), (True, 300)]


async def test_log_that_never_comes_to_rest_is_not_copied_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is not begun anew grows without bound."""
    copies = await checkpoint(Log(length=2_000, growth=[2] * 1_000), monkeypatch)

    assert len(copies) < 20
    assert copies[-1] == (True, 2)
