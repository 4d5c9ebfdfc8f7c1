"""Kill a workflow at each of its commits, recover it, and compare with a run that nobody disturbed.

What can be lost in a crash is what lies between two commits. So a workflow that survives a death before and after every
single commit, the loss of every answer and the refusal of every commit, survives a crash at any moment. The death is
simulated at the commit seam: from there on the store of the first app writes nothing, and its locks are free, as after
`kill -9`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from outlast.app import Outlast
from outlast.core.record import Record
from outlast.engines.clock import WALL_CLOCK, Clock
from outlast.errors import (
    ResumeConflictError,
    ResumeTargetError,
    RunExistsError,
    RunNotFoundError,
    RunStateError,
    StoreUnavailableError,
)
from outlast.graph.committed import CommittedWorkflow
from outlast.results import RunResult
from outlast.run import RunHandle
from outlast.storage.base import CommitSeam, Store
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.storage.sqlite import SqliteStore
from outlast.testing.faults import CountCommits, FaultMode, KillAt

__all__ = ["CrashReport", "CrashTestError", "Scenario", "crash_at_every_commit", "run_undisturbed"]

T = TypeVar("T")

RUN_ID = "run"
MODES: tuple[FaultMode, ...] = ("before", "after", "lost", "refused")

StoreKind: TypeAlias = Literal["normal", "full", "memory"]
"""Which store, and with which durability."""

_OUTCOMES = frozenset({"step-succeeded", "block-succeeded", "run-finished"})


class CrashTestError(AssertionError):
    """A crash at some commit changed what became of the run; the message says where, and what."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A workflow, how it is started, and what the world does meanwhile."""

    workflow: CommittedWorkflow[Any, Any]
    """What is run."""
    input_data: object = None
    """Its input."""
    initial_state: object = None
    """Its initial state."""
    request_context: Mapping[str, Any] | None = None
    """What the caller tells all steps."""
    others: Sequence[CommittedWorkflow[Any, Any]] = ()
    """Workflows that its steps start."""
    drive: Callable[[RunHandle[Any]], Awaitable[object]] | None = None
    """Does what others do to the run while it lives, as resuming it. Called once in every life: what it did before the
    crash is done already, so a `ResumeConflictError`, `ResumeTargetError` or `RunStateError` is no failure."""
    start: Callable[[Outlast], Awaitable[object]] | None = None
    """Starts the run, with the id `run`, in another way than by `start_async` with the input above. As a caller would,
    it is called again in the next life if it was not answered; a `RunExistsError` then means that it had happened."""
    timeout: float = 30.0
    """Seconds that one life may take, on the wall."""
    clock: Clock | None = None
    """The clock that all lives go by, as a `VirtualClock`; None for the one on the wall."""


@dataclass(frozen=True, kw_only=True)
class CrashReport:
    """What was tried; all of it gave the same result."""

    result: RunResult[Any]
    """Of the run that nobody disturbed."""
    commits: int
    """How many commits that run took, from opening the app to leaving it."""
    struck: Mapping[FaultMode, int]
    """At how many of them a fault was struck, by mode."""

    @property
    def points(self) -> int:
        """How many crashes were survived."""
        return sum(self.struck.values())


def crash_at_every_commit(
    scenario: Scenario,
    directory: Path,
    *,
    store: StoreKind = "normal",
    modes: Sequence[FaultMode] = MODES,
    check: Callable[[RunResult[Any], int], None] | None = None,
) -> CrashReport:
    """Run a workflow once undisturbed, then once for each of its commits and modes with a crash there, and compare.

    Guarantees of what returns: each time that `start_async` had returned before the crash, the run was there afterwards
    and ended with the same status and result, without being asked to; no outcome was recorded twice.

    Args:
        scenario: What to run.
        directory: An empty directory for the files, as pytest's `tmp_path`.
        store: Which store, and with which durability.
        modes: Where to strike: death `before` a commit is durable or `after` it, or only its answer is `lost`, or it is
            `refused`.
        check: Called with each result and with the number of crashes and refused commits before it, for checks of your
            own: after each of them a body in flight may be called once more.

    Raises:
        CrashTestError: A crash made a difference.
        RuntimeError: An event loop is running in this thread; call it from a plain function.
    """
    return _run(lambda: _crash_at_every_commit(scenario, _Ground(store, directory), modes, check))


def run_undisturbed(scenario: Scenario, directory: Path, *, store: StoreKind = "normal") -> RunResult[Any]:
    """Run a workflow to its end in a store of its own, and return the result.

    Raises:
        TimeoutError: It took longer than the scenario allows.
        RuntimeError: An event loop is running in this thread; call it from a plain function.
    """

    async def run() -> RunResult[Any]:
        disk = _Ground(store, directory).fresh()
        await _live(scenario, disk, CountCommits())
        result = await _recover(scenario, disk)
        if result is None:
            raise CrashTestError("the run is not recorded although nothing happened to it")
        return result

    return _run(run)


def _run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    message = "an event loop is running in this thread; call this from a plain function, not from `async def`"
    raise RuntimeError(message)


@dataclass
class _Disk:
    """One set of data that several lives open."""

    open_store: Callable[[CommitSeam | None], Store]


@dataclass
class _Ground:
    """Makes fresh data for each crash."""

    kind: StoreKind
    directory: Path
    _made: int = field(default=0)

    def fresh(self) -> _Disk:
        kind = self.kind
        if kind == "memory":
            database = MemoryDatabase()
            return _Disk(lambda seam: MemoryStore(database, seam=seam))
        self._made += 1
        path = self.directory / f"crash-{self._made}.db"
        return _Disk(lambda seam: SqliteStore(path, durability=kind, allow_network_filesystem=True, seam=seam))


