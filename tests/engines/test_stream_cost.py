"""What streams cost those who do not use them: nothing. Rules 14.1 and 19."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest

from outlast import CommittedWorkflow, Outlast, StepContext, Workflow, step
from outlast.storage.sqlite import SqliteStore

STEPS = 10


def chain(*, chunks: int = 0) -> CommittedWorkflow[int, int]:
    workflow = Workflow("w", input=int, output=int)
    for number in range(STEPS):

        @step(id=f"step{number}")
        async def add_one(x: int, ctx: StepContext) -> int:
            for chunk in range(chunks):
                ctx.write(chunk)
            return x + 1

        workflow = workflow.then(add_one)
    return workflow.commit()


async def statements_of(path: Path, workflow: CommittedWorkflow[int, int], *, is_watched: bool = False) -> list[str]:
    """Run it once and return what the writer sends to SQLite, from the start on."""
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    seen: list[str] = []
    async with Outlast([workflow], store=store) as app:
        connection: Any = store._machinery.writer._committer._connection  # type: ignore[union-attr] # noqa: SLF001
        run = await app.create_run(workflow, run_id="run")
        connection.set_trace_callback(seen.append)
        if is_watched:
            stream = run.stream(input_data=0)
            assert len([event async for event in stream]) == 2 * STEPS + 2
            result = await stream.result(timeout=10)
        else:
            result = await run.start(input_data=0)
        connection.set_trace_callback(None)
    assert result.result == STEPS
    return [text for text in seen if text.startswith(("BEGIN", "INSERT", "UPDATE", "COMMIT"))]


async def test_run_that_says_nothing_costs_four_statements_per_step(tmp_path: Path) -> None:
    """14.1: n steps cost n + 1 commits, each with one update and one insert, and no row of a stream."""
    statements = await statements_of(tmp_path / "store.db", chain())

    assert statements.count("COMMIT") == STEPS + 1
    assert sum(text.startswith("UPDATE runs") for text in statements) == STEPS
    assert sum(text.startswith("INSERT INTO events") for text in statements) == STEPS + 1
    assert not [text for text in statements if "stream_events" in text]


async def test_readers_write_nothing(tmp_path: Path) -> None:
    """14.2: a run that is watched costs its writer what one costs that is not."""
    alone = await statements_of(tmp_path / "alone.db", chain())
    watched = await statements_of(tmp_path / "watched.db", chain(), is_watched=True)

    kinds = [text.split("(")[0][:20] for text in watched]
    assert kinds == [text.split("(")[0][:20] for text in alone]


async def test_chunks_of_a_step_travel_with_its_outcome(tmp_path: Path) -> None:
    """14.1: what is said at once is one statement more in a commit that happens anyway."""
    statements = await statements_of(tmp_path / "store.db", chain(chunks=7))

    assert statements.count("COMMIT") == STEPS + 1
    assert sum(text.startswith("INSERT INTO stream_events") for text in statements) == STEPS


@pytest.mark.slow
async def test_results_and_recoveries_read_facts_only(tmp_path: Path) -> None:
    """14.1: 100,000 chunks are not read by who wants a result or goes on with the run."""
    path, gate, held = tmp_path / "store.db", asyncio.Event(), True

    @step
    async def talk(x: int, ctx: StepContext) -> int:
        for number in range(0 if ctx.recovered else 100_000):
            await ctx.write(number)
        gate.set()
        if held:
            await asyncio.Event().wait()
        return x

    workflow = Workflow("w", input=int).then(talk).commit()
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    async with Outlast([workflow], store=store, drain=timedelta()) as app:
        await (await app.create_run(workflow, run_id="run")).start_async(input_data=1)
        await gate.wait()
    held = False
    store = Counting(path, durability="normal", allow_network_filesystem=True)
    async with Outlast([workflow], store=store) as app:
        assert (await app.run("run").result(timeout=20)).result == 1
        assert store.rows < 20
        assert sum([1 async for event in app.run("run").events()]) >= 100_000
    with closing(connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM stream_events").fetchone()[0] >= 100_000


class Counting(SqliteStore):
    """Counts the rows of journals that are read, except by streams."""

    rows = 0

    async def load_facts(self, *args: Any, **options: Any) -> Any:
        records = await super().load_facts(*args, **options)
        self.rows += len(records)
        return records

    async def load_journals(self, *args: Any) -> Any:
        journals = await super().load_journals(*args)
        self.rows += sum(map(len, journals.values()))
        return journals
