"""A second process: `python -m benchmarks.child busy|hold|turns DIRECTORY DURABILITY NUMBER`. Answers with JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import time
from pathlib import Path
from typing import cast

from benchmarks.held import gate, held
from benchmarks.ours import Durability, chain, location, open_ours
from benchmarks.subject import TURN_SIZES
from benchmarks.workloads import INSIDE, warm_up
from outlast import Outlast


async def busy(directory: Path, durability: Durability, width: int) -> None:
    """Drive chains of ten steps, `width` at a time, until stdin ends; then tell how fast that went."""
    is_stopping = False
    ended = 0
    is_warm = asyncio.Event()

    async def lane() -> None:
        nonlocal ended
        while not is_stopping:
            run = await app.create_run(chain(10))
            (await run.start(input_data={"n": 0})).unwrap()
            ended += 1
            if ended > width:
                is_warm.set()

    async with Outlast([chain(1), chain(10)], **location(directory, durability)) as app:
        lanes = asyncio.gather(*(lane() for _ in range(width)))
        await is_warm.wait()
        say({"ready": True})
        before, began = ended, time.perf_counter()
        await asyncio.to_thread(sys.stdin.read)
        say({"rate": 10 * (ended - before) / (time.perf_counter() - began)})
        is_stopping = True
        await lanes


async def hold(directory: Path, durability: Durability, runs: int) -> None:
    """Start runs whose steps do not end, and wait to be killed."""
    gate.reset(runs)
    async with Outlast([held], **location(directory, durability), max_runs=2 * runs, max_steps=2 * runs) as app:
        for n in range(runs):
            run = await app.create_run(held, run_id=f"held-{n}")
            await run.start_async(input_data={"n": n})
        await gate.until_all_came()
        say({"ready": True})
        await asyncio.to_thread(sys.stdin.read)


async def turns(directory: Path, durability: Durability, _: int) -> None:
    """Do the workload that is named by each line, and tell its figures and what CPU it took."""
    async with open_ours(durability, directory, TURN_SIZES) as subject:
        await warm_up(subject)
        say({"ready": True})
        while workload := (await asyncio.to_thread(sys.stdin.readline)).strip():
            gc.collect()
            before = time.process_time()
            figures = await INSIDE[workload](subject, TURN_SIZES)
            say({**figures, "cpu": time.process_time() - before})


def say(word: dict[str, float]) -> None:
    print(json.dumps(word), flush=True)


if __name__ == "__main__":
    # That runs of the other process are left for a later worker is no news here.
    logging.getLogger("outlast").setLevel(logging.ERROR)
    play = {"busy": busy, "hold": hold, "turns": turns}[sys.argv[1]]
    asyncio.run(play(Path(sys.argv[2]), cast(Durability, sys.argv[3]), int(sys.argv[4])))