async def _crash_at_every_commit(
    scenario: Scenario,
    ground: _Ground,
    modes: Sequence[FaultMode],
    check: Callable[[RunResult[Any], int], None] | None,
) -> CrashReport:
    disk, seam = ground.fresh(), CountCommits()
    await _live(scenario, disk, seam)
    undisturbed = await _recover(scenario, disk)
    if undisturbed is None:
        raise CrashTestError("the run is not recorded although nothing happened to it")
    if check is not None:
        check(undisturbed, 0)
    struck: dict[FaultMode, int] = {}
    for mode in modes:
        for commit in range(1, seam.commits + 1):
            fault = KillAt(commit, mode)
            await _crash_once(scenario, ground.fresh(), fault, undisturbed, check)
            struck[mode] = struck.get(mode, 0) + fault.struck
        if struck[mode] < seam.commits - most_missed(seam.commits):
            raise CrashTestError(f"only {struck[mode]} of {seam.commits} commits came again: make the workflow steady")
    return CrashReport(result=undisturbed, commits=seam.commits, struck=struck)


def most_missed(commits: int) -> int:
    """Return how many of the counted commits may not come again: a third, or three if they are few, but never all.

    Commits form by timing, as what ends side by side is recorded together or one by one.
    """
    return min(max(3, commits // 3), commits - 1)


async def _crash_once(
    scenario: Scenario,
    disk: _Disk,
    fault: KillAt,
    undisturbed: RunResult[Any],
    check: Callable[[RunResult[Any], int], None] | None,
) -> None:
    was_answered = await _live(scenario, disk, fault)
    result = await _recover(scenario, disk, was_answered=was_answered)
    if result is None:
        if was_answered:
            raise CrashTestError(f"{fault}: start_async had returned, and the run is lost")
        return
    found, wanted = (result.status, result.result), (undisturbed.status, undisturbed.result)
    if found != wanted:
        raise CrashTestError(
            f"{fault}: the run ended {found[0]} with {found[1]!r}, and without the crash {wanted[0]} with {wanted[1]!r}"
        )
    await _check_journal(disk, fault)
    if check is not None:
        check(result, int(fault.struck and fault.calls_again))


async def _live(scenario: Scenario, disk: _Disk, seam: CountCommits | KillAt) -> bool:
    """Live one life, up to the end of the run or of the simulated process. Say whether `start_async` returned."""
    loop = asyncio.get_running_loop()
    died = asyncio.Event()
    if isinstance(seam, KillAt) and seam.is_deadly:
        seam.on_strike = lambda: loop.call_soon_threadsafe(died.set)
    was_answered = False
    with suppress(StoreUnavailableError):
        async with Outlast(
            _workflows(scenario), store=disk.open_store(seam), drain=timedelta(), clock=_clock(scenario)
        ) as app:
            await _start(scenario, app)
            was_answered = True
            await _until_end_or_death(scenario, app.run(RUN_ID), died)
    return was_answered


async def _start(scenario: Scenario, app: Outlast) -> None:
    if scenario.start is not None:
        await scenario.start(app)
        return
    run = await app.create_run(scenario.workflow, run_id=RUN_ID)
    await run.start_async(
        input_data=scenario.input_data,
        initial_state=scenario.initial_state,
        request_context=scenario.request_context,
    )


async def _until_end_or_death(scenario: Scenario, run: RunHandle[Any], died: asyncio.Event) -> None:
    ending = asyncio.create_task(_drive_to_end(scenario, run))
    death = asyncio.create_task(died.wait())
    try:
        done, _ = await asyncio.wait([ending, death], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (ending, death):
            task.cancel()
        await asyncio.gather(ending, death, return_exceptions=True)
    if ending in done and not died.is_set():
        ending.result()  # raises what the world raised


async def _recover(scenario: Scenario, disk: _Disk, *, was_answered: bool = True) -> RunResult[Any] | None:
    """Open an app on what a dead one left and wait for the run; None if it was never recorded."""
    async with Outlast(_workflows(scenario), store=disk.open_store(None), clock=_clock(scenario)) as app:
        if scenario.start is not None and not was_answered:
            with suppress(RunExistsError):
                await scenario.start(app)
        try:
            return await _drive_to_end(scenario, app.run(RUN_ID))
        except RunNotFoundError:
            return None


async def _drive_to_end(scenario: Scenario, run: RunHandle[Any]) -> RunResult[Any]:
    async with asyncio.timeout(scenario.timeout):
        if scenario.drive is not None:
            with suppress(ResumeConflictError, ResumeTargetError, RunStateError):
                await scenario.drive(run)
        return await run.result(until="end")


async def _check_journal(disk: _Disk, fault: KillAt) -> None:
    store = disk.open_store(None)
    await store.open()
    try:
        row = await store.find_run(RUN_ID)
        records: Sequence[Record] = [] if row is None else await store.load_records(row.key)
    finally:
        await store.close()
    outcomes = Counter((each.execution, each.path, each.type) for each in records if each.type in _OUTCOMES)
    twice = [f"{kind} of '{path}'" for (_, path, kind), number in outcomes.items() if number > 1]
    if twice:
        raise CrashTestError(f"{fault}: recorded twice: {', '.join(twice)}")


def _clock(scenario: Scenario) -> Clock:
    return WALL_CLOCK if scenario.clock is None else scenario.clock


def _workflows(scenario: Scenario) -> list[CommittedWorkflow[Any, Any]]:
    return [scenario.workflow, *scenario.others]
