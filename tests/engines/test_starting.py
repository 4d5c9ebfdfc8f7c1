"""Starting and waiting: rules 2 and 3."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from engines.place import Place, one_step
from eventually import eventually
from outlast import (
    InputError,
    Outlast,
    PayloadTooLargeError,
    RunExistsError,
    RunNotFoundError,
    RunStateError,
    StepFailedError,
    Workflow,
    step,
)
from outlast.storage.base import NewRun, Settle
from outlast.storage.identity import Admission, Identity
from outlast.storage.memory import MemoryDatabase, MemoryStore


@step
async def add_one(x: int) -> int:
    return x + 1


@step
async def break_down(x: int) -> int:
    raise LookupError(f"no {x}")


COUNT = Workflow("count", input=int, output=int).then(add_one).commit()
BROKEN = one_step(break_down)


async def test_create_run_gives_monotonic_uuids_of_version_7(place: Place) -> None:
    """2.1: ids are UUIDv7, monotonic in a process, unless given."""
    async with place.app(COUNT) as app:
        ids = [(await app.create_run(COUNT)).run_id for _ in range(500)]

    assert {uuid.UUID(each).version for each in ids} == {7}
    assert all(first < second for first, second in pairwise(ids))


async def test_create_run_records_nothing(place: Place) -> None:
    """2.1: in process it records nothing."""
    async with place.app(COUNT) as app:
        run = await app.create_run(COUNT, run_id="mine")

        assert run.run_id == "mine"
        assert await COUNT.get_workflow_run_execution_result("mine") is None
    assert await place.row("mine") is None


async def test_workflow_finds_the_app_entered_innermost(place: Place) -> None:
    """2.1: `wf.create_run()` uses the app entered innermost in this context."""
    async with place.app(COUNT, BROKEN) as outer, place.app(COUNT):
        run = await COUNT.create_run(resource_id="r")
        result = await run.start(input_data=1)

        assert (result.result, result.resource_id) == (2, "r")
        assert (await outer.run(run.run_id).result()).status == "success"


async def test_workflow_finds_the_only_open_app_from_another_context(place: Place) -> None:
    """2.1: else the only open app."""
    seen: list[int | None] = []

    async def elsewhere() -> None:
        seen.append((await (await COUNT.create_run()).start(input_data=1)).result)

    import contextvars  # noqa: PLC0415 - only to make a context without the app

    empty = contextvars.Context()
    async with place.app(COUNT):
        await asyncio.get_running_loop().create_task(elsewhere(), context=empty)

    assert seen == [2]


async def test_start_returns_the_result(place: Place) -> None:
    """2.2: `await run.start(...)` waits."""
    result = await place.run(COUNT, 1)

    assert (result.status, result.result, result.unwrap(), result.error) == ("success", 2, 2, None)


async def test_start_async_returns_before_the_first_body_is_called(place: Place) -> None:
    """3.2: it waits for the commit, not for what a worker in the same process does next."""
    order: list[str] = []

    @step
    async def called(x: int) -> int:
        order.append("called")
        return x

    workflow = one_step(called)
    async with place.app(workflow) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        order.append("returned")
        await started.result()

    assert order == ["returned", "called"]


async def test_start_async_does_not_wait_for_any_step(place: Place) -> None:
    """3.2: it returns without waiting for any step."""
    gate = asyncio.Event()

    @step
    async def wait(x: int) -> int:
        await gate.wait()
        return x

    workflow = one_step(wait)
    async with place.app(workflow) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        status = await started.status()
        gate.set()

        assert status == "running"
        assert (await started.result()).status == "success"


@pytest.mark.parametrize(
    ("input_data", "context", "path"),
    [("x", None, "input_data"), (None, None, "input_data"), (1, {"a": {"b": float("nan")}}, "a.b")],
)
async def test_bad_data_is_refused_before_anything_is_written(
    place: Place, input_data: object, context: dict[str, object] | None, path: str
) -> None:
    """2.3, 3.3: input and request context are validated before anything is written; nothing is recorded."""
    async with place.app(COUNT) as app:
        run = await app.create_run(COUNT, run_id="run")
        with pytest.raises(InputError, match=path):
            await run.start_async(input_data=input_data, request_context=context)

        again = await run.start(input_data=1)

    assert again.result == 2


async def test_every_wrong_path_of_the_input_is_named(place: Place) -> None:
    """2.3: failure raises `InputError` naming each path."""
    workflow = Workflow("deep", input=dict[str, list[int]]).map(lambda ctx: ctx.input).commit()
    with pytest.raises(InputError) as caught:
        await place.run(workflow, {"a": [1, "x"], "b": ["y"]})

    assert [problem.path for problem in caught.value.problems] == ["a[1]", "b[0]"]


@pytest.mark.parametrize("size", [5, pytest.param(50, marks=pytest.mark.slow)])
async def test_input_over_the_limit_is_refused(place: Place, size: int) -> None:
    """9.7: a payload over the limit (4 MiB) fails at once with `PayloadTooLargeError` naming the field and size."""
    workflow = Workflow("text", input=str).map(lambda ctx: len(ctx.input)).commit()
    with pytest.raises(PayloadTooLargeError, match="input_data") as caught:
        await place.run(workflow, "x" * size * 1024 * 1024, run_id="run")

    assert caught.value.size == size * 1024 * 1024 + 2
    assert await place.row("run") is None


async def test_second_start_of_an_id_is_refused_and_changes_nothing(place: Place) -> None:
    """2.4: the second raises `RunExistsError` and changes nothing."""
    await place.run(COUNT, 1, run_id="run")
    before = await place.row("run")

    with pytest.raises(RunExistsError, match="run"):
        await place.run(COUNT, 5, run_id="run")

    assert await place.row("run") == before


async def test_concurrent_starts_of_an_id_have_one_winner(place: Place) -> None:
    """2.4: also when two race."""
    async with place.app(COUNT) as one, place.app(COUNT) as two:
        runs = [await app.create_run(COUNT, run_id="run") for app in (one, two, one, two)]

        outcomes = await asyncio.gather(*(run.start(input_data=1) for run in runs), return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RunExistsError"] * 3 + ["RunResult"]


async def test_outcomes_are_values_and_unwrap_raises(place: Place) -> None:
    """2.6: a `RunResult` for every outcome, also `failed`; `unwrap` raises `StepFailedError`."""
    result = await place.run(BROKEN, 7)

    assert (result.status, result.result, result.error_path) == ("failed", None, "break_down")
    with pytest.raises(StepFailedError, match="'break_down' failed with LookupError: no 7"):
        result.unwrap()


async def test_waiting_too_long_leaves_the_run_untouched(place: Place) -> None:
    """2.6: waiting too long raises the builtin `TimeoutError` and leaves the run untouched."""
    gate = asyncio.Event()

    @step
    async def wait(x: int) -> int:
        await gate.wait()
        return x

    workflow = one_step(wait)
    async with place.app(workflow) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        for timeout in (0.01, timedelta(milliseconds=10), 0):
            with pytest.raises(TimeoutError):
                await started.result(timeout=timeout)
        with pytest.raises(RunStateError, match="running"):
            (await started.snapshot()).unwrap()
        gate.set()

        assert (await started.result()).status == "success"


async def test_caller_who_gives_up_does_not_take_the_run_along(place: Place) -> None:
    """3.1: there is no way in which the end of the caller ends the run."""
    entered, gate = asyncio.Event(), asyncio.Event()

    @step
    async def wait(x: int) -> int:
        entered.set()
        await gate.wait()
        return x

    workflow = one_step(wait)
    async with place.app(workflow) as app:
        caller = asyncio.create_task((await app.create_run(workflow, run_id="run")).start(input_data=1))
        await entered.wait()
        caller.cancel()
        await asyncio.wait([caller])
        gate.set()

        assert caller.cancelled()
        assert (await app.run("run").result()).status == "success"


async def test_start_canceled_in_the_middle_is_absent_or_complete(place: Place) -> None:
    """3.1: no status in which it stays for ever with nobody working on it."""
    async with place.app(COUNT) as app:
        for number in range(20):
            run = await app.create_run(COUNT, run_id=f"run-{number}")
            caller = asyncio.create_task(run.start_async(input_data=1))
            for _ in range(number % 5):
                await asyncio.wait([caller], timeout=0)
            caller.cancel()
            await asyncio.wait([caller])
            if (await COUNT.get_workflow_run_execution_result(run.run_id)) is not None:
                assert (await app.run(run.run_id).result(timeout=5)).status == "success"


async def test_result_of_another_process_is_seen(place: Place) -> None:
    """3.2: `result` works from any process."""
    async with place.app(COUNT) as one, place.app(COUNT, worker=False) as two:
        started = await (await two.create_run(COUNT)).start_async(input_data=1)

        results = await asyncio.gather(one.run(started.run_id).result(), started.result())

    assert [result.result for result in results] == [2, 2]


async def test_reading_a_run_at_any_moment_is_truthful(place: Place) -> None:
    """3.4: status, steps so far, result, error are truthful at the moment of reading."""
    entered, gate = asyncio.Event(), asyncio.Event()

    @step
    async def wait(x: int) -> int:
        entered.set()
        await gate.wait()
        return x + 1

    workflow = Workflow("two", input=int).then(add_one).then(wait).commit()
    async with place.app(workflow) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        await entered.wait()
        during = await workflow.get_workflow_run_execution_result(started.run_id)
        gate.set()
        await started.result()
        after = await workflow.get_workflow_run_execution_result(started.run_id)

        assert during is not None
        assert after is not None
        assert {path: (each.status, each.output) for path, each in during.steps.items()} == {
            "add_one": ("success", 2),
            "wait": ("running", None),
        }
        assert (during.status, during.input, during.result) == ("running", 1, None)
        assert (after.status, after.result, after.steps["wait"].payload) == ("success", 3, 2)


async def test_unknown_run_is_none_or_an_error(place: Place) -> None:
    """3.4: `None` for an id that is unknown. 21: an unknown id raises `RunNotFoundError`."""
    async with place.app(COUNT) as app:
        assert await COUNT.get_workflow_run_execution_result("nobody") is None
        for ask in (app.run("nobody").result, app.run("nobody").status, app.run("nobody").snapshot, app.run("x").why):
            with pytest.raises(RunNotFoundError, match="no such run"):
                await ask()


async def test_run_of_another_workflow_is_none(place: Place) -> None:
    """3.4: a workflow knows its own runs only."""
    async with place.app(COUNT, BROKEN) as app:
        await (await app.create_run(COUNT, run_id="run")).start(input_data=1)

        assert await BROKEN.get_workflow_run_execution_result("run") is None


async def test_why_says_what_a_pending_run_waits_for(place: Place) -> None:
    """3.1: `why` says what it waits for."""
    async with place.app(COUNT, worker=False) as app:
        started = await (await app.create_run(COUNT)).start_async(input_data=1)

        assert "no live worker takes runs of workflow 'count'" in await started.why()
        async with place.app(COUNT):
            await started.result()
        assert "ended: success" in await started.why()


@pytest.mark.parametrize("run_id", ["", "x" * 201, "a\nb", 7, "\ud800"])
async def test_unusable_run_id_is_refused(place: Place, run_id: str) -> None:
    """2.1: the id is the caller's word, and must be a usable text."""
    async with place.app(COUNT) as app:
        with pytest.raises(InputError, match="run_id"):
            await app.create_run(COUNT, run_id=run_id)
        with pytest.raises(InputError, match="resource_id"):
            await app.create_run(COUNT, resource_id=run_id)


