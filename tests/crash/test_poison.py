"""Runs that kill the processes that drive them: rule 9.6, with real processes."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from crash.processes import Nursery, WorkerProcess
from crash.test_processes import Place
from crash.test_sigkill import LONG, opened, until_all_ended
from eventually import eventually
from outlast import Outlast, PoisonRunError, RunResult
from outlast.storage.sqlite import SqliteStore
from outlast.testing.conformance.scenario import LEASE, NOW, hold

INNOCENT = ["innocent-0", "innocent-1", "innocent-2"]
SUSPECTS = ["suspect-0", "suspect-1"]


@pytest.fixture
def place(nursery: Nursery, tmp_path: Path) -> Place:
    return Place(nursery, tmp_path)


async def crashes_of(place: Place, run_id: str) -> int:
    async with opened(place.path) as store:
        row = await store.find_run(run_id)
        assert row is not None
        return [record.type for record in await store.load_records(row.key)].count("run-crashed")


async def result_of(place: Place, run_id: str) -> RunResult[Any]:
    store = SqliteStore(place.path, allow_network_filesystem=True)
    async with Outlast([], store=store, worker=False) as app:
        return await app.run(run_id).snapshot()


async def drive_until_it_ends(place: Place, run_id: str, **options: object) -> int:
    """Open one process after the other until the run has ended in one; return how many died."""
    for deaths in range(20):
        async with place.open(lease=LONG, **options) as process:
            process.do("open_gate", name="async")
            process.do("result", run_id=run_id)
            try:
                await process.event("result", run_id=run_id)
            except AssertionError:  # it died
                continue
            return deaths
    raise AssertionError(f"{run_id} never ended")


async def begin_poison(place: Place, **options: object) -> None:
    """Start innocent runs and one that kills the process; return when it is dead."""
    async with place.open(lease=LONG, **options) as process:
        for run_id in INNOCENT:
            await place.start(process, "held", run_id)
            await process.event("body", run_id=run_id)
        place.ask_to_start(process, "poison", "poison")
        await process.end()


@pytest.mark.parametrize(
    ("options", "allowed"), [({"max_recoveries": 2}, 2), pytest.param({}, 5, marks=pytest.mark.slow)]
)
async def test_run_that_kills_its_process_ends_failed(place: Place, options: dict[str, Any], allowed: int) -> None:
    """9.6: `max_recoveries=5`, then `failed` with `PoisonRunError`, naming the step."""
    await begin_poison(place, **options)
    deaths = 1 + await drive_until_it_ends(place, "poison", **options)
    result = await result_of(place, "poison")

    assert deaths == allowed + 1
    assert (result.status, result.error_path) == ("failed", "kill_process")
    with pytest.raises(PoisonRunError, match="kill_process"):
        result.unwrap()
    assert place.calls("poison") == {("kill_process", 0): allowed + 1}
    assert await crashes_of(place, "poison") == allowed + 1


async def test_workflow_may_say_how_often(place: Place) -> None:
    """9.6, 21: `max_recoveries` on the app and the workflow: what the workflow says counts for its own runs."""
    async with place.open(lease=LONG) as process:
        place.ask_to_start(process, "rarely", "poison")
        await process.end()
    deaths = 1 + await drive_until_it_ends(place, "poison")
    result = await result_of(place, "poison")

    assert (deaths, result.status, result.error_path) == (2, "failed", "poison.kill_process")
    with pytest.raises(PoisonRunError):
        result.unwrap()


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [2, 5])
async def test_innocent_runs_of_the_same_worker_end_in_success(place: Place, allowed: int) -> None:
    """9.6: innocent runs of the same worker never fail for it; only a crash in its turn counts further."""
    await begin_poison(place, max_recoveries=allowed)
    await drive_until_it_ends(place, "poison", max_recoveries=allowed)
    async with place.open(lease=LONG, max_recoveries=allowed) as process:
        process.do("open_gate", name="async")
        await until_all_ended(place.path, INNOCENT, within=20)
    results = {run_id: await result_of(place, run_id) for run_id in INNOCENT}
    crashes = {run_id: await crashes_of(place, run_id) for run_id in INNOCENT}

    assert {run_id: (str(each.status), each.result) for run_id, each in results.items()} == dict.fromkeys(
        INNOCENT, ("success", 3)
    )
    assert max(crashes.values()) <= 2


async def test_drain_is_not_counted_as_a_crash(place: Place) -> None:
    """9.6: counted is a crash of the process, not a drain: however often a body is left behind on leaving."""
    async with place.open(drain=0) as process:
        await place.start(process, "held")
        await process.event("body")
        await process.close()
    for _ in range(3):
        async with place.open(drain=0, max_recoveries=1) as process:
            await process.event("body", recovered=True)
            await process.close()
    async with place.open(max_recoveries=1) as process:
        process.do("open_gate", name="async")
        process.do("result", run_id="run")
        await process.event("result", status="success")

    assert await crashes_of(place, "run") == 0


@pytest.mark.slow
async def test_lost_lease_is_not_counted_as_a_crash(place: Place) -> None:
    """9.6: nor is a process that was stopped for longer than its lease; it may be killed then."""
    async with place.open(lease=1) as stopped:
        await place.start(stopped, "held")
        await stopped.event("body")
        stopped.signal(signal.SIGSTOP)
        async with place.open(lease=LONG) as other:
            await other.event("body", recovered=True)
            await stopped.kill()
            other.do("open_gate", name="async")
            other.do("result", run_id="run")
            await other.event("result", status="success")

    assert await crashes_of(place, "run") == 0


async def test_crash_of_a_process_that_rests_is_not_counted(place: Place) -> None:
    """9.6: counted is a crash while a body of the run was started without outcome."""
    async with place.open(lease=LONG) as process:
        await place.start(process, "pair")
        await until_all_ended(place.path, ["run"], within=20)
        await process.kill()
    async with place.open(lease=LONG) as process:
        await place.start(process, "pair", "next")
        await until_all_ended(place.path, ["next"], within=20)

    assert await crashes_of(place, "run") == 0


async def make_suspects(place: Place) -> None:
    """Have two runs in flight in two processes that are killed."""
    async with place.open(lease=LONG) as process:
        for run_id in SUSPECTS:
            await place.start(process, "held", run_id)
            await process.event("body", run_id=run_id)
        await process.kill()
    async with place.open(lease=LONG) as process:
        for run_id in SUSPECTS:
            await process.event("body", run_id=run_id, recovered=True)
        await process.kill()


async def first_in_its_turn(place: Place, one: WorkerProcess, two: WorkerProcess) -> tuple[str, str, WorkerProcess]:
    """Wait for the suspect that has its turn, and until the other one waits for it; say who drives the first."""
    lines = await eventually(lambda: place.effects.read_text().splitlines()[2 * len(SUSPECTS) :])
    first = lines[0].split()[0]
    second = next(run_id for run_id in SUSPECTS if run_id != first)

    async def waits_for_its_turn() -> bool:
        row = await place.row(second)
        return row.status == "waiting" and await crashes_of(place, second) == 2

    await eventually(waits_for_its_turn)
    async with opened(place.path) as store:
        owner = (await place.row(first)).owner
        pid = next(row.pid for row in await store.list_workers() if row.key == owner)
    return first, second, one if one.pid == pid else two


async def says_that_it_waits(place: Place, run_id: str) -> bool:
    """Ask `why` in a third process."""
    store = SqliteStore(place.path, allow_network_filesystem=True)
    async with Outlast([], store=store, worker=False) as app:
        why = await app.run(run_id).why()
    return why.startswith(
        "processes ended by themselves 2 times while they called its bodies, "
        "so it goes on only while no other such run does on this machine; "
    )


async def test_suspects_run_one_at_a_time_on_a_machine(place: Place) -> None:
    """9.6: from the second count on; also with two worker processes, of which one has nothing else to do."""
    await make_suspects(place)
    async with place.open(lease=LONG) as one, place.open(lease=LONG) as two:
        first, second, _ = await first_in_its_turn(place, one, two)
        await eventually(lambda: says_that_it_waits(place, second))
        before = place.effects.read_text().splitlines()
        for process in (one, two):
            process.do("open_gate", name="async")
        await until_all_ended(place.path, SUSPECTS, within=20)

    after = place.effects.read_text().splitlines()[len(before) - 1 :]
    assert len(before) == 2 * len(SUSPECTS) + 1
    assert after == [f"{run_id} {path} 0" for run_id in (first, second) for path in ("wait_async", "settle")]


@pytest.mark.slow
async def test_turn_is_free_when_the_process_of_a_suspect_dies(place: Place) -> None:
    """9.6: whoever has the turn loses it at once when its process ends."""
    await make_suspects(place)
    async with place.open(lease=LONG) as one, place.open(lease=LONG) as two:
        _, _, holder = await first_in_its_turn(place, one, two)
        survivor = two if holder is one else one
        await holder.kill()
        survivor.do("open_gate", name="async")
        await until_all_ended(place.path, SUSPECTS, within=20)
    results = [await result_of(place, run_id) for run_id in SUSPECTS]

    assert [(str(each.status), each.result) for each in results] == [("success", 3)] * 2


async def test_power_cut_is_not_counted_as_a_crash(tmp_path: Path) -> None:
    """9.6: after a reboot nobody knows what ended the process; the power, probably."""
    path = tmp_path / "store.db"
    async with opened(path) as store:
        held = await hold(store)
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.execute("UPDATE workers SET boot_id = 'the one before'")
    finally:
        connection.close()
    async with opened(path) as store:
        worker = await store.register_worker(workflows=[], lease=LEASE)
        freed = await store.bury_dead_workers(now_ms=NOW)
        (claimed,) = await store.claim(worker, graphs=[held.graph], now_ms=NOW, limit=1)

    assert (freed, claimed.has_crashed) == (1, False)
