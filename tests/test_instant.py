"""Instants, to the millisecond and up to the last one that a datetime can hold (rule 11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from outlast.instant import from_ms, render_ms, to_ms

LAST_MS = 253_402_300_799_999


@given(st.integers(-62_135_596_800_000, LAST_MS))
def test_every_millisecond_comes_back(at_ms: int) -> None:
    at = from_ms(at_ms)

    assert to_ms(at) == at_ms
    assert at - datetime(1970, 1, 1, tzinfo=UTC) == timedelta(milliseconds=at_ms)


def test_far_years_are_told_to_the_millisecond() -> None:
    assert render_ms(to_ms(datetime(3000, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC))) == "3000-01-01T00:00:00.001+00:00"


def test_last_instant_of_all_can_be_told() -> None:
    """Rounded up, it would be in a year that no datetime has."""
    assert from_ms(to_ms(datetime.max.replace(tzinfo=UTC))) == datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