@pytest.mark.parametrize("run_id", ["a b", "ä/ö?#", "'; DROP TABLE runs; --", "x" * 200, "日本"])
async def test_any_printable_text_is_a_run_id(place: Place, run_id: str) -> None:
    """2.1: no character of it means anything to the store."""
    result = await place.run(COUNT, 1, run_id=run_id)

    assert (result.run_id, result.result) == (run_id, 2)


async def test_leaving_hands_over_and_says_how_many(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """3.6: say how many runs are left and that they go on when a worker starts."""
    entered = asyncio.Event()

    @step
    async def hang(x: int) -> int:
        if not entered.is_set():
            entered.set()
            await asyncio.Event().wait()
        return x

    workflow = one_step(hang)
    async with place.app(workflow, drain=timedelta(0)) as app:
        await (await app.create_run(workflow, run_id="run")).start_async(input_data=1)
        await entered.wait()
    async with place.app(workflow) as app:
        result = await app.run("run").result(timeout=5)

    assert "1 run is not finished; nothing is lost" in caplog.text
    assert result.status == "success"


async def test_starter_only_starts_and_reads(place: Place) -> None:
    """3.6: `worker=False` only starts and reads."""
    async with place.app(COUNT, worker=False) as app:
        started = await (await app.create_run(COUNT)).start_async(input_data=1)
        with pytest.raises(TimeoutError):
            await started.result(timeout=0.2)

        assert await started.status() == "pending"


@pytest.mark.slow
async def test_thousand_starts_at_once_all_end(place: Place) -> None:
    """3.1, 19: whatever the number of starts, each is recorded and run."""
    async with place.app(COUNT, max_runs=50) as app:
        runs = [await app.create_run(COUNT) for _ in range(1_000)]

        results = await asyncio.gather(*(run.start(input_data=number) for number, run in enumerate(runs)))

    assert [result.result for result in results] == list(range(1, 1_001))


async def test_waiter_is_told_when_the_app_closes(place: Place) -> None:
    """3.6: leaving does not hang on callers that wait."""
    async with place.app(COUNT, worker=False) as app:
        started = await (await app.create_run(COUNT)).start_async(input_data=1)
        waiter = asyncio.create_task(started.result())
        await eventually(lambda: app.run(started.run_id).status())
    await asyncio.wait([waiter], timeout=5)

    assert "not affected" in str(waiter.exception())


class Stopped(MemoryStore):
    """Records nothing that begins a run until a test says so."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase())
        self.held: list[tuple[NewRun, Settle]] | None = []
        self.keyed = 0
        self._gone_on = asyncio.Event()

    def insert(self, run: NewRun, settle: Settle) -> None:
        if self.held is None:
            super().insert(run, settle)
        else:
            self.held.append((run, settle))

    async def insert_once(self, run: NewRun, identity: Identity) -> Admission:
        self.keyed += 1
        await self._gone_on.wait()
        return await super().insert_once(run, identity)

    def go_on(self) -> None:
        self._gone_on.set()
        held, self.held = self.held or [], None
        for run, settle in held:
            super().insert(run, settle)


@pytest.mark.parametrize("is_worker", [True, False])
@pytest.mark.parametrize(
    "verb", ["start_async", "start_async with a key", "start_many", "start_many with keys", "record_run"]
)
async def test_start_waits_when_the_queue_of_the_writer_is_over_its_bound(
    monkeypatch: pytest.MonkeyPatch, verb: str, *, is_worker: bool
) -> None:
    """19: nothing grows without bound; whoever starts faster than the disk takes it is slowed down."""
    monkeypatch.setattr("outlast.engines.local.engine._MAX_UNSETTLED_STARTS", 5)
    store = Stopped()
    async with Outlast([COUNT], store=store, worker=is_worker) as app:
        keys = map(str, range(20))
        begin = {
            "start_async": lambda: _start(app),
            "start_async with a key": lambda: _start(app, idempotency_key=next(keys)),
            "start_many": lambda: app.start_many(COUNT, [{"input_data": 1}]),
            "start_many with keys": lambda: app.start_many(COUNT, [{"input_data": 1, "idempotency_key": next(keys)}]),
            "record_run": lambda: app.record_run(COUNT),
        }[verb]
        starts = [asyncio.create_task(begin()) for _ in range(20)]
        await eventually(lambda: store.held or store.keyed)
        for _ in range(50):  # the others have every chance to be handed over
            await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop
        handed_over = len(store.held or []) + store.keyed
        is_any_done = any(start.done() for start in starts)
        store.go_on()
        await asyncio.wait_for(asyncio.gather(*starts), timeout=10)
        runs = await app.list_runs(per_page=100)

    assert handed_over == 5
    assert not is_any_done
    assert len(runs.runs) == 20


async def test_start_that_is_canceled_while_it_waits_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """19: else the bound would shrink with everybody who will not wait."""
    monkeypatch.setattr("outlast.engines.local.engine._MAX_UNSETTLED_STARTS", 2)
    store = Stopped()
    async with Outlast([COUNT], store=store, worker=False) as app:
        for _ in range(3):
            starts = [asyncio.create_task(_start(app)) for _ in range(4)]
            await eventually(lambda: len(store.held or []) == 2)
            for start in starts:
                start.cancel()
            await asyncio.wait(starts)
            store.go_on()
            store.held = []
        store.go_on()

        await asyncio.wait_for(_start(app), timeout=10)


async def _start(app: Outlast, **options: Any) -> None:
    await (await app.create_run(COUNT)).start_async(input_data=1, **options)
