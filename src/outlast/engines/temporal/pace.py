"""How much one workflow task may send. A server refuses more than 4 MiB, and ends a workflow that tries."""

from __future__ import annotations

from typing import Final

from outlast.engines.temporal.packing import LARGEST_MESSAGE

__all__ = ["Pace"]

_ENOUGH: Final = 2 * 1024 * 1024
"""Bytes after which another task begins. One message more, of whatever size, still fits into this one."""
_ENVELOPE: Final = 512
"""Bytes that go with each message: names, timeouts, ids."""
_INLINE: Final = 128 * 1024
"""What is sent at most of a message that may be kept apart."""


class Pace:
    """Counts what a workflow task sends."""

    def __init__(self, largest: int) -> None:
        """Begin to count.

        Args:
            largest: Most bytes of one message of this run.
        """
        self._most_inline = largest if largest == LARGEST_MESSAGE else _INLINE
        self._sent = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be sent of which the size is not known yet."""
        return self._sent > _ENOUGH

    def fits(self, message: bytes) -> bool:
        """Say whether a message may be sent with this task; the first one always."""
        return not self._sent or self._sent + self._size(message) <= _ENOUGH

    def add(self, message: bytes) -> None:
        """Count a message that is sent."""
        self._sent += self._size(message)

    def begin(self) -> None:
        """Begin to count anew: another task began."""
        self._sent = 0

    def _size(self, message: bytes) -> int:
        return min(len(message), self._most_inline) + _ENVELOPE
