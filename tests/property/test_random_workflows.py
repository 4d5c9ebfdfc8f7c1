"""Random workflows, killed again and again: they mean what an interpreter of ten lines per node says they mean.

Each is run once undisturbed, and once in processes that die at random commits. Both must end as the interpreter says,
suspend where it says, and leave the same facts in the journal, path by path. `OUTLAST_GRAPHS` sets how many are tried,
`OUTLAST_SEED` repeats a run.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from chance import first_seed
from crash.audit import check_run
from eventually import eventually
from outlast import (
    CommittedWorkflow,
    Outlast,
    ResumeConflictError,
    RunExistsError,
    RunHandle,
    RunResult,
    RunStateError,
    RunStatus,
)
from outlast.core.codec import decode_event
from outlast.core.events import BlockFailed, Evaluated, RunCrashed, RunFinished, StepFailed, StepStarted, StepSucceeded
from outlast.core.record import Record
from outlast.errors import ResumeTargetError, StoreUnavailableError
from outlast.storage.base import CommitSeam
from outlast.storage.sqlite import SqliteStore
from outlast.testing.faults import FaultMode, KillAt
from outlast.values import decode
from property.interpreter import Blocked, Done, Failed, Interpreter
from property.workflows import WorkflowPlan, answer_for, build, plain, workflow_plans

RUN = "run"
INPUT = 5
GRAPHS = int(os.environ.get("OUTLAST_GRAPHS", "15"))
MANY_GRAPHS = int(os.environ.get("OUTLAST_GRAPHS", "500"))

Fact: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """A workflow, how it is resumed, and when the processes that drive it die."""

    plan: WorkflowPlan
    is_eager: bool
    """Whether all that is suspended is resumed at once. Where something fails or bails, time would then decide what is
    seen, and which of the requests comes too late."""
    deaths: Sequence[tuple[int, FaultMode]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    is_eager = draw(st.booleans())
    has_failures = not is_eager and draw(st.booleans())
    deaths = st.tuples(st.integers(1, 14), st.sampled_from(["before", "after", "lost"]))
    return Case(
        plan=draw(workflow_plans(has_failures=has_failures, has_bails=not is_eager)),
        is_eager=is_eager,
        deaths=draw(st.lists(deaths, min_size=1, max_size=4)),  # after more a run counts as poison
    )


class Place:
    """One file that process after process opens."""

    def __init__(self, case: Case, workflow: CommittedWorkflow[Any, Any], directory: Path) -> None:
        self._case = case
        self._workflow = workflow
        self._path = directory / "store.db"

    def store(self, seam: CommitSeam | None = None) -> SqliteStore:
        return SqliteStore(self._path, durability="normal", allow_network_filesystem=True, seam=seam)

    async def live(self, fault: KillAt | None = None) -> RunResult[Any] | None:
        """Live one life of a process, up to the end of the run or of the process."""
        loop = asyncio.get_running_loop()
        died = asyncio.Event()
        if fault is not None and fault.is_deadly:
            fault.on_strike = lambda: loop.call_soon_threadsafe(died.set)
        with suppress(StoreUnavailableError):
            async with (
                asyncio.timeout(20),
                Outlast([self._workflow], store=self.store(fault), drain=timedelta()) as app,
            ):
                result = asyncio.create_task(self._drive(app))
                death = asyncio.create_task(died.wait())
                await asyncio.wait([result, death], return_when=asyncio.FIRST_COMPLETED)
                death.cancel()
                if died.is_set():
                    result.cancel()
                await asyncio.gather(result, death, return_exceptions=True)
                return None if died.is_set() else result.result()
        return None

    async def facts(self) -> list[Record]:
        """Return the journal of the run, which must be sound."""
        store = self.store()
        await store.open()
        try:
            await check_run(store, RUN)
            row = await store.find_run(RUN)
            assert row is not None
            return await store.load_records(row.key)
        finally:
            await store.close()

    async def _drive(self, app: Outlast) -> RunResult[Any]:
        """Start the run unless it is there, and resume whatever is suspended until it ends."""
        run = await app.create_run(self._workflow, run_id=RUN)
        with suppress(RunExistsError):
            await run.start_async(input_data=INPUT)
        handle = app.run(RUN)
        asked: set[str] = set()
        while True:
            result = await eventually(lambda: self._rest(handle, asked))
            if result.status.is_terminal:
                return result
            self._check_suspended(result)
            paths = sorted(result.suspended)
            for path in paths if self._case.is_eager else paths[:1]:
                asked.add(path)
                # A life before this one may have asked already.
                with suppress(ResumeConflictError, ResumeTargetError, RunStateError):
                    await handle.resume_async(answer_for(path), step=path)

    async def _rest(self, handle: RunHandle[Any], asked: set[str]) -> RunResult[Any] | None:
        """Return what is known of the run if it rests and has taken in all that it was asked."""
        result = await handle.result()
        return result if result.status.is_terminal or asked <= _resumed(result) else None

    def _check_suspended(self, result: RunResult[Any]) -> None:
        """The run waits for what the interpreter says, and for nothing else."""
        assert result.status is RunStatus.SUSPENDED
        assert Interpreter(self._case.plan, INPUT, _resumed(result)).end == Blocked(frozenset(result.suspended))


def _resumed(result: RunResult[Any]) -> frozenset[str]:
    return frozenset(path for path, each in result.steps.items() if each.resumed_at is not None)


def check_end(case: Case, result: RunResult[Any]) -> Interpreter:
    """The run ended as the interpreter says."""
    meaning = Interpreter(case.plan, INPUT, _resumed(result))
    if isinstance(meaning.end, Failed):
        assert result.error is not None
        assert (result.status, result.error_path, result.error.type) == ("failed", meaning.end.path, meaning.end.type)
    else:
        assert isinstance(meaning.end, Done)
        assert (result.status, plain(result.result)) == ("success", meaning.end.value)
    return meaning


def facts_by_path(records: Sequence[Record], but: Sequence[str]) -> dict[str, list[Fact]]:
    """Sort what is recorded by path, without due times, the crashes themselves, and the starts that they repeated."""
    facts: dict[str, list[Fact]] = {}
    for record in records:
        if not record.path.startswith(tuple(but)) and not _tells_of_crash(record):
            payload = None if record.payload is None else plain(decode(record.payload))
            facts.setdefault(record.path, []).append((record.type, record.attempt, payload, _detail(record)))
    return facts


def _tells_of_crash(record: Record) -> bool:
    event = decode_event(record)
    return isinstance(event, RunCrashed) or (isinstance(event, StepStarted) and event.is_recovered)


def _detail(record: Record) -> object:
    match decode_event(record):
        case StepSucceeded(is_bail=is_bail):
            return is_bail
        case StepFailed(failure=failure, retry_at_ms=retry_at_ms):
            return failure.type, failure.message, retry_at_ms is None
        case Evaluated(path=path, value=value):
            return None if path.endswith("?duration") else value
        case BlockFailed(cause=cause):
            return cause
        case RunFinished(status=status, cause=cause):
            return status, cause
        case _:
            return None


@contextmanager
def no_fault_in_the_engine() -> Iterator[None]:
    """Fail if the engine logs an error: user code and crashes are no errors of its own. Keep its warnings to itself."""
    heard: list[logging.LogRecord] = []
    ears = logging.Handler(logging.ERROR)
    ears.emit = heard.append  # type: ignore[method-assign]
    logger = logging.getLogger("outlast")
    logger.addHandler(ears)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(ears)
    assert not [record.getMessage() for record in heard]


class Tally:
    """Counts what the examples did, so that one can see that they do something."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, records: Sequence[Record], faults: Sequence[KillAt]) -> None:
        self.counts["runs"] += 1
        self.counts["strikes"] += sum(fault.struck for fault in faults)
        self.counts["facts"] += len(records)
        self.counts["resumed"] += sum(record.type == "step-resumed" for record in records)
        self.counts["repeated starts and crashes"] += sum(map(_tells_of_crash, records))
        ended = decode_event(records[-1])
        self.counts["failed"] += isinstance(ended, RunFinished) and ended.status is RunStatus.FAILED


