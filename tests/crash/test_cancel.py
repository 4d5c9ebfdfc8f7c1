"""Canceling from another process, with two real ones: rule 10. The tests have a timeout, and assert no times."""

from __future__ import annotations

from pathlib import Path

import pytest

from crash.processes import Nursery
from crash.test_processes import Place
from crash.test_sigkill import LONG, opened

CANCELED = {"status": "canceled", "result": None}


@pytest.fixture
def place(nursery: Nursery, tmp_path: Path) -> Place:
    return Place(nursery, tmp_path)


async def types_of(place: Place, run_id: str = "run") -> list[tuple[str, str]]:
    async with opened(place.path) as store:
        row = await store.find_run(run_id)
        assert row is not None
        return [(record.type, record.path) for record in await store.load_records(row.key)]


async def test_body_sees_the_flag_when_another_process_cancels_its_run(place: Place) -> None:
    """10: recorded in one transaction, seen by the owner from another process; what the body returns is kept."""
    async with place.open(lease=LONG) as owner, place.open(lease=LONG, worker=False) as outsider:
        await place.start(owner, "flagged")
        await owner.event("body")
        outsider.do("cancel", run_id="run")
        canceled = await outsider.event("canceled_run", run_id="run")
        await owner.event("flag", run_id="run")
        outsider.do("result", run_id="run", until="end")
        result = await outsider.event("result", run_id="run")
        complaints = owner.stderr() + outsider.stderr()

    assert (canceled["outcome"], complaints) == ("requested", "")
    assert result.items() >= CANCELED.items()
    assert place.calls() == {("wait_for_flag", 0): 1}
    assert (await types_of(place))[-3:] == [
        ("cancel-requested", ""),
        ("step-succeeded", "wait_for_flag"),
        ("run-finished", ""),
    ]


@pytest.mark.parametrize("workflow", ["asleep", "asks"])
@pytest.mark.parametrize("lives", [True, False], ids=["beside its worker", "after its worker"])
async def test_resting_run_ends_when_another_process_cancels_it(place: Place, workflow: str, lives: bool) -> None:
    """10: sleeping and suspended runs end at once, whether a worker lives or not; a finished run is left alone."""
    async with place.open(lease=LONG) as owner, place.open(lease=LONG, worker=False) as outsider:
        await place.start(owner, workflow)
        if not lives:
            await owner.close()
        outsider.do("cancel", run_id="run")
        first = await outsider.event("canceled_run", run_id="run")
        outsider.do("result", run_id="run", until="end")
        result = await outsider.event("result", run_id="run")
        before = await types_of(place)
        outsider.do("cancel", run_id="run")
        second = await outsider.event("canceled_run", run_id="run")

    assert (first["outcome"], second["outcome"]) == ("requested", "already-finished")
    assert result.items() >= CANCELED.items()
    assert before == await types_of(place)
    assert before[-1] == ("run-finished", "")


@pytest.mark.slow
async def test_async_body_that_ignores_the_flag_is_ended(place: Place) -> None:
    """10: running async steps get `CancelledError` after the grace period."""
    async with place.open(lease=LONG) as owner, place.open(lease=LONG, worker=False) as outsider:
        await place.start(owner, "held")
        await owner.event("body")
        outsider.do("cancel", run_id="run")
        await owner.event("canceled", run_id="run")
        outsider.do("result", run_id="run", until="end")
        result = await outsider.event("result", run_id="run")

    assert result.items() >= CANCELED.items()
    assert place.calls() == {("wait_async", 0): 1}


@pytest.mark.slow
async def test_late_result_of_a_thread_is_refused(place: Place) -> None:
    """9.3, 10: a thread that ignores the flag is left to itself; what it returns then changes nothing."""
    async with place.open(lease=LONG) as owner, place.open(lease=LONG, worker=False) as outsider:
        await place.start(owner, "held_in_thread")
        await owner.event("body")
        outsider.do("cancel", run_id="run")
        outsider.do("result", run_id="run", until="end")
        result = await outsider.event("result", run_id="run")
        before = await types_of(place)
        owner.do("open_gate", name="thread")
        await place.start(owner, "pair", "next")
        owner.do("result", run_id="next")
        await owner.event("result", run_id="next", status="success")

    assert result.items() >= CANCELED.items()
    assert await types_of(place) == before
    assert before[-2:] == [("step-canceled", "wait_in_thread"), ("run-finished", "")]
