"""What became of the earlier calls of a body. It is kept in heartbeats, which outlive the worker that sent them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from temporalio.exceptions import ApplicationErrorCategory

from outlast.immutable import immutable

__all__ = ["BENIGN", "Past"]

BENIGN: Final = ApplicationErrorCategory.BENIGN
"""Of errors that are nobody's fault, or are logged by us: the SDK logs others with a traceback each time."""


@immutable(kw_only=True)
class Past:
    """The calls of a body before this one that gave no outcome."""

    left: int = 0
    """How many were left to another worker on purpose: these are no crashes."""
    handed_back: int = 0
    """How many of these had called the body."""
    crashes: int = 0
    """How many ended because a process ended by itself."""

    @classmethod
    def of(cls, attempt: int, details: Sequence[int]) -> Past:
        """Read it from what Temporal counts, from 1, and from the latest heartbeat."""
        left, handed_back = details or (0, 0)
        return cls(left=left, handed_back=handed_back, crashes=max(0, attempt - 1 - left))

    @property
    def details(self) -> tuple[int, int]:
        """What heartbeats carry."""
        return self.left, self.handed_back

    @property
    def restarts(self) -> int:
        """How often the body was called."""
        return self.handed_back + self.crashes

    def put_back(self) -> Past:
        """Leave the call to another worker without having called the body."""
        return replace(self, left=self.left + 1)

    def hand_back(self) -> Past:
        """Leave the call to another worker in the middle of the body."""
        return replace(self, left=self.left + 1, handed_back=self.handed_back + 1)