async def check_case(case: Case, tally: Tally) -> None:
    """Run a workflow twice, once in peace and once not, and compare."""
    workflow = build(case.plan)
    with no_fault_in_the_engine(), TemporaryDirectory() as peace, TemporaryDirectory() as trouble:
        undisturbed = Place(case, workflow, Path(peace))
        result = await undisturbed.live()
        assert result is not None
        meaning = check_end(case, result)

        disturbed = Place(case, workflow, Path(trouble))
        faults = [KillAt(commit, mode) for commit, mode in case.deaths]
        for fault in faults:
            await disturbed.live(fault)
        result = await disturbed.live()
        assert result is not None
        check_end(case, result)
        records = await disturbed.facts()
        expected = facts_by_path(await undisturbed.facts(), meaning.open)
        tally.count(records, faults)

    assert facts_by_path(records, meaning.open) == expected


def check_many(graphs: int) -> None:
    tally = Tally()

    @seed(first_seed())
    @settings(max_examples=graphs, database=None, suppress_health_check=list(HealthCheck))
    @given(cases())
    def check(case: Case) -> None:
        asyncio.run(check_case(case, tally))

    check()
    print(", ".join(f"{count} {what}" for what, count in tally.counts.items()))


@pytest.mark.slow
@pytest.mark.timeout(300)  # seconds when all is well; shrinking what is not takes its time
def test_random_workflows_mean_the_same_whenever_their_processes_die() -> None:
    """5, 7, 9.1, 12.1: what a run comes to, and what is recorded of it, does not depend on crashes."""
    check_many(GRAPHS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_random_workflows_mean_the_same_whenever_their_processes_die() -> None:
    """5, 7, 9.1, 12.1: what a run comes to, and what is recorded of it, does not depend on crashes."""
    check_many(MANY_GRAPHS)
