"""A target is a ratio to the fastest floor that was measured beside it."""

from __future__ import annotations

import pytest

from benchmarks.catalog import catalog
from benchmarks.report import Report
from benchmarks.subject import FULL_SIZES, System

NORMAL = System(key="normal", label="outlast, normal", disk="no fsync")
FLOOR = System(key="turn-normal", label="a floor", disk="no fsync", is_floor=True)
SLOWER_FLOOR = System(key="thread-normal", label="another floor", disk="no fsync", is_floor=True)
OTHER_DISK = System(key="turn-full", label="a floor", disk="fsync", is_floor=True)


def target_of(workload: str, name: str, values: dict[System, float]) -> tuple[float | None, str]:
    report = Report(catalog(FULL_SIZES), list(values))
    for system, value in values.items():
        report.add(workload, system.key, {name: value})
    rows = [row for figure in report.figures for row in report.rows(figure) if row.system is NORMAL]
    return rows[0].target, rows[0].verdict


def test_a_time_may_be_as_many_times_the_fastest_floor_as_when_the_target_was_set() -> None:
    beside = {FLOOR: 0.06, SLOWER_FLOOR: 0.2, OTHER_DISK: 0.01}

    assert target_of("W1", "p50", {NORMAL: 0.15, **beside}) == (pytest.approx(0.16), "reached")
    assert target_of("W1", "p50", {NORMAL: 0.17, **beside}) == (pytest.approx(0.16), "first")


def test_what_misses_the_target_of_the_first_release_is_missed() -> None:
    assert target_of("W1", "p50", {NORMAL: 0.31, FLOOR: 0.06}) == (pytest.approx(0.16), "missed")


def test_of_a_rate_the_fastest_floor_is_the_highest() -> None:
    beside = {FLOOR: 23_350.0, SLOWER_FLOOR: 100.0}

    assert target_of("W2", "rate", {NORMAL: 4_100.0, **beside}) == (pytest.approx(4_000), "reached")
    assert target_of("W2", "rate", {NORMAL: 1_600.0, **beside}) == (pytest.approx(4_000), "first")


def test_without_a_floor_nothing_is_said() -> None:
    assert target_of("W1", "p50", {NORMAL: 0.29}) == (None, "")
