"""Starts over HTTP: `python -m benchmarks.http [seconds] [connections]`.

A web process that only starts runs, a worker process that drives them, both on one file, and this process, which asks.
Every id that was answered must be found finished in the end. The three share the cores: the time of the processor that
the web process took for each start says more on a machine that has other things to do.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from outlast import Outlast, RunStatus, Workflow, step

BODY = json.dumps({"inputData": {"n": 1}}).encode()
REQUEST = (
    b"POST /api/workflows/inc/start HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


@step
async def inc(value: dict[str, int]) -> dict[str, int]:
    return {"n": value["n"] + 1}


INC = Workflow("inc").then(inc).commit()


async def web(store: str) -> None:
    from outlast.server import serve  # noqa: PLC0415 - the other processes do without the extra

    app = Outlast([INC], store=store, durability="normal", worker=False)
    await serve(app, port=0, on_ready=lambda url: print(url.rpartition(":")[2], flush=True))


async def worker(store: str) -> None:
    async with Outlast([INC], store=store, durability="normal"):
        print("ready", flush=True)
        await asyncio.Event().wait()


@contextmanager
def child(role: str, store: str) -> Iterator[tuple[int, str]]:
    """One more process; gives its id, and the line that it prints when it is ready."""
    command = [sys.executable, "-m", "benchmarks.http", role, store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline().strip()
        finally:
            process.terminate()


def cpu_seconds(pid: int) -> float:
    """How long a process has had a processor, on Linux; 0 elsewhere."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    times = stat.read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


async def ask(port: int, until: float, took: list[float], ids: list[str]) -> None:
    """Start one run after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        begun = time.perf_counter()
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        took.append(time.perf_counter() - begun)
        ids.append(body["runId"])
    writer.close()
    await writer.wait_closed()


async def measure(seconds: float, connections: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "runs.db")
        took: list[float] = []
        ids: list[str] = []
        with child("worker", store), child("web", store) as (web_pid, port):
            begun, begun_cpu = time.perf_counter(), cpu_seconds(web_pid)
            await asyncio.gather(*(ask(int(port), begun + seconds, took, ids) for _ in range(connections)))
            elapsed, cpu = time.perf_counter() - begun, cpu_seconds(web_pid) - begun_cpu
            unfinished = await count_unfinished(store, len(ids))
        took.sort()
        print(
            f"{len(ids)} starts in {elapsed:.1f} s over {connections} connections: {len(ids) / elapsed:,.0f} a second"
        )
        print(f"{cpu / len(ids) * 1e6:.0f} microseconds of processor for each, in the web process")
        p50, p99 = (took[int(len(took) * part)] * 1000 for part in (0.5, 0.99))
        print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {took[-1] * 1000:.1f} ms")
        print(f"answered {len(set(ids))} different ids; {unfinished} of them not finished a minute later")


async def count_unfinished(store: str, started: int) -> int:
    """Wait until all runs have ended, and return how many have not."""
    async with Outlast([INC], store=store, worker=False) as app:
        deadline = time.perf_counter() + 60
        while True:
            counts = await app.counts(INC)
            missing = started - counts.get("inc", {}).get(RunStatus.SUCCESS, 0)
            if not missing or time.perf_counter() > deadline:
                return missing
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["web", store]:
            uvloop.run(web(store))
        case ["worker", store]:
            asyncio.run(worker(store))
        case [*numbers]:
            seconds, connections = ([float(each) for each in numbers] + [10.0, 32.0][len(numbers) :])[:2]
            asyncio.run(measure(seconds, int(connections)))
