"""Many processes that start the same thing at the same time: `python racing_starts.py <file> <processes>`.

Imports once and forks before any app is opened. Each child prints the id that it got.
"""

from __future__ import annotations

import asyncio
import os
import sys

from outlast import Outlast, Workflow, step
from outlast.storage.sqlite import SqliteStore


@step
async def add_one(x: int) -> int:
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(add_one).commit()


async def start_once(path: str, gate: int) -> None:
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    async with Outlast([COUNT], store=store, worker=False) as app:
        await asyncio.get_running_loop().run_in_executor(None, os.read, gate, 1)  # returns when the parent closes it
        run = await app.create_run(COUNT)
        started = await run.start_async(input_data=1, idempotency_key="k")
    os.write(sys.stdout.fileno(), f"{started.run_id}\n".encode())


def main() -> int:
    path, processes = sys.argv[1], int(sys.argv[2])
    gate, opens = os.pipe()
    children: list[int] = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            os.close(opens)
            asyncio.run(start_once(path, gate))
            os._exit(0)
        children.append(child)
    os.close(opens)
    return max(os.waitpid(child, 0)[1] for child in children)


if __name__ == "__main__":
    sys.exit(main() != 0)
