"""A world of simulated processes over one database: what befalls them is drawn, and what must hold is checked."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from itertools import count

from crash.audit import check_journal
from outlast import (
    Outlast,
    OutlastError,
    ResumeConflictError,
    RunExistsError,
    RunStateError,
)
from outlast.errors import RunNotFoundError
from outlast.storage.base import Append, Receipt, RunKey, WorkerKey
from outlast.storage.memory import MemoryDatabase, MemoryStore
from simulation.errands import CASES, TOLD, Case
from simulation.process import Doom, SimulatedProcess, the_loop
from simulation.seeded_loop import SeededLoop

__all__ = ["World", "live_through"]

_PROCESSES = (2, 3, 4)
_BAD_TIMES_S = 20.0
_CALM_S = 120.0
_DOOMS: tuple[Doom, ...] = ("before", "after", "lost", "failed")


class WatchedDatabase(MemoryDatabase):
    """The memory store's data, with a look at which writes were taken, from whom."""

    def __init__(self, loop: SeededLoop) -> None:
        super().__init__(monotonic=loop.time)
        self.taken: dict[RunKey, list[tuple[int, WorkerKey, int]]] = {}
        """Epoch, owner and first `seq` of the appends of each run, in order."""
        self.unfenced: list[Append] = []
        """Appends that were taken from somebody who did not own the run any more."""
        self.refused = 0
        """How many appends were refused: those of owners that were taken for dead."""

    def append(self, write: Append) -> Receipt | OutlastError:
        run = self.runs.get(write.run)
        owner = None if run is None else (run.owner, run.epoch)
        outcome = super().append(write)
        if isinstance(outcome, Receipt) and owner != (write.owner, write.epoch):
            self.unfenced.append(write)
        if isinstance(outcome, Receipt):
            first = write.records[0].seq if write.records else 0
            self.taken.setdefault(write.run, []).append((write.epoch, write.owner, first))
        else:
            self.refused += 1
        return outcome


