"""The figures of the report: their names and units, and the targets of the first release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.subject import Sizes

__all__ = ["ONE_FSYNC", "Figure", "Medians", "catalog"]

Medians = Mapping[tuple[str, str, str], float]
"""Medians by workload, figure and system."""

Target = Callable[[Medians], float | None]

ONE_FSYNC = 1.6
"""How many times the cost of one commit with fsync, measured beside it, a start or a step may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One block of the table."""

    workload: str
    name: str
    title: str
    unit: str
    is_more_better: bool = False
    targets: Mapping[str, Target] = field(default_factory=dict[str, Target])


def catalog(sizes: Sizes) -> list[Figure]:
    at_a_time = f"{sizes.width} at a time"
    return [
        Figure(
            workload="W1",
            name="p50",
            title=f"{sizes.starts} starts back to back while runs execute: p50 of a start",
            unit="ms",
            targets={"normal": fixed(0.15), "full": fsyncs("W1q")},
        ),
        Figure(workload="W1", name="p99", title="the same: p99 of a start", unit="ms"),
        Figure(
            workload="W1q",
            name="p50",
            title=f"{sizes.waited_starts} starts, each after the run before it: p50 of a start",
            unit="ms",
        ),
        Figure(
            workload="W2",
            name="rate",
            title=f"{sizes.one_step_runs:,} one-step runs, {at_a_time}",
            unit="runs/s",
            is_more_better=True,
            targets={"normal": fixed(3_000), "full": fixed(5_000)},
        ),
        Figure(
            workload="W3",
            name="rate",
            title=f"{sizes.chains} runs of ten steps, {at_a_time}",
            unit="steps/s",
            is_more_better=True,
            targets={"normal": fixed(8_000), "full": fixed(12_000), "memory": fixed(12_000)},
        ),
        Figure(
            workload="W4",
            name="rate",
            title=f"one run that maps {sizes.items:,} items, {at_a_time}",
            unit="items/s",
            is_more_better=True,
            targets={"normal": fixed(6_000), "full": fixed(10_000)},
        ),
        Figure(
            workload="W5",
            name="p50",
            title="ten steps in a row, alone: p50 per step",
            unit="ms",
            targets={"normal": fixed(0.25), "full": fsyncs("W5")},
        ),
        Figure(
            workload="W6",
            name="seconds",
            title=f"one run of {sizes.loop:,} steps in a row",
            unit="s",
            targets={"normal": fixed(0.5 * sizes.loop / 2_000), "full": fixed(1.2 * sizes.loop / 2_000)},
        ),
        Figure(
            workload="W6",
            name="last/first",
            title=f"the same: time of the last {sizes.span} steps / of the first {sizes.span}",
            unit="",
        ),
        Figure(
            workload="W6",
            name="read",
            title="the same: reading its result again",
            unit="ms",
            targets={each: fixed(10 * sizes.loop / 1_000) for each in ("full", "normal", "memory")},
        ),
        Figure(
            workload="W7",
            name="p99",
            title=f"{sizes.foreign_starts} starts beside a worker at full speed: p99 of a start",
            unit="ms",
            targets={"normal": fixed(25), "full": fixed(25)},
        ),
        Figure(workload="W7", name="p50", title="the same: p50 of a start", unit="ms"),
        Figure(
            workload="W7", name="worker", title="the same: the worker meanwhile", unit="steps/s", is_more_better=True
        ),
        Figure(
            workload="recovery",
            name="seconds",
            title=f"{sizes.held_runs:,} runs of a killed worker, until all are claimed again",
            unit="s",
            targets={each: fixed(2 * sizes.held_runs / 10_000) for each in ("normal", "full")},
        ),
        Figure(
            workload="import",
            name="ms",
            title="`import outlast` beyond pydantic",
            unit="ms",
            targets={"import": fixed(150)},
        ),
    ]


def fixed(value: float) -> Target:
    return lambda _: value


def fsyncs(workload: str) -> Target:
    """Return a target that is a multiple of one fsync: of a lone commit of the floor that commits each write by itself.

    W1 looks at W1q: its own floor also waits for the commits of the runs that execute meanwhile.
    """

    def target(medians: Medians) -> float | None:
        floor = medians.get((workload, "p50", "write-full"))
        return None if floor is None else ONE_FSYNC * floor

    return target
