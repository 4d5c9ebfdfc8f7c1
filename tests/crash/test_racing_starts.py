"""Fifty real processes start under one idempotency key: rule 2.5."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outlast import Outlast, RunStatus
from outlast.storage.sqlite import SqliteStore

from crash.racing_starts import COUNT  # isort: skip

PROCESSES = 50


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_racing_processes_with_one_key_give_one_run(tmp_path: Path) -> None:
    """2.5: decided in the insert transaction; everybody gets the id of the one run."""
    path = tmp_path / "store.db"
    script = Path(__file__).with_name("racing_starts.py")
    command = [sys.executable, "-W", "error", str(script), str(path), str(PROCESSES)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)  # noqa: ASYNC221

    assert done.returncode == 0, done.stderr
    ids = done.stdout.split()
    assert len(ids) == PROCESSES
    assert len(set(ids)) == 1
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    async with Outlast([COUNT], store=store, worker=False) as app:
        page = await app.list_runs()
        assert [(run.run_id, run.status) for run in page.runs] == [(ids[0], RunStatus.PENDING)]
