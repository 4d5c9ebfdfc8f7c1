"""Leaving an app with `on_exit="finish"`, what is said of the runs that are left, and hooks that a fault befell."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from eventually import eventually
from outlast import ConfigurationError, Outlast, StepContext, Workflow, step
from outlast.engines.clock import Timed, WallClock
from outlast.engines.local.deliveries import Deliveries
from outlast.errors import StoreUnavailableError
from outlast.storage.base import Append, Settle, WorkerKey
from outlast.storage.keys import DeliveryKey
from outlast.storage.memory import MemoryDatabase, MemoryStore

FAULT = StoreUnavailableError("the disk is away; try again")


@step
async def add_one(x: int) -> int:
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(add_one).commit()
TOLD: list[str] = []


def be_told(result: Any) -> None:
    TOLD.append(result.run_id)


HOOKED = Workflow("hooked", input=int, output=int, on_finish=be_told).then(add_one).commit()


class Refusing(MemoryStore):
    """Takes no outcome of a step, no end of a delivery, or gives no answer, from when the test says so."""

    refuses_outcomes = refuses_deliveries = refuses_reads = False

    def append(self, write: Append, settle: Settle) -> None:
        if self.refuses_outcomes and any(record.type == "step-succeeded" for record in write.records):
            asyncio.get_running_loop().call_soon(settle, FAULT)
        else:
            super().append(write, settle)

    async def end_delivery(self, worker: WorkerKey, delivery: DeliveryKey, **ends: Any) -> bool:
        if self.refuses_deliveries:
            raise FAULT
        return await super().end_delivery(worker, delivery, **ends)

    async def next_ready_at(self, *args: Any) -> int | None:
        if self.refuses_reads:
            raise FAULT
        return await super().next_ready_at(*args)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["refuses_outcomes", "refuses_deliveries", "refuses_reads"])
async def test_finishing_gives_up_when_the_store_refuses_for_longer_than_the_drain(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """3.6: `finish` waits until nothing is left; a store that takes nothing would let it wait for ever."""
    store = Refusing(MemoryDatabase())
    async with asyncio.timeout(60):
        async with Outlast([COUNT, HOOKED], store=store, on_exit="finish", drain=timedelta(seconds=0.2)) as app:
            setattr(store, what, True)
            await (await app.create_run(HOOKED, run_id="run")).start_async(input_data=1)

    assert "the store has refused for 1 s what is left to finish" in caplog.text
    assert ("1 run is not finished" in caplog.text) == (what == "refuses_outcomes")


async def test_finishing_outlasts_a_store_that_fails_for_a_moment() -> None:
    """3.6: one refusal is no reason to leave runs to others."""
    store = Refusing(MemoryDatabase())
    async with Outlast([COUNT], store=store, on_exit="finish") as app:
        store.refuses_outcomes = True
        started = await (await app.create_run(COUNT)).start_async(input_data=1)
        await eventually(lambda: app._engine._worker._lost_runs.waiting)  # type: ignore[attr-defined]  # noqa: SLF001
        store.refuses_outcomes = False
        waiting = asyncio.create_task(started.result())

    assert (await waiting).result == 2


async def test_run_that_is_suspended_while_its_app_is_left_is_not_called_unfinished(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """3.6: how many runs go on when a worker starts; one that waits for somebody does not."""
    gate = asyncio.Event()

    @step
    async def ask(x: int, ctx: StepContext) -> int:
        await gate.wait()
        return ctx.suspend()

    asks = Workflow("asks", input=int).then(ask).commit()
    async with Outlast([asks], store="memory") as app:
        await (await app.create_run(asks)).start_async(input_data=1)
        await eventually(lambda: app._engine._worker.live)  # type: ignore[attr-defined]  # noqa: SLF001
        asyncio.get_running_loop().call_later(0.05, gate.set)

    assert gate.is_set()
    assert "not finished" not in caplog.text


@pytest.mark.slow
async def test_delivery_that_a_fault_of_the_engine_befell_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """13: at least once, whatever happens: the delivery is given back, and not held by a worker that forgot it."""
    make, calls = Deliveries._make, []

    async def break_once(self: Deliveries, delivery: Any) -> Any:
        calls.append(delivery.tries)
        if len(calls) == 1:
            raise RuntimeError("can't start new thread")
        return await make(self, delivery)

    TOLD.clear()
    monkeypatch.setattr(Deliveries, "_make", break_once)
    async with Outlast([HOOKED], store="memory") as app:
        await (await app.create_run(HOOKED, run_id="run")).start(input_data=1)
        await eventually(lambda: TOLD == ["run"], within=20)

    assert calls == [1, 2]
    assert "a fault in the engine while it told hook 'on_finish' of run run" in caplog.text
    assert [each.levelno for each in caplog.records if "can't start" in each.message] == [logging.WARNING]


def test_store_is_not_given_to_an_app_of_another_engine() -> None:
    """20: an app that runs elsewhere does not silently become one of this machine."""

    class Elsewhere:
        def attach(self, workflows: Any, options: Any) -> Any:
            return object()

    app = Outlast([COUNT], engine=Elsewhere())  # type: ignore[arg-type]

    with pytest.raises(ConfigurationError, match=r"store='other.db' is for the local engine, .* engine=Elsewhere"):
        app.with_options(store="other.db")
    assert app.with_options(worker=False).location is None


def held() -> tuple[int, int]:
    """Return how many files are open in this process, and how many threads it has."""
    return len(list(Path("/dev/fd").iterdir())), threading.active_count()


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21, 55])
async def test_leaving_that_is_canceled_lets_go_of_everything_all_the_same(tmp_path: Path, turns: int) -> None:
    """3.6: whoever will not wait gets neither files nor threads nor tasks left over, and nobody waits for ever."""

    @step
    async def hang(x: int) -> int:
        await asyncio.Event().wait()
        return x

    hangs = Workflow("hangs", input=int).then(hang).commit()
    before = held()
    app = Outlast([hangs, HOOKED], store=tmp_path / "store.db", drain=timedelta(seconds=0.02))
    await app.__aenter__()
    started = await (await app.create_run(hangs)).start_async(input_data=1)
    waiting = asyncio.create_task(started.result())
    leaving = asyncio.create_task(app.__aexit__(None, None, None))
    for _ in range(turns):
        await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop
    leaving.cancel()
    await asyncio.wait([leaving, waiting])

    assert isinstance(waiting.exception(), StoreUnavailableError)
    assert not app.is_open
    await eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))


@pytest.mark.parametrize("on_exit", ["drain", "finish"])
async def test_bodies_do_not_outlive_an_app_whose_leaving_is_canceled(
    tmp_path: Path, on_exit: Literal["drain", "finish"]
) -> None:
    """3.6: their runs are claimable at once, so what they still did would be done twice for nothing."""
    called, ended = asyncio.Event(), asyncio.Event()

    @step
    async def hang(x: int) -> int:
        try:
            called.set()
            await asyncio.Event().wait()
        finally:
            ended.set()
        return x

    hangs = Workflow("hangs", input=int).then(hang).commit()
    app = Outlast([hangs], store=tmp_path / "store.db", on_exit=on_exit)
    await app.__aenter__()
    await (await app.create_run(hangs)).start_async(input_data=1)
    await called.wait()
    leaving = asyncio.create_task(app.__aexit__(None, None, None))
    for _ in range(5):
        await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop
    leaving.cancel()
    await asyncio.wait([leaving])

    assert ended.is_set()


async def test_cancellation_of_leaving_is_not_swallowed() -> None:
    """3.6: a timeout around an app works whatever the app is waiting for."""
    app = Outlast([COUNT], store="memory")
    await app.__aenter__()
    leaving = asyncio.create_task(app.__aexit__(None, None, None))
    await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop
    leaving.cancel()
    await asyncio.wait([leaving])

    assert leaving.cancelled()


async def test_app_that_could_not_be_entered_lets_go_of_everything(tmp_path: Path) -> None:
    """2.1: also when the last thing of all is refused, with the worker registered and its tasks begun."""

    class Refusing(WallClock):
        is_refusing = True

        def attach(self, engine: Timed) -> None:
            if self.is_refusing:
                raise ConfigurationError("not by this clock")
            super().attach(engine)

    before, clock = held(), Refusing()
    app = Outlast([COUNT], store=tmp_path / "store.db", clock=clock)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="not by this clock"):
            await app.__aenter__()
    await eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))

    clock.is_refusing = False
    async with app:  # nothing was entered before
        assert (await (await app.create_run(COUNT)).start(input_data=1)).result == 2
