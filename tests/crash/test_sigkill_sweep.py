"""Real processes, real SIGKILL: a sweep of old runs that was cut off goes on in the next process."""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crash.processes import Nursery
from eventually import eventually
from load.test_many_finished_runs import OLD, RUNS, fill


def count(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(query).fetchone()[0])


def swept(path: Path) -> int:
    return count(path, "SELECT count(*) FROM runs WHERE status = 'deleted'")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_sweep_that_was_killed_is_finished_by_the_next_process(nursery: Nursery, tmp_path: Path) -> None:
    """17: in the background, by whatever worker lives; no crash leaves half a run, or takes one that is to be kept."""
    path = tmp_path / "store.db"
    await fill(path)
    events = count(path, "SELECT count(*) FROM events")
    async with nursery.open(path) as process:
        await eventually(lambda: swept(path), within=60)
        await process.kill()
    killed_at = swept(path)

    async with nursery.open(path) as process:
        await eventually(lambda: swept(path) == OLD, within=120)
        await eventually(lambda: count(path, "SELECT count(*) FROM runs WHERE status = 'deleted' AND head") == 0)
        await process.close()

    print(f"killed after {killed_at} of {OLD} runs")
    assert count(path, "SELECT count(*) FROM runs") == RUNS
    assert count(path, "SELECT count(*) FROM events") == events // RUNS * (RUNS - OLD)
    assert count(path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1
