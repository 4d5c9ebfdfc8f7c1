"""Every reference workflow, killed at every one of its commits, in every mode: nothing is lost, nothing recorded twice.

The death is simulated at the commit seam: the store of the first process writes nothing more, and its locks are free as
after `kill -9`. Opening an app on the same data is all that recovery takes.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from crash.audit import check_effects, check_run
from crash.reference import ALL, CHAIN, NESTED, PARALLEL, RETRIES, Reference, effects_of
from crash.struck import check_struck
from outlast import Outlast, RunExistsError, RunNotFoundError, RunResult
from outlast.errors import StoreUnavailableError
from outlast.storage.base import CommitSeam, Store
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.storage.sqlite import SqliteStore
from outlast.testing.faults import CountCommits, FaultMode, KillAt

RUN = "run"


@dataclass
class Disk:
    """One set of data that several processes open, and the effects of the bodies beside it."""

    open_store: Callable[[CommitSeam | None], Store]
    effects: Path


class Ground:
    """Makes fresh data for each case."""

    def __init__(self, kind: str, directory: Path) -> None:
        self._kind = kind
        self._directory = directory
        self._numbers = count()

    def fresh(self) -> Disk:
        directory = self._directory / str(next(self._numbers))
        directory.mkdir()
        if self._kind == "memory":
            database = MemoryDatabase()
            return Disk(lambda seam: MemoryStore(database, seam=seam), directory / "effects")
        return Disk(lambda seam: self._sqlite(directory / "store.db", seam), directory / "effects")

    def _sqlite(self, path: Path, seam: CommitSeam | None) -> SqliteStore:
        durability: Any = self._kind
        return SqliteStore(path, durability=durability, allow_network_filesystem=True, seam=seam)


@pytest.fixture(params=["memory", *(pytest.param(each, marks=pytest.mark.slow) for each in ("normal", "full"))])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    return Ground(request.param, tmp_path)


@pytest.fixture(params=ALL, ids=lambda reference: reference.name)
def reference(request: pytest.FixtureRequest) -> Reference:
    return request.param


@pytest.fixture(params=["before", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("after", "lost"))])
def mode(request: pytest.FixtureRequest) -> FaultMode:
    return request.param


async def live(
    reference: Reference, disk: Disk, seam: CountCommits | KillAt, *, starts: bool = True, **options: Any
) -> bool:
    """Live one life of a process, up to the end of the run or of the process. Say whether `start_async` returned."""
    loop = asyncio.get_running_loop()
    died = asyncio.Event()
    if isinstance(seam, KillAt) and seam.is_deadly:
        seam.on_strike = lambda: loop.call_soon_threadsafe(died.set)
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    returned = not starts
    with suppress(StoreUnavailableError):
        async with (
            asyncio.timeout(15) as deadline,
            Outlast([reference.workflow], store=disk.open_store(seam), drain=timedelta(), **options) as app,
        ):
            if starts:
                run = await app.create_run(reference.workflow, run_id=RUN)
                await run.start_async(input_data=reference.input, request_context={"effects": str(disk.effects)})
                returned = True
            result = asyncio.create_task(app.run(RUN).result())
            death = asyncio.create_task(died.wait())
            await asyncio.wait([result, death], return_when=asyncio.FIRST_COMPLETED)
            for task in (result, death):
                task.cancel()
            await asyncio.gather(result, death, return_exceptions=True)
    loop.set_exception_handler(None)
    assert not complaints
    assert not deadline.expired(), "hung"
    return returned


async def recover(reference: Reference, disk: Disk) -> RunResult[Any] | None:
    """Open an app on what a dead process left and wait for the run; None if it was never recorded."""
    async with Outlast([reference.workflow], store=disk.open_store(None)) as app:
        try:
            return await app.run(RUN).result(timeout=10)
        except RunNotFoundError:
            return None


async def check_starts(disk: Disk) -> None:
    """Every body that was called has its start in the journal; sync maps alone may run before their commit."""
    store = disk.open_store(None)
    await store.open()
    row = await store.find_run(RUN)
    records = [] if row is None else await store.load_records(row.key)
    await store.close()
    started = {(record.path, record.attempt) for record in records if record.type == "step-started"}
    called = set(effects_of(disk.effects).get(RUN, ()))
    assert {each for each in called - started if each[0] != "split"} == set()


async def check_end(reference: Reference, disk: Disk, result: RunResult[Any], *, crashes: int) -> None:
    """Compare with a run that nobody disturbed."""
    assert result.status == ("success" if reference.result is not None else "failed")
    assert result.result == reference.result
    check_effects(reference, disk.effects, RUN, crashes=crashes)
    store = disk.open_store(None)
    await store.open()
    try:
        await check_run(store, RUN)
        assert not any(worker.is_alive for worker in await store.list_workers())
    finally:
        await store.close()


async def count_commits(reference: Reference, ground: Ground) -> int:
    """Run it undisturbed and count the commits from opening to closing."""
    disk, seam = ground.fresh(), CountCommits()
    assert await live(reference, disk, seam)
    result = await recover(reference, disk)
    assert result is not None
    await check_end(reference, disk, result, crashes=0)
    return seam.commits


@pytest.mark.timeout(60)
async def test_run_killed_at_any_commit_is_finished_by_the_next_process(
    reference: Reference, ground: Ground, mode: FaultMode
) -> None:
    """12.1: runs go on from the journal: a recorded outcome is never produced again. 12.2: recovery needs no call."""
    commits = await count_commits(reference, ground)

    struck = 0
    for number in range(1, commits + 1):
        disk, seam = ground.fresh(), KillAt(number, mode)
        has_returned = await live(reference, disk, seam)
        struck += seam.struck
        await check_starts(disk)
        result = await recover(reference, disk)
        if result is None:
            assert not has_returned, f"{seam}: start_async had returned, and the run is lost"
            continue
        await check_end(reference, disk, result, crashes=int(seam.struck and seam.is_deadly))

    print(f"{reference.name}, {mode}: killed at {struck} of {commits} commits")
    check_struck(struck, commits)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("reference", [CHAIN, NESTED, PARALLEL, RETRIES], ids=lambda reference: reference.name)
async def test_run_whose_recovery_is_killed_too_is_finished_by_the_third_process(
    reference: Reference, tmp_path: Path
) -> None:
    """12.1: the same holds for a process that dies while it recovers what another one left."""
    ground = Ground("normal", tmp_path)
    commits = await count_commits(reference, ground)

    pairs = 0
    for first in range(1, commits + 1):
        for second in count(1):
            disk, seam = ground.fresh(), KillAt(second, "after" if (first + second) % 2 else "before")
            has_returned = await live(reference, disk, KillAt(first, "before"))
            await live(reference, disk, seam, starts=False)
            result = await recover(reference, disk)
            assert result is not None or not has_returned
            if result is not None:
                await check_end(reference, disk, result, crashes=2)
            if result is None or not seam.struck:
                break
            pairs += 1

    print(f"{reference.name}: {pairs} pairs of commits")
    assert pairs > commits


async def test_start_whose_answer_was_lost_can_be_repeated_safely(ground: Ground) -> None:
    """2.4, 3.1: after a start that raised, starting the same id again either starts it or says that it exists."""
    commits = await count_commits(CHAIN, ground)

    struck = 0
    for number in range(1, commits + 1):
        disk, fault = ground.fresh(), KillAt(number, "after")
        await live(CHAIN, disk, fault)
        struck += fault.struck
        async with Outlast([CHAIN.workflow], store=disk.open_store(None)) as app:
            run = await app.create_run(CHAIN.workflow, run_id=RUN)
            with suppress(RunExistsError):
                await run.start_async(input_data=CHAIN.input, request_context={"effects": str(disk.effects)})
            result = await app.run(RUN).result(timeout=10)
        await check_end(CHAIN, disk, result, crashes=1)

    check_struck(struck, commits)
