"""The stored form of an event: what a store keeps, byte for byte, without understanding it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Record"]


class Record(NamedTuple):
    """One row of a run's journal. A tuple, because one step makes two of them and stores bind them as they are."""

    seq: int
    """Place in the journal of the run: 1, 2, 3, ... without gaps."""
    execution: int
    """Which execution of the run it belongs to: 0 for the first."""
    is_fact: bool
    """Facts are folded in recovery; the others (chunks, progress) are only read by streams."""
    type: str
    """Stable name of the event's type, as `step-started`."""
    version: int
    """Version of the shape of `body`, raised when that shape changes (see `codec.py`)."""
    at_ms: int
    """When the worker observed it: milliseconds since 1970, UTC."""
    path: str
    """Node that it is about; empty for the run as a whole."""
    attempt: int
    """0-based attempt that it belongs to; 0 where attempts mean nothing."""
    body: bytes | None
    """The event's own fields as JSON, where the columns above do not hold them all."""
    payload: bytes | None
    """The user's value that the event carries, as JSON: an input, an output, a chunk."""
