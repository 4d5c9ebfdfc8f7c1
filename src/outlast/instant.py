"""Instants: milliseconds since 1970, UTC, where they are stored; aware datetimes for people and callers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["from_ms", "render_ms", "to_ms"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999
"""The last millisecond that a datetime can hold."""


def from_ms(at_ms: int) -> datetime:
    """Return the aware datetime, in UTC."""
    return _EPOCH + timedelta(milliseconds=at_ms)  # exact: seconds as a float lose a millisecond in far years


def to_ms(at: datetime) -> int:
    """Return the milliseconds since 1970 of an aware datetime, to the nearest one that `from_ms` can return."""
    return min(round(at.timestamp() * 1000), _LAST_MS)


def render_ms(at_ms: int) -> str:
    """Render for a sentence, to the millisecond: `2026-01-02T03:04:05.678+00:00`."""
    return from_ms(at_ms).isoformat(timespec="milliseconds")
