"""The writes that wait for the next commit, in the order in which they were handed over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from outlast.storage.base import Append, NewRun
from outlast.storage.sqlite.recording import Write

__all__ = ["Batch", "Item", "WriteQueue"]

Item: TypeAlias = "tuple[Write, Callable[[Any], None]]"
"""A write, and whom to tell."""

_MAX_WRITES: Final = 1_000
_MAX_BYTES: Final = 8 * 1024 * 1024
_PAGE: Final = 4_000
_RECORD: Final = 100


class Batch(NamedTuple):
    """What one transaction records."""

    items: list[Item]
    """The writes: operations after all others."""
    pages: int
    """A guess of how many pages of the log it makes."""
    is_long: bool
    """Whether it may take too long for the event loop."""

    @property
    def writes(self) -> list[Write]:
        """The writes alone."""
        return [write for write, _ in self.items]


class WriteQueue:
    """Filled by the event loop, emptied by whoever commits."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add a write at the end."""
        self._items.append(item)

    def put_back(self, items: Sequence[Item]) -> None:
        """Return writes that were just taken to the front."""
        self._items.extendleft(reversed(items))

    def take(self) -> Batch:
        """Take the next batch. It ends before a write that follows an operation, so that the order stays as it was."""
        items: list[Item] = []
        size = 0
        is_long = has_operation = False
        waiting = self._items
        while waiting and len(items) < _MAX_WRITES and size < _MAX_BYTES:
            write = waiting[0][0]
            if isinstance(write, (Append, NewRun)):
                if has_operation:
                    break
                for record in write.records:
                    size += _RECORD
                    if (body := record[8]) is not None:
                        size += len(body)
                    if (payload := record[9]) is not None:
                        size += len(payload)
            else:
                has_operation = True
                is_long = is_long or write.is_long
                size += write.pages * _PAGE
            items.append(waiting.popleft())
        return Batch(items, 2 + len(items) + size // _PAGE, is_long)

    def take_all(self) -> list[Item]:
        """Take everything, to refuse it."""
        items = list(self._items)
        self._items.clear()
        return items
