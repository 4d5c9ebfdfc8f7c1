"""Runs that are recorded first and started later, with a death at every commit of both (rules 2.1 and 3.1)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest

from crash.reference import CHAIN, Reference
from crash.struck import check_struck
from crash.test_every_commit import RUN, Disk, Ground, check_end, ground, mode
from outlast import Outlast, RunExistsError, RunStatus
from outlast.errors import StoreUnavailableError
from outlast.testing.faults import CountCommits, FaultMode, KillAt

__all__ = ["ground", "mode"]


@dataclass
class Told:
    """What a caller was told before its process died."""

    recorded: bool = False
    started: bool = False


async def start(app: Outlast, reference: Reference, disk: Disk) -> None:
    run = await app.create_run(reference.workflow, run_id=RUN)
    await run.start_async(input_data=reference.input, request_context={"effects": str(disk.effects)})


async def live(reference: Reference, disk: Disk, seam: CountCommits | KillAt) -> Told:
    """Record a run, start it, and live up to its end or that of the process."""
    loop = asyncio.get_running_loop()
    died, told = asyncio.Event(), Told()
    if isinstance(seam, KillAt) and seam.is_deadly:
        seam.on_strike = lambda: loop.call_soon_threadsafe(died.set)
    with suppress(StoreUnavailableError):
        async with Outlast([reference.workflow], store=disk.open_store(seam), drain=timedelta()) as app:
            await app.record_run(reference.workflow, run_id=RUN)
            told.recorded = True
            await start(app, reference, disk)
            told.started = True
            ended = asyncio.create_task(app.run(RUN).result())
            death = asyncio.create_task(died.wait())
            await asyncio.wait([ended, death], timeout=15, return_when=asyncio.FIRST_COMPLETED)
            assert ended.done() or death.done(), "hung"
            for task in (ended, death):
                task.cancel()
            await asyncio.gather(ended, death, return_exceptions=True)
    return told


@pytest.mark.timeout(90)
async def test_start_of_a_recorded_run_holds_whatever_commit_is_the_last(ground: Ground, mode: FaultMode) -> None:
    """What was answered happens without another call; what was not can be asked again, and happens once."""
    seam = CountCommits()
    assert (await live(CHAIN, ground.fresh(), seam)).started

    struck = unanswered = 0
    for number in range(1, seam.commits + 1):
        disk, fault = ground.fresh(), KillAt(number, mode)
        told = await live(CHAIN, disk, fault)
        struck += fault.struck
        unanswered += not told.started
        async with Outlast([CHAIN.workflow], store=disk.open_store(None)) as app:
            if not told.started:
                with pytest.raises(RunExistsError) if told.recorded else suppress(RunExistsError):
                    await app.record_run(CHAIN.workflow, run_id=RUN)
                assert not told.recorded or await app.run(RUN).status() in RunStatus
                with suppress(RunExistsError):
                    await start(app, CHAIN, disk)
            result = await app.run(RUN).result(timeout=10)
        await check_end(CHAIN, disk, result, crashes=int(fault.struck and fault.is_deadly))

    check_struck(struck, seam.commits)
    assert unanswered or mode == "lost"
