"""Every scenario with a crash at each of its commits, as a table: `make crash`."""

# ruff: noqa: T201 - it talks to a person

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from crash.catalog import SCENARIOS
from crash.tally import EffectTally
from outlast.testing.crash import CrashReport, Scenario, StoreKind, crash_at_every_commit

STORES: tuple[StoreKind, ...] = ("normal", "full", "memory")
ROW = "  {:<18} {:<7} {:>8} {:>8} {:>8} {:>8}  {}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="WORKFLOW", help="some of the scenarios, by workflow id")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES, help="default: all")
    options = parser.parse_args()
    logging.getLogger("outlast").setLevel(logging.CRITICAL)  # workers complain while they die
    began, points, failures = time.perf_counter(), 0, 0
    print(ROW.format("workflow", "store", "commits", "before", "after", "lost", ""))
    for scenario in SCENARIOS:
        if options.only and scenario.workflow.id not in options.only:
            continue
        for store in options.stores:
            try:
                report = try_scenario(scenario, store)
            except Exception as error:  # noqa: BLE001 - the others are worth trying all the same
                failures += 1
                print(ROW.format(scenario.workflow.id, store, "", "", "", "", "FAILS"))
                print(f"      {type(error).__name__}: {error}")
                continue
            points += report.points
            struck = (report.struck["before"], report.struck["after"], report.struck["lost"])
            print(ROW.format(scenario.workflow.id, store, report.commits, *struck, "holds"), flush=True)
    seconds = time.perf_counter() - began
    print(f"{points:,} crashes, {failures} failures, {seconds:.0f} s")
    return 1 if failures or not points else 0


def try_scenario(scenario: Scenario, store: StoreKind) -> CrashReport:
    with tempfile.TemporaryDirectory(prefix="outlast-crash-") as name:
        effects = Path(name) / "effects"
        tally = EffectTally(effects)
        scenario = replace(scenario, request_context={"effects": str(effects)})
        return crash_at_every_commit(scenario, Path(name), store=store, check=tally.check)


if __name__ == "__main__":
    sys.exit(main())
