"""Bodies that end in ways nobody asked for, and those that wait for a thread: each run gets an outcome."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from textwrap import dedent
from typing import Any

import pytest

from engines.place import Place, one_step
from eventually import eventually
from outlast import Outlast, StepContext, Workflow, step
from outlast.engines.local.engine import LocalEngine
from outlast.storage.memory import MemoryDatabase, MemoryStore

SHORT = timedelta(seconds=0.1)


class Gate:
    """Keeps sync bodies in their threads until a test opens it."""

    def __init__(self) -> None:
        self.called: list[int] = []
        self._is_open = threading.Event()

    def pass_through(self, x: int) -> int:
        self.called.append(x)
        assert self._is_open.wait(20)
        return x

    def open(self) -> None:
        self._is_open.set()


def with_options(app: Outlast, **options: Any) -> Outlast:
    """Change what no public option does, as `max_threads`."""
    engine = app._engine  # noqa: SLF001
    assert isinstance(engine, LocalEngine)
    app._engine = LocalEngine(  # noqa: SLF001
        engine._store,  # noqa: SLF001
        engine._workflows,  # noqa: SLF001
        replace(engine._options, **options),  # noqa: SLF001
    )
    return app


async def test_step_whose_task_other_code_cancels_is_called_again(place: Place) -> None:
    """3.1, 9.5: as code that cancels all tasks of a loop; the run must not stay `running` for ever."""
    calls: list[bool] = []

    @step
    async def body(x: int, ctx: StepContext) -> int:
        calls.append(ctx.recovered)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return x

    workflow = one_step(body, input=int)
    async with place.app(workflow, drain=SHORT) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        await eventually(lambda: calls)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        result = await started.result(timeout=10)

    assert result.result == 1
    assert calls == [False, True]


def cancel_first(name: str) -> list[str]:
    """Cancel the first task of this function before its first turn; return what is canceled."""
    loop, canceled = asyncio.get_running_loop(), list[str]()

    def make(_: object, work: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        if work.__qualname__ == name and not canceled:
            canceled.append(name)
            task.cancel()
        return task

    loop.set_task_factory(make)
    return canceled


async def test_step_whose_task_never_began_is_called_again(place: Place) -> None:
    """3.1: a task that is canceled before its first turn runs no line of code, so nothing in it could tell."""

    @step
    async def body(x: int) -> int:
        return x

    workflow = one_step(body, input=int)
    canceled = cancel_first("Bodies._perform")
    async with place.app(workflow, drain=SHORT) as app:
        result = await (await app.create_run(workflow)).start(input_data=1)

    assert canceled
    assert result.result == 1


@pytest.mark.parametrize("turns", [0, 3])
async def test_hook_whose_task_other_code_cancels_is_called_again(place: Place, turns: int) -> None:
    """13: at least once; the delivery must not stay with this worker for ever."""
    told: list[str] = []

    async def tell(result: Any) -> None:
        told.append(result.run_id)
        if len(told) == 1 and turns:
            await asyncio.Event().wait()

    @step
    async def body(x: int) -> int:
        return x

    workflow = one_step(body, input=int, on_finish=tell)
    canceled = cancel_first("perform_async") if not turns else []
    async with with_options(place.app(workflow, drain=SHORT), hook_delay=timedelta(seconds=0.01)) as app:
        await (await app.create_run(workflow, run_id="run")).start(input_data=1)
        if turns:
            await eventually(lambda: told)
            next(each for each in asyncio.all_tasks() if "hook" in each.get_name()).cancel()
        await eventually(lambda: len(told) == (2 if turns else 1))

    assert bool(canceled) is not bool(turns)


@pytest.mark.parametrize("moment", ["before its first turn", "while the hook is called"])
async def test_delivery_whose_task_other_code_cancels_is_made_again(place: Place, moment: str) -> None:
    """13: at least once, and by this worker: nobody else can have it while this one lives."""
    told: list[str] = []

    async def tell(result: Any) -> None:
        told.append(result.run_id)
        if len(told) == 1 and moment == "while the hook is called":
            await asyncio.Event().wait()

    @step
    async def body(x: int) -> int:
        return x

    workflow = one_step(body, input=int, on_finish=tell)
    is_early = moment == "before its first turn"
    canceled = cancel_first("Deliveries._deliver") if is_early else []
    async with with_options(place.app(workflow, drain=SHORT), hook_delay=timedelta(seconds=0.01)) as app:
        await (await app.create_run(workflow, run_id="run")).start(input_data=1)
        if not is_early:
            await eventually(lambda: told)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        await eventually(lambda: len(told) == (1 if is_early else 2))
        await eventually(lambda: _nothing_due(app, "run"))

    assert bool(canceled) is is_early


class SlowToRecord(MemoryStore):
    """Never answers the first time that it is told what became of a delivery."""

    asked = 0

    async def end_delivery(self, *args: Any, **ends: Any) -> bool:
        self.asked += 1
        if self.asked == 1:
            await asyncio.Event().wait()
        return await super().end_delivery(*args, **ends)


async def test_delivery_that_other_code_cancels_while_it_is_recorded_is_recorded_again() -> None:
    """13: what the hook came to is known, so it is not told a second time."""
    told: list[str] = []

    async def tell(result: Any) -> None:
        told.append(result.run_id)

    @step
    async def body(x: int) -> int:
        return x

    workflow, store = one_step(body, input=int, on_finish=tell), SlowToRecord(MemoryDatabase())
    async with Outlast([workflow], store=store, on_exit="finish") as app:
        await (await app.create_run(workflow, run_id="run")).start(input_data=1)
        await eventually(lambda: store.asked)
        next(each for each in asyncio.all_tasks() if each.get_name() == "outlast run on_finish").cancel()
        await eventually(lambda: _nothing_due(app, "run"))

    assert store.asked == 2
    assert told == ["run"]


async def _nothing_due(app: Outlast, run_id: str) -> bool:
    return not await app.run(run_id).deliveries()


@pytest.mark.slow
async def test_task_that_is_canceled_again_and_again_ends_its_run(place: Place) -> None:
    """9.6: it counts like a crash, so it does not go on for ever."""

    @step
    async def body(x: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()
        return x

    workflow = one_step(body, input=int, max_recoveries=2)
    async with place.app(workflow, drain=SHORT) as app:
        result = await (await app.create_run(workflow)).start(input_data=1)

    assert result.error is not None
    assert result.error.type == "PoisonRunError"


class RaisesAsText(Exception):  # noqa: N818 - not an error of ours
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize("is_async", [False, True])
async def test_exception_whose_text_raises_is_a_failure_like_any_other(place: Place, *, is_async: bool) -> None:
    """9.5: nothing escapes, also what is no `Exception`."""

    async def in_task(x: int) -> int:
        raise RaisesAsText

    def in_thread(x: int) -> int:
        raise RaisesAsText

    workflow = one_step(step(id="body")(in_task if is_async else in_thread), input=int)
    async with place.app(workflow, drain=SHORT) as app:
        result = await (await app.create_run(workflow)).start(input_data=1)

    assert result.error is not None
    assert result.error.type == "RaisesAsText"
    assert "whose __str__ raised SystemExit" in result.error.message


async def test_step_of_a_canceled_run_that_waits_for_a_thread_is_not_called(place: Place) -> None:
    """10: nothing new starts, and nobody needs a grace period who was never called."""
    gate = Gate()
    workflow = one_step(step(id="body")(gate.pass_through), input=int)
    async with with_options(place.app(workflow, drain=SHORT), max_threads=1) as app:
        holding = await (await app.create_run(workflow)).start_async(input_data=1)
        await eventually(lambda: gate.called)
        waiting = await (await app.create_run(workflow)).start_async(input_data=2)
        await eventually(lambda: _bodies(app) == 2)

        await app.run(waiting.run_id).cancel()
        result = await waiting.result(timeout=4)  # less than the grace period
        gate.open()
        await holding.result(timeout=10)
        after = await (await app.create_run(workflow)).start(input_data=3)

    assert result.status == "canceled"
    assert after.status == "success"
    assert gate.called == [1, 3]


async def test_timeout_of_a_step_does_not_count_the_wait_for_a_thread(place: Place) -> None:
    """9.3: it limits how long a body takes, not how many others there are."""
    gate = Gate()

    @step(timeout=timedelta(seconds=0.05))
    def quick(x: int) -> int:
        return x

    holds = Workflow("holds", input=int).then(step(id="hold")(gate.pass_through)).commit()
    workflow = one_step(quick, input=int)
    async with with_options(place.app(workflow, holds, drain=SHORT), max_threads=1) as app:
        await (await app.create_run(holds)).start_async(input_data=1)
        await eventually(lambda: gate.called)
        waiting = await (await app.create_run(workflow)).start_async(input_data=2)
        with pytest.raises(TimeoutError):
            await waiting.result(timeout=0.2)  # four times as long as it may take
        gate.open()
        result = await waiting.result(timeout=10)

    assert result.status == "success"


async def test_timeout_of_a_sync_step_counts_from_its_call(place: Place) -> None:
    """9.3: a body that hangs in its thread is left to itself."""
    gate = Gate()
    workflow = one_step(step(id="body", timeout=timedelta(seconds=0.05))(gate.pass_through), input=int)
    async with place.app(workflow, drain=SHORT) as app:
        result = await (await app.create_run(workflow)).start(input_data=1)
        gate.open()

    assert result.error is not None
    assert result.error.type == "StepTimeoutError"


async def test_sync_steps_that_keep_their_threads_are_complained_of(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """9.3: they are replaced boundedly, and then others wait, which somebody must learn of."""
    gate = Gate()
    workflow = one_step(step(id="body", timeout=timedelta(seconds=0.05))(gate.pass_through), input=int)
    async with with_options(place.app(workflow, drain=SHORT), max_threads=1) as app:
        for number in range(2):
            result = await (await app.create_run(workflow)).start(input_data=number)
            assert result.status == "failed"
        waiting = await (await app.create_run(workflow)).start_async(input_data=2)
        gate.open()
        last = await waiting.result(timeout=10)

    assert last.status == "success"
    assert caplog.text.count("all 2 threads are in sync bodies") == 1


async def test_sync_step_that_returns_late_makes_its_replacement_superfluous(place: Place) -> None:
    """9.3: replaced boundedly, and for as long as it keeps its thread; `max_threads` holds again after that."""
    gate, before = Gate(), set(threading.enumerate())
    late = one_step(step(id="body", timeout=timedelta(seconds=0.05))(gate.pass_through), input=int)
    quick = Workflow("quick", input=int).then(step(id="body")(lambda: None)).commit()
    async with with_options(place.app(late, quick, drain=SHORT), max_threads=1) as app:
        result = await (await app.create_run(late)).start(input_data=1)
        await (await app.create_run(quick)).start(input_data=1)
        threads = _body_threads_beside(before)
        gate.open()
        await eventually(lambda: _body_threads_beside(before) == 1)

    assert result.status == "failed"
    assert threads == 2


def _body_threads_beside(before: set[threading.Thread]) -> int:
    return sum(each.name.startswith("outlast-body") for each in threading.enumerate() if each not in before)


async def test_sync_step_waits_while_the_system_gives_no_thread(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """3.1: "can't start new thread" is no fault of the run, and passes."""
    refused = refuse_threads(monkeypatch, "outlast-body")

    @step
    def body(x: int) -> int:
        return x

    workflow = one_step(body, input=int)
    async with place.app(workflow, drain=SHORT) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        await eventually(lambda: len(refused) > 1)
        monkeypatch.undo()
        result = await started.result(timeout=10)

    assert result.result == 1
    assert caplog.text.count("sync bodies wait until the system gives a thread") == 1


async def test_sync_step_goes_on_with_the_threads_that_are_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.1: one more is only asked for."""
    gate = Gate()
    workflow = one_step(step(id="body")(gate.pass_through), input=int)
    async with place.app(workflow, drain=SHORT) as app:
        one = await (await app.create_run(workflow)).start_async(input_data=1)
        await eventually(lambda: gate.called)
        refused = refuse_threads(monkeypatch, "outlast-body")
        two = await (await app.create_run(workflow)).start_async(input_data=2)
        await eventually(lambda: refused)
        gate.open()
        results = [await each.result(timeout=10) for each in (one, two)]

    assert [each.result for each in results] == [1, 2]
    assert gate.called == [1, 2]


