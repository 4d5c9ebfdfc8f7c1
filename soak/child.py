"""A process of a soak: `python -m soak.child starter|worker DIRECTORY DURABILITY`. Ends in good order on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
from pathlib import Path
from typing import Literal, cast

from outlast import Outlast, ResumeConflictError, RunStateError, StartedRun
from soak.notes import Notes
from soak.work import WORKFLOWS, note_calls_in

_PAUSE_S = 0.03
_APPROVALS_WAITING = 20

Durability = Literal["full", "normal"]


async def start_runs(directory: Path, durability: Durability, is_stopping: asyncio.Event) -> None:
    """Start runs of all workflows at random, and note each id only when `start_async` has returned."""
    notes = Notes(directory, "starts")
    chance = random.Random()
    waiting: list[StartedRun[object]] = []
    async with Outlast(
        list(WORKFLOWS.values()), store=str(directory / "soak.db"), durability=durability, worker=False
    ) as app:
        while not is_stopping.is_set():
            workflow = chance.choice(list(WORKFLOWS))
            run = await app.create_run(WORKFLOWS[workflow])
            started = await run.start_async(input_data={"n": 0, "tokens": []})
            notes.add(run=started.run_id, workflow=workflow)
            if workflow == "approval":
                waiting.append(started)
            if len(waiting) > _APPROVALS_WAITING:
                await approve(waiting.pop(0))
            await asyncio.sleep(_PAUSE_S)


async def approve(run: StartedRun[object]) -> None:
    try:
        await run.resume_async("yes")
    except (RunStateError, ResumeConflictError):
        return  # not there yet, or already approved: whoever ends the soak approves the rest


async def work(directory: Path, durability: Durability, is_stopping: asyncio.Event) -> None:
    note_calls_in(directory)
    async with Outlast(list(WORKFLOWS.values()), store=str(directory / "soak.db"), durability=durability):
        await is_stopping.wait()


async def main(play: str, directory: Path, durability: Durability) -> None:
    is_stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_stopping.set)
    await {"starter": start_runs, "worker": work}[play](directory, durability, is_stopping)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), cast(Durability, sys.argv[3])))
