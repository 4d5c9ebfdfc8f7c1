"""The results as a table of 80 columns, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.catalog import Figure, Medians
from benchmarks.subject import System

__all__ = ["Report"]

WIDTH = 80
COLUMNS = "  {:<28} {:<9} {:>10} {:>9} {:>9} {:>8}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of one figure of one system."""

    figure: Figure
    system: System
    values: Sequence[float]
    value: float
    slower: float | None
    first_target: float | None
    target: float | None

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        if self._reaches(self.target):
            return "reached"
        return "first" if self.first_target is not None and self._reaches(self.first_target) else "missed"

    def _reaches(self, target: float) -> bool:
        return self.value >= target if self.figure.is_more_better else self.value <= target


class Report:
    """Collects the figures of all rounds."""

    def __init__(self, figures: Sequence[Figure], systems: Sequence[System]) -> None:
        self.figures = figures
        self._systems = systems
        self._values: dict[tuple[str, str, str], list[float]] = {}

    def add(self, workload: str, system: str, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._values.setdefault((workload, name, system), []).append(value)

    def render(self, machine: dict[str, str], rounds: int) -> Iterator[str]:
        yield f"Outlast: medians of {rounds} interleaved round{'s' if rounds > 1 else ''}"
        yield ""
        for name, value in machine.items():
            yield f"  {name:<12} {value}"
        yield ""
        yield COLUMNS.format("", "commit", "", "to the", "", "").rstrip()
        yield COLUMNS.format("system", "waits for", "figure", "floor", "target", "").rstrip()
        for figure in self.figures:
            rows = self.rows(figure)
            if rows:
                yield "-" * WIDTH
                yield f"{figure.workload}: {figure.title}" + (f", {figure.unit}" if figure.unit else "")
                yield from (_line(row) for row in rows)
        yield "-" * WIDTH
        yield "to the floor: how many times slower than the fastest floor that commits waiting"
        yield "for the same. Where there are floors, targets are ratios to them, as is shown"
        yield "here for this run; `full` in W1 and W5: 1.6 times a lone commit with fsync, as"
        yield "measured in this run (floor: commit per write, W1q and W5)."
        yield "reached: the target that is shown, which is the goal. first: only that of the"
        yield "first release. missed: neither."

    def to_json(self, machine: dict[str, str], rounds: int, failures: Sequence[str]) -> str:
        results = [
            {
                "workload": row.figure.workload,
                "figure": row.figure.name,
                "unit": row.figure.unit,
                "system": row.system.key,
                "disk": row.system.disk,
                "rounds": row.values,
                "median": row.value,
                "slower_than_floor": row.slower,
                "first_target": row.first_target,
                "target": row.target,
                "verdict": row.verdict,
            }
            for figure in self.figures
            for row in self.rows(figure)
        ]
        document = {"machine": machine, "rounds": rounds, "results": results, "failures": failures}
        return json.dumps(document, indent=2)

    def rows(self, figure: Figure) -> list[Row]:
        medians = {key: median(values) for key, values in self._values.items()}
        rows: list[Row] = []
        for system in self._systems:
            key = (figure.workload, figure.name, system.key)
            if key in medians:
                goal = figure.goals.get(system.key)
                floor, value = self._fastest_floor(figure, system, medians), medians[key]
                row = Row(
                    figure=figure,
                    system=system,
                    values=self._values[key],
                    value=value,
                    slower=None if floor is None else floor / value if figure.is_more_better else value / floor,
                    first_target=goal.first(medians, floor) if goal is not None and goal.first is not None else None,
                    target=goal.final(medians, floor) if goal is not None else None,
                )
                rows.append(row)
        return rows

    def _fastest_floor(self, figure: Figure, system: System, medians: Medians) -> float | None:
        """Return what the fastest floor of a system's disk policy reached."""
        floors = [each.key for each in self._systems if each.is_floor and each.disk == system.disk]
        values = [medians[key] for key in ((figure.workload, figure.name, floor) for floor in floors) if key in medians]
        if not values:
            return None
        return max(values) if figure.is_more_better else min(values)


def _line(row: Row) -> str:
    slower = "" if row.slower is None else f"{row.slower:.1f} x"
    target = "" if row.target is None else _number(row.target)
    return COLUMNS.format(row.system.label, row.system.disk, _number(row.value), slower, target, row.verdict).rstrip()


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
