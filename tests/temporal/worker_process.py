"""A worker in a process of its own: `python -m temporal.worker_process address task_queue prefix lease`."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from outlast import Outlast
from outlast.engines.temporal import TemporalEngine
from temporal.reference import ASKING, FOUR, HELD, HOOKED, TALKING


async def work(address: str, task_queue: str, prefix: str, lease: str) -> None:
    engine = TemporalEngine(address, task_queue=task_queue, prefix=prefix)
    workflows = [ASKING, FOUR, HELD, HOOKED, TALKING]
    async with Outlast(workflows, engine=engine, lease=timedelta(seconds=float(lease))):
        print("ready", flush=True)  # noqa: T201 - the test waits for this line
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
