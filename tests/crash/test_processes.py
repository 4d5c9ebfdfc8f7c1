"""Several processes on one file: they share the work, take over from each other, and never get in each other's way."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from crash.audit import check_run
from crash.processes import Nursery, WorkerProcess
from crash.reference import effects_of
from crash.test_sigkill import LONG, check_all, opened, until_all_ended
from eventually import eventually
from outlast.core.record import Record
from outlast.storage.base import RunRow

ONCE = {("add_one", 0): 1, ("double", 0): 1}


class Place:
    """A file that the processes of one test share."""

    def __init__(self, nursery: Nursery, directory: Path) -> None:
        self._nursery = nursery
        self.path = directory / "store.db"
        self.effects = directory / "effects"

    def open(self, **options: object) -> WorkerProcess:
        return self._nursery.open(self.path, **options)

    def ask_to_start(self, process: WorkerProcess, workflow: str, run_id: str = "run") -> None:
        process.do("start", workflow=workflow, run_id=run_id, input=1, effects=str(self.effects))

    async def start(self, process: WorkerProcess, workflow: str, run_id: str = "run") -> None:
        self.ask_to_start(process, workflow, run_id)
        await process.event("started", run_id=run_id)

    def start_all(self, process: WorkerProcess, workflow: str, run_ids: Sequence[str]) -> None:
        process.do("start_all", workflow=workflow, run_ids=run_ids, input=0, effects=str(self.effects))

    def calls(self, run_id: str = "run") -> dict[tuple[str, int], int]:
        return effects_of(self.effects).get(run_id, Counter())

    async def row(self, run_id: str = "run") -> RunRow:
        async with opened(self.path) as store:
            row = await store.find_run(run_id)
            assert row is not None
            return row

    async def journal(self, run_id: str = "run") -> tuple[int, list[Record]]:
        async with opened(self.path) as store:
            row = await store.find_run(run_id)
            assert row is not None
            return row.epoch, await store.load_records(row.key)


@pytest.fixture
def place(nursery: Nursery, tmp_path: Path) -> Place:
    return Place(nursery, tmp_path)


async def share(place: Place, runs: int) -> None:
    ours, theirs = ([f"{name}-{number}" for number in range(runs // 2)] for name in ("ours", "theirs"))
    async with place.open(lease=LONG) as one, place.open(lease=LONG) as two:
        place.start_all(one, "pair", ours)
        place.start_all(two, "pair", theirs)
        await asyncio.gather(one.event("started_all"), two.event("started_all"))
        await until_all_ended(place.path, ours + theirs, within=60)
        await asyncio.gather(one.close(), two.close())
        complaints = one.stderr() + two.stderr()

    assert complaints == ""
    assert effects_of(place.effects) == dict.fromkeys(ours + theirs, ONCE)


async def test_two_processes_on_one_file_run_every_run_once(place: Place) -> None:
    """12.1: workers hold leases, runs have epochs: a run has one owner at a time."""
    await share(place, 200)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_two_processes_on_one_file_run_two_thousand_runs_once(place: Place) -> None:
    """12.1: the same under load, without an error about locks in either process."""
    await share(place, 2_000)


async def test_start_of_one_id_in_two_processes_has_one_winner(place: Place) -> None:
    """2.4: a run id can be started once, also when two processes race: the second raises RunExistsError."""
    run_ids = [f"run-{number}" for number in range(50)]
    async with place.open() as one, place.open() as two:
        for run_id in run_ids:
            place.ask_to_start(one, "pair", run_id)
            place.ask_to_start(two, "pair", run_id)

        outcomes = Counter[tuple[str, str]]()
        for process in (one, two):
            for run_id in run_ids:
                event = await process.event_of(("started", "error"), run_id=run_id)
                outcomes[run_id, event.get("type", "started")] += 1
        await until_all_ended(place.path, run_ids, within=20)

    assert outcomes == {(run_id, kind): 1 for run_id in run_ids for kind in ("started", "RunExistsError")}
    assert effects_of(place.effects) == dict.fromkeys(run_ids, ONCE)


async def test_survivor_takes_over_at_once_from_a_killed_process(place: Place) -> None:
    """12.1: a dead process loses its runs at once; the lease of ten minutes has nothing to do with it."""
    run_ids = [f"run-{number}" for number in range(60)]
    async with place.open(lease=LONG) as survivor, place.open(lease=LONG) as victim:
        place.start_all(survivor, "ten", run_ids[:20])
        place.start_all(victim, "ten", run_ids[20:])
        await asyncio.gather(survivor.event("started_all"), victim.event("started_all"))

        await victim.kill()
        await until_all_ended(place.path, run_ids, within=20)

        assert "Traceback" not in survivor.stderr()
    await check_all(place.path, place.effects, run_ids, crashes=1)


async def test_body_that_a_killed_process_had_started_runs_again_as_recovered(place: Place) -> None:
    """12.1: the step that was running runs again with `ctx.recovered`."""
    async with place.open(lease=LONG) as survivor, place.open(lease=LONG) as victim:
        await place.start(victim, "held")
        first = await victim.event("body")
        await victim.kill()

        second = await survivor.event("body")

        assert (first["recovered"], second["recovered"]) == (False, True)
        assert (first["path"], first["attempt"]) == (second["path"], second["attempt"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workflow", "gate", "ends_late"),
    [
        ("held", "async", True),
        ("held_in_thread", "thread", True),
        pytest.param("held", "async", False, marks=pytest.mark.slow),
        pytest.param("held_in_thread", "thread", False, marks=pytest.mark.slow),
    ],
)
async def test_worker_that_was_stopped_writes_nothing_more_to_runs_it_lost(
    place: Place, workflow: str, gate: str, ends_late: bool
) -> None:
    """12.1: otherwise after the lease; every write is fenced, a stalled old owner can no longer write."""
    async with place.open(lease=1) as stopped:
        await place.start(stopped, workflow)
        await stopped.event("body")
        stopped.signal(signal.SIGSTOP)
        async with place.open() as other:
            again = await other.event("body")
            other.do("open_gate", name=gate)
            other.do("result", run_id="run")
            await other.event("result", status="success")
            await other.close()
        before = await place.journal()

        if ends_late:
            stopped.do("open_gate", name=gate)  # the body ends as soon as the process goes on
        stopped.signal(signal.SIGCONT)
        await eventually(lambda: "was taken for dead" in stopped.stderr())
        stopped.do("open_gate", name=gate)
        await place.start(stopped, "pair", "next")
        stopped.do("result", run_id="next")
        await stopped.event("result", run_id="next", status="success")

        assert again["recovered"]
        assert await place.journal() == before
        assert "Traceback" not in stopped.stderr()
        await stopped.close()
    assert place.calls("next") == ONCE


async def test_runs_of_a_stopped_worker_are_not_touched_before_its_lease_is_over(place: Place) -> None:
    """12.1: a process that lives and holds its lock keeps its runs until the lease is over."""
    async with place.open(lease=LONG) as stopped, place.open() as other:
        await place.start(stopped, "held")
        await stopped.event("body")
        stopped.signal(signal.SIGSTOP)
        await place.start(other, "pair", "probe")
        other.do("result", run_id="probe")
        await other.event("result", run_id="probe", status="success")
        owner = (await place.row()).owner

        stopped.signal(signal.SIGCONT)
        stopped.do("open_gate", name="async")
        stopped.do("result", run_id="run")
        await stopped.event("result", status="success")

        assert owner is not None
        assert place.calls() == {("wait_async", 0): 1, ("settle", 0): 1}


@pytest.mark.parametrize(("workflow", "gate"), [("held", "async"), ("held_in_thread", "thread")])
async def test_body_in_flight_ends_within_drain_and_is_recorded(place: Place, workflow: str, gate: str) -> None:
    """3.6: stop claiming, let bodies in flight end for `drain`, hand the rest over, claimable at once."""
    async with place.open(drain=20) as one:
        await place.start(one, workflow)
        body = await one.event("body")
        one.do("close")
        await one.event("closing")
        one.do("open_gate", name=gate)
        await one.event("closed")

        row = await place.row()
        _, records = await place.journal()

        assert [each.path for each in records if each.type == "step-succeeded"] == [body["path"]]
        assert (row.status, row.owner) == ("running", None)
        assert row.ready_at_ms is not None
        assert row.ready_at_ms <= time.time() * 1000
        assert "1 run is not finished" in one.stderr()
    async with place.open() as two:
        two.do("result", run_id="run")
        await two.event("result", status="success", result=3)
    assert place.calls() == {(body["path"], 0): 1, ("settle", 0): 1}


async def test_leaving_with_finish_waits_until_nothing_is_runnable(place: Place) -> None:
    """3.6: `on_exit="finish"` waits until nothing of this process is runnable."""
    async with place.open(on_exit="finish", max_runs=2) as one:
        for number in range(5):
            await place.start(one, "held", f"run-{number}")
        one.do("close")
        await one.event("closing")
        one.do("open_gate", name="async")
        await one.event("closed")

        for number in range(5):
            assert (await place.row(f"run-{number}")).status == "success"
        assert one.stderr() == ""


@pytest.mark.parametrize("workflow", ["held", "held_in_thread"])
async def test_body_longer_than_drain_is_abandoned_and_runs_again_elsewhere(place: Place, workflow: str) -> None:
    """3.6, 9.3: an async body is canceled, a thread is left behind; the run goes on in another process, recovered."""
    async with place.open(drain=0.1) as one:
        await place.start(one, workflow)
        body = await one.event("body")
        await one.close()
        if workflow == "held":
            await one.event("canceled")
        async with place.open() as two:
            again = await two.event("body")
            two.do("open_gate", name="async")
            two.do("open_gate", name="thread")
            two.do("result", run_id="run")
            await two.event("result", status="success")
            before = await place.journal()
            one.do("open_gate", name="thread")  # the late result of the thread that was left behind
            await two.close()

        assert (again["path"], again["recovered"]) == (body["path"], True)
        assert await place.journal() == before
        assert "Traceback" not in one.stderr()


async def test_app_in_a_forked_child_raises_forked_app_error(place: Place) -> None:
    """3.6: an app used in a forked child raises ForkedAppError."""
    async with place.open() as process:
        process.do("fork")

        errors = (await process.event("forked"))["errors"]

        assert errors == dict.fromkeys(errors, "ForkedAppError")


async def test_parent_goes_on_after_a_fork(place: Place) -> None:
    """3.6: the child takes nothing from its parent: neither locks nor connections nor runs."""
    async with place.open(lease=LONG) as process, place.open(lease=LONG):
        await place.start(process, "held")
        await process.event("body")

        process.do("fork")
        await process.event("forked")
        process.do("open_gate", name="async")
        process.do("result", run_id="run")
        await process.event("result", status="success")

        assert place.calls() == {("wait_async", 0): 1, ("settle", 0): 1}
        await process.close()
        assert process.stderr() == ""


async def test_starter_without_worker_sees_the_end_of_what_another_process_runs(place: Place) -> None:
    """3.2: `result` works from any process. 3.6: `worker=False` only starts and reads."""
    async with place.open(worker=False) as starter:
        await place.start(starter, "pair")
        starter.do("result", run_id="run")
        waiting = await place.row()
        async with place.open() as worker:
            await starter.event("result", status="success")
            await worker.close()

        assert (waiting.status, waiting.owner) == ("pending", None)
        assert place.calls() == ONCE
        assert starter.stderr() == ""


async def test_starter_waits_on_while_workers_come_and_go(place: Place) -> None:
    """3.2, 12.1: a caller that waits does not notice that the worker of its run was killed."""
    async with place.open(worker=False) as starter:
        await place.start(starter, "held")
        starter.do("result", run_id="run", timeout=30)
        for _ in range(3):
            async with place.open(lease=LONG) as worker:
                await worker.event("body")
        async with place.open(lease=LONG) as worker:
            await worker.event("body", recovered=True)
            worker.do("open_gate", name="async")
            await starter.event("result", status="success")
    async with opened(place.path) as store:
        await check_run(store, "run")
    assert place.calls() == {("wait_async", 0): 4, ("settle", 0): 1}


async def test_second_process_helps_with_what_waits_for_a_slot(place: Place) -> None:
    """19: a worker claims only into free slots; the others find the rest in the store."""
    run_ids = [f"run-{number}" for number in range(6)]
    async with place.open(max_runs=2) as busy:
        for run_id in run_ids:
            await place.start(busy, "held", run_id)
        async with place.open() as helper:
            helper.do("open_gate", name="async")
            bodies = [await helper.event("body", path="wait_async") for _ in range(4)]
            await helper.close()
        busy.do("open_gate", name="async")
        await until_all_ended(place.path, run_ids, within=20)

    assert len({body["run_id"] for body in bodies}) == 4
    assert all(place.calls(run_id)["wait_async", 0] == 1 for run_id in run_ids)
