"""Idempotency keys on Temporal (rule 2.5): the server decides who holds one, and no worker has to live for that."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistory
from temporalio.worker import Replayer

from behaviour.bench import begin
from eventually import eventually
from outlast import Idempotency, IdempotencyConflictError, RunExistsError, StoreUnavailableError, Workflow, step
from outlast.engines.base import StartRequest
from outlast.engines.temporal.holding import HeldKey
from temporal.place import Place

pytestmark = pytest.mark.slow


@step
async def add_one(x: int) -> int:
    return x + 1


ONE = Workflow("one", input=int, output=int).then(add_one).commit()
ASK = Workflow("ask", input=int).wait_for("go", resume=int).commit()


async def holders(place: Place) -> list[WorkflowExecutionStatus | None]:
    """Return what the workflows that held a key have come to, the latest first."""
    client = await Client.connect(place.server.address)
    query = f"WorkflowType = 'outlast:key' AND TaskQueue = '{place.name}'"
    return [each.status async for each in client.list_workflows(query)]


async def test_racing_processes_without_a_worker_start_one_run(place: Place) -> None:
    """2.5: of any number of callers one starts a run, also while no worker lives."""
    async with place.app(ONE, worker=False) as one, place.app(ONE, worker=False) as two:
        started = await asyncio.gather(*(begin(app, ONE, 1, idempotency_key="k") for app in (one, two) * 10))
        assert len({each.run_id for each in started}) == 1
        with pytest.raises(IdempotencyConflictError):
            await begin(two, ONE, 2, idempotency_key="k")

    async with place.app(ONE) as app:
        assert (await app.run(started[0].run_id).result(timeout=30)).result == 2
        client = await Client.connect(place.server.address)
        query = f"WorkflowType = 'one' AND TaskQueue = '{place.name}'"

        async def is_alone() -> bool:
            return (await client.count_workflows(query)).count == 1

        await eventually(is_alone, within=20)


async def test_run_goes_with_its_key_as_it_would_without(place: Place) -> None:
    """2.5, 17: tags and delays."""
    async with place.app(ONE) as app:
        started = await begin(app, ONE, 1, idempotency_key="k", tags=["red"], delay=timedelta(hours=1))

        assert await started.status() == "pending"

        async def is_listed() -> bool:
            return [each.run_id for each in (await app.list_runs(tags=["red"])).runs] == [started.run_id]

        await eventually(is_listed, within=20)


async def test_caller_that_died_before_it_started_its_run_is_helped(place: Place, monkeypatch: Any) -> None:
    """2.5, 3.1: the key is reserved first; whoever comes with the same key and input starts that run."""
    async with place.app(ONE) as app, place.app(ONE) as other:

        async def die(request: StartRequest) -> None:
            raise StoreUnavailableError("the process ended here")

        with monkeypatch.context() as patch:
            patch.setattr(app._engine, "start", die)  # noqa: SLF001
            with pytest.raises(StoreUnavailableError):
                await begin(app, ONE, 1, run_id="mine", idempotency_key="k")
        with pytest.raises(IdempotencyConflictError):
            await begin(other, ONE, 2, idempotency_key="k")

        helped = await begin(other, ONE, 1, idempotency_key="k")

        assert helped.run_id == "mine"
        assert (await helped.result(timeout=30)).result == 2


async def test_key_is_let_go_when_its_time_is_over_and_its_run_has_ended(place: Place) -> None:
    """2.5: kept for a time that the caller can set, and not as long as the run goes on."""
    key = Idempotency(key="k", keep=timedelta(seconds=1))
    async with place.app(ONE) as app:
        first = await begin(app, ONE, 1, idempotency_key=key)
        await first.result()

        async def is_over() -> bool:
            return await holders(place) == [WorkflowExecutionStatus.COMPLETED]

        await eventually(is_over, within=20)
        second = await begin(app, ONE, 2, idempotency_key=key)

        assert second.run_id != first.run_id


async def test_history_of_a_held_key_is_replayed() -> None:
    """2.5: keys that one version holds, the next one lets go. Recorded for a run that had ended in time."""
    file = Path(__file__).parent / "histories" / "keys" / "held.json"
    history = WorkflowHistory.from_json("held", file.read_text())

    with ThreadPoolExecutor(1) as executor:
        await Replayer(workflows=[HeldKey], workflow_task_executor=executor).replay_workflow(history)


async def test_key_is_held_beyond_its_time_while_its_run_goes_on(place: Place) -> None:
    """2.5: there are never two active runs for one key."""
    key = Idempotency(key="k", keep=timedelta())
    async with place.app(ASK) as app:
        first = await begin(app, ASK, 1, idempotency_key=key)
        await first.result()
        assert (await begin(app, ASK, 1, idempotency_key=key)).run_id == first.run_id

        await first.cancel()
        await first.result(until="end")
        again = await begin(app, ASK, 1, idempotency_key=key)

        assert again.run_id != first.run_id
        assert (await again.result()).status == "suspended"


async def test_key_of_a_deleted_run_is_held_for_its_time(place: Place) -> None:
    """2.5, 17: what was done once under a key is not done again because somebody tidied up."""
    async with place.app(ONE) as app:
        first = await begin(app, ONE, 1, idempotency_key="k")
        await first.result()
        await first.delete()

        with pytest.raises(RunExistsError) as caught:
            await begin(app, ONE, 1, idempotency_key="k")

        assert caught.value.run_id == first.run_id


async def test_of_several_that_start_again_one_does(place: Place) -> None:
    """2.5: the key changes hands once, however many find that its run has ended."""
    key = Idempotency(key="k", when_finished="rerun")
    async with place.app(ASK) as app, place.app(ASK) as other:
        first = await begin(app, ASK, 1, idempotency_key=key)
        await first.cancel()
        await first.result(until="end")

        started = await asyncio.gather(*(begin(each, ASK, 1, idempotency_key=key) for each in (app, other) * 5))

        (run_id,) = {each.run_id for each in started}
        assert run_id != first.run_id
        assert (await app.run(run_id).result(timeout=30)).status == "suspended"


async def test_id_that_is_taken_leaves_the_key_free(place: Place) -> None:
    """2.4, 2.5: nothing is recorded for a run that cannot be started."""
    async with place.app(ONE) as app:
        await (await begin(app, ONE, 1, run_id="mine")).result()

        with pytest.raises(RunExistsError):
            await begin(app, ONE, 1, run_id="mine", idempotency_key="k")

        assert (await (await begin(app, ONE, 5, idempotency_key="k")).result()).result == 6
