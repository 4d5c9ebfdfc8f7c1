"""The workloads that need a second process: starting beside a busy worker, recovery, and the import."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.held import gate, held
from benchmarks.ours import Durability, chain, location
from benchmarks.subject import Sizes, WrongResultError, expect
from benchmarks.workloads import percentile
from outlast import Outlast, RunStatus

__all__ = ["ROOT", "Child", "child", "import_outlast", "recovery", "w7"]

ROOT = Path(__file__).parent.parent
# What a program that uses pydantic has loaded anyway; pydantic loads most of itself only when it is used.
LOAD_PYDANTIC = "import typing_extensions, pydantic.json_schema; pydantic.TypeAdapter(pydantic.BaseModel)"
# Starts back to back would be over before the worker has done much beside them.
FOREIGN_PAUSE = 0.002
PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)([\w.]+)")


class Child:
    """A process that plays a part of `benchmarks.child`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WrongResultError(f"the second process ended early: status {self._process.wait()}")
        return json.loads(line)

    def say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def child(
    part: str, directory: Path, durability: Durability, number: int, *, source: Path | None = None
) -> Iterator[Child]:
    """Start a second process, with the Outlast of this source if one is named."""
    command = [sys.executable, "-m", "benchmarks.child", part, str(directory), durability, str(number)]
    environment = {**os.environ, "PYTHONPATH": str(source)} if source is not None else None
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Child(process)
        except BaseException:
            process.kill()
            raise


async def w7(durability: Durability, directory: Path, sizes: Sizes) -> dict[str, float]:
    """Start runs from a process that only starts, beside a worker at full speed."""
    times: list[float] = []
    with child("busy", directory, durability, sizes.width) as worker:
        worker.hear()
        async with Outlast([chain(1)], **location(directory, durability), worker=False) as app:
            started = []
            for n in range(sizes.foreign_starts):
                await asyncio.sleep(FOREIGN_PAUSE)
                run = await app.create_run(chain(1))
                began = time.perf_counter()
                started.append(await run.start_async(input_data={"n": n}))
                times.append(time.perf_counter() - began)
            worker.stop()
            rate = worker.hear()["rate"]
            # The worker may have ended before it came to the last ones; then it left them to the next worker.
            async with Outlast([chain(1)], **location(directory, durability)):
                for n, run in enumerate(started):
                    expect("a run started beside a worker", (await run.result()).unwrap()["n"], n + 1)
    return {"p50": median(times) * 1000, "p99": percentile(times, 99) * 1000, "worker": rate}


async def recovery(durability: Durability, directory: Path, sizes: Sizes) -> dict[str, float]:
    """Kill a worker with all its runs in flight; a new one claims them and calls their steps again."""
    with child("hold", directory, durability, sizes.held_runs) as worker:
        worker.hear()
        worker.kill()
    gate.reset(sizes.held_runs)
    limits = {"max_runs": 2 * sizes.held_runs, "max_steps": 2 * sizes.held_runs}
    began = time.perf_counter()
    async with Outlast([held], **location(directory, durability), **limits) as app:
        await gate.until_all_came()
        elapsed = time.perf_counter() - began
        gate.open()
        for n in range(sizes.held_runs):
            result = await app.run(f"held-{n}").result()
            expect("a recovered run", (result.status, result.result), (RunStatus.SUCCESS, {"n": n + 1}))
    return {"seconds": elapsed}


def import_outlast() -> dict[str, float]:
    """Import outlast where pydantic is loaded already, and count what is not pydantic's."""
    command = [sys.executable, "-X", "importtime", "-c", f"{LOAD_PYDANTIC}; print('ready'); import outlast"]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    lines = [(int(own), int(total), len(indent), name) for own, total, indent, name in IMPORT_LINE.findall(run.stderr)]
    names = [name for *_, name in lines]
    # Lines come when a module has loaded, those it imports before it: the block of a top one ends with its own line.
    end = names.index("outlast")
    begin = max((index + 1 for index in range(end) if lines[index][2] <= lines[end][2]), default=0)
    ours = sum(own for own, _, _, name in lines[begin : end + 1] if name.partition(".")[0] not in PYDANTIC)
    return {"ms": ours / 1000}
