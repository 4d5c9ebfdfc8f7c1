"""This version is compared with an earlier one fairly, and a loss is told from chance. Figures are not looked at."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import median

import pytest

from benchmarks.versions import Row, interval, main, render, turn_of
from chance import first_seed


def row(*times: float) -> Row:
    return Row(workload="W2", durability="full", times=times, cpu=times)


def test_a_time_counts_up_and_a_rate_counts_down():
    theirs, ours = {"p50": 2.0, "rate": 100.0, "cpu": 4.0}, {"p50": 3.0, "rate": 200.0, "cpu": 2.0}

    assert turn_of("p50", theirs, ours) == (1.5, 0.5)
    assert turn_of("rate", theirs, ours) == (0.5, 0.5)


def test_the_interval_holds_the_median_and_narrows_with_more_pairs():
    draw = random.Random(first_seed())
    few, many = ([draw.gauss(1, 0.1) for _ in range(count)] for count in (8, 200))

    (few_low, few_high), (many_low, many_high) = interval(few), interval(many)

    assert few_low <= median(few) <= few_high
    assert many_low <= median(many) <= many_high
    assert many_high - many_low < few_high - few_low
    assert interval(few) == (few_low, few_high)


def test_only_what_cannot_be_chance_is_called_slower():
    assert row(1.05, 1.06, 1.07, 1.05, 1.06, 1.07).is_slower
    assert not row(1.05, 1.06, 1.07, 0.99, 0.98, 0.97).is_slower
    assert not row(0.95, 0.96, 0.97, 0.95, 0.96, 0.97).is_slower
    assert not row(1.05, 1.06).is_slower


def test_the_table_is_80_columns_wide_at_most():
    lines = list(render([row(*[9.9994] * 6)], "v0.1.0", {"processor": "x" * 100}, 6, 6))

    assert max(map(len, lines)) <= 80
    assert [line.split()[-1] for line in lines if line.lstrip().startswith("W2")] == ["slower"]


def test_a_revision_that_git_does_not_know_is_named(capsys: pytest.CaptureFixture[str]):
    assert main(["no-such-revision", "--pairs", "1"]) == 1

    assert "git knows no source of no-such-revision" in capsys.readouterr().err


@pytest.mark.slow
def test_both_versions_are_measured_and_nothing_is_left_behind(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["HEAD", "--pairs", "1", "--turns", "1", "--only", "W1q", "W4", "--dir", str(tmp_path)]) == 0

    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("  W")]
    assert rows == [[name, store] for store in ("full", "normal", "memory") for name in ("W1q", "W4")]
    assert not list(tmp_path.iterdir())
