"""Measure Outlast beside what the same SQLite file can do: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.catalog import catalog
from benchmarks.comparison import compare, render_comparison
from benchmarks.floor import FLOORS
from benchmarks.machine import describe
from benchmarks.ours import OURS, Durability
from benchmarks.processes import import_outlast, recovery, w7
from benchmarks.report import Report
from benchmarks.subject import FULL_SIZES, PEER_SIZES, QUICK_SIZES, Open, Sizes, Subject, System
from benchmarks.workloads import INSIDE, warm_up

Work = Callable[[Path], dict[str, float]]
"""Measures one workload of one system once, with the data in a directory of its own."""

IMPORT = System(key="import", label="outlast", disk="")
ON_DISK: Sequence[Durability] = ("full", "normal")
WORKLOADS = [*INSIDE, "W7", "recovery", "import"]
TIMES_OF_STARTS = ("W1", "W1q")


def main() -> int:
    options = parse()
    began = time.perf_counter()
    peers = load_peers() if options.peers else {}
    sizes = QUICK_SIZES if options.quick else PEER_SIZES if peers else FULL_SIZES
    rounds = options.rounds or (1 if options.quick else 3)
    workloads = options.only or (list(INSIDE) if peers else WORKLOADS)
    report = Report(catalog(sizes), [*OURS, *peers, *FLOORS, IMPORT])
    with tempfile.TemporaryDirectory(prefix="outlast-benchmarks-", dir=options.dir) as name:
        machine = describe(Path(name))
        failures = measure(report, jobs(sizes, workloads, peers), rounds, Path(name))
    print("\n".join(report.render(machine, rounds)))
    comparison = compare(report)
    print("\n".join(render_comparison(comparison)))
    failures += [f"{each.workload}: {each.peer.label} is faster" for each in comparison if each.times <= 1]
    print(f"\n{'quick sizes: the figures mean nothing; ' if options.quick else ''}{time.perf_counter() - began:.0f} s")
    if options.json is not None:
        options.json.write_text(report.to_json(machine, rounds, failures) + "\n", encoding="utf-8")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure Outlast; see docs/performance.md."
    )
    parser.add_argument("--rounds", type=int, help="how often everything is measured; medians are shown (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round of tiny sizes: does it work at all?")
    parser.add_argument("--peers", action="store_true", help="measure other engines too: see `make bench-peers`")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help=f"some of {', '.join(WORKLOADS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds there as well")
    parser.add_argument("--dir", type=Path, help="where the data lies meanwhile (default: the system's temp directory)")
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.dir is not None and not options.dir.is_dir():
        parser.error(f"--dir {options.dir} is not a directory")
    return options


def load_peers() -> dict[System, Open]:
    """Return the other engines; they are not there in every environment."""
    from benchmarks.peers import PEERS  # noqa: PLC0415

    return PEERS


def jobs(sizes: Sizes, only: Sequence[str], peers: Mapping[System, Open]) -> dict[str, list[tuple[System, Work]]]:
    """Return by workload what to measure."""
    subjects = {**OURS, **peers, **FLOORS}
    found: dict[str, list[tuple[System, Work]]] = {}
    for workload, perform in INSIDE.items():
        found[workload] = [
            (system, partial(measure_inside, perform, opener, sizes))
            for system, opener in subjects.items()
            if system.times_starts or workload not in TIMES_OF_STARTS
        ]
    by_key = {system.key: system for system in subjects}
    for workload, beside in (("W7", w7), ("recovery", recovery)):
        found[workload] = [
            (by_key[durability], partial(measure_beside, beside, durability, sizes)) for durability in ON_DISK
        ]
    found["import"] = [(IMPORT, lambda _: import_outlast())]
    return {workload: found[workload] for workload in WORKLOADS if workload in only}


def measure(
    report: Report, work: Mapping[str, Sequence[tuple[System, Work]]], rounds: int, directory: Path
) -> list[str]:
    """Measure everything once a round, each system beside the others; return what failed."""
    failures: list[str] = []
    for number in range(rounds):
        for workload, systems in work.items():
            tell(f"round {number + 1} of {rounds}: {workload}")
            # Each round begins with another system, so that none always comes first or last.
            turn = number % len(systems)
            for system, perform in [*systems[turn:], *systems[:turn]]:
                with tempfile.TemporaryDirectory(dir=directory) as name:
                    gc.collect()
                    try:
                        report.add(workload, system.key, perform(Path(name)))
                    except Exception as error:  # noqa: BLE001 - the other figures are worth having all the same
                        failures.append(f"{workload}, {system.label} ({system.disk}): {type(error).__name__}: {error}")
    tell("")
    return failures


def tell(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress:<30}\r", end="", file=sys.stderr, flush=True)


def measure_inside(
    perform: Callable[[Subject, Sizes], Awaitable[dict[str, float]]], opener: Open, sizes: Sizes, directory: Path
) -> dict[str, float]:
    async def run() -> dict[str, float]:
        async with opener(directory, sizes) as subject:
            await warm_up(subject)
            return await perform(subject, sizes)

    return asyncio.run(run())


def measure_beside(
    perform: Callable[[Durability, Path, Sizes], Awaitable[dict[str, float]]],
    durability: Durability,
    sizes: Sizes,
    directory: Path,
) -> dict[str, float]:
    async def run() -> dict[str, float]:
        return await perform(durability, directory, sizes)

    return asyncio.run(run())


if __name__ == "__main__":
    # What a worker tells of the runs that a killed one left is what is measured here.
    logging.getLogger("outlast").setLevel(logging.ERROR)
    sys.exit(main())
