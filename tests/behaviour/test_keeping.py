"""Deleting runs and keeping them for a time: rule 17."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from behaviour.bench import Bench, Clock, begin
from eventually import eventually
from outlast import (
    ConfigurationError,
    Idempotency,
    Outlast,
    RunExistsError,
    RunNotFoundError,
    RunStateError,
    RunStatus,
    Workflow,
    step,
)
from outlast.engines.capability import Capability
from outlast.engines.local import housekeeper


@step
async def add_one(x: int) -> int:
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(add_one).commit()
OTHER = Workflow("other", input=int, output=int).then(add_one).commit()
ASK = Workflow("ask", input=int).wait_for("go", resume=int).commit()


async def sweep(app: Outlast) -> None:
    """Do what a worker does now and then."""
    await app._engine._housekeeper.sweep()  # type: ignore[attr-defined]  # noqa: SLF001


async def test_deleted_run_is_found_by_no_read(bench: Bench) -> None:
    """17: reads give None."""
    async with bench.app(COUNT) as app:
        await (await begin(app, COUNT, 1, run_id="r", tags=["red"])).result()

        await COUNT.delete_workflow_run_by_id("r")

        assert await COUNT.get_workflow_run_by_id("r") is None
        assert await COUNT.get_workflow_run_execution_result("r") is None
        assert (await app.list_runs()).total == (await app.list_runs(tags=["red"])).total == 0
        assert await app.counts() == {}
        with pytest.raises(RunNotFoundError):
            await app.run("r").result()
        with pytest.raises(RunNotFoundError):
            await app.run("r").cancel()


async def test_handle_deletes_its_run(bench: Bench) -> None:
    """17: handles do what the long names do."""
    async with bench.app(COUNT) as app:
        await (await begin(app, COUNT, 1, run_id="r")).result()

        await app.run("r").delete()

        assert (await app.list_runs()).total == 0


@pytest.mark.requires(Capability.LIFETIME_IDENTITY)
async def test_id_of_a_deleted_run_cannot_be_started(bench: Bench) -> None:
    """17: starts raise `RunExistsError` for `identity_ttl`; then the id is free."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock, identity_ttl=timedelta(days=3)) as app:
        await (await begin(app, COUNT, 1, run_id="r")).result()
        await app.run("r").delete()
        with pytest.raises(RunExistsError):
            await begin(app, COUNT, 1, run_id="r")

        clock.offset = timedelta(days=2)
        await sweep(app)
        with pytest.raises(RunExistsError):
            await begin(app, COUNT, 1, run_id="r")

        clock.offset = timedelta(days=4)
        await sweep(app)
        assert (await (await begin(app, COUNT, 5, run_id="r")).result()).result == 6


@pytest.mark.requires(Capability.IDEMPOTENCY_KEYS)
async def test_key_of_a_deleted_run_is_held_for_its_time(bench: Bench) -> None:
    """2.5, 17: what was done once under a key is not done again because somebody tidied up."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as app:
        await (await begin(app, COUNT, 1, run_id="r", idempotency_key="k")).result()
        await app.run("r").delete()

        with pytest.raises(RunExistsError) as caught:
            await begin(app, COUNT, 1, idempotency_key="k")
        clock.offset = timedelta(days=2)
        again = await begin(app, COUNT, 1, idempotency_key="k")

        assert caught.value.run_id == "r"
        assert (await again.result()).result == 2


async def test_active_run_is_not_deleted(bench: Bench) -> None:
    """17: deleting an active run is refused; the error says what to do."""
    async with bench.app(COUNT, ASK) as app:
        await (await begin(app, ASK, 1, run_id="open")).result()
        await begin(app, COUNT, 1, run_id="later", delay=3_600)

        with pytest.raises(RunStateError, match="cannot delete while the run is suspended: cancel it first"):
            await app.run("open").delete()
        with pytest.raises(RunStateError, match="cannot delete while the run is pending: cancel it first"):
            await app.run("later").delete()

        await app.run("open").cancel()
        await app.run("open").result()
        await eventually(lambda: not bench.live(app))
        await app.run("open").delete()
        assert (await app.list_runs()).total == 1


async def test_run_of_another_workflow_is_not_deleted(bench: Bench) -> None:
    """17: the long name is about the runs of its workflow."""
    async with bench.app(COUNT, OTHER) as app:
        await (await begin(app, COUNT, 1, run_id="r")).result()

        with pytest.raises(RunNotFoundError):
            await OTHER.delete_workflow_run_by_id("r")
        with pytest.raises(RunNotFoundError):
            await COUNT.delete_workflow_run_by_id("nobody")

        assert (await app.list_runs()).total == 1


@pytest.mark.requires(Capability.RETENTION)
async def test_runs_are_kept_for_the_retention(bench: Bench) -> None:
    """17: finished runs are deleted after their time, active ones never."""
    clock = Clock()
    async with bench.app(COUNT, ASK, clock=clock, retention=timedelta(days=5)) as app:
        await (await begin(app, COUNT, 1, run_id="old")).result()
        await (await begin(app, ASK, 1, run_id="open")).result()
        clock.offset = timedelta(days=4)
        await (await begin(app, COUNT, 1, run_id="new")).result()
        await sweep(app)
        assert (await app.list_runs()).total == 3

        clock.offset = timedelta(days=6)
        await sweep(app)

        assert [run.run_id for run in (await app.list_runs()).runs] == ["new", "open"]
        with pytest.raises(RunExistsError):
            await begin(app, COUNT, 1, run_id="old")
        await app.run("open").resume(3)
        assert (await app.run("open").result()).result == 3


@pytest.mark.requires(Capability.RETENTION)
async def test_retention_is_thirty_days_unless_told_otherwise(bench: Bench) -> None:
    """17: on by default."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as app:
        await (await begin(app, COUNT, 1)).result()
        clock.offset = timedelta(days=29)
        await sweep(app)
        assert (await app.list_runs()).total == 1

        clock.offset = timedelta(days=31)
        await sweep(app)
        assert (await app.list_runs()).total == 0


