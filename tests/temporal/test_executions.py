"""Later executions on Temporal (rules 12.3 and 12.4): in workflows of their own, read as one run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from temporalio.client import Client

from behaviour.bench import begin, statuses
from eventually import eventually
from outlast import (
    Outlast,
    PayloadTooLargeError,
    RunNotFoundError,
    RunResult,
    RunStateError,
    StepContext,
    StoreUnavailableError,
    Workflow,
    step,
)
from outlast.engines.base import History
from temporal.place import Place

pytestmark = pytest.mark.slow


@step
async def add_one(x: int) -> int:
    return x + 1


@step
async def fail_at_first(x: int, ctx: StepContext) -> list[Any]:
    if ctx.execution < 2:
        raise ConnectionError(f"down {ctx.execution}")
    return [x, ctx.execution, await ctx.get_init_data()]


@step
async def ask(x: Any, ctx: StepContext) -> list[Any]:
    if not ctx.resumed:
        ctx.suspend("please")
    return [x, ctx.resume_data, ctx.execution]


FLAKY = Workflow("flaky", input=int).then(add_one).then(fail_at_first).commit()
ASKING = Workflow("asking", input=int).then(add_one).then(ask).commit()


async def test_all_executions_are_read_without_a_worker(place: Place) -> None:
    """12.3: an execution that has ended never changes, and stays readable."""
    async with place.app(FLAKY) as app:
        started = await begin(app, FLAKY, 1)
        ends = [await started.result(), await started.restart(), await started.restart()]

    async with place.app(FLAKY, worker=False) as app:
        run = app.run(started.run_id)
        again = [await run.result(execution=number) for number in range(3)]
        journal = (await place.history(app, started.run_id)).records

    assert [each.to_dict() for each in again] == [each.to_dict() for each in ends]
    assert [(each.status, each.execution) for each in again] == [("failed", 0), ("failed", 1), ("success", 2)]
    assert again[2].result == [2, 2, 1]
    assert [each.seq for each in journal] == list(range(1, len(journal) + 1))
    assert [each.execution for each in journal if each.type == "run-rewound"] == [1, 2]


async def test_what_is_kept_comes_along_however_often_the_run_goes_on(place: Place) -> None:
    """12.3: values of the first execution, over one that was opened in an open workflow and one in a closed one."""
    async with place.app(ASKING) as app:
        started = await begin(app, ASKING, 1)
        await started.result()
        travelled = await started.time_travel(ask)
        again = await started.time_travel(ask, context={"add_one": 70})
        await started.cancel()
        await started.result(until="end")
        restarted = await started.restart()
        ended = await started.resume("yes")

    assert [(each.status, each.execution) for each in (travelled, again, restarted, ended)] == [
        ("suspended", 1),
        ("suspended", 2),
        ("suspended", 3),
        ("success", 3),
    ]
    assert ended.result == [70, "yes", 3]


async def test_execution_that_is_canceled_before_a_worker_takes_it_can_be_restarted(place: Place) -> None:
    """10, 12.3: it ends when a worker comes; the next one goes on from the same place."""
    async with place.app(FLAKY) as app:
        started = await begin(app, FLAKY, 1)
        await started.result()
    async with place.app(FLAKY, worker=False) as app:
        handle = app.run(started.run_id)
        await handle.restart_async()
        assert (await handle.snapshot()).status == "pending"
        await handle.cancel()
    async with place.app(FLAKY) as app:
        handle = app.run(started.run_id)
        canceled = await handle.result()
        result = await handle.restart()

    assert (canceled.status, canceled.execution) == ("canceled", 1)
    assert (result.status, result.result) == ("success", [2, 2, 1])


async def test_suspended_run_goes_back_only_with_a_worker(place: Place) -> None:
    """12.3: its workflow is open, so a worker has to agree; without one nobody hears whether one will."""
    async with place.app(ASKING) as app:
        started = await begin(app, ASKING, 1)
        await started.result()
    async with place.app(ASKING, worker=False) as app:
        handle = app.run(started.run_id)
        with pytest.raises(StoreUnavailableError, match="start a worker and read the run"):
            await handle.time_travel_async(ask)
        left = await handle.snapshot()

    assert (left.status, left.execution) == ("suspended", 0)


async def test_lists_show_a_run_once_as_its_latest_execution(place: Place) -> None:
    """17: whatever its earlier executions came to; all of them are deleted together."""
    async with place.app(FLAKY, ASKING) as app:
        for name in ("a", "b"):
            await (await begin(app, FLAKY, 1, run_id=name, tags=["red"])).result()
        other = await begin(app, ASKING, 1, run_id="c")
        await other.result()
        await other.time_travel(ask)
        await app.run("a").restart()
        await app.run("a").restart()

        async def shows() -> Any:
            page = await app.list_runs()
            return {each.run_id: (each.status.value, each.execution) for each in page.runs}, page.total

        async def has_caught_up() -> bool:
            return await shows() == ({"a": ("success", 2), "b": ("failed", 0), "c": ("suspended", 1)}, 3)

        await eventually(has_caught_up, within=20)
        failed = await app.list_runs(status="failed", tags=["red"])
        first = await app.list_runs(per_page=2)
        rest = await app.list_runs(per_page=2, after=first.after)

        assert ([each.run_id for each in failed.runs], failed.total, failed.after) == (["b"], 1, None)
        assert sorted(each.run_id for each in (*first.runs, *rest.runs)) == ["a", "b", "c"]
        assert await app.counts() == {"flaky": {"failed": 1, "success": 1}, "asking": {"suspended": 1}}

        await app.run("a").delete()
        with pytest.raises(RunNotFoundError):
            await app.run("a").status()


async def test_run_whose_workflow_an_operator_ended_is_restarted(place: Place) -> None:
    """12.3: it has failed, so it goes on from where it was."""
    async with place.app(ASKING) as app:
        started = await begin(app, ASKING, 1)
        await started.result()
        client = await Client.connect(place.server.address)
        await client.get_workflow_handle(f"{place.name}-{started.run_id}").terminate(reason="by hand")
        failed = await started.result(until="end")

        restarted = await started.restart()
        ended = await started.resume("yes")

    assert failed.error is not None
    assert (failed.status, failed.error.type) == ("failed", "WorkflowTerminatedError")
    assert (restarted.status, statuses(restarted)["add_one"]) == ("suspended", "success")
    assert ended.result == [2, "yes", 1]


async def test_each_execution_is_opened_once_while_many_restart_what_fails_at_once(place: Place) -> None:
    """12.3: whoever read the run before others restarted it opens nothing, also when that has ended again."""

    @step
    async def fail(x: int) -> int:
        raise ValueError(x)

    workflow = Workflow("failing", input=int).then(fail).commit()

    async def restart_often(app: Any, run_id: str) -> int:
        opened = 0
        for _ in range(8):
            try:
                await app.run(run_id).restart_async()
            except RunStateError:
                continue
            opened += 1
        return opened

    async with place.app(workflow) as app, place.app(workflow, worker=False) as other:
        started = await begin(app, workflow, 1)
        await started.result()
        opened = await asyncio.gather(*(restart_often(each, started.run_id) for each in (app, other) * 3))
        await started.result(until="end")
        journal = (await place.history(app, started.run_id)).records

    assert [each.execution for each in journal if each.type == "run-rewound"] == list(range(1, sum(opened) + 1))
    assert [each.seq for each in journal] == list(range(1, len(journal) + 1))
    assert sum(opened) > 0


async def test_run_goes_on_though_a_hook_is_still_to_be_told_of_its_end(place: Place) -> None:
    """12.3, 13: the next execution begins when it is told; nobody reads the old end meanwhile."""
    gate, entered = asyncio.Event(), asyncio.Event()
    told: list[tuple[int, str]] = []

    async def on_finish(result: RunResult[Any]) -> None:
        entered.set()
        await gate.wait()
        told.append((result.execution, result.status.value))

    workflow = Workflow("told", input=int, on_finish=on_finish).then(add_one).then(fail_at_first).commit()
    async with place.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        await entered.wait()

        again = await started.restart_async()
        waiting = await again.snapshot()
        gate.set()
        failed = await again.result()
        result = await started.restart()

        async def are_told() -> bool:
            return len(told) == 3

        await eventually(are_told, within=20)

    assert (waiting.status, waiting.execution) == ("pending", 1)
    assert (failed.status, failed.execution, result.status) == ("failed", 1, "success")
    assert told == [(0, "failed"), (1, "failed"), (2, "success")]


async def test_lock_of_a_process_that_died_is_taken_away(place: Place) -> None:
    """12.3: whoever restarts the run waits until the server has ended it."""
    async with place.app(FLAKY) as app:
        started = await begin(app, FLAKY, 1)
        await started.result()
        client = await Client.connect(place.server.address)
        digest = sha256(started.run_id.encode()).hexdigest()[:40]
        lock = await client.start_workflow(
            "outlast:opening",
            id=f"{place.name}-outlast-opening:{digest}",
            task_queue=place.name,
            start_delay=timedelta(days=1),
            execution_timeout=timedelta(seconds=1),
        )

        result = await started.restart()

        part = client.get_workflow_handle(lock.id, run_id=lock.first_execution_run_id)
        described = await part.describe()
        assert described.status is not None
        assert (result.execution, described.status.name) == (1, "TIMED_OUT")


async def test_what_is_too_large_to_be_kept_is_refused(place: Place) -> None:
    """9.7, 12.3: before anything is recorded."""
    texts = Workflow("texts").map(lambda ctx: "", id="a").map(lambda ctx: "", id="b").then(ask).commit()
    async with place.app(texts) as app:
        started = await begin(app, texts)
        await started.result()
        with pytest.raises(PayloadTooLargeError, match="what the execution keeps"):
            await started.time_travel(ask, context={"a": "x" * 1_100_000, "b": "y" * 1_100_000})
        with pytest.raises(PayloadTooLargeError, match="what the execution keeps"):
            await started.fork(ask, context={"a": "x" * 1_100_000, "b": "y" * 1_100_000}, run_id="copy")

        assert (await started.snapshot()).execution == 0
        with pytest.raises(RunNotFoundError):
            await app.run("copy").status()


async def test_executions_are_recorded_as_on_the_local_engine(place: Place) -> None:
    """20: a restart, a time travel of a suspended run, a fork: event by event, times aside."""
    workflow = Workflow("both", input=int).then(add_one).then(fail_at_first).then(ask).commit()
    found: list[Any] = []
    for app in (Outlast([workflow], store="memory"), place.app(workflow)):
        async with app:
            started = await begin(app, workflow, 1, run_id="run", request_context={"by": "me"})
            await started.result()
            await started.restart(request_context={"again": True})
            await started.restart()
            await started.time_travel("ask", context={"add_one": 5}, initial_state={"n": 1})
            await started.fork("ask", run_id="copy", input_data=[1])
            await started.time_travel("ask", resume_data="yes")
            found.append([_plain(await place.history(app, run_id)) for run_id in ("run", "copy")])

    assert found[0] == found[1]
    assert [event[1:3] for event in found[1][0] if event[2] == "run-rewound"] == [
        (number, "run-rewound") for number in (1, 2, 3, 4)
    ]


def _plain(history: History) -> list[tuple[Any, ...]]:
    return [(each.seq, each.execution, each.type, each.path, each.attempt, each.payload) for each in history.records]


async def test_what_bodies_say_keeps_its_place_over_executions(place: Place) -> None:
    """12.3, 14.1: the events of all executions are numbered without gaps, each with its execution."""

    @step
    async def talk(x: int, ctx: StepContext) -> int:
        ctx.write(f"said in {ctx.execution}")
        return x

    workflow = Workflow("talking", input=int).then(talk).then(fail_at_first).then(ask).commit()
    async with place.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        await started.time_travel(talk)
        await started.restart()
        await started.time_travel(talk)
        journal = await app.engine.open_journal(started.run_id)
        records = await journal.load_records(after=0, limit=1_000, most_bytes=1_000_000)

    assert [each.seq for each in records] == list(range(1, len(records) + 1))
    said = [(each.execution, each.payload) for each in records if not each.is_fact]
    assert said == [(number, f'"said in {number}"'.encode()) for number in (0, 1, 3)]
