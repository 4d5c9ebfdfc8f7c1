"""The figures of the report: their names and units, and their targets.

A target of what has floors is a ratio to the fastest floor beside it: `beside(0.15, floor=0.03)` was set as 0.15 where
that floor took 0.03, and stands for five times the floor wherever it is measured. Some figures have two: one for the
first release, and the goal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.subject import Sizes

__all__ = ["ONE_FSYNC", "Figure", "Goal", "Medians", "catalog"]

Medians = Mapping[tuple[str, str, str], float]
"""Medians by workload, figure and system."""

Target = Callable[[Medians, float | None], float | None]
"""The target of a figure, by the medians of a run and what the fastest floor of the same disk policy reached in it."""

ONE_FSYNC = 1.6
"""How many times the cost of one commit with fsync, measured beside it, a start or a step may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure is to reach."""

    final: Target
    first: Target | None = None  # for the first release; None: there is one target


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One block of the table."""

    workload: str
    name: str
    title: str
    unit: str
    is_more_better: bool = False
    goals: Mapping[str, Goal] = field(default_factory=dict[str, Goal])


def catalog(sizes: Sizes) -> list[Figure]:
    at_a_time = f"{sizes.width} at a time"
    return [
        Figure(
            workload="W1",
            name="p50",
            title=f"{sizes.starts} starts back to back while runs execute: p50 of a start",
            unit="ms",
            goals={"normal": in_two_steps(0.15, 0.08, floor=0.03), "full": Goal(final=fsyncs("W1q"))},
        ),
        Figure(
            workload="W1",
            name="p99",
            title="the same: p99 of a start",
            unit="ms",
            goals={"normal": Goal(final=fixed(5))},
        ),
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
            goals={"normal": in_two_steps(3_000, 8_000, floor=46_700), "full": Goal(final=beside(5_000, floor=22_200))},
        ),
        Figure(
            workload="W3",
            name="rate",
            title=f"{sizes.chains} runs of ten steps, {at_a_time}",
            unit="steps/s",
            is_more_better=True,
            goals={
                "normal": in_two_steps(8_000, 20_000, floor=165_000),
                "full": Goal(final=beside(12_000, floor=70_400)),
                "memory": Goal(first=fixed(12_000), final=fixed(25_000)),
            },
        ),
        Figure(
            workload="W4",
            name="rate",
            title=f"one run that maps {sizes.items:,} items, {at_a_time}",
            unit="items/s",
            is_more_better=True,
            goals={
                "normal": in_two_steps(6_000, 15_000, floor=79_000),
                "full": Goal(final=beside(10_000, floor=50_300)),
            },
        ),
        Figure(
            workload="W5",
            name="p50",
            title="ten steps in a row, alone: p50 per step",
            unit="ms",
            goals={"normal": in_two_steps(0.25, 0.12, floor=0.02), "full": Goal(final=fsyncs("W5"))},
        ),
        Figure(
            workload="W6",
            name="seconds",
            title=f"one run of {sizes.loop:,} steps in a row",
            unit="s",
            goals={"normal": in_two_steps(0.5, 0.3, floor=0.04), "full": Goal(final=beside(1.2, floor=0.37))},
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
            goals={each: Goal(final=fixed(10 * sizes.loop / 1_000)) for each in ("full", "normal", "memory")},
        ),
        Figure(
            workload="W7",
            name="p99",
            title=f"{sizes.foreign_starts} starts beside a worker at full speed: p99 of a start",
            unit="ms",
            goals={"normal": Goal(first=fixed(25), final=fixed(10)), "full": Goal(final=fixed(25))},
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
            goals={each: Goal(final=fixed(2 * sizes.held_runs / 10_000)) for each in ("normal", "full")},
        ),
        Figure(
            workload="import",
            name="ms",
            title="`import outlast` beyond pydantic",
            unit="ms",
            goals={"import": Goal(final=fixed(150))},
        ),
    ]


def fixed(value: float) -> Target:
    return lambda _, __: value


def beside(value: float, *, floor: float) -> Target:
    """Return a target that moves with the fastest floor beside it, from where that was when the target was set."""
    return lambda _, fastest: None if fastest is None else fastest * value / floor


def in_two_steps(first: float, final: float, *, floor: float) -> Goal:
    return Goal(first=beside(first, floor=floor), final=beside(final, floor=floor))


def fsyncs(workload: str) -> Target:
    """Return a target that is a multiple of one fsync: of a lone commit of the floor that commits each write by itself.

    W1 looks at W1q: its own floor also waits for the commits of the runs that execute meanwhile.
    """

    def target(medians: Medians, _: float | None) -> float | None:
        floor = medians.get((workload, "p50", "write-full"))
        return None if floor is None else ONE_FSYNC * floor

    return target
