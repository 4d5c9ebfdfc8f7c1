"""A worker that dies: what is recorded stays, what was in flight runs again with another worker (rule 12.1)."""

from __future__ import annotations

from typing import Any

import pytest

from behaviour.bench import begin
from eventually import eventually
from outlast import StartedRun
from temporal.place import Place
from temporal.reference import HELD, HOOKED, calls_of, open_gate

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


async def test_hook_in_flight_is_told_again_with_another_worker(place: Place) -> None:
    """13: at least once, also after a crash; the result does not wait for it."""
    async with place.app(HOOKED, worker=False) as app:
        doomed = place.worker()
        run = await begin(app, HOOKED, 1, run_id="run")
        result = await run.result(timeout=20)
        await eventually(lambda: calls_of(place.traces).get("run", {}).get("?on_finish"), within=20)
        [due] = await run.deliveries()
        place.kill(doomed)
        open_gate(place.traces)
        place.worker()
        await eventually(lambda: no_deliveries(run), within=40)

    assert (result.result, due.hook, calls_of(place.traces)["run"]["?on_finish"]) == (2, "on_finish", 2)


async def no_deliveries(run: StartedRun[Any]) -> bool:
    return not await run.deliveries()


async def test_run_waits_for_a_worker(place: Place) -> None:
    """3.1: a run that was started goes on as soon as a worker lives; nothing is lost before."""
    open_gate(place.traces)
    async with place.app(HELD, worker=False) as app:
        run = await begin(app, HELD, 1)
        before = await run.status()
        place.worker()
        result = await run.result(timeout=20)

    assert (before, result.result) == ("pending", 4)
