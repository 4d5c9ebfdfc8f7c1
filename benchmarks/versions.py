"""Measure this version beside an earlier one: `python -m benchmarks.versions REVISION`.

A machine that others use too changes its speed by tenths within seconds, and two processes of one version differ by as
much all their lives, because their memory lies otherwise. So both versions take turns of some hundredths of a second,
and many pairs of processes are looked at: what counts is the median over the pairs of the median over the turns.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median

from benchmarks.comparison import COMPARED
from benchmarks.machine import describe
from benchmarks.ours import DISK, Durability
from benchmarks.processes import ROOT, Child, child
from benchmarks.report import WIDTH
from benchmarks.subject import WrongResultError

__all__ = ["Row", "interval", "main", "render", "turn_of"]

CERTAINTY = 0.99
LEAST_PAIRS = 6  # of fewer, all may lie above 1 by chance
LEGEND = """
Below 1, this version is faster. `time` is that of the figure in `make bench`,
`CPU` what the process took for all of it. In brackets, where the median lies
with a certainty of 99 %; `slower` if all of that lies above 1, of six pairs
or more.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One workload of one store: this version divided by the other, once for each pair of processes."""

    workload: str
    durability: Durability
    times: Sequence[float]
    cpu: Sequence[float]

    @property
    def is_slower(self) -> bool:
        return len(self.times) >= LEAST_PAIRS and interval(self.times)[0] > 1


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="outlast-versions-", dir=options.dir) as name:
        directory = Path(name)
        machine = describe(directory)
        try:
            other = unpack(options.revision, directory / "other")
            rows = [
                row
                for durability in DISK
                for row in measure(durability, other, options.only, options.pairs, options.turns, directory)
            ]
        except WrongResultError as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
    print("\n".join(render(rows, options.revision, machine, options.pairs, options.turns)))
    print(f"\n{time.perf_counter() - began:.0f} s")
    return 1 if any(row.is_slower for row in rows) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.versions", description="Measure this version beside an earlier one."
    )
    parser.add_argument("revision", help="the other version, as git names it; its public API must still fit")
    parser.add_argument("--pairs", type=int, default=20, help="how many pairs of processes (default: 20)")
    parser.add_argument("--turns", type=int, default=6, help="turns of each pair per workload (default: 6)")
    names = ", ".join(COMPARED)
    parser.add_argument("--only", nargs="+", choices=COMPARED, default=list(COMPARED), metavar="NAME", help=names)
    parser.add_argument("--dir", type=Path, help="where the data lies meanwhile (default: the system's temp directory)")
    options = parser.parse_args(arguments)
    if options.pairs < 1 or options.turns < 1:
        parser.error("--pairs and --turns must be at least 1")
    if options.dir is not None and not options.dir.is_dir():
        parser.error(f"--dir {options.dir} is not a directory")
    return options


def unpack(revision: str, directory: Path) -> Path:
    """Put the source of a revision into a directory of its own and return where it can be imported from."""
    command = ["git", "archive", "--format=tar", revision, "src"]
    packed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    if packed.returncode != 0:
        raise WrongResultError(f"git knows no source of {revision}: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory / "src"


def measure(
    durability: Durability, other: Path, workloads: Sequence[str], pairs: int, turns: int, directory: Path
) -> Iterator[Row]:
    """Measure workloads on one store; each pair of processes does all of them."""
    times: dict[str, list[float]] = {workload: [] for workload in workloads}
    cpu: dict[str, list[float]] = {workload: [] for workload in workloads}
    for number in range(pairs):
        tell(f"{durability}: pair {number + 1} of {pairs}")
        with ExitStack() as stack:
            processes = [
                stack.enter_context(child("turns", fresh(directory / name), durability, 0, source=source))
                for name, source in (("theirs", other), ("ours", ROOT / "src"))
            ]
            for process in processes:
                process.hear()
            for workload in workloads:
                ratios = [turn(processes, workload, is_swapped=(number + each) % 2 == 1) for each in range(turns)]
                times[workload].append(median(time for time, _ in ratios))
                cpu[workload].append(median(cpu for _, cpu in ratios))
            for process in processes:
                process.stop()
    tell("")
    for workload in workloads:
        yield Row(workload=workload, durability=durability, times=times[workload], cpu=cpu[workload])


def fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return directory


def turn(processes: Sequence[Child], workload: str, *, is_swapped: bool) -> tuple[float, float]:
    """Let both versions do a workload, one after the other; return ours divided by theirs, as time and as CPU."""
    heard: dict[int, Mapping[str, float]] = {}
    for index in (1, 0) if is_swapped else (0, 1):
        processes[index].say(workload)
        heard[index] = processes[index].hear()
    return turn_of(COMPARED[workload], heard[0], heard[1])


def turn_of(figure: str, theirs: Mapping[str, float], ours: Mapping[str, float]) -> tuple[float, float]:
    """Return how much longer ours took than theirs, by the figure (a rate counts the other way) and by CPU."""
    longer = theirs[figure] / ours[figure] if figure == "rate" else ours[figure] / theirs[figure]
    return longer, ours["cpu"] / theirs["cpu"]


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return between which numbers the median lies with the stated certainty, by drawing the pairs again and again."""
    draw = random.Random(1)  # the same figures give the same interval
    medians = sorted(median(draw.choices(ratios, k=len(ratios))) for _ in range(4_000))
    outside = int(len(medians) * (1 - CERTAINTY) / 2)
    return medians[outside], medians[-1 - outside]


def render(rows: Sequence[Row], revision: str, machine: Mapping[str, str], pairs: int, turns: int) -> Iterator[str]:
    """Give a table of 80 columns."""
    yield f"This version divided by {revision}: {pairs} pairs of processes, {turns} turns each"
    yield ""
    yield from (f"  {name:<12} {value}"[:WIDTH] for name, value in machine.items())
    yield ""
    yield f"  {'workload':<8} {'store':<8} {'time':>6} {'':<16} {'CPU':>6}"
    yield "-" * WIDTH
    for row in rows:
        verdict = "  slower" if row.is_slower else ""
        yield f"  {row.workload:<8} {row.durability:<8} {_cell(row.times)} {_cell(row.cpu)}{verdict}"
    yield "-" * WIDTH
    yield from LEGEND.strip().splitlines()


def _cell(ratios: Sequence[float]) -> str:
    low, high = interval(ratios)
    return f"{median(ratios):>6.3f} [{low:.3f}, {high:.3f}]"


def tell(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress:<30}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
