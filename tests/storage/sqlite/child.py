"""What the other processes of these tests do: `python child.py COMMAND PATH DURABILITY`, then words on stdin."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from outlast.core.status import RunStatus
from outlast.storage.base import Append, Receipt
from outlast.storage.sqlite import SqliteStore
from outlast.storage.sqlite.connection import Synchronous
from outlast.testing.conformance.scenario import LEASE, append, hold, insert, new_run, records


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - the parent reads it


async def hear() -> str:
    """Return the next word of the parent; empty when it has gone."""
    return (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip()


async def race(store: SqliteStore) -> None:
    """Insert runs that siblings insert too, and append to those that were won."""
    graph = await store.ensure_graph("orders", "v1", b"{}")
    worker = await store.register_worker(workflows=["orders"], lease=LEASE)
    say("ready")
    await hear()

    async def one(number: int) -> str:
        receipt = await insert(store, new_run(graph, f"run-{number}", owner=worker))
        if not isinstance(receipt, Receipt):
            return type(receipt).__name__
        for seq in range(2, 12):
            write = Append(run=receipt.run, owner=worker, epoch=1, records=records(seq, 1), status=RunStatus.RUNNING)
            outcome = await append(store, write)
            assert isinstance(outcome, Receipt), outcome
        return "Receipt"

    names = await asyncio.gather(*[one(number) for number in range(200)])
    say(*(f"{name}={names.count(name)}" for name in sorted(set(names))))


async def own(store: SqliteStore) -> None:
    """Own a run; append to it or renew the lease whenever told, and say what came of it."""
    held = await hold(store, "run")
    say("ready", held.worker)
    seq = 2
    while word := await hear():
        if word == "append":
            outcome = await append(store, held.write(seq))
            seq += isinstance(outcome, Receipt)
            say(type(outcome).__name__)
        elif word == "renew":
            say(store.renew_lease(held.worker, LEASE))


async def forks(store: SqliteStore) -> None:
    """Own a run, fork a child that lives on, and end."""
    await hold(store)
    if os.fork():
        say("ready")
    else:
        os.read(0, 1)  # until the parent of the parent closes it
        say("child ended")
    os._exit(0)


async def busy(store: SqliteStore) -> None:
    """Append to fifty runs as fast as possible until killed."""
    worker = (await hold(store, "busy")).worker
    helds = [await hold(store, f"busy-{number}", worker=worker) for number in range(50)]
    count = 0

    async def drive(number: int) -> None:
        nonlocal count
        for seq in range(2, 10_000_000):
            await append(store, replace(helds[number]).write(seq))
            count += 1
            if count == 1_000:
                say("ready")

    await asyncio.gather(*[drive(number) for number in range(50)])


async def starts(store: SqliteStore) -> None:
    """Start runs one after the other and say how long the slowest took, in milliseconds."""
    graph = await store.ensure_graph("orders", "v1", b"{}")
    slowest = 0.0
    for number in range(200):
        begun = time.perf_counter()
        assert isinstance(await insert(store, new_run(graph, f"started-{number}")), Receipt)
        slowest = max(slowest, time.perf_counter() - begun)
    say("slowest", round(slowest * 1000))


async def main(command: Callable[[SqliteStore], object], path: str, durability: str) -> None:
    store = SqliteStore(path, durability=cast(Synchronous, durability), allow_network_filesystem=True)
    await store.open()
    await command(store)  # type: ignore[misc]
    await store.close()


if __name__ == "__main__":
    commands = {"race": race, "own": own, "forks": forks, "busy": busy, "starts": starts}
    asyncio.run(main(commands[sys.argv[1]], *sys.argv[2:]))
