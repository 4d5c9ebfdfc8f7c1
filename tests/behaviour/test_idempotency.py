"""Starting once: rule 2.5, the policies one by one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock
from outlast import (
    CommittedWorkflow,
    Idempotency,
    IdempotencyConflictError,
    InputError,
    Outlast,
    RunExistsError,
    RunStatus,
    StartedRun,
    Workflow,
    step,
)
from outlast.engines.capability import Capability

BROKEN: set[int] = set()

pytestmark = pytest.mark.requires(Capability.IDEMPOTENCY_KEYS)


@step
async def add_one(x: int) -> int:
    if x in BROKEN:
        raise ValueError(f"{x} is broken")
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(add_one).commit()
OTHER = Workflow("other", input=int, output=int).then(add_one).commit()
ASK = Workflow("ask", input=int).wait_for("go", resume=int).commit()


async def start(
    app: Outlast,
    workflow: CommittedWorkflow[Any, Any] = COUNT,
    input_data: object = 1,
    key: str | Idempotency = "k",
    resource_id: str | None = None,
    **options: Any,
) -> StartedRun[Any]:
    run = await app.create_run(workflow, resource_id=resource_id)
    return await run.start_async(input_data=input_data, idempotency_key=key, **options)


async def total(app: Outlast) -> int:
    return (await app.list_runs()).total


async def test_second_caller_gets_the_first_run(bench: Bench) -> None:
    """2.5: the second caller gets the first run's id, while it runs and when it has finished."""
    async with bench.app(ASK) as app:
        first = await start(app, ASK)
        second = await start(app, ASK)
        await second.result()
        await second.resume(5)
        third = await start(app, ASK)

        assert first.run_id == second.run_id == third.run_id
        assert (await third.result()).result == 5
        assert await total(app) == 1


