"""Waiting for a run to rest, while the run goes on between two looks at the store."""

from __future__ import annotations

import asyncio
from typing import Any

from eventually import eventually
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


class Counting(MemoryStore):
    """Counts questions."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.rows = self.heads = 0

    async def find_run(self, run_id: str) -> Any:
        self.rows += 1
        return await super().find_run(run_id)

    async def load_heads(self, runs: Any) -> Any:
        self.heads += 1
        return await super().load_heads(runs)


async def test_looking_after_many_runs_of_others_is_one_question() -> None:
    """19: a change of the store costs one query, however many runs somebody waits for."""
    gate = asyncio.Event()

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    workflow = Workflow("w", input=int, output=int).then(hold).commit()
    database = MemoryDatabase()
    store = Counting(database)
    async with (
        Outlast([workflow], store=MemoryStore(database)) as worker,
        Outlast([workflow], store=store, worker=False) as app,
    ):
        ids = await worker.start_many(workflow, [{"input_data": number} for number in range(50)])
        waiting = [asyncio.create_task(app.run(run_id).result()) for run_id in ids]
        await eventually(lambda: len(app._engine._rests._waiters) == 50)  # type: ignore[attr-defined]  # noqa: SLF001
        await asyncio.wait(waiting, timeout=0.1)
        store.rows = store.heads = 0
        for number in range(3):  # changes that concern none of them
            await (await worker.create_run(workflow, run_id=f"more-{number}")).start_async(input_data=1, delay=3600)
            await eventually(lambda seen=number: store.heads > seen)

        assert store.rows == 0
        gate.set()
        assert [(await each).result for each in waiting] == list(range(50))