class World:
    """Starts runs, lets things happen to processes, and waits until all runs have ended."""

    def __init__(self, *, rounds: int) -> None:
        self._loop = the_loop()
        self._chance = self._loop.chance
        self.database = WatchedDatabase(self._loop)
        self.runs: dict[str, Case] = {
            f"{case.workflow.id}-{number}": case for number in range(rounds) for case in CASES
        }
        self._to_start = dict(self.runs)
        self._to_do = {run_id: case for run_id, case in self.runs.items() if case.verb is not None}
        self._processes: list[SimulatedProcess] = []
        self._numbers = count(1)
        self._is_over = self._is_calm = False
        self._most = self._chance.choice(_PROCESSES)
        self.fates: Counter[str] = Counter()
        """What happened, by kind."""

    async def live(self) -> None:
        """Live through bad times and through calm ones, until all is done."""
        self._replace_the_dead()
        until = self._loop.time() + _BAD_TIMES_S
        while self._loop.time() < until:
            await asyncio.sleep(self._chance.expovariate(4.0))  # noqa: TID251 - simulated time
            self._befall(self._chance.choice(self._processes))
        self._calm_down()
        until = self._loop.time() + _CALM_S
        while not self._have_all_ended():
            assert self._loop.time() < until, f"not ended in calm times: {self._left()}"
            await asyncio.sleep(0.1)  # noqa: TID251 - simulated time
            self._replace_the_dead()

    async def end(self) -> None:
        """Let all processes leave, the dead ones, too, so that no task is left."""
        self._is_over = True
        await asyncio.gather(*(each.task for each in self._processes if each.is_alive))
        self._loop.let_all_go_on()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _begin(self) -> None:
        name = f"process-{next(self._numbers)}"
        workflows = [case.workflow for case in CASES]
        options = {
            "worker": self._chance.random() < 0.8 or self._is_calm,
            "max_runs": self._chance.choice([2, 5, 1_000]),
            "max_steps": self._chance.choice([1, 3, 1_000]),
        }
        self._processes.append(SimulatedProcess(name, self.database, workflows, work=self._work, **options))

    def _befall(self, process: SimulatedProcess) -> None:
        """Let something happen to a process."""
        fate = self._chance.choice(["stop", "block", "clock", "doom", "doom", "nothing"])
        if fate == "doom":
            process.doom = self._chance.choice(_DOOMS)
            fate = process.doom
        elif fate == "stop":
            process.stop(self._chance.uniform(0.1, 4.0))
        elif fate == "block":
            process.block(self._chance.uniform(0.1, 4.0))
        elif fate == "clock":
            process.clock.offset += self._chance.uniform(-20.0, 20.0)
        self.fates[fate] += 1
        if self._chance.random() < 0.5:
            self._replace_the_dead()

    def _replace_the_dead(self) -> None:
        while sum(each.is_alive for each in self._processes) < self._most:
            self._begin()

    def _calm_down(self) -> None:
        for process in self._processes:
            process.doom = None
            process.clock.offset = 0.0
        self._is_calm = True
        self._begin()  # whatever the others are, from now on there is a worker
        self._replace_the_dead()

    async def _work(self, app: Outlast) -> None:
        """What a process does beside driving runs: it starts some, and answers and cancels others."""
        while not self._is_over:
            await asyncio.sleep(self._chance.uniform(0.01, 0.3))  # noqa: TID251 - simulated time
            if self._to_start and self._chance.random() < 0.7:
                await self._start(app, self._chance.choice(list(self._to_start)))
            elif self._to_do:
                await self._do(app, self._chance.choice(list(self._to_do)))

    async def _start(self, app: Outlast, run_id: str) -> None:
        case = self.runs[run_id]
        run = await app.create_run(case.workflow, run_id=run_id)
        try:
            await run.start_async(input_data=case.input)
        except RunExistsError:
            pass  # by another process, or by this one whose answer was lost
        except OutlastError:
            return  # not known to be recorded; somebody tries again
        self._to_start.pop(run_id, None)

    async def _do(self, app: Outlast, run_id: str) -> None:
        case, run = self.runs[run_id], app.run(run_id)
        try:
            if await run.status() != ("failed" if case.verb == "restart" else "suspended"):
                return
            if case.verb == "cancel":
                await run.cancel()
            elif case.verb == "restart":
                await run.restart_async()
            else:
                await run.resume_async(10 // 2)
        except (RunNotFoundError, RunStateError):
            return
        except ResumeConflictError:
            pass  # another process was faster
        except OutlastError:
            return
        self._to_do.pop(run_id, None)

    def _left(self) -> list[str]:
        rows = self.database.run_ids
        left = [f"{each} is not started" for each in self._to_start]
        return left + [f"{each} is {rows[each].status}" for each in rows if not rows[each].status.is_terminal]

    def _have_all_ended(self) -> bool:
        if self._left():
            return False
        has_told_all = all(TOLD[run_id] for run_id, case in self.runs.items() if case.workflow.id == "told")
        rows = self.database.run_ids
        is_restarted = all(rows[each].execution for each, case in self.runs.items() if case.verb == "restart")
        return is_restarted and has_told_all

    async def check(self) -> None:
        """Check what must hold, whatever happened."""
        workflows = [case.workflow for case in CASES]
        async with Outlast(workflows, store=MemoryStore(self.database), worker=False, tracing=False) as reader:
            for run_id, case in self.runs.items():
                result = await reader.run(run_id).snapshot()
                assert (run_id, result.status, result.result) == (run_id, case.status, case.result)
        assert not self.database.unfenced
        assert self.database.run_ids.keys() == self.runs.keys()
        for run_id, case in self.runs.items():
            run = self.database.run_ids[run_id]
            records = run.load(after=0, until=None, limit=None, facts_only=False)
            executions = [[each for each in records if each.execution == number] for number in range(run.execution + 1)]
            assert run.execution == int(case.verb == "restart"), "it is restarted once"
            if len(executions) == 1:
                check_journal(records)
            for execution in executions:
                ends = Counter(each.path for each in execution if each.type in ("step-succeeded", "run-finished"))
                assert set(ends.values()) == {1}
            resumed = [each for each in records if each.type == "step-resumed"]
            assert len(resumed) == (case.verb == "resume"), "a suspension is resumed once"
            self._check_fences(run.key)

    def _check_fences(self, run: RunKey) -> None:
        """Each epoch has one owner, and once a later one has written, no earlier one does."""
        writes = self.database.taken.get(run, [])
        assert [epoch for epoch, _, _ in writes] == sorted(epoch for epoch, _, _ in writes)
        owners = {(epoch, owner) for epoch, owner, _ in writes}
        assert len(owners) == len({epoch for epoch, _ in owners}), f"an epoch of run {run} has two owners"

    def digest(self) -> str:
        """Return what tells one history from another: all that is recorded, with its times."""
        total = hashlib.sha256()
        for run_id in sorted(self.runs):
            for record in self.database.run_ids[run_id].load(after=0, until=None, limit=None, facts_only=False):
                total.update(repr((run_id, *record)).encode())
        return total.hexdigest()


def live_through(seed: int, *, rounds: int = 4) -> World:
    """Live through a simulated world, check it, and return it."""

    async def main() -> World:
        TOLD.clear()
        world = World(rounds=rounds)
        try:
            await world.live()
            await world.check()
        finally:
            await world.end()
        return world

    with asyncio.Runner(loop_factory=lambda: SeededLoop(seed)) as runner:
        return runner.run(main())
