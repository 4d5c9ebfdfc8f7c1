"""A short-lived program: starts a run, reads its result and ends. `python -m temporal.client_process address name`."""

from __future__ import annotations

import asyncio
import sys

from outlast import Outlast
from outlast.engines.temporal import TemporalEngine
from temporal.scenarios import SCENARIOS


async def main(address: str, name: str) -> None:
    workflow = SCENARIOS["one"]
    engine = TemporalEngine(address, task_queue=name, prefix=f"{name}-")
    async with Outlast([workflow], engine=engine, worker=False) as app:
        result = await (await app.create_run(workflow)).start(input_data=1)
    assert result.result == 2


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
