"""Hooks, and runs started from steps, killed at every commit: hooks are told at least once, runs are started once.

The death is simulated at the commit seam, as in `test_every_commit`; a few real ones by SIGKILL follow at the end.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chance import first_seed
from crash.processes import Nursery
from crash.reference import effects_of
from crash.struck import check_struck
from crash.test_every_commit import RUN, Disk, Ground, ground, mode
from crash.test_sigkill import LONG, opened
from eventually import eventually
from outlast import (
    CommittedWorkflow,
    Outlast,
    ResumeConflictError,
    RunExistsError,
    RunResult,
    RunStateError,
    StepContext,
    Workflow,
    step,
)
from outlast.errors import StoreUnavailableError
from outlast.testing.faults import CountCommits, FaultMode, KillAt

__all__ = ["ground", "mode"]


@dataclass
class Case:
    """A workflow with hooks, what they must be told, and what was told."""

    expected: list[str]
    build: Any
    calls: list[str] = field(default_factory=list)

    def workflow(self) -> CommittedWorkflow[Any, Any]:
        def on_start(info: Any) -> None:
            self.calls.append("on_start")

        async def on_finish(result: RunResult[Any]) -> None:
            self.calls.append(f"on_finish {result.status}")

        def on_error(result: RunResult[Any]) -> None:
            self.calls.append(f"on_error {result.status}")

        return self.build(self, on_start=on_start, on_finish=on_finish, on_error=on_error)


def succeeding(case: Case, **hooks: Any) -> CommittedWorkflow[Any, Any]:
    @step
    async def work(x: int) -> int:
        assert "on_start" in case.calls
        return x + 1

    return Workflow("w", **hooks).then(work).commit()


def failing(case: Case, **hooks: Any) -> CommittedWorkflow[Any, Any]:
    @step
    def work(x: int) -> int:
        raise ValueError("no")

    return Workflow("w", **hooks).then(work).commit()


def suspending(case: Case, **hooks: Any) -> CommittedWorkflow[Any, Any]:
    return Workflow("w", **hooks).wait_for("answer").commit()


CASES = {
    "success": (["on_start", "on_finish success"], succeeding),
    "failure": (["on_start", "on_finish failed", "on_error failed"], failing),
    "suspension": (["on_start", "on_finish suspended", "on_finish success"], suspending),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*CASES[request.param])


async def drive(app: Outlast, workflow: CommittedWorkflow[Any, Any]) -> None:
    """Start the run unless it was, answer it if it asks, and wait until it has ended and nobody is left to be told."""
    with suppress(RunExistsError):
        await (await app.create_run(workflow, run_id=RUN)).start_async(input_data=1)
    handle = app.run(RUN)
    while not (result := await handle.result()).status.is_terminal:
        with suppress(ResumeConflictError, RunStateError):
            await handle.resume_async("yes")
        await asyncio.sleep(0.001)  # noqa: TID251 - the answer of an earlier life may be on its way
    assert result.status.is_terminal
    await eventually(lambda: _all_told(handle))


async def _all_told(handle: Any) -> bool:
    return not await handle.deliveries()


async def live(workflows: list[CommittedWorkflow[Any, Any]], disk: Disk, seam: CountCommits | KillAt | None) -> None:
    """Live one life of a process, up to the end of all work or of the process."""
    loop = asyncio.get_running_loop()
    died = asyncio.Event()
    if isinstance(seam, KillAt) and seam.is_deadly:
        seam.on_strike = lambda: loop.call_soon_threadsafe(died.set)
    with suppress(StoreUnavailableError):
        async with (
            asyncio.timeout(15) as deadline,
            Outlast(workflows, store=disk.open_store(seam), drain=timedelta()) as app,
        ):
            driving = asyncio.create_task(drive(app, workflows[0]))
            death = asyncio.create_task(died.wait())
            await asyncio.wait([driving, death], return_when=asyncio.FIRST_COMPLETED)
            death.cancel()
            if died.is_set():
                driving.cancel()
            await asyncio.gather(driving, death, return_exceptions=True)
            if not died.is_set():
                driving.result()
    assert not deadline.expired(), "hung"


@pytest.mark.timeout(90)
async def test_hooks_are_told_at_least_once_whatever_commit_is_the_last(
    case: Case, ground: Ground, mode: FaultMode
) -> None:
    """13: at least once, also after a crash at any point; in order; nothing is left to tell."""
    workflow, seam = case.workflow(), CountCommits()
    await live([workflow], ground.fresh(), seam)
    assert case.calls == case.expected

    struck = 0
    for number in range(1, seam.commits + 1):
        case.calls.clear()
        disk, fault = ground.fresh(), KillAt(number, mode)
        await live([workflow], disk, fault)
        await live([workflow], disk, None)
        struck += fault.struck

        counts = Counter(case.calls)
        assert list(counts) == case.expected, f"{fault}: {case.calls}"
        assert max(counts.values()) <= 2, f"{fault}: {case.calls}"

    print(f"{mode}: struck {struck} of {seam.commits} commits")
    check_struck(struck, seam.commits)


@pytest.mark.timeout(90)
async def test_run_is_started_from_a_step_once_whatever_commit_is_the_last(ground: Ground, mode: FaultMode) -> None:
    """3.1, 12.1: the step that was running runs again, and gets the run that it had started."""

    @step
    async def add_one(x: int) -> int:
        return x + 1

    child = Workflow("child", input=int, output=int).then(add_one).commit()

    @step
    async def start(x: int, ctx: StepContext) -> list[str]:
        started = [await ctx.start_async(child, input_data=x), await ctx.start_async(child, input_data=x, key="second")]
        return [each.run_id for each in started]

    parent = Workflow("parent", input=int, output=list[str]).then(start).commit()
    seam = CountCommits()
    await live([parent, child], ground.fresh(), seam)

    struck = 0
    for number in range(1, seam.commits + 1):
        disk, fault = ground.fresh(), KillAt(number, mode)
        await live([parent, child], disk, fault)
        struck += fault.struck
        async with Outlast([parent, child], store=disk.open_store(None)) as app:
            with suppress(RunExistsError):
                await (await app.create_run(parent, run_id=RUN)).start_async(input_data=1)
            run_ids = (await app.run(RUN).result(timeout=10)).unwrap()
            results = [await app.run(each).result(timeout=10) for each in run_ids]
            runs = (await app.list_runs(child)).runs

        assert [each.result for each in results] == [2, 2]
        assert sorted(each.run_id for each in runs) == sorted(run_ids)

    check_struck(struck, seam.commits)


# ---- Real processes


async def nobody_left_to_tell(path: Path, run_ids: list[str]) -> bool:
    async with opened(path) as store:
        for run_id in run_ids:
            row = await store.find_run(run_id)
            if row is None or not row.status.is_terminal or await store.list_deliveries(row.key):
                return False
    return True


async def test_hook_whose_process_is_killed_is_told_by_the_next_one(nursery: Nursery, tmp_path: Path) -> None:
    """13: a dead deliverer's rows are taken over at once."""
    path, effects = tmp_path / "store.db", tmp_path / "effects"
    async with nursery.open(path, lease=LONG) as process:
        process.do("start", workflow="told", run_id="run", input=1, effects=str(effects))
        await process.event("told", run_id="run")
        await process.kill()
    async with nursery.open(path, lease=LONG) as process:
        process.do("open_gate", name="hook")
        await eventually(lambda: nobody_left_to_tell(path, ["run"]))

    assert effects_of(effects)["run"] == Counter({("told", 0): 2, ("add_one", 0): 1})