@pytest.mark.slow
async def test_suspension_with_a_short_timeout_is_seen_by_who_waits_for_the_run(place: Place) -> None:
    """2.6: `start` returns at the first rest, however short it is."""

    @step
    async def ask(x: int, ctx: StepContext) -> int:
        if ctx.timed_out:
            return -1
        return ctx.suspend(timeout=timedelta(seconds=0.9))

    workflow = one_step(ask, input=int)
    async with place.app(workflow) as app:
        run = await app.create_run(workflow)
        first = await run.start(input_data=1)
        last = await app.run(run.run_id).result(until="end", timeout=10)

    assert first.status == "suspended"
    assert last.result == -1


@pytest.mark.slow
def test_interrupt_in_a_body_leaves_the_app_at_once(tmp_path: Any) -> None:
    """3.6: the drain waits for bodies in flight, and this one has ended."""
    program = dedent(
        """
        import asyncio, sys, time
        from datetime import timedelta
        from outlast import Outlast, Workflow, step

        @step
        async def interrupted(x: int) -> int:
            raise KeyboardInterrupt

        workflow = Workflow("w", input=int).then(interrupted).commit()

        async def main():
            async with Outlast([workflow], store=sys.argv[1], drain=timedelta(seconds=60)) as app:
                await (await app.create_run(workflow)).start(input_data=1)

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "store.db")],
        capture_output=True,
        check=False,
        env={**os.environ},
        text=True,
        timeout=30,
    )

    assert done.stdout == "interrupted\n", done.stderr
    assert "1 run is not finished" in done.stderr


def refuse_threads(monkeypatch: pytest.MonkeyPatch, prefix: str) -> list[str]:
    """Let no thread start whose name begins so; return the names of those that were asked for."""
    refused: list[str] = []
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(prefix):
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return refused


def _bodies(app: Outlast) -> int:
    engine = app._engine  # noqa: SLF001
    assert isinstance(engine, LocalEngine)
    return 0 if engine._worker is None else sum(len(run.bodies) for run in engine._worker.live.values())  # noqa: SLF001
