"""A worker: it drives the runs that it finds in the store, until it is told to stop.

    python worker.py census.db parsed.log

Start as many as you like. Kill any of them: the others, or the next one, go on with its runs.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from workflow import census

from outlast import Outlast


async def work(store: str) -> None:
    """Drive runs until SIGTERM or SIGINT; then let the steps in flight end, and leave the rest to other workers."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Outlast([census], store=store):
        await stop.wait()


def log_to(file: str) -> None:
    """Append a line for each module that is parsed: the trace by which the demo counts what really happened."""
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(process)d %(message)s"))
    log = logging.getLogger("census")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


if __name__ == "__main__":
    log_to(sys.argv[2])
    asyncio.run(work(store=sys.argv[1]))
