"""Slots of steps whose run a fault of the engine breaks: each comes back, and the other runs go on (rules 9.5, 19)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engines.place import Place, one_step
from eventually import eventually
from outlast import Outlast, Workflow, step
from outlast.engines.local import driver
from outlast.engines.local.live import LiveRun


@step
async def pass_on(x: int) -> int:
    return x


FINE = one_step(pass_on, input=int, output=int)


class Faults:
    """Lets the engine fail whenever it is to call a step of this id."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
        self.number = 0
        call_of = driver.call_of

        def broken(run: LiveRun, command: Any, *rest: Any) -> Any:
            if command.path == path:
                self.number += 1
                raise RuntimeError("a fault in the engine")
            return call_of(run, command, *rest)

        monkeypatch.setattr(driver, "call_of", broken)


def slots(app: Outlast) -> int:
    """Return how many slots are taken."""
    worker = app._engine._worker  # noqa: SLF001
    assert worker is not None
    return int(worker.driver.bodies.running)


def worker_of(app: Outlast) -> Any:
    return app._engine._worker  # noqa: SLF001


async def test_slot_of_a_first_step_that_cannot_be_called_comes_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9.5, 19: nothing is recorded of the start, its caller learns of the fault, and starts go on."""
    Faults(monkeypatch, "broken")
    children = [pass_on.clone(id="first"), pass_on.clone(id="broken")]
    breaking = Workflow("breaking", input=int).parallel(children).commit()
    async with place.app(breaking, FINE, max_steps=2) as app:
        places = app._engine._start_places._value  # type: ignore[attr-defined]  # noqa: SLF001
        for _ in range(2):
            with pytest.raises(RuntimeError, match="a fault in the engine"):
                await (await app.create_run(breaking, run_id="run")).start_async(input_data=1)
            await eventually(lambda: slots(app) == 0)
        async with asyncio.timeout(20):
            result = await (await app.create_run(FINE)).start(input_data=2)

        assert result.result == 2
        assert await place.row("run") is None
        assert app._engine._start_places._value == places  # type: ignore[attr-defined]  # noqa: SLF001


async def test_slot_of_a_later_step_that_cannot_be_called_comes_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """9.5, 19: of two children that start together, that of the one that can be called, too."""
    faults = Faults(monkeypatch, "broken")
    children = [pass_on.clone(id="first"), pass_on.clone(id="broken")]
    breaking = Workflow("breaking", input=int).map(lambda ctx: ctx.input).parallel(children).commit()
    async with place.app(breaking, FINE, max_steps=2) as app:
        await (await app.create_run(breaking)).start_async(input_data=1)
        await eventually(lambda: faults.number == 1)
        async with asyncio.timeout(20):
            result = await (await app.create_run(FINE)).start(input_data=2)

        assert result.result == 2
        await eventually(lambda: slots(app) == 0)
        assert not worker_of(app).live
    assert "a fault in the engine while it drove run" in caplog.text


async def test_queued_step_that_cannot_be_called_breaks_its_own_run_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """9.5, 19: the run whose body ended gets its outcome, and the slot goes to the next one in line."""
    faults = Faults(monkeypatch, "broken")
    gate = asyncio.Event()

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    holding = Workflow("holding", input=int).then(hold).commit()
    breaking = Workflow("breaking", input=int).map(lambda ctx: ctx.input).then(pass_on.clone(id="broken")).commit()
    async with place.app(holding, breaking, FINE, max_steps=1) as app:
        started = [await (await app.create_run(holding)).start_async(input_data=1)]
        for each in range(2):
            await (await app.create_run(breaking, run_id=f"broken-{each}")).start_async(input_data=1)
        await eventually(lambda: worker_of(app).driver.bodies.queued == 2)
        started.append(await (await app.create_run(FINE)).start_async(input_data=1))
        await eventually(lambda: worker_of(app).driver.bodies.queued == 3)
        gate.set()
        async with asyncio.timeout(20):
            results = [(await each.result()).result for each in started]

        assert (results, faults.number) == ([1, 1], 2)
        await eventually(lambda: slots(app) == 0)
        assert not worker_of(app).live
    assert caplog.text.count("a fault in the engine while it drove run broken-") == 2
