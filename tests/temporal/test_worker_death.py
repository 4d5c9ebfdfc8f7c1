"""A worker that dies: what is recorded stays, what was in flight runs again with another worker (rule 12.1)."""

from __future__ import annotations

import pytest

from behaviour.bench import begin
from eventually import eventually
from temporal.place import Place
from temporal.reference import HELD, calls_of, open_gate

pytestmark = pytest.mark.slow


async def test_step_in_flight_runs_again_with_another_worker(place: Place) -> None:
    """12.1: only the body that was in flight runs twice, and it is told."""
    async with place.app(HELD, worker=False) as app:
        doomed = place.worker()
        run = await begin(app, HELD, 1, run_id="run")
        await eventually(lambda: calls_of(place.traces).get("run", {}).get("held"))
        place.kill(doomed)
        place.worker()
        await eventually(lambda: calls_of(place.traces)["run"]["held"] == 2, within=20)
        open_gate(place.traces)
        result = await run.result(timeout=20)
        history = await place.history(app, "run")

    assert result.result == 4
    assert calls_of(place.traces)["run"] == {"first": 1, "held": 2, "last": 1}
    assert [line.split()[3] for line in place.traces.read_text().splitlines()] == ["0", "0", "1", "0"]
    assert [(record.type, record.path) for record in history.records] == [
        ("run-started", ""),
        ("step-started", "first"),
        ("step-succeeded", "first"),
        ("step-started", "held"),
        ("run-crashed", ""),
        ("step-started", "held"),
        ("step-succeeded", "held"),
        ("step-started", "last"),
        ("step-succeeded", "last"),
        ("run-finished", ""),
    ]


async def test_run_waits_for_a_worker(place: Place) -> None:
    """3.1: a run that was started goes on as soon as a worker lives; nothing is lost before."""
    open_gate(place.traces)
    async with place.app(HELD, worker=False) as app:
        run = await begin(app, HELD, 1)
        before = await run.status()
        place.worker()
        result = await run.result(timeout=20)

    assert (before, result.result) == ("pending", 4)
