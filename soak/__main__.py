"""Kill and stop processes at random for minutes, and count what was lost: `python -m soak --help`."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from outlast import Outlast, ResumeConflictError, RunStateError
from soak.crew import Chaos, Member
from soak.gauge import Gauge
from soak.notes import read_notes
from soak.verdict import judge, render, suspended, unfinished
from soak.work import WORKFLOWS

_TURN_S = 0.05
_SAMPLE_S = 1.0
_SETTLE_S = 120.0
_END_S = 40.0


def main() -> int:
    options = parse()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    with tempfile.TemporaryDirectory(prefix="outlast-soak-", dir=options.dir) as name:
        directory = Path(name)
        held = soak(directory, minutes=options.minutes, seed=seed, durability=options.durability)
        if not held and options.keep is not None:
            shutil.copytree(directory, options.keep, dirs_exist_ok=True)
    return 0 if held else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description="Two starters and two workers under chaos.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, help="of the chaos; printed with the result (default: another each time)")
    parser.add_argument("--durability", choices=["full", "normal"], default="normal", help="default: normal")
    parser.add_argument("--dir", type=Path, help="where the data lies meanwhile (default: the temp directory)")
    parser.add_argument("--keep", type=Path, help="where to put the data if a promise fails")
    return parser.parse_args()


def soak(directory: Path, *, minutes: float, seed: int, durability: str) -> bool:
    """Run everything, print the table, and say whether all promises held."""
    print(f"2 starters, 2 workers, {minutes:g} min, durability {durability}, seed {seed}", flush=True)
    members = [
        Member(play, directory, durability, may_be_killed)
        for play in ("starter", "worker")
        for may_be_killed in (True, False)  # one of each lives through it all, so that growth would show
    ]
    gauge = Gauge(directory / "soak.db")
    chaos = Chaos(members, seed)
    for member in members:
        member.begin()
    try:
        endure(members, chaos, gauge, until=time.monotonic() + minutes * 60)
        ended = [member.end(_END_S) for member in members if member.play == "starter"]
        is_settled = asyncio.run(settle(directory))
        ended += [member.end(_END_S) for member in members if member.play == "worker"]
    finally:
        for member in members:
            member.kill()
    starts = sum(1 for _ in read_notes(directory, "starts"))
    calls = sum(1 for _ in read_notes(directory, "calls"))
    print(f"{starts:,} runs answered, {calls:,} bodies called, {chaos.kills} SIGKILL, {chaos.stops} SIGSTOP")
    if not is_settled:
        print(f"not ended after {_SETTLE_S:g} s: {unfinished(directory / 'soak.db')}")
    checks = judge(directory, members, gauge, ended_well=all(ended))
    print("\n".join(render(checks)))
    return is_settled and starts > 0 and all(check.holds for check in checks)


def endure(members: Sequence[Member], chaos: Chaos, gauge: Gauge, *, until: float) -> None:
    sample_at = 0.0
    while time.monotonic() < until:
        chaos.turn()
        if time.monotonic() >= sample_at:
            sample_at = time.monotonic() + _SAMPLE_S
            gauge.sample([member.pid for member in members if not member.may_be_killed])
        time.sleep(_TURN_S)
    chaos.end()


async def settle(directory: Path) -> bool:
    """Approve what waits for it, and say whether everything ended in time."""
    database = directory / "soak.db"
    deadline = time.monotonic() + _SETTLE_S
    async with Outlast(list(WORKFLOWS.values()), store=str(database), worker=False) as app:
        while (left := unfinished(database)) and time.monotonic() < deadline:
            if left.get("suspended"):
                await approve_all(app, database)
            await asyncio.sleep(0.5)
    return not left


async def approve_all(app: Outlast, database: Path) -> None:
    for run_id in suspended(database):
        try:
            await app.run(run_id).resume_async("yes")
        except (RunStateError, ResumeConflictError):
            continue  # somebody else did


if __name__ == "__main__":
    sys.exit(main())
