"""Outlast beside its peers: how many times faster, with what a commit waits for being the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.report import WIDTH, Report
from benchmarks.subject import System

__all__ = ["Ratio", "compare", "render_comparison"]

# A peer of which it is not known when its data reaches the disk is compared with the slower of our two classes.
CLASS_OF = {"fsync": "full", "no fsync": "normal"}
COMPARED = {"W1": "p50", "W1q": "p50", "W2": "rate", "W3": "rate", "W4": "rate", "W5": "p50", "W6": "seconds"}
LEGEND = """
Above 1, Outlast is faster. An empty cell: the peer has no such thing, or was
not measured. By the time (p50) of W1 a start while runs execute, W1q a start
when nothing else happens, W5 a step of ten in a row; by the rate of W2 one-
step runs, W3 runs of ten steps, W4 a list mapped in one run; by the time of
W6 a long run.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One workload of one peer."""

    peer: System
    workload: str
    times: float  # how many times faster Outlast is


def compare(report: Report) -> list[Ratio]:
    ratios: list[Ratio] = []
    for figure in report.figures:
        if COMPARED.get(figure.workload) != figure.name:
            continue
        rows = {row.system: row for row in report.rows(figure)}
        ours = {row.system.key: row.value for row in rows.values()}
        for peer in [system for system in rows if system.is_peer]:
            own = ours[CLASS_OF.get(peer.disk, "full")]
            times = own / rows[peer].value if figure.is_more_better else rows[peer].value / own
            ratios.append(Ratio(peer=peer, workload=figure.workload, times=times))
    return ratios


def render_comparison(ratios: Sequence[Ratio]) -> Iterator[str]:
    """Give a table of 80 columns; nothing if no peer was measured."""
    if not ratios:
        return
    yield ""
    yield "How many times faster Outlast is: `full` beside fsync, `normal` beside none"
    yield ("  {:<24} {:<10}" + " {:>5}" * len(COMPARED)).format("", "waits for", *COMPARED).rstrip()
    yield "-" * WIDTH
    for peer in dict.fromkeys(ratio.peer for ratio in ratios):
        by_workload = {
            ratio.workload: f"{ratio.times:.1f}" if ratio.times < 1000 else f"{ratio.times:,.0f}"
            for ratio in ratios
            if ratio.peer == peer
        }
        cells = [by_workload.get(workload, "") for workload in COMPARED]
        yield ("  {:<24} {:<10}" + " {:>5}" * len(COMPARED)).format(peer.label, peer.disk, *cells).rstrip()
    yield "-" * WIDTH
    yield from LEGEND.strip().splitlines()
