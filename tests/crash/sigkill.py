"""A sample of the scenarios in real processes that kill themselves with SIGKILL at a chosen commit.

What the crash at the seam simulates is done here by the kernel: it takes the process away, with its threads, its file
locks and whatever the file system had not been told to keep. Another process opens the same file and must find the run
as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from crash.audit import check_journal
from crash.reference import effects_of
from outlast import Outlast, ResumeConflictError, ResumeTargetError, RunNotFoundError, RunStateError
from outlast.storage.base import CommitSeam
from outlast.storage.sqlite import SqliteStore
from outlast.testing.crash import RUN_ID, Scenario
from outlast.testing.faults import CountCommits

__all__ = ["SAMPLE", "KillReport", "kill_at_commits"]

SAMPLE = ("chain", "stubborn", "sleep", "ask", "state-merged", "bail-nested", "told", "restarted")
"""One for each way to go on: a plain chain, retries, a timer, a person, parallel state, an early end, hooks, repair."""

Durability = Literal["normal", "full"]
Moment = Literal["before", "after"]


class SuddenDeath(CountCommits):
    """Kills its own process at the n-th commit."""

    def __init__(self, commit: int, moment: Moment) -> None:
        super().__init__()
        self._commit = commit
        self._moment = moment

    def before_commit(self) -> None:
        super().before_commit()
        self._strike("before")

    def after_commit(self) -> None:
        self._strike("after")

    def _strike(self, moment: Moment) -> None:
        if moment == self._moment and self.commits == self._commit:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class KillReport:
    """What was tried with one scenario."""

    commits: int
    """How many commits the undisturbed run took."""
    killed: dict[Moment, int] = field(default_factory=lambda: {"before": 0, "after": 0})
    """How many processes were killed, by moment."""


def kill_at_commits(
    scenario: Scenario, directory: Path, *, durability: Durability, most: int | None = None
) -> KillReport:
    """Kill a process at each of its commits, or at `most` of them evenly spread, and let the next one finish.

    Raises:
        AssertionError: A kill made a difference; the message says where.
    """
    undisturbed = _Trial(scenario, directory / "undisturbed", durability)
    commits = undisturbed.live(CountCommits()).get("commits")
    assert isinstance(commits, int), "the undisturbed process did not end"
    wanted = undisturbed.recover()
    report = KillReport(commits)
    for commit in _spread(commits, most):
        for moment in ("before", "after"):
            trial = _Trial(scenario, directory / f"{moment}-{commit}", durability)
            told = trial.live(SuddenDeath(commit, moment))
            if "commits" in told:
                continue  # commits form by timing: this time there were fewer
            report.killed[moment] += 1
            where = f"killed {moment} commit {commit} of {commits}"
            found = trial.recover()
            assert found is not None or not told.get("answered"), f"{where}: start_async had returned, the run is lost"
            if found is not None:
                assert found == wanted, f"{where}: it ended as {found}, and undisturbed as {wanted}"
                trial.compare_effects(undisturbed, where)
    return report


def _spread(commits: int, most: int | None) -> Sequence[int]:
    if most is None or most >= commits:
        return range(1, commits + 1)
    return sorted({1 + round(index * (commits - 1) / max(1, most - 1)) for index in range(most)})


class _Trial:
    """One set of data that processes open one after the other."""

    def __init__(self, scenario: Scenario, directory: Path, durability: Durability) -> None:
        directory.mkdir(parents=True)
        self._effects = directory / "effects"
        self._scenario = replace(scenario, request_context={"effects": str(self._effects)})
        self._path = directory / "store.db"
        self._durability = durability

    def live(self, seam: CommitSeam) -> dict[str, Any]:
        """Run in a process until it ends or is killed; return what it told."""

        async def main(tell: Callable[[dict[str, Any]], None]) -> None:
            scenario = self._scenario
            async with self._app(seam) as app:
                if scenario.start is not None:
                    await scenario.start(app)
                else:
                    run = await app.create_run(scenario.workflow, run_id=RUN_ID)
                    await run.start_async(
                        input_data=scenario.input_data,
                        initial_state=scenario.initial_state,
                        request_context=scenario.request_context,
                    )
                tell({"answered": True})
                await self._drive(app)
            tell({"commits": seam.commits if isinstance(seam, CountCommits) else 0})

        return _in_a_process(main)

    def recover(self) -> list[Any] | None:
        """Let another process finish; return status and result, or None if the run is not there."""

        async def main(tell: Callable[[dict[str, Any]], None]) -> None:
            async with self._app(None) as app:
                with suppress(RunNotFoundError):
                    result = await self._drive(app)
                    tell({"found": [str(result.status), result.result]})
            await self._check_journal()
            tell({"is_sound": True})

        told = _in_a_process(main)
        assert told.get("is_sound"), f"the process that recovers failed: {told}"
        found: list[Any] | None = told.get("found")
        return found

    def compare_effects(self, undisturbed: _Trial, where: str) -> None:
        """What bodies did: as much as undisturbed, and at most one call more."""
        wanted, found = undisturbed._count(), self._count()
        assert found.keys() == wanted.keys(), f"{where}: {found} was called, and undisturbed {wanted}"
        extra = {each: n for each, n in found.items() if not wanted[each] <= n <= wanted[each] + 1}
        assert not extra, f"{where}: called too often or too seldom: {extra}"

    def _count(self) -> Counter[tuple[str, int]]:
        total: Counter[tuple[str, int]] = Counter()
        for each in effects_of(self._effects).values():
            total += each
        return total

    def _app(self, seam: CommitSeam | None) -> Outlast:
        store = SqliteStore(self._path, durability=self._durability, allow_network_filesystem=True, seam=seam)
        return Outlast([self._scenario.workflow, *self._scenario.others], store=store, drain=timedelta())

    async def _drive(self, app: Outlast) -> Any:
        run = app.run(RUN_ID)
        async with asyncio.timeout(self._scenario.timeout):
            if self._scenario.drive is not None:
                with suppress(ResumeConflictError, ResumeTargetError, RunStateError):
                    await self._scenario.drive(run)
            return await run.result(until="end")

    async def _check_journal(self) -> None:
        store = SqliteStore(self._path, durability=self._durability, allow_network_filesystem=True)
        await store.open()
        try:
            row = await store.find_run(RUN_ID)
            if row is not None and row.execution == 0:
                check_journal(await store.load_records(row.key))
        finally:
            await store.close()


def _in_a_process(main: Callable[[Callable[[dict[str, Any]], None]], Coroutine[Any, Any, None]]) -> dict[str, Any]:
    """Run something in a forked process, and return all that it told until it ended or was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_child(main, writing)
    os.close(writing)
    with os.fdopen(reading) as lines:
        told: dict[str, Any] = {}
        for line in lines:
            told |= json.loads(line)
    os.waitpid(pid, 0)
    return told


def _be_child(main: Callable[..., Coroutine[Any, Any, None]], writing: int) -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)

    def tell(news: dict[str, Any]) -> None:
        os.write(writing, json.dumps(news).encode() + b"\n")

    try:
        asyncio.run(main(tell))
    except BaseException:  # noqa: BLE001 - whoever forked it is to know, and nothing of it may go on here
        tell({"error": traceback.format_exc()})
    finally:
        os._exit(0)
