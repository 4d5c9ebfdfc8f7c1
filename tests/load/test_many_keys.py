"""Many runs that wait behind limits of many keys are served in turns, in bounded memory (rule 19).

`OUTLAST_KEYED_RUNS` sets how many: 100,000 over 1,000 keys is what the design promises.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from load.measure import needs_proc, resident_megabytes
from outlast import Concurrency, Outlast, Workflow, step
from outlast.storage.sqlite import SqliteStore

RUNS = int(os.environ.get("OUTLAST_KEYED_RUNS", "2000"))
RUNS_PER_KEY = 100
LIMIT = 5
BATCH = 1_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + RUNS // 40), needs_proc]


@dataclass
class Seen:
    """What the bodies saw, and what was measured meanwhile."""

    begun: Counter[str]
    running: Counter[str]
    most_running: int = 0
    most_ahead: int = 0
    megabytes: tuple[float, ...] = ()


def workflow_of(seen: Seen, keys: int) -> Any:
    @step
    async def work(key: str) -> None:
        seen.begun[key] += 1
        seen.running[key] += 1
        seen.most_running = max(seen.most_running, seen.running[key])
        total = seen.begun.total()
        # In a round every key has its turn: nobody is further ahead of the average than its places.
        seen.most_ahead = max(seen.most_ahead, seen.begun[key] - total // keys)
        if total % (RUNS // 4) == 0:
            seen.megabytes += (resident_megabytes(),)
        await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, so that others run beside it
        seen.running[key] -= 1

    limit = Concurrency(limit=LIMIT, key=lambda key: key)
    return Workflow("work", input=str, concurrency=limit).then(work).commit()


async def serve(path: Path) -> Seen:
    keys = RUNS // RUNS_PER_KEY
    seen = Seen(Counter(), Counter())
    workflow = workflow_of(seen, keys)

    def store() -> SqliteStore:
        return SqliteStore(path, durability="normal", allow_network_filesystem=True)

    # One key after the other: in the order of their starts, the last key would wait for all the others.
    inputs = [{"input_data": f"key-{number // RUNS_PER_KEY}"} for number in range(RUNS)]
    async with Outlast([workflow], store=store(), worker=False) as starter:
        began = time.perf_counter()
        for first in range(0, RUNS, BATCH):
            await starter.start_many(workflow, inputs[first : first + BATCH])
        print(f"\n{RUNS} runs over {keys} keys recorded in {time.perf_counter() - began:.1f} s")
        before = resident_megabytes()
        began, cpu = time.perf_counter(), time.process_time()
        # Fewer places than keys: otherwise nobody has to wait for a turn.
        async with Outlast([workflow], store=store(), max_runs=keys // 5) as app:
            await app.until_idle()
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        seen.megabytes = (before, *seen.megabytes)
        counts = await starter.engine.count_runs()
    assert {count.status: count.count for count in counts} == {"success": RUNS}
    print(
        f"served in {took:.1f} s ({RUNS / took:.0f} runs/s, {cpu / RUNS * 1e6:.0f} us CPU each); at most "
        f"{seen.most_running} of {LIMIT} running, {seen.most_ahead} turns ahead; "
        f"memory {', '.join(f'{each:.0f}' for each in seen.megabytes)} MB"
    )
    return seen


def test_many_waiting_runs_are_served_in_turns_and_in_bounded_memory(tmp_path: Path):
    """19: 100,000 pending runs are rows, and no key starves others."""
    seen = asyncio.run(serve(tmp_path / "store.db"))

    assert seen.begun == {f"key-{number}": RUNS_PER_KEY for number in range(RUNS // RUNS_PER_KEY)}
    assert seen.most_running <= LIMIT
    assert seen.most_ahead <= 2 * LIMIT
    assert seen.megabytes[-1] - seen.megabytes[1] < 25
