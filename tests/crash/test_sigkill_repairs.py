"""Real processes, real SIGKILL: what a restart, a time travel, a fork or a step promised is there in the next process.

Half of the processes are killed as soon as the verb has returned. The others are killed at any moment before or after
it; then the run goes on, or rests as it did, and the verb can be used again.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from chance import first_seed
from crash.processes import Nursery, WorkerProcess
from crash.reference import COPY, REPAIRED_KEPT, REPAIRED_RESULT, effects_of
from eventually import eventually

LONG = 600.0  # a lease that no test lives through: only a free lock can tell that its owner is dead
KILLS = int(os.environ.get("OUTLAST_KILLS", "6"))
RUNS = [f"run-{number}" for number in range(KILLS)]


async def leave_at_rest(nursery: Nursery, path: Path, effects: Path, workflow: str, *, per_step: bool = False) -> None:
    """Let runs come to rest in a process of their own."""
    async with nursery.open(path, lease=LONG) as process:
        for run_id in RUNS:
            process.do("start", workflow=workflow, run_id=run_id, input=1, effects=str(effects), per_step=per_step)
        for run_id in RUNS:
            await process.event("started", run_id=run_id)
            assert await status_of(process, run_id) in ("failed", "paused")
        await process.close()


async def status_of(process: WorkerProcess, run_id: str) -> str:
    return str((await result_of(process, run_id))[0])


async def result_of(process: WorkerProcess, run_id: str) -> tuple[str, object]:
    process.do("result", run_id=run_id)
    event = await process.event_of(("result", "error"), run_id=run_id)
    return event.get("status", event.get("type")), event.get("result")


async def repair_and_kill(nursery: Nursery, path: Path, run_id: str, verb: str, *, after_s: float | None) -> bool:
    """Use a verb and kill, once it has returned or after a moment; say whether it was seen to return."""
    async with nursery.open(path, lease=LONG) as process:
        process.do("repair", run_id=run_id, way=verb)
        if after_s is None:
            await process.event("repaired", run_id=run_id)
            await process.kill()
            return True
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=after_s)
        return any(event["event"] == "repaired" for event in await process.kill())


async def kill_in_repairs(nursery: Nursery, path: Path, verb: str) -> dict[str, bool]:
    """Repair each of the runs in a process that is killed; return which of the verbs were seen to return."""
    chance, told = random.Random(first_seed()), {}
    for number, run_id in enumerate(RUNS):
        after_s = chance.uniform(0.0, 0.02) if number % 2 else None
        told[run_id] = await repair_and_kill(nursery, path, run_id, verb, after_s=after_s)
    return told


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("verb", ["restart", "time_travel", "fork"])
async def test_repair_survives_sigkill(nursery: Nursery, tmp_path: Path, verb: str) -> None:
    """3.1, 12.3, 12.4: durable when it returns; a worker picks it up by itself; what is kept is never called again."""
    path, effects = tmp_path / "store.db", tmp_path / "effects"
    await leave_at_rest(nursery, path, effects, "repaired")

    told = await kill_in_repairs(nursery, path, verb)

    async with nursery.open(path, lease=LONG) as process:
        for run_id in RUNS:
            target = f"{COPY}-{run_id}" if verb == "fork" else run_id
            found = await result_of(process, target)
            if not told[run_id] and found != ("success", REPAIRED_RESULT):
                assert found[0] in ("failed", "RunNotFoundError")
                process.do("repair", run_id=run_id, way=verb)
                await process.event("repaired", run_id=run_id)
                found = await result_of(process, target)
            assert found == ("success", REPAIRED_RESULT), f"{verb} of {run_id} had returned: {told[run_id]}"
            if verb == "fork":
                assert await status_of(process, run_id) == "failed"
        await process.close()
    calls = effects_of(effects)
    for run_id in RUNS:
        assert {each: calls[run_id][each] for each in REPAIRED_KEPT} == dict.fromkeys(REPAIRED_KEPT, 1)
        assert not REPAIRED_KEPT & calls.get(f"{COPY}-{run_id}", {}).keys()
    print(f"{verb}: {sum(told.values())} of {KILLS} had returned before the kill")


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_step_of_a_paused_run_survives_sigkill(nursery: Nursery, tmp_path: Path) -> None:
    """3.1, 12.6: once it returned the next node is run, and the run pauses behind it and not further on."""
    path, effects = tmp_path / "store.db", tmp_path / "effects"
    await leave_at_rest(nursery, path, effects, "stepped", per_step=True)

    told = await kill_in_repairs(nursery, path, "step")

    async with nursery.open(path, lease=LONG) as process:
        for run_id in RUNS:
            if told[run_id]:  # it is on disk, and done without anybody asking again
                await eventually(lambda run_id=run_id: effects_of(effects)[run_id]["double", 0], within=30)
                assert await status_of(process, run_id) == "paused"
                assert effects_of(effects)[run_id]["last", 0] == 0
            while (found := await result_of(process, run_id))[0] == "paused":
                process.do("repair", run_id=run_id, way="step")  # refused while an earlier one is not done
                await process.event_of(("repaired", "error"), run_id=run_id)
            calls = effects_of(effects)[run_id]
            assert found == ("success", 5)
            assert (calls["add_one", 0], calls["last", 0]) == (1, 1)
            assert 1 <= calls["double", 0] <= 2
        await process.close()