async def test_run_under_a_key_is_a_run_like_any_other(bench: Bench) -> None:
    """2.5, 17: tags and delays go with a key."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as app:
        started = await start(app, tags=["red"], delay=3_600)

        assert await started.status() is RunStatus.PENDING
        clock.offset = timedelta(hours=1)
        assert (await started.result()).result == 2
        assert (await app.list_runs(tags=["red"])).total == 1


async def test_racing_callers_in_one_process_get_one_run(bench: Bench) -> None:
    """2.5: decided in the insert transaction."""
    async with bench.app(COUNT) as app:
        started = await asyncio.gather(*(start(app) for _ in range(50)))

        assert len({each.run_id for each in started}) == 1
        assert await total(app) == 1


async def test_other_input_is_a_conflict(bench: Bench) -> None:
    """2.5: the same key with different input raises, also for the initial state; nothing is recorded."""
    async with bench.app(COUNT) as app:
        first = await start(app)

        with pytest.raises(IdempotencyConflictError) as caught:
            await start(app, input_data=2)
        with pytest.raises(IdempotencyConflictError):
            await start(app, initial_state={"n": 1})

        assert (caught.value.run_id, caught.value.key) == (first.run_id, "k")
        assert await total(app) == 1


async def test_order_of_keys_in_the_input_is_no_difference(bench: Bench) -> None:
    """2.5: equal input is the same input."""
    plain = Workflow("plain").map(lambda ctx: ctx.input).commit()
    async with bench.app(plain) as app:
        first = await start(app, plain, {"a": 1, "b": 2})
        second = await start(app, plain, {"b": 2, "a": 1})

        assert first.run_id == second.run_id


async def test_request_context_is_no_part_of_what_a_key_means(bench: Bench) -> None:
    """2.5: a repeated request comes with another trace or user agent, and means the same."""
    async with bench.app(COUNT) as app:
        first = await start(app, request_context={"trace": 1})
        second = await start(app, request_context={"trace": 2})

        assert first.run_id == second.run_id


async def test_scope_is_the_workflow(bench: Bench) -> None:
    """2.5: scope workflow, which is the default."""
    async with bench.app(COUNT, OTHER) as app:
        first = await start(app, resource_id="ada")

        assert (await start(app, resource_id="eve")).run_id == first.run_id
        assert (await start(app, OTHER)).run_id != first.run_id


async def test_scope_may_be_the_resource(bench: Bench) -> None:
    """2.5: scope workflow and `resource_id`."""
    key = Idempotency(key="k", scope="resource")
    async with bench.app(COUNT) as app:
        ada = await start(app, key=key, resource_id="ada")
        eve = await start(app, key=key, resource_id="eve")

        assert ada.run_id != eve.run_id
        assert (await start(app, key=key, resource_id="ada")).run_id == ada.run_id
        assert (await start(app, key="k")).run_id not in {ada.run_id, eve.run_id}


async def test_key_is_kept_for_the_time_that_the_caller_sets(bench: Bench) -> None:
    """2.5: kept for a time that the caller can set; then it means nothing."""
    clock = Clock()
    key = Idempotency(key="k", keep=timedelta(hours=1))
    async with bench.app(COUNT, clock=clock) as app:
        first = await start(app, key=key)
        await first.result()
        clock.offset = timedelta(minutes=59)
        assert (await start(app, key=key)).run_id == first.run_id

        clock.offset = timedelta(minutes=61)
        second = await start(app, input_data=2, key=key)

        assert second.run_id != first.run_id
        assert (await second.result()).result == 3


async def test_key_is_held_as_long_as_its_run_has_not_ended(bench: Bench) -> None:
    """2.5: there are never two active runs for one key."""
    clock = Clock()
    key = Idempotency(key="k", keep=timedelta(hours=1))
    async with bench.app(ASK, clock=clock) as app:
        first = await start(app, ASK, key=key)
        await first.result()
        clock.offset = timedelta(days=400)

        assert (await start(app, ASK, key=key)).run_id == first.run_id


async def test_policy_reject_while_running(bench: Bench) -> None:
    """2.5: `reject` for a run that has not ended."""
    async with bench.app(ASK) as app:
        key = Idempotency(key="k", while_running="reject")
        first = await start(app, ASK, key=key)

        with pytest.raises(RunExistsError) as caught:
            await start(app, ASK, key=key)

        assert caught.value.run_id == first.run_id
        await first.result()
        await first.resume(1)
        assert (await start(app, ASK, key=key)).run_id == first.run_id


async def test_policy_replace_while_running(bench: Bench) -> None:
    """2.5: `replace` cancels the run that holds the key and starts the new one under it."""
    async with bench.app(ASK) as app:
        key = Idempotency(key="k", while_running="replace")
        first = await start(app, ASK, key=key)
        await first.result()

        second = await start(app, ASK, key=key)

        canceled = await first.result(until="end", timeout=5)
        assert second.run_id != first.run_id
        assert canceled.status is RunStatus.CANCELED
        assert (await second.result()).status is RunStatus.SUSPENDED
        assert (await start(app, ASK, key="k")).run_id == second.run_id


async def test_run_that_another_process_drives_is_replaced(bench: Bench) -> None:
    """2.5, 10: the request to cancel is part of the transaction, whoever drives the run."""
    gate = asyncio.Event()

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    held = Workflow("held", input=int).then(hold).commit()
    async with bench.app(held, grace=timedelta(0)) as worker, bench.app(held, worker=False) as caller:
        key = Idempotency(key="k", while_running="replace")
        first = await start(worker, held, key=key)

        second = await start(caller, held, key=key)

        assert (await first.result(timeout=30)).status is RunStatus.CANCELED
        gate.set()
        assert (await second.result(timeout=30)).status is RunStatus.SUCCESS


async def test_policy_reject_when_finished(bench: Bench) -> None:
    """2.5: `reject` for a run that has ended."""
    async with bench.app(COUNT) as app:
        key = Idempotency(key="k", when_finished="reject")
        await (await start(app, key=key)).result()

        with pytest.raises(RunExistsError):
            await start(app, key=key)


async def test_policy_rerun_when_finished(bench: Bench) -> None:
    """2.5: `rerun` starts the new run, and the key stands for that from then on."""
    async with bench.app(COUNT) as app:
        key = Idempotency(key="k", when_finished="rerun")
        first = await start(app, key=key)
        await first.result()

        second = await start(app, key=key)
        await second.result()

        assert second.run_id != first.run_id
        assert (await start(app)).run_id == second.run_id
        assert await total(app) == 2


async def test_policy_rerun_returns_a_run_that_is_running(bench: Bench) -> None:
    """2.5: each of the two policies is for its own kind of run."""
    async with bench.app(ASK) as app:
        key = Idempotency(key="k", when_finished="rerun")

        assert (await start(app, ASK, key=key)).run_id == (await start(app, ASK, key=key)).run_id


async def test_policy_rerun_if_failed(bench: Bench) -> None:
    """2.5: `rerun_if_failed` starts the new run unless the last one ended with success."""
    async with bench.app(COUNT) as app:
        key = Idempotency(key="k", when_finished="rerun_if_failed")
        BROKEN.add(7)
        failed = await start(app, input_data=7, key=key)
        await failed.result()
        BROKEN.clear()

        again = await start(app, input_data=7, key=key)
        result = await again.result()
        third = await start(app, input_data=7, key=key)

        assert again.run_id != failed.run_id
        assert result.status is RunStatus.SUCCESS
        assert third.run_id == again.run_id


async def test_start_many_takes_keys(bench: Bench) -> None:
    """2.5, 2.7: the ids are those of the runs that the keys stand for."""
    async with bench.app(COUNT) as app:
        first = await start(app)

        ids = await COUNT.start_many([{"input_data": 1, "idempotency_key": key} for key in ("j", "k")])

        assert ids[1] == first.run_id
        assert await total(app) == 2


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "needs 1 to 200 printable characters"),
        (7, "needs 1 to 200 printable characters"),
        (Idempotency(key="k", scope="app"), "scope: 'app' is none of workflow, resource"),  # type: ignore[arg-type]
        (Idempotency(key="k", scope="resource"), "scope: the scope is the resource, and the run has none"),
        (Idempotency(key="k", keep=timedelta(-1)), "keep: a timedelta is needed, not negative"),
        (Idempotency(key="k", keep=60), "keep: a timedelta is needed"),  # type: ignore[arg-type]
        (Idempotency(key="k", while_running="rerun"), "while_running: 'rerun' is none of return, reject, replace"),  # type: ignore[arg-type]
        (Idempotency(key="k", when_finished="replace"), "when_finished: 'replace' is none of"),  # type: ignore[arg-type]
    ],
    ids=str,
)
async def test_keys_that_cannot_be_meant_are_refused(bench: Bench, key: Any, reason: str) -> None:
    """2.3: names the place, the reason and what there is; nothing is recorded."""
    async with bench.app(COUNT) as app:
        with pytest.raises(InputError) as caught:
            await start(app, key=key)

        assert reason in str(caught.value)
        assert await total(app) == 0
