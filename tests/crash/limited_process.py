"""A process of the test of limits under SIGKILL: it drives runs and notes when their bodies begin and end."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from outlast import Concurrency, Outlast, StepContext, Workflow, step
from outlast.storage.sqlite import SqliteStore

LIMIT = 5


def note(word: str, run_id: str, key: str) -> None:
    """Append a line in one write. The clock is that of the machine: one for all processes."""
    line = f"{time.monotonic_ns()} {word} {run_id} {key}\n".encode()
    file = os.open(os.environ["OUTLAST_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)


@step
async def work(key: str, context: StepContext) -> None:
    note("begin", context.run_id, key)
    await asyncio.sleep(0.05)  # noqa: TID251 - what takes time
    note("end", context.run_id, key)


LIMITED = Workflow("limited", input=str, concurrency=Concurrency(limit=LIMIT, key=lambda key: key)).then(work).commit()


async def main(path: str) -> None:
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    async with Outlast([LIMITED], store=store, max_recoveries=1_000):
        print("open", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
