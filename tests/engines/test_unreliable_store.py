"""A store that fails now and then: the engine never goes on with what may not be true, and forgets no run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from eventually import eventually
from outlast import Outlast, StepContext, Workflow, step
from outlast.engines.local.lost import LostRuns
from outlast.engines.local.worker import Worker
from outlast.errors import OutlastError, StoreUnavailableError
from outlast.storage.base import Append, NewRun, Receipt, Settle, WorkerKey
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.testing.faults import KillAt

FAULT = StoreUnavailableError("the disk is away; try again")


@step
async def add_one(x: int) -> int:
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(add_one).then(add_one.clone(id="again")).commit()


class Unreliable(MemoryStore):
    """Fails the next calls of a method that the test names."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.faults: dict[str, int] = {}

    def fail(self, method: str, times: int = 1) -> None:
        self.faults[method] = times

    def _check(self, method: str) -> None:
        if self.faults.get(method, 0) > 0:
            self.faults[method] -= 1
            raise FAULT

    async def load_facts(self, *args: Any, **options: Any) -> Any:
        self._check("load_facts")
        return await super().load_facts(*args, **options)

    async def find_run(self, run_id: str) -> Any:
        self._check("find_run")
        return await super().find_run(run_id)

    async def load_journals(self, *args: Any) -> Any:
        self._check("load_journals")
        return await super().load_journals(*args)

    async def next_ready_at(self, *args: Any) -> Any:
        self._check("next_ready_at")
        return await super().next_ready_at(*args)

    async def list_graphs(self, **options: Any) -> Any:
        self._check("list_graphs")
        return await super().list_graphs(**options)

    async def claim(self, *args: Any, **options: Any) -> Any:
        self._check("claim")
        return await super().claim(*args, **options)

    async def register_worker(self, **options: Any) -> WorkerKey:
        self._check("register_worker")
        return await super().register_worker(**options)

    def renew_lease(self, *args: Any) -> bool:
        self._check("renew_lease")
        return super().renew_lease(*args)

    def insert(self, run: NewRun, settle: Settle) -> None:
        """With a fault: recorded, and nobody can tell."""

        def lose_answer(outcome: Receipt | OutlastError) -> None:
            try:
                self._check("insert")
            except StoreUnavailableError as fault:
                outcome = fault
            settle(outcome)

        super().insert(run, lose_answer)


class RefusesOneCount(MemoryStore):
    """Fails the first write that counts a crash."""

    has_refused = False

    def append(self, write: Append, settle: Settle) -> None:
        if not self.has_refused and any(record.type == "run-crashed" for record in write.records):
            self.has_refused = True
            asyncio.get_running_loop().call_soon(settle, FAULT)
        else:
            super().append(write, settle)


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


async def leave_runs(database: MemoryDatabase, number: int) -> list[str]:
    """Start runs without a worker."""
    run_ids = [f"run-{each}" for each in range(number)]
    async with Outlast([COUNT], store=MemoryStore(database), worker=False) as app:
        for run_id in run_ids:
            await (await app.create_run(COUNT, run_id=run_id)).start_async(input_data=1)
    return run_ids


@pytest.mark.parametrize("method", ["load_facts", "claim", "next_ready_at", "list_graphs"])
@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
async def test_runs_are_taken_over_although_the_store_fails_meanwhile(
    database: MemoryDatabase, method: str, times: int
) -> None:
    """3.1: no status in which a run stays for ever with nobody working on it."""
    store = Unreliable(database)
    async with Outlast([COUNT], store=store) as app:
        store.fail(method, times)
        run_ids = await leave_runs(database, 5)

        await eventually(lambda: store.faults[method] == 0)
        for run_id in run_ids:
            assert (await app.run(run_id).result(timeout=5)).result == 3


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["find_run", "load_facts"])
async def test_run_is_read_again_although_reading_fails(database: MemoryDatabase, method: str, times: int) -> None:
    """12.1: after a refused commit the run is discarded and reloaded from the journal, however long that takes."""
    gate = asyncio.Event()

    @step
    async def wait(x: int, ctx: StepContext) -> int:
        await gate.wait()
        return x

    workflow = Workflow("w", input=int, output=int).then(wait).then(add_one).commit()
    store = Unreliable(database)
    seam = OneFailure()
    store._committer._seam = seam  # noqa: SLF001 - a seam and faults in one store
    async with Outlast([workflow], store=store) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        store.fail(method, times)
        seam.is_armed = True
        gate.set()
        await eventually(lambda: not seam.is_armed and store.faults[method] == 0)

        assert (await started.result(timeout=5)).result == 2


