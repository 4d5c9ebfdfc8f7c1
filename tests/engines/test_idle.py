"""When a worker has nothing to do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from eventually import eventually
from outlast import Outlast, Workflow, step
from outlast.storage.memory import MemoryDatabase, MemoryStore


@step
async def add_one(x: int) -> int:
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(add_one).commit()


class Slow(MemoryStore):
    """Gives journals when the test says so."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def load_journals(self, *args: Any) -> Any:
        self.is_asked.set()
        await self.may_answer.wait()
        return await super().load_journals(*args)


async def test_worker_that_just_takes_a_run_is_not_idle():
    """A run is nobody's for a moment: claimed, so not in the queue, and not driven before its journal is read."""
    database = MemoryDatabase()
    async with Outlast([COUNT], store=MemoryStore(database), worker=False) as starter:
        await (await starter.create_run(COUNT, run_id="r1")).start_async(input_data=1)
    store = Slow(database)

    async with Outlast([COUNT], store=store) as app:
        await store.is_asked.wait()
        idle = asyncio.create_task(app.until_idle())
        done, _ = await asyncio.wait([idle], timeout=0.1)  # time enough to answer wrongly
        store.may_answer.set()
        await eventually(idle.done)

        assert (done, await app.run("r1").status()) == (set(), "success")


async def test_idleness_does_not_wait_for_runs_that_sleep():
    nap = Workflow("nap", input=int).sleep(timedelta(days=1)).commit()

    async with Outlast([nap], store="memory") as app:
        await (await app.create_run(nap, run_id="r1")).start_async(input_data=1)
        await eventually(lambda: app.run("r1").status())
        await app.until_idle()

        assert await app.run("r1").status() == "waiting"


async def test_process_that_is_no_worker_is_idle_at_once():
    async with Outlast([COUNT], store="memory", worker=False) as app:
        await (await app.create_run(COUNT, run_id="r1")).start_async(input_data=1)

        await app.until_idle()

        assert await app.run("r1").status() == "pending"


async def test_app_with_options_is_another_one_of_the_same_workflows(tmp_path: Any):
    app = Outlast([COUNT], store=tmp_path / "one.db", max_runs=7)

    other = app.with_options(worker=False, store=tmp_path / "two.db")

    async with app, other:
        await (await app.create_run(COUNT, run_id="r1")).start(input_data=1)
        await (await other.create_run(COUNT, run_id="r1")).start_async(input_data=1)
        assert await app.run("r1").status() == "success"
        assert await other.run("r1").status() == "pending"
    assert (app.location, other.location) == (str(tmp_path / "one.db"), str(tmp_path / "two.db"))
    assert app.workflows == other.workflows == {"count": COUNT}