@pytest.mark.requires(Capability.RETENTION)
async def test_retention_can_be_turned_off(bench: Bench) -> None:
    """17: an option on the app."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock, retention=None) as app:
        await (await begin(app, COUNT, 1)).result()
        clock.offset = timedelta(days=400)

        await sweep(app)

        assert (await app.list_runs()).total == 1


@pytest.mark.requires(Capability.RETENTION)
async def test_run_with_a_live_key_is_kept(bench: Bench) -> None:
    """17: never one with a live key."""
    clock = Clock()
    key = Idempotency(key="k", keep=timedelta(days=60))
    async with bench.app(COUNT, clock=clock) as app:
        first = await begin(app, COUNT, 1, idempotency_key=key)
        await first.result()
        clock.offset = timedelta(days=59)
        await sweep(app)
        assert (await begin(app, COUNT, 1, idempotency_key=key)).run_id == first.run_id

        clock.offset = timedelta(days=61)
        await sweep(app)
        assert (await app.list_runs()).total == 0
        assert (await begin(app, COUNT, 1, idempotency_key=key)).run_id != first.run_id


@pytest.mark.requires(Capability.RETENTION)
async def test_worker_deletes_old_runs_by_itself_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """17: in the background, logged."""
    monkeypatch.setattr(housekeeper, "_FIRST_AFTER_S", 0.01)
    monkeypatch.setattr(housekeeper, "_EVERY_S", 0.01)
    caplog.set_level(logging.INFO, "outlast.retention")
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as app:
        await (await begin(app, COUNT, 1, run_id="r")).result()
        clock.offset = timedelta(days=31)

        await eventually(lambda: "deleted 1 runs" in caplog.text)

        assert await COUNT.get_workflow_run_by_id("r") is None


@pytest.mark.requires(Capability.RETENTION)
async def test_process_that_is_no_worker_deletes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.6: `worker=False` only starts and reads."""
    monkeypatch.setattr(housekeeper, "_FIRST_AFTER_S", 0.0)
    async with bench.app(COUNT, worker=False) as app:
        assert [task.get_name() for task in app._engine._background.tasks] == ["outlast-look"]  # type: ignore[attr-defined]  # noqa: SLF001


@pytest.mark.requires(Capability.RETENTION)
async def test_one_worker_at_a_time_sweeps(bench: Bench) -> None:
    """17: by one worker at a time; when it is gone, another one does it."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as second:
        async with bench.app(COUNT, clock=clock) as first:
            run = await first.create_run(COUNT, run_id="r")
            await run.start(input_data=1)
            await sweep(first)
            clock.offset = timedelta(days=31)

            await sweep(second)
            assert (await second.list_runs()).total == 1

        await sweep(second)
        assert (await second.list_runs()).total == 0


async def test_result_of_a_run_that_is_deleted_meanwhile_raises(bench: Bench) -> None:
    """17: deleted is as if it never was."""
    async with bench.app(COUNT) as app:
        started = await begin(app, COUNT, 1)
        assert (await started.result()).status is RunStatus.SUCCESS
        await started.delete()

        with pytest.raises(RunNotFoundError):
            await started.snapshot()
        with pytest.raises(RunNotFoundError):
            await started.delete()


@pytest.mark.parametrize("option", ["retention", "identity_ttl"])
def test_times_below_zero_are_refused(option: str) -> None:
    """17: a typed error names the option."""
    with pytest.raises(ConfigurationError, match=f"{option}=-1 day, 0:00:00 must not be below zero"):
        Outlast([COUNT], store="memory", **{option: timedelta(days=-1)})
