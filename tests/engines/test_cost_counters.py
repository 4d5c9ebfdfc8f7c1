"""What a step costs in commits, statements and bytes, and what the features add: who does not use them pays nothing.

Counters, not times: they are the same on every machine.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any, NamedTuple

import pytest

from eventually import eventually
from outlast import CommittedWorkflow, Outlast, Workflow, step
from outlast.storage.sqlite import SqliteStore

STEPS = 10
_MOST_BYTES_OF_A_STEP = 80
"""In the rows of its two events: type, path, time, body and output."""
_MOST_PAGES_OF_A_STEP = 3
"""Written to the log by its commit: the row of the run, the leaf of its journal, and now and then a new one."""
_PAGE = 4096


class Cost(NamedTuple):
    """What one run cost its writer."""

    statements: Counter[str]
    """By their first three words; `COMMIT` counts the commits."""
    row_bytes: int
    log_bytes: int


@step
async def add_one(x: int) -> int:
    return x + 1


async def be_told(result: object) -> None:
    """Nothing to do."""


def chain(steps: int = STEPS, **options: Any) -> CommittedWorkflow[int, int]:
    workflow = Workflow("w", input=int, output=int, **options)
    for number in range(steps):
        workflow = workflow.then(add_one.clone(id=f"step{number:02}"))
    return workflow.commit()


async def cost_of(path: Path, workflow: CommittedWorkflow[int, int], **options: Any) -> Cost:
    store = SqliteStore(path, durability="normal", allow_network_filesystem=True)
    seen: list[str] = []
    log = path.with_name(path.name + "-wal")
    async with Outlast([workflow], store=store, **options) as app:
        await (await app.create_run(workflow, run_id="first")).start(
            input_data=0
        )  # caches are warm, the file has grown
        await eventually(lambda: _is_told(app, "first"))
        connection: Any = store._machinery.writer._committer._connection  # type: ignore[union-attr] # noqa: SLF001
        before = log.stat().st_size
        connection.set_trace_callback(seen.append)
        await (await app.create_run(workflow, run_id="run")).start(input_data=0)
        await eventually(lambda: _is_told(app, "run"))
        connection.set_trace_callback(None)
        log_bytes = log.stat().st_size - before
    kinds = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT")
    statements = Counter(" ".join(text.split()[:3]) for text in seen if text.startswith(kinds))
    with closing(connect(path)) as database:
        (row_bytes,) = database.execute(_ROW_BYTES).fetchone()
    return Cost(statements, row_bytes, log_bytes)


async def _is_told(app: Outlast, run_id: str) -> bool:
    return not await app.run(run_id).deliveries()


_ROW_BYTES = """
SELECT sum(length(type) + length(path) + coalesce(length(body), 0) + coalesce(length(payload), 0) + 8)
FROM events JOIN runs ON runs.key = events.run_key WHERE runs.run_id = 'run'
"""


async def test_a_step_costs_one_commit_two_statements_and_few_bytes(tmp_path: Path) -> None:
    """n steps cost n + 1 commits, each with one update and one insert; what more steps cost is the same for each."""
    short = await cost_of(tmp_path / "short.db", chain(STEPS), tracing=False)
    long = await cost_of(tmp_path / "long.db", chain(2 * STEPS), tracing=False)

    more = long.statements - short.statements
    assert short.statements["COMMIT"] == STEPS + 1
    assert more == {"COMMIT": STEPS, "BEGIN IMMEDIATE": STEPS, "UPDATE runs SET": STEPS, "INSERT INTO events": STEPS}
    assert (long.row_bytes - short.row_bytes) / STEPS <= _MOST_BYTES_OF_A_STEP
    assert (long.log_bytes - short.log_bytes) / STEPS <= _MOST_PAGES_OF_A_STEP * (_PAGE + 24)


async def test_a_hook_costs_one_row_with_the_end_and_two_commits_beside_the_run(tmp_path: Path) -> None:
    """13: the outbox row travels with the terminal commit; claiming it and ending it are a commit each."""
    plain = await cost_of(tmp_path / "plain.db", chain(), tracing=False)
    told = await cost_of(tmp_path / "told.db", chain(on_finish=be_told), tracing=False)

    assert told.statements["COMMIT"] == plain.statements["COMMIT"] + 2
    assert told.statements["INSERT INTO events"] == plain.statements["INSERT INTO events"]
    assert told.statements["UPDATE runs SET"] == plain.statements["UPDATE runs SET"]
    assert told.statements["INSERT INTO outbox"] == 1
    assert told.row_bytes == plain.row_bytes


async def test_tracing_that_nobody_takes_costs_nothing(tmp_path: Path) -> None:
    """15.4: without a provider, a run writes what it writes with tracing turned off."""
    off = await cost_of(tmp_path / "off.db", chain(), tracing=False)
    unset = await cost_of(tmp_path / "unset.db", chain())

    assert unset.statements == off.statements
    assert unset.row_bytes == off.row_bytes


async def test_spans_are_no_rows(tmp_path: Path) -> None:
    """15: spans are a projection of the journal: who takes them changes nothing in it."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    off = await cost_of(tmp_path / "off.db", chain(), tracing=False)
    on = await cost_of(tmp_path / "on.db", chain(), tracing=sdk.TracerProvider())

    assert on.statements == off.statements
