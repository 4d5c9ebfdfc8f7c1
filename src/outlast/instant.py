"""Instants: milliseconds since 1970, UTC, where they are stored; aware datetimes for people and callers."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["from_ms", "render_ms", "to_ms"]


def from_ms(at_ms: int) -> datetime:
    """Return the aware datetime, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)


def to_ms(at: datetime) -> int:
    """Return the milliseconds since 1970 of an aware datetime, to the nearest one."""
    return round(at.timestamp() * 1000)


def render_ms(at_ms: int) -> str:
    """Render for a sentence, to the millisecond: `2026-01-02T03:04:05.678+00:00`."""
    return from_ms(at_ms).isoformat(timespec="milliseconds")