class OneFailure:
    """A seam at which the next commit fails once it is armed."""

    def __init__(self) -> None:
        self.is_armed = False

    def before_commit(self) -> None:
        if self.is_armed:
            self.is_armed = False
            raise OSError("disk full")

    def after_commit(self) -> None:
        pass


async def test_start_of_which_nobody_knows_whether_it_is_recorded_is_absent_or_complete(
    database: MemoryDatabase,
) -> None:
    """3.1: a start that raised may be recorded; then it is run like any other."""
    store = Unreliable(database)
    async with Outlast([COUNT], store=store) as app:
        store.fail("insert")
        with pytest.raises(StoreUnavailableError):
            await (await app.create_run(COUNT, run_id="run")).start_async(input_data=1)

        assert (await app.run("run").result(timeout=5)).result == 3


@pytest.mark.slow
async def test_worker_that_lost_its_lease_begins_again_although_the_store_fails(
    database: MemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """12.1: a worker taken for dead goes on as a new one, as soon as the store lets it."""
    store = Unreliable(database)
    async with Outlast([COUNT], store=store, lease=timedelta(seconds=1)) as app:
        store.fail("register_worker", 2)
        (worker,) = await store.list_workers()
        await MemoryStore.retire_worker(store, worker.key)
        await eventually(lambda: "taken for dead" in caplog.text and store.faults["register_worker"] == 0)

        started = await (await app.create_run(COUNT)).start_async(input_data=1)
        assert (await started.result(timeout=5)).result == 3


class SlowToTell(MemoryStore):
    """Never says the first time that something is claimable."""

    is_slow = True

    async def next_ready_at(self, *args: Any) -> int | None:
        answer = await super().next_ready_at(*args)
        if self.is_slow and answer is not None:
            self.is_slow = False
            await asyncio.Event().wait()
        return answer


async def test_change_is_looked_at_although_other_code_cancels_the_look(database: MemoryDatabase) -> None:
    """3.1: the store tells of a change once; nothing else may happen there for a long time."""
    store = SlowToTell(database)
    async with Outlast([COUNT], store=store):
        (run_id,) = await leave_runs(database, 1)
        await eventually(lambda: not store.is_slow)
        next(each for each in asyncio.all_tasks() if each.get_name() == "outlast-look").cancel()

        await eventually(lambda: _has_succeeded(store, run_id))  # not through the app: whoever asks it wakes it


class CanceledAtClaim(MemoryStore):
    """Has the first look that claims something canceled by other code, some turns of the loop after it asked."""

    turns = 0
    has_canceled = False

    async def claim(self, *args: Any, **options: Any) -> Any:
        claiming = super().claim(*args, **options)
        if not self.has_canceled and await self.find_run("run-0") is not None:
            self.has_canceled = True
            task = asyncio.current_task()
            assert task is not None
            _cancel_in(self.turns, task)
        return await claiming


def _cancel_in(turns: int, task: asyncio.Task[Any]) -> None:
    loop = asyncio.get_running_loop()
    if turns:
        loop.call_soon(_cancel_in, turns - 1, task)
    else:
        loop.call_soon(task.cancel)


@pytest.mark.parametrize("turns", range(4))
async def test_run_is_driven_although_other_code_cancels_the_look_that_claims_it(
    database: MemoryDatabase, turns: int
) -> None:
    """3.1, 12.1: a claim is a commit; whoever asked for it may not be there any more when it is told."""
    store = CanceledAtClaim(database)
    store.turns = turns
    async with Outlast([COUNT], store=store):
        (run_id,) = await leave_runs(database, 1)

        await eventually(lambda: _has_succeeded(store, run_id))
        assert store.has_canceled


async def _has_succeeded(store: MemoryStore, run_id: str) -> bool:
    row = await store.find_run(run_id)
    return row is not None and row.status == "success"


async def test_fault_that_lasts_is_told_once_and_its_end_too(
    database: MemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is away for a while does not fill the log with one sentence, and nobody has to guess its return."""
    store = Unreliable(database)
    async with Outlast([COUNT], store=store) as app:
        store.fail("next_ready_at", 3)
        run_ids = await leave_runs(database, 1)
        assert (await app.run(run_ids[0]).result(timeout=5)).result == 3
        await eventually(lambda: "the store answers again" in caplog.text)

    assert store.faults["next_ready_at"] == 0
    assert caplog.text.count("the store did not answer, trying again: the disk is away") == 1
    assert caplog.text.count("the store answers again") == 1


async def test_failed_renewal_is_tried_again(database: MemoryDatabase, caplog: pytest.LogCaptureFixture) -> None:
    """12.1: one renewal that fails costs nothing."""
    store = Unreliable(database)
    async with Outlast([COUNT], store=store, lease=timedelta(seconds=1)) as app:
        store.fail("renew_lease")
        await eventually(lambda: "could not renew" in caplog.text)

        started = await (await app.create_run(COUNT)).start_async(input_data=1)
        assert (await started.result()).result == 3
        assert "taken for dead" not in caplog.text


async def test_every_failed_commit_is_survived() -> None:
    """12.1: after a failed commit the engine never goes on with the old state; the run ends all the same."""
    for number in range(1, 12):
        calls: list[str] = []
        seam = FailAt(number)
        workflow = _noted(calls)
        data = MemoryDatabase()
        with suppress(StoreUnavailableError):
            async with Outlast([workflow], store=MemoryStore(data, seam=seam)) as app:
                run = await app.create_run(workflow, run_id="run")
                with suppress(StoreUnavailableError):
                    await run.start_async(input_data=1)
                    assert (await app.run("run").result(timeout=5)).result == 3
        assert all(calls.count(path) <= 2 for path in calls)


class FailAt:
    """A seam at which one commit fails and the process lives on."""

    def __init__(self, commit: int) -> None:
        self._left = commit

    def before_commit(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise OSError("disk full")

    def after_commit(self) -> None:
        pass


def _noted(calls: list[str]) -> Any:
    @step
    async def note(x: int, ctx: StepContext) -> int:
        calls.append(ctx.path)
        return x + 1

    return Workflow("noted", input=int, output=int).then(note).then(note.clone(id="again")).commit()


@pytest.mark.parametrize("commit", [3, 4, 5])
async def test_leaving_does_not_wait_for_a_store_that_died(database: MemoryDatabase, commit: int) -> None:
    """3.6: a dead store takes nothing more: leaving ends at once, long before `drain` is over."""
    loop = asyncio.get_running_loop()
    died = asyncio.Event()
    seam = KillAt(commit, "before", on_strike=lambda: loop.call_soon_threadsafe(died.set))
    before = loop.time()
    with suppress(StoreUnavailableError):
        async with Outlast([COUNT], store=MemoryStore(database, seam=seam), drain=timedelta(seconds=30)) as app:
            await (await app.create_run(COUNT)).start_async(input_data=1)
            await died.wait()

    assert died.is_set()
    assert loop.time() - before < 5


async def test_crash_is_counted_although_the_journal_could_not_be_read_at_first(database: MemoryDatabase) -> None:
    """9.6: counted is a crash of the process while a body was started; a fault of the store forgets none."""
    seam = KillAt(3, "after")  # the graph, the worker, the run with the start of its step
    with suppress(OutlastError):
        async with Outlast([COUNT], store=MemoryStore(database, seam=seam)) as app:
            await (await app.create_run(COUNT, run_id="run")).start_async(input_data=1)
    store = Unreliable(database)
    store.fail("load_journals")
    async with Outlast([COUNT], store=store) as app:
        result = await app.run("run").result(timeout=10)
        row = await store.find_run("run")
        types = [record.type for record in await store.load_records(row.key)]

    assert (seam.struck, store.faults["load_journals"]) == (True, 0)
    assert (result.result, types.count("run-crashed")) == (3, 1)


async def test_crash_whose_count_could_not_be_recorded_is_counted_later(database: MemoryDatabase) -> None:
    """9.6: a refused commit takes the count with it; the run is read again, and it is counted then, once."""
    with suppress(OutlastError):
        async with Outlast([COUNT], store=MemoryStore(database, seam=KillAt(3, "after"))) as app:
            await (await app.create_run(COUNT, run_id="run")).start_async(input_data=1)
    store = RefusesOneCount(database)
    async with Outlast([COUNT], store=store) as app:
        result = await app.run("run").result(timeout=10)
        row = await store.find_run("run")
        types = [record.type for record in await store.load_records(row.key)]

    assert (result.result, store.has_refused, types.count("run-crashed")) == (3, True, 1)


class RefusesOutcomes(MemoryStore):
    """Never takes the outcome of a step."""

    refused = 0

    def append(self, write: Append, settle: Settle) -> None:
        if any(record.type == "step-succeeded" for record in write.records):
            self.refused += 1
            asyncio.get_running_loop().call_soon(settle, FAULT)
        else:
            super().append(write, settle)


async def test_write_that_is_refused_again_and_again_is_tried_with_growing_pauses(
    database: MemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """12.1: each try runs the body again, so a store that refuses for good must not be asked at full speed."""
    store = RefusesOutcomes(database)
    loop = asyncio.get_running_loop()
    async with Outlast([COUNT], store=store, drain=timedelta(seconds=1)) as app:
        before = loop.time()
        await (await app.create_run(COUNT, run_id="run")).start_async(input_data=1)
        await eventually(lambda: store.refused >= 4)

        assert loop.time() - before > 0.3  # none before the second try, then 0.1 s and 0.2 s
        assert sum("is read again" in record.message for record in caplog.records) == 1


class RefusesToPark(MemoryStore):
    """Does not take it at first that a worker leaves a run to others."""

    refused = 0

    def append(self, write: Append, settle: Settle) -> None:
        if write.hold is not None and self.refused < 2:
            self.refused += 1
            asyncio.get_running_loop().call_soon(settle, FAULT)
        else:
            super().append(write, settle)


async def test_run_that_could_not_be_left_to_others_is_left_to_them_later(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """3.1, 9.8: it is still this worker's, so nobody else could take it, for as long as this process lives."""

    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("a fault in the engine")

    monkeypatch.setattr("outlast.engines.local.driver.fact_of", broken)
    store = RefusesToPark(database)
    async with Outlast([COUNT], store=store, drain=timedelta(0)) as app:
        await (await app.create_run(COUNT, run_id="run")).start_async(input_data=1)

        async def is_left() -> bool:
            row = await store.find_run("run")
            return row is not None and row.owner is None

        await eventually(is_left)

    assert store.refused == 2


@pytest.mark.parametrize("fault", [OSError(24, "Too many open files"), FAULT, RuntimeError("can't start new thread")])
async def test_fault_while_one_run_is_taken_over_costs_no_run_its_driver(
    database: MemoryDatabase, fault: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """3.1: all that were claimed with it are this worker's, so it must come back to each."""
    run_ids = await leave_runs(database, 3)
    may_drive, faults = Worker._may_drive, [fault]  # noqa: SLF001 - where a lock file is opened

    def open_too_much(self: Worker, *run: Any) -> bool:
        if faults:
            raise faults.pop()
        return may_drive(self, *run)

    monkeypatch.setattr(Worker, "_may_drive", open_too_much)
    async with Outlast([COUNT], store=MemoryStore(database)) as app:
        for run_id in run_ids:
            assert (await app.run(run_id).result(timeout=10)).result == 3

    assert not faults
    assert "1 claimed runs could not be read yet" in caplog.text


def test_pauses_of_a_refused_run_grow_up_to_a_bound_and_end_with_its_success() -> None:
    """12.1: the first refusal costs no pause; a run that went on for long begins anew."""
    now = 0.0
    lost = LostRuns(lambda: now)

    def pause_after_refusal() -> float:
        nonlocal now
        lost.add("run", has_crashed=False, reason="disk full")
        before = now
        while not lost.due():
            now += 0.05
        lost.take("run")
        return round(now - before, 3)

    pauses = [pause_after_refusal() for _ in range(12)]
    lost.forget("run")
    after_success = pause_after_refusal()
    pause_after_refusal()
    now += 100

    assert pauses[:5] == pytest.approx([0, 0.1, 0.2, 0.4, 0.8], abs=0.051)
    assert pauses[-1] == pytest.approx(10, abs=0.051)
    assert (after_success, pause_after_refusal()) == (0, 0)


def test_run_that_waits_to_be_read_again_is_not_forgotten_when_a_later_write_is_taken() -> None:
    """3.1: of two writes in flight the first may be refused although it was recorded; the run is read again."""
    lost = LostRuns(lambda: 0.0)
    lost.add("run", has_crashed=True, reason="disk full")
    lost.forget("run")

    assert (bool(lost), lost.due(), lost.take("run")) == (True, ["run"], True)
