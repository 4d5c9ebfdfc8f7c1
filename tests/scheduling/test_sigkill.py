"""A scheduler that is killed with SIGKILL at each of its commits loses no firing and doubles none (rule 16.2)."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from eventually import eventually
from outlast import RunStatus
from outlast.storage.sqlite import SqliteStore
from scheduling.scheduler_process import HOURLY, MIDNIGHT, Standing, app_on

SCRIPT = Path(__file__).with_name("scheduler_process.py")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("commit", range(1, 6))
async def test_firing_survives_sigkill_at_each_commit(commit: int, mode: str, tmp_path: Path) -> None:
    """16.2: the commits are those of the life of the worker, of the firing, and of the run that it starts."""
    path = tmp_path / "store.db"
    async with app_on(_store(path), Standing(MIDNIGHT), HOURLY):
        pass
    process = await asyncio.create_subprocess_exec(sys.executable, SCRIPT, str(path), str(commit), mode)
    try:
        async with asyncio.timeout(50):
            assert await process.wait() == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    async with app_on(_store(path), Standing(MIDNIGHT.replace(hour=1)), HOURLY) as app:

        async def have_fired() -> bool:
            return bool(await app.schedules.triggers("wf_hourly"))

        await eventually(have_fired)
        (trigger,) = await app.schedules.triggers("wf_hourly")
        assert (trigger.outcome, trigger.scheduled_at) == ("fired", MIDNIGHT.replace(hour=1))
        result = await app.run(str(trigger.run_id)).result(timeout=30)
        assert (result.status, result.result) == (RunStatus.SUCCESS, 42)
        assert len((await app.list_runs(HOURLY)).runs) == 1


def _store(path: Path) -> SqliteStore:
    return SqliteStore(path, allow_network_filesystem=True)
