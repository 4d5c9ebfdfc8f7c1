"""Two processes find at the same time that a run is to end, and both show it ended."""

from __future__ import annotations

from datetime import timedelta

from behaviour.bench import Clock
from outlast import Outlast, RunStatus, Workflow, step
from outlast.storage.base import Ending
from outlast.storage.memory import MemoryStore

HOUR = timedelta(hours=1)


@step
async def work(value: int) -> int:
    return value


WORKFLOW = Workflow("w", input=int, output=int).then(work).commit()


class AnotherWasFaster(MemoryStore):
    """Somebody else ends each run just before it would be ended here."""

    async def end_run(self, ending: Ending) -> bool:
        await super().end_run(ending)
        return await super().end_run(ending)


async def test_run_that_another_process_ends_while_it_is_looked_at_is_seen_ended() -> None:
    """9.3: nobody ever sees a run pending whose deadline is over."""
    clock = Clock()
    async with Outlast([WORKFLOW], store=AnotherWasFaster(), worker=False, clock=clock) as app:
        run = await app.create_run(WORKFLOW)
        started = await run.start_async(input_data=1, start_within=HOUR)
        clock.offset = 2 * HOUR

        assert (await started.snapshot()).status is RunStatus.FAILED
