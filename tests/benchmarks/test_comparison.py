"""Peers are compared with the class of Outlast that waits for the same."""

from __future__ import annotations

import pytest

from benchmarks.catalog import catalog
from benchmarks.comparison import COMPARED, compare, render_comparison
from benchmarks.report import Report
from benchmarks.subject import PEER_SIZES, System

FULL = System(key="full", label="outlast, full", disk="fsync")
NORMAL = System(key="normal", label="outlast, normal", disk="no fsync")
PEER = System(key="peer", label="a peer", disk="no fsync", is_peer=True)
SLOW_DISK_PEER = System(key="slow", label="another peer", disk="its own log", is_peer=True)


def report_of(workload: str, name: str, values: dict[System, float]) -> Report:
    report = Report(catalog(PEER_SIZES), list(values))
    for system, value in values.items():
        report.add(workload, system.key, {name: value})
    return report


def test_a_peer_that_does_not_wait_for_the_disk_is_compared_with_the_class_that_does_not() -> None:
    report = report_of("W1", "p50", {FULL: 1.0, NORMAL: 0.2, PEER: 4.0})

    assert [(each.peer, each.times) for each in compare(report)] == [(PEER, pytest.approx(20))]


def test_of_a_rate_more_is_better() -> None:
    report = report_of("W3", "rate", {FULL: 10_000, NORMAL: 20_000, PEER: 400})

    assert [each.times for each in compare(report)] == [pytest.approx(50)]


def test_a_peer_of_which_the_disk_policy_is_not_known_is_compared_with_the_slower_class() -> None:
    report = report_of("W2", "rate", {FULL: 10_000, NORMAL: 20_000, SLOW_DISK_PEER: 100})

    assert [each.times for each in compare(report)] == [pytest.approx(100)]


def test_the_comparison_fits_eighty_columns() -> None:
    report = report_of("W2", "rate", {FULL: 1e6, NORMAL: 1e6, PEER: 1.0})

    lines = list(render_comparison(compare(report)))

    assert lines
    assert all(len(line) <= 80 for line in lines)


def test_the_comparison_says_what_its_columns_are() -> None:
    report = report_of("W2", "rate", {FULL: 1e6, NORMAL: 1e6, PEER: 1.0})

    text = "\n".join(render_comparison(compare(report)))

    assert all(f"{workload} " in text.split("Above 1")[1] for workload in COMPARED)


def test_without_peers_there_is_no_comparison() -> None:
    assert list(render_comparison(compare(report_of("W2", "rate", {FULL: 1.0, NORMAL: 2.0})))) == []
