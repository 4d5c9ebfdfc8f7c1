"""Every verb that opens an execution or lets a run go on, killed at every one of its commits, in every mode (rule 3.1).

What the caller was told holds in the next process; what it was not told is either there or not, and then the verb can
be used again. Steps whose results are kept are never called again.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crash.reference import COPY, REPAIRED, REPAIRED_KEPT, REPAIRED_RESULT, STEPPED, effects_of
from crash.struck import check_struck
from crash.test_every_commit import Disk, Ground
from eventually import eventually
from outlast import (
    Outlast,
    RunHandle,
    RunNotFoundError,
    RunResult,
    RunStateError,
    RunStatus,
)
from outlast.errors import RunExistsError, StoreUnavailableError
from outlast.testing.faults import CountCommits, FaultMode, KillAt

RUN = "run"


@dataclass(frozen=True)
class Verb:
    """One verb, and what holds after it."""

    name: str
    ask: Callable[[RunHandle[Any]], Awaitable[Any]]
    target: str = RUN
    """The run that it lets go on."""
    execution: int = 1
    status: str = "success"


def has_answered(verb: Verb, result: RunResult[Any] | None) -> bool:
    """Say whether the run did what the verb asks for."""
    return (
        result is not None
        and result.execution == verb.execution
        and (result.status, result.result)
        == (
            verb.status,
            REPAIRED_RESULT,
        )
    )


VERBS = [
    Verb("restart", lambda run: run.restart_async()),
    Verb("time travel", lambda run: run.time_travel_async("child.fail_at_first")),
    Verb("fork", lambda run: run.fork_async("child.fail_at_first", run_id=COPY), target=COPY, execution=0),
]


@pytest.fixture(params=["memory", *(pytest.param(each, marks=pytest.mark.slow) for each in ("normal", "full"))])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    return Ground(request.param, tmp_path)


@pytest.fixture(params=["before", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("after", "lost"))])
def mode(request: pytest.FixtureRequest) -> FaultMode:
    return request.param


async def prepare(disk: Disk, workflow: Any, **options: Any) -> None:
    """Let a run come to rest in a process of its own."""
    async with Outlast([workflow], store=disk.open_store(None)) as app:
        run = await app.create_run(workflow, run_id=RUN)
        result = await run.start(input_data=1, request_context={"effects": str(disk.effects)}, **options)
        assert result.status in ("failed", "paused")


async def live(
    disk: Disk, workflow: Any, seam: CountCommits | KillAt, drive: Callable[[Outlast], Awaitable[None]]
) -> None:
    """Live one life of a process that may die at a commit."""
    loop = asyncio.get_running_loop()
    died = asyncio.Event()
    if isinstance(seam, KillAt) and seam.is_deadly:
        seam.on_strike = lambda: loop.call_soon_threadsafe(died.set)
    with suppress(StoreUnavailableError):
        async with asyncio.timeout(15), Outlast([workflow], store=disk.open_store(seam), drain=timedelta()) as app:
            driving = asyncio.ensure_future(drive(app))
            death = asyncio.ensure_future(died.wait())
            await asyncio.wait([driving, death], return_when=asyncio.FIRST_COMPLETED)
            driving.cancel()
            death.cancel()
            await asyncio.gather(driving, death, return_exceptions=True)


async def found(app: Outlast, verb: Verb) -> RunResult[Any] | None:
    try:
        return await app.run(verb.target).result(timeout=10)
    except RunNotFoundError:
        return None


async def check(verb: Verb, disk: Disk, *, was_told: bool, crashes: int) -> None:
    """The next process finds the run where the caller was told that it is, or can use the verb again."""
    async with Outlast([REPAIRED], store=disk.open_store(None)) as app:
        result = await found(app, verb)
        assert has_answered(verb, result) or not was_told, f"{verb.name} had returned, and its execution is lost"
        if not has_answered(verb, result):
            await verb.ask(app.run(RUN))
            result = await found(app, verb)
        assert has_answered(verb, result)
        original = await app.run(RUN).result(execution=0)
        assert original.status is RunStatus.FAILED
    effects = effects_of(disk.effects)
    assert {each: count for each, count in effects[RUN].items() if each in REPAIRED_KEPT} == dict.fromkeys(
        REPAIRED_KEPT, 1
    )
    again: Counter[tuple[str, int]] = effects.get(verb.target, Counter())
    first = int(verb.target == RUN)
    assert 1 <= again["child.fail_at_first", 0] - first <= 1 + crashes
    assert 1 <= again["join", 0] <= 1 + crashes
    assert not REPAIRED_KEPT & effects.get(COPY, Counter()).keys()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
async def test_next_execution_survives_a_death_at_any_commit(verb: Verb, ground: Ground, mode: FaultMode) -> None:
    """3.1, 12.3: durable when the verb returns; a worker picks it up; nothing that is kept is called again."""
    told: list[bool] = []

    async def drive(app: Outlast) -> None:
        await verb.ask(app.run(RUN))
        told.append(True)
        await app.run(verb.target).result()

    disk, seam = ground.fresh(), CountCommits()
    await prepare(disk, REPAIRED)
    await live(disk, REPAIRED, seam, drive)
    await check(verb, disk, was_told=True, crashes=0)

    struck = 0
    for number in range(1, seam.commits + 1):
        told.clear()
        disk, fault = ground.fresh(), KillAt(number, mode)
        await prepare(disk, REPAIRED)
        await live(disk, REPAIRED, fault, drive)
        struck += fault.struck
        await check(verb, disk, was_told=bool(told), crashes=int(fault.struck and fault.is_deadly))

    print(f"{verb.name}, {mode}: struck at {struck} of {seam.commits} commits")
    check_struck(struck, seam.commits)


@pytest.mark.timeout(120)
async def test_step_of_a_paused_run_survives_a_death_at_any_commit(ground: Ground, mode: FaultMode) -> None:
    """3.1, 12.6: the next node runs once more at most, and the run is paused behind it, not further on."""
    told: list[bool] = []

    async def drive(app: Outlast) -> None:
        started = await app.run(RUN).step_async()
        told.append(True)
        await started.result()

    disk, seam = ground.fresh(), CountCommits()
    await prepare(disk, STEPPED, per_step=True)
    await live(disk, STEPPED, seam, drive)

    struck = 0
    for number in range(1, seam.commits + 1):
        told.clear()
        disk, fault = ground.fresh(), KillAt(number, mode)
        await prepare(disk, STEPPED, per_step=True)
        await live(disk, STEPPED, fault, drive)
        struck += fault.struck
        async with Outlast([STEPPED], store=disk.open_store(None)) as app:
            with suppress(RunStateError):  # the step may be on disk although nobody was told
                if not told:
                    await app.run(RUN).step_async()
            result = await paused_behind(app, "double")
            assert (result.status, result.steps["double"].output) == ("paused", 4)
            assert "last" not in result.steps
        assert effects_of(disk.effects)[RUN]["add_one", 0] == 1

    check_struck(struck, seam.commits)


async def paused_behind(app: Outlast, path: str) -> RunResult[Any]:
    """Wait for the pause behind a node; a pause before it is the one that was left."""

    async def look() -> RunResult[Any] | None:
        result = await app.run(RUN).snapshot()
        return result if path in result.steps and result.status is RunStatus.PAUSED else None

    return await eventually(look)


async def test_time_travel_of_a_run_that_never_ran_survives_a_death_at_any_commit(ground: Ground) -> None:
    """3.1, 12.3: recorded with its target and values, or not at all."""

    async def drive(app: Outlast) -> None:
        run = await app.create_run(REPAIRED, run_id=COPY)
        await run.time_travel_async("child.fail_at_first", input_data=4, context={"side": 4, "add_one": 2})
        await app.run(COPY).result()

    disk, seam = ground.fresh(), CountCommits()
    await live(disk, REPAIRED, seam, drive)

    struck = 0
    for number in range(1, seam.commits + 1):
        disk, fault = ground.fresh(), KillAt(number, "after" if number % 2 else "before")
        await live(disk, REPAIRED, fault, drive)
        struck += fault.struck
        async with Outlast([REPAIRED], store=disk.open_store(None)) as app:
            run = await app.create_run(REPAIRED, run_id=COPY)
            with suppress(RunExistsError, RunStateError):
                await run.time_travel_async("child.fail_at_first", input_data=4, context={"side": 4, "add_one": 2})
            result = await app.run(COPY).result(timeout=10)
        assert has_answered(Verb("", VERBS[0].ask, COPY, result.execution), result)

    check_struck(struck, seam.commits)
