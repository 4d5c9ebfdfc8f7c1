"""The page on metrics has each instrument as it is in the code, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from outlast.engines.metrics import INSTRUMENTS, Instrument
from outlast.telemetry.prometheus import name_of

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "metrics.md").read_text()


def row_of(each: Instrument) -> str:
    labels = ", ".join(f"`{label}`" for label in each.labels)
    return f"| `{each.name}` | {each.kind} | `{each.unit}` | {labels} | {each.description} |"


def test_page_has_the_instruments_that_there_are():
    table = PAGE[PAGE.index("## What is measured") : PAGE.index("## On Temporal")]

    assert re.findall(r"^\| `outlast\..*$", table, re.MULTILINE) == [row_of(each) for each in INSTRUMENTS]


def test_names_in_prometheus_are_as_the_page_says():
    """Dots are underscores, units stand at the end, and counters end in `_total`."""
    assert [name_of(each) for each in INSTRUMENTS] == [
        "outlast_runs_started_total",
        "outlast_runs_reopened_total",
        "outlast_runs_ended_total",
        "outlast_step_duration_seconds",
        "outlast_queue_depth",
        "outlast_queue_age_seconds",
        "outlast_takeovers_total",
        "outlast_commit_duration_seconds",
        "outlast_journal_bytes_total",
        "outlast_schedule_lag_seconds",
        "outlast_worker_runs",
        "outlast_worker_steps",
        "outlast_worker_steps_waiting",
    ]
