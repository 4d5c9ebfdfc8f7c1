"""Every scenario with a crash at each of its commits, as a table: `make crash`.

First the deaths are simulated at the commit, in one process, for every scenario and every store. Then a sample is done
again with real processes that the kernel kills (`kill -9`). Each time the run must end as it did undisturbed, with no
outcome recorded twice, and no body called more often than there were crashes.

All of it takes some five minutes of one processor, `--short` one and a half.
"""

# ruff: noqa: T201 - it talks to a person

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from crash.catalog import SCENARIOS
from crash.nesting import DEEDS, SOME, nested_scenario
from crash.sigkill import SAMPLE, kill_at_commits
from crash.tally import EffectTally
from outlast.testing.crash import MODES, Scenario, StoreKind, crash_at_every_commit

STORES: tuple[StoreKind, ...] = ("normal", "full", "memory")
DURABILITIES: tuple[Literal["normal", "full"], ...] = ("normal", "full")
ROW = "  {:<23} {:<7} {:>7} {:>7} {:>7} {:>7} {:>8}  {}"
SHORT_SAMPLE = 3
"""At how many commits of each scenario a process is killed with `--short`."""


@dataclass
class Sum:
    """What was tried so far."""

    commits: int = 0
    crashes: int = 0
    failures: int = 0


def main() -> int:
    options = parse()
    logging.getLogger("outlast").setLevel(logging.CRITICAL)  # workers complain while they die
    began = time.perf_counter()
    stores: tuple[StoreKind, ...] = ("normal",) if options.short else STORES
    wanted = [each for each in SCENARIOS if not options.only or each.workflow.id in options.only]
    print(
        "Deaths at the commit: before it was made, or after it. Or the process lives on: its answer is lost, or it is"
    )
    print("refused, as by a full disk.\n")
    print(
        ROW.format("workflow", "store", "commits", "before", "after", "lost", "refused", "the run ends as undisturbed")
    )
    simulated, killed = Sum(), Sum()
    for scenario in wanted:
        for store in options.stores or stores:
            attempt(
                scenario.workflow.id,
                store,
                simulated,
                lambda scenario=scenario, store=store: try_scenario(scenario, store),
            )
    nested = () if options.short or options.only else SOME
    if nested:
        print("\nWhat steps do in workflows in blocks in workflows in blocks: each in every kind of block.\n")
        print(ROW.format("what it does", "store", "commits", "before", "after", "lost", "refused", "the runs end so"))
        for deed in DEEDS:
            attempt(deed, "memory", simulated, lambda deed=deed: try_deed(deed))
    print("\nReal processes, killed by the kernel with SIGKILL at a commit; another process opens the file.\n")
    print(ROW.format("workflow", "store", "commits", "before", "after", "", "", "the run ends as undisturbed"))
    for scenario in [each for each in wanted if options.only or each.workflow.id in SAMPLE]:
        for durability in DURABILITIES[: 1 if options.short else 2]:
            attempt(
                scenario.workflow.id,
                durability,
                killed,
                lambda scenario=scenario, durability=durability: kill(scenario, durability, options.short),
            )
    seconds = time.perf_counter() - began
    print(f"\n{len(wanted) + len(nested)} workflows, {simulated.commits + killed.commits:,} commit points covered:")
    print(f"  {simulated.crashes:,} simulated deaths, lost answers and refused commits, {simulated.failures} failures")
    print(f"  {killed.crashes:,} processes killed with SIGKILL, {killed.failures} failures")
    print(
        f"  {seconds:.0f} s: {'every promise held' if not simulated.failures + killed.failures else 'A PROMISE FAILED'}"
    )
    return 1 if simulated.failures or killed.failures or not simulated.crashes or not killed.crashes else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="WORKFLOW", help="some of the scenarios, by workflow id")
    parser.add_argument("--stores", nargs="+", choices=STORES, help="of the simulated deaths; default: all")
    parser.add_argument(
        "--short", action="store_true", help="one store, and a few real kills of each workflow: for continuous checks"
    )
    return parser.parse_args()


def attempt(name: str, store: str, total: Sum, trial: Callable[[], tuple[int, list[int]]]) -> None:
    """Try something, and print what came of it."""
    try:
        commits, struck = trial()
    except Exception as error:  # noqa: BLE001 - the others are worth trying all the same
        total.failures += 1
        print(ROW.format(name, store, "", "", "", "", "", "FAILS"))
        print(f"      {type(error).__name__}: {error}", flush=True)
        return
    total.commits += commits
    total.crashes += sum(struck)
    shown = [*struck, "", ""][:4]
    print(ROW.format(name, store, commits, *shown, "holds"), flush=True)


def try_deed(deed: str) -> tuple[int, list[int]]:
    total, struck = 0, [0] * len(MODES)
    for outer, inner, each in SOME:
        if each == deed:
            scenario = nested_scenario(outer, inner, deed)
            commits, more = try_scenario(scenario, "memory", is_tallied=DEEDS[deed].is_tallied)
            total += commits
            struck = [a + b for a, b in zip(struck, more, strict=True)]
    return total, struck


def try_scenario(scenario: Scenario, store: StoreKind, *, is_tallied: bool = True) -> tuple[int, list[int]]:
    with tempfile.TemporaryDirectory(prefix="outlast-crash-") as name:
        effects = Path(name) / "effects"
        tally = EffectTally(effects)
        scenario = replace(scenario, request_context={"effects": str(effects)})
        check = tally.check if is_tallied else None
        report = crash_at_every_commit(scenario, Path(name), store=store, check=check)
    return report.commits, [report.struck[mode] for mode in MODES]


def kill(scenario: Scenario, durability: Literal["normal", "full"], is_short: bool) -> tuple[int, list[int]]:
    with tempfile.TemporaryDirectory(prefix="outlast-kill-") as name:
        most = SHORT_SAMPLE if is_short else None
        report = kill_at_commits(scenario, Path(name), durability=durability, most=most)
    return report.commits, [report.killed["before"], report.killed["after"]]


if __name__ == "__main__":
    sys.exit(main())
