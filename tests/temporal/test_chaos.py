"""Workers and servers that die in the middle of forty runs: all runs end, and no recorded outcome repeats."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from behaviour.bench import begin
from eventually import eventually
from outlast import Outlast
from temporal.place import Place
from temporal.reference import ASKING, FOUR, HELD, calls_of, open_gate
from temporal_server import running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

RUNS = [f"run-{number}" for number in range(40)]


@pytest.fixture
def place_on_disk(tmp_path: Path) -> Iterator[Place]:
    with running_server(tmp_path, has_file=True) as server:
        place = Place(server, tmp_path)
        yield place
        place.close()


async def start_all(app: Outlast) -> None:
    await asyncio.gather(*(begin(app, FOUR, 0, run_id=run_id) for run_id in RUNS))


async def until_many_are_called(place: Place) -> None:
    """Until the runs are well on their way, and far from their end."""
    await eventually(lambda: sum(calls.total() for calls in calls_of(place.traces).values()) >= 50, within=60)


async def check_all(place: Place, app: Outlast) -> None:
    """All runs end well; each outcome is recorded once; what ran twice was in flight."""
    for run_id in RUNS:
        result = await app.run(run_id).result(timeout=120)
        assert result.result == 4, (run_id, result.status, result.error)
        history = await place.history(app, run_id)
        ends = Counter(record.path for record in history.records if record.type == "step-succeeded")
        assert ends == {"a": 1, "b": 1, "c": 1, "d": 1}
        calls = calls_of(place.traces)[run_id]
        begun = Counter(record.path for record in history.records if record.type == "step-started")
        assert set(calls) == {"a", "b", "c", "d"}
        assert all(calls[path] <= begun[path] for path in calls), (calls, begun)


async def test_worker_dies(place: Place) -> None:
    async with place.app(FOUR, worker=False) as app:
        doomed = place.worker()
        place.worker()
        await start_all(app)
        await until_many_are_called(place)
        place.kill(doomed)
        await check_all(place, app)


async def test_server_dies(place_on_disk: Place) -> None:
    place = place_on_disk
    place.worker(lease=10)
    place.worker(lease=10)
    async with place.app(FOUR, worker=False, lease=10) as app:
        await start_all(app)
        await until_many_are_called(place)
        place.server.kill()
        await asyncio.to_thread(place.server.start)
        await check_all(place, app)


async def test_worker_and_server_die(place_on_disk: Place) -> None:
    place = place_on_disk
    doomed = place.worker(lease=10)
    place.worker(lease=10)
    async with place.app(FOUR, worker=False, lease=10) as app:
        await start_all(app)
        await until_many_are_called(place)
        place.kill(doomed)
        place.server.kill()
        await asyncio.to_thread(place.server.start)
        place.worker(lease=10)
        await check_all(place, app)


async def test_server_dies_while_a_body_runs_and_another_run_waits(place_on_disk: Place) -> None:
    """A body goes on through the outage, and a suspended run can be resumed after it."""
    place = place_on_disk
    place.worker(lease=30)
    async with place.app(HELD, ASKING, worker=False, lease=30) as app:
        held = await begin(app, HELD, 1)
        asking = await begin(app, ASKING, 1)
        assert (await asking.result(timeout=30)).status == "suspended"
        await eventually(lambda: calls_of(place.traces).get(held.run_id, {}).get("held"), within=30)
        place.server.kill()
        await asyncio.to_thread(place.server.start)
        open_gate(place.traces)
        ended = await app.run(held.run_id).result(timeout=90)
        resumed = await app.run(asking.run_id).resume("yes")

    assert (ended.result, resumed.result) == (4, "yes")
    assert calls_of(place.traces)[held.run_id] == {"first": 1, "held": 1, "last": 1}
