"""Real processes, real SIGKILL: a key with limit 5 never has 6 running (rule 19).

`OUTLAST_LIMIT_KILLS` sets how many processes are killed.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from crash.limited_process import LIMIT, LIMITED
from eventually import eventually
from outlast import Outlast
from outlast.storage.sqlite import SqliteStore

KILLS = int(os.environ.get("OUTLAST_LIMIT_KILLS", "4"))
KEYS = ("ann", "bob")
PROCESSES = 3


class Workers:
    """Processes that drive runs."""

    def __init__(self, path: Path, notes: Path) -> None:
        self._path = path
        self._environment = {**os.environ, "OUTLAST_NOTES": str(notes), "PYTHONPATH": os.pathsep.join(sys.path)}
        self.alive: list[asyncio.subprocess.Process] = []

    async def add(self) -> None:
        command = [sys.executable, "-m", "crash.limited_process", str(self._path)]
        process = await asyncio.create_subprocess_exec(
            *command, env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        self.alive.append(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"open\n"

    async def kill(self) -> None:
        process = self.alive.pop(0)
        process.kill()
        await process.communicate()


def most_at_once(notes: str) -> dict[str, int]:
    """Return how many runs of a key went on at a time. A run goes on from its first begin to its last end, also while
    nobody drives it."""
    spans: dict[tuple[str, str], list[int]] = defaultdict(list)
    for line in notes.splitlines():
        at, _, run_id, key = line.split()
        spans[key, run_id].append(int(at))
    most: dict[str, int] = {}
    for key in KEYS:
        edges = [edge for (k, _), times in spans.items() if k == key for edge in ((min(times), 1), (max(times), -1))]
        now = most[key] = 0
        for _, change in sorted(edges):
            now += change
            most[key] = max(most[key], now)
    return most


@pytest.mark.slow
@pytest.mark.timeout(180 + 10 * KILLS)
async def test_a_limit_holds_while_processes_are_killed(tmp_path: Path):
    """19: a killed process's run holds its place until somebody has driven it to its end."""
    notes = tmp_path / "notes"
    notes.touch()
    workers = Workers(tmp_path / "store.db", notes)
    store = SqliteStore(tmp_path / "store.db", durability="normal", allow_network_filesystem=True)
    async with Outlast([LIMITED], store=store, worker=False) as app:
        ids: list[str] = []
        try:
            for _ in range(PROCESSES):
                await workers.add()
            for _ in range(KILLS):
                begun = notes.read_text().count("begin")
                ids += await app.start_many(LIMITED, [{"input_data": key} for key in KEYS for _ in range(20)])
                await eventually(lambda begun=begun: notes.read_text().count("begin") >= begun + LIMIT, within=60)
                await workers.kill()
                await workers.add()
            for run_id in ids:
                (await app.run(run_id).result(timeout=120)).unwrap()
        finally:
            while workers.alive:
                await workers.kill()

    text = notes.read_text()
    assert len({line.split()[2] for line in text.splitlines() if " end " in line}) == len(ids)
    most = most_at_once(text)
    print(f"\n{len(ids)} runs, {text.count('begin') - len(ids)} bodies killed, at most {most} at a time")
    assert all(1 < most[key] <= LIMIT for key in KEYS)
