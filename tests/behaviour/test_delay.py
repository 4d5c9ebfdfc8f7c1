"""Starting later: rule 2.2 (delay, start_at), and what a delayed run is until then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from outlast import InputError, RunStatus, Workflow, step
from outlast.results import CancelOutcome


@step
async def add_one(x: int) -> int:
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(add_one).commit()


async def test_delayed_run_is_pending_until_its_time(bench: Bench) -> None:
    """2.2, 4: a delayed run is `pending`; when its time comes it runs."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as app:
        started = await begin(app, COUNT, 1, delay=timedelta(hours=1))

        assert await started.status() is RunStatus.PENDING
        assert bench.live(app) == []
        with pytest.raises(TimeoutError):
            await started.result(timeout=0.2)

        clock.offset = timedelta(hours=1)
        assert (await started.result()).unwrap() == 2


async def test_start_at_is_the_time_of_the_start(bench: Bench) -> None:
    """2.2: `start_at` is an instant."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as app:
        started = await begin(app, COUNT, 1, start_at=datetime.now(UTC) + timedelta(days=400))

        assert await started.status() is RunStatus.PENDING

        clock.offset = timedelta(days=401)
        assert (await started.result()).unwrap() == 2


async def test_start_at_in_the_past_starts_at_once(bench: Bench) -> None:
    """2.2: what is due runs."""
    async with bench.app(COUNT) as app:
        started = await begin(app, COUNT, 1, start_at=datetime(2020, 1, 1, tzinfo=UTC))

        assert (await started.result()).unwrap() == 2


async def test_delayed_run_survives_the_app(bench: Bench) -> None:
    """3.1: the run is on disk and will be run, whatever happens to this process."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as app:
        run_id = (await begin(app, COUNT, 1, delay=3_600)).run_id
    clock.offset = timedelta(hours=2)

    async with bench.app(COUNT, clock=clock) as app:
        assert (await app.run(run_id).result()).result == 2


async def test_why_says_when_a_delayed_run_starts(bench: Bench) -> None:
    """4: `why` puts every wait into words, with the time."""
    async with bench.app(COUNT) as app:
        started = await begin(app, COUNT, 1, start_at=datetime(2123, 4, 5, 6, 7, tzinfo=UTC))

        assert "start at 2123-04-05T06:07:00.000+00:00" in await started.why()


async def test_canceling_a_delayed_run_ends_it_at_once(bench: Bench) -> None:
    """10: pending runs end at once, and their steps never run."""
    async with bench.app(COUNT) as app:
        started = await begin(app, COUNT, 1, delay=timedelta(days=1))

        assert await started.cancel() is CancelOutcome.REQUESTED

        result = await started.result()
        assert result.status is RunStatus.CANCELED
        assert "add_one" not in result.steps


async def test_timeout_of_a_delayed_run_counts_from_its_start(bench: Bench) -> None:
    """9.3: the time that a run may take begins when it may start."""
    timed = Workflow("timed", input=int, output=int, timeout=timedelta(minutes=1)).then(add_one).commit()
    clock = Clock()
    async with bench.app(timed, clock=clock) as app:
        started = await begin(app, timed, 1, delay=timedelta(hours=1))
        clock.offset = timedelta(hours=1)

        assert (await started.result()).unwrap() == 2


async def test_leaving_with_finish_does_not_wait_for_delayed_runs(bench: Bench) -> None:
    """3.6: `on_exit="finish"` waits for what is runnable."""
    async with bench.app(COUNT, on_exit="finish") as app:
        run_id = (await begin(app, COUNT, 1, delay=timedelta(days=1))).run_id

    async with bench.app(COUNT, worker=False) as app:
        assert await app.run(run_id).status() is RunStatus.PENDING


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"delay": -1}, "delay is not valid: seconds or a timedelta are needed, at least 0"),
        ({"delay": timedelta(days=-1)}, "delay is not valid"),
        ({"delay": True}, "delay is not valid"),
        ({"delay": float("nan")}, "delay is not valid"),
        ({"delay": float("inf")}, "delay is not valid"),
        ({"delay": "1h"}, "delay is not valid"),
        ({"start_at": datetime(2030, 1, 1)}, "start_at is not valid: a datetime with a time zone is needed"),  # noqa: DTZ001
        ({"start_at": "2030-01-01"}, "start_at is not valid"),
        ({"delay": 1, "start_at": datetime(2030, 1, 1, tzinfo=UTC)}, "give either delay or start_at, not both"),
        ({"tags": "urgent"}, "tags is not valid: a list of texts is needed"),
        ({"tags": ["fine", ""]}, "[1]: needs 1 to 200 printable characters"),
        ({"tags": [7]}, "[0]: needs 1 to 200 printable characters"),
        ({"tags": [f"t{n}" for n in range(101)]}, "at most 100 tags"),
    ],
    ids=str,
)
async def test_options_that_cannot_work_are_refused_and_nothing_is_recorded(
    bench: Bench, options: dict[str, Any], reason: str
) -> None:
    """2.2, 2.3: no parameter is accepted and ignored; bad ones raise before anything is written."""
    async with bench.app(COUNT) as app:
        with pytest.raises(InputError) as caught:
            await begin(app, COUNT, 1, run_id="r", **options)

        assert reason in str(caught.value)
        assert await COUNT.get_workflow_run_execution_result("r") is None
