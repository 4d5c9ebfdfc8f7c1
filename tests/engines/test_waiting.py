"""Waiting for a run to rest, while the run goes on between two looks at the store."""

from __future__ import annotations

import asyncio
from typing import Any

from outlast import Outlast, StepContext, Workflow, step
from outlast.storage.base import RunRow
from outlast.storage.memory import MemoryDatabase, MemoryStore


class Behind(MemoryStore):
    """Answers once with a row that is not true any more."""

    stale: RunRow | None = None

    async def find_run(self, run_id: str) -> Any:
        stale, self.stale = self.stale, None
        return stale or await super().find_run(run_id)


async def test_result_is_not_that_of_a_run_that_was_resumed_while_it_was_read() -> None:
    """2.6: results come at a rest, also when somebody resumes the run between two reads of the store."""
    called, gate = asyncio.Event(), asyncio.Event()

    @step
    async def ask(x: int, ctx: StepContext) -> int:
        if not ctx.resumed:
            ctx.suspend()
        called.set()
        await gate.wait()
        return x

    workflow = Workflow("w", input=int).then(ask).commit()
    database = MemoryDatabase()
    reader = Behind(database)
    async with (
        Outlast([workflow], store=MemoryStore(database)) as app,
        Outlast([workflow], store=reader, worker=False) as other,
    ):
        run = await app.create_run(workflow, run_id="run")
        await run.start(input_data=1)
        row = await reader.find_run("run")
        await app.run("run").resume_async()
        await called.wait()
        reader.stale = row

        waiting = asyncio.create_task(other.run("run").result())
        await asyncio.wait([waiting], timeout=0.05)
        gate.set()
        result = await waiting

    assert result.status == "success"