@pytest.mark.timeout(60)
async def test_hooks_of_processes_killed_at_random_moments_are_all_told(nursery: Nursery, tmp_path: Path) -> None:
    """13: never lost."""
    chance = random.Random(first_seed())
    path, effects, kills = tmp_path / "store.db", tmp_path / "effects", 4
    run_ids = [f"run-{number}" for number in range(60)]
    for batch in range(kills):
        async with nursery.open(path, lease=LONG) as process:
            process.do("open_gate", name="hook")
            mine = run_ids[batch * 15 : batch * 15 + 15]
            process.do("start_all", workflow="told", run_ids=mine, input=1, effects=str(effects))
            await process.event("started_all")
            for _ in range(chance.randrange(1, 12)):
                await process.event("told")
            await process.kill()
    async with nursery.open(path, lease=LONG) as process:
        process.do("open_gate", name="hook")
        await eventually(lambda: nobody_left_to_tell(path, run_ids), within=30)

    told = {run_id: counts["told", 0] for run_id, counts in effects_of(effects).items()}
    assert sorted(told) == sorted(run_ids)
    assert all(1 <= count <= 1 + kills for count in told.values())


async def test_process_killed_after_a_start_from_a_step_has_started_one_run(nursery: Nursery, tmp_path: Path) -> None:
    """12.1: the step kills its process after the start; the next process gets the same run."""
    path, effects = tmp_path / "store.db", tmp_path / "effects"
    async with nursery.open(path, lease=LONG) as process:
        process.do("start", workflow="starter", run_id="run", input=1, effects=str(effects))
        await process.end()
    async with nursery.open(path, lease=LONG) as process:
        process.do("result", run_id="run")
        result = await process.event("result", run_id="run")
        process.do("result", run_id=result["result"])
        child = await process.event("result", run_id=result["result"])

    assert (result["status"], child["status"], child["result"]) == ("success", "success", 4)
    assert effects_of(effects)["run"]["start_pair", 0] == 2
    async with opened(path) as store:
        row = await store.find_run(result["result"])
        assert row is not None
        assert row.workflow_id == "pair"


