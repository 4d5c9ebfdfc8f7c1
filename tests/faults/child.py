"""What happens inside a file system of its own: `python child.py SCENARIO DIRECTORY`. Says as JSON what it saw.

It runs as root of a user namespace, on a small file system in memory that nobody else sees.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from eventually import eventually
from outlast import Outlast, StoreUnavailableError, Workflow, step
from outlast.storage.sqlite import SqliteStore

Seen = dict[str, Any]

_gate: asyncio.Event


@step
async def fill(size: int) -> str:
    return "x" * size


@step
async def hold(text: str) -> int:
    await _gate.wait()
    return len(text)


filling = Workflow("filling", input=int, output=int).then(fill).then(hold).commit()


async def full_disk(directory: Path) -> Seen:
    """Start runs until the disk is full, make room, and count those that end."""
    ballast = directory / "ballast"
    ballast.write_bytes(b"0" * 2_000_000)
    store = SqliteStore(directory / "outlast.db", least_free=0)
    async with Outlast([filling], store=store) as app:
        answered, error = await start_until_refused(app)
        ballast.unlink()
        _gate.set()
        again = await (await app.create_run(filling)).start(input_data=10)
        results = [await app.run(run_id).result(timeout=20) for run_id in answered]
    return {
        "error": str(error),
        "answered": len(answered),
        "ended": sum(result.status == "success" for result in results),
        "again": again.status,
    }


async def low_disk(directory: Path) -> Seen:
    """Start runs until the guard refuses them, while there is room for those under way to end."""
    store = SqliteStore(directory / "outlast.db", least_free=24_000_000)
    async with Outlast([filling], store=store) as app:
        answered, error = await start_until_refused(app)
        results = await end_all(app, answered)
    return {
        "error": str(error),
        "answered": len(answered),
        "ended": sum(result.status == "success" for result in results),
    }


async def read_only(directory: Path) -> Seen:
    """Leave a run behind, find the file system read-only, and come back when it is writable again."""
    path = directory / "outlast.db"
    error: Exception | None = None
    store = SqliteStore(path, least_free=0)
    async with Outlast([filling], store=store, drain=timedelta(), worker=False) as app:
        started = await (await app.create_run(filling)).start_async(input_data=1_000)
    remount(directory, "ro")
    try:
        async with Outlast([filling], store=path):
            pass
    except Exception as refused:  # noqa: BLE001 - what is raised is what is looked at
        error = refused
    remount(directory, "rw")
    async with Outlast([filling], store=SqliteStore(path, least_free=0)) as app:
        result = (await end_all(app, [started.run_id]))[0]
    return {"error": f"{type(error).__name__}: {error}", "ended": int(result.status == "success")}


async def no_descriptors(directory: Path) -> Seen:
    """Run out of file descriptors while a run is under way, and get them back."""
    store = SqliteStore(directory / "outlast.db", least_free=0)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with Outlast([filling], store=store) as app:
        started = await (await app.create_run(filling)).start_async(input_data=1_000)
        await eventually(lambda: is_held(app, started.run_id))
        taken: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        error: Exception | None = None
        try:
            async with Outlast([filling], store=SqliteStore(directory / "outlast.db")):
                pass
        except Exception as refused:  # noqa: BLE001 - what is raised is what is looked at
            error = refused
        during = await (await app.create_run(filling)).start_async(input_data=10)
        for descriptor in taken:
            os.close(descriptor)
        results = await end_all(app, [started.run_id, during.run_id])
    return {
        "error": f"{type(error).__name__}: {error}",
        "ended": sum(result.status == "success" for result in results),
    }


async def start_until_refused(app: Outlast) -> tuple[list[str], Exception]:
    answered: list[str] = []
    while True:
        run = await app.create_run(filling)
        try:
            await run.start_async(input_data=100_000)
        except StoreUnavailableError as error:
            return answered, error
        answered.append(run.run_id)


async def end_all(app: Outlast, run_ids: list[str]) -> list[Any]:
    _gate.set()
    return [await app.run(run_id).result(timeout=20) for run_id in run_ids]


async def is_held(app: Outlast, run_id: str) -> bool:
    return "hold" in (await app.run(run_id).snapshot()).steps


def remount(directory: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(directory)], check=True)


async def main(scenario: Callable[[Path], Awaitable[Seen]], directory: Path) -> None:
    global _gate  # noqa: PLW0603 - made in the loop that uses it
    _gate = asyncio.Event()
    print(json.dumps(await scenario(directory)))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(globals()[sys.argv[1]], Path(sys.argv[2])))