async def start_and_die(nursery: Nursery, path: Path, effects: Path, workflow: str, *, deaths: int) -> None:
    """Start a run whose hook kills its process, and open as many processes after it as the hook kills."""
    async with nursery.open(path, lease=LONG, max_recoveries=2) as process:
        process.do("start", workflow=workflow, run_id="run", input=1, effects=str(effects))
        await process.event("hook")
        await process.end()
    for _ in range(deaths - 1):
        async with nursery.open(path, lease=LONG, max_recoveries=2) as process:
            await process.event("hook")
            await process.end()


async def test_run_whose_on_start_kills_its_process_fails_as_poison(nursery: Nursery, tmp_path: Path) -> None:
    """9.6: a hook that is called counts like a body."""
    path, effects = tmp_path / "store.db", tmp_path / "effects"
    await start_and_die(nursery, path, effects, "deadly_start", deaths=3)
    async with nursery.open(path, lease=LONG, max_recoveries=2) as process:
        process.do("result", run_id="run")
        result = await process.event("result", run_id="run")

    assert result["status"] == "failed"
    assert "run" not in effects_of(effects)


async def test_hook_that_kills_its_process_is_given_up_after_five_tries(nursery: Nursery, tmp_path: Path) -> None:
    """13: 5 tries, then recorded as failed; the process that finds it lives on."""
    path, effects = tmp_path / "store.db", tmp_path / "effects"
    await start_and_die(nursery, path, effects, "deadly_end", deaths=5)

    async def given_up() -> bool:
        async with opened(path) as store:
            row = await store.find_run("run")
            assert row is not None
            (delivery,) = await store.list_deliveries(row.key)
            return delivery.due_at_ms is None and b"HookCrashedError" in (delivery.failure or b"")

    async with nursery.open(path, lease=LONG) as process:
        await eventually(given_up)
        process.do("result", run_id="run")
        result = await process.event("result", run_id="run")

    assert (result["status"], result["result"]) == ("success", 2)
