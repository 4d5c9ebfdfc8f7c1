"""Runs of very many steps: what a step costs does not depend on how many came before it."""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from load.measure import forget_peak, needs_proc, peak_megabytes, resident_megabytes
from outlast import CommittedWorkflow, Outlast, RunResult, Workflow, step
from outlast.core.record import Record
from outlast.storage.sqlite import SqliteStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PASSES = 20_000
ITEMS = 100_000


@step
async def add_one(x: int) -> int:
    return x + 1


COUNT = Workflow("count", input=int, output=int).dountil(add_one, lambda ctx: ctx.input >= PASSES, id="poll").commit()
EACH = Workflow("each", input=list[int]).foreach(add_one, concurrency=100, id="each").commit()


def store_in(directory: Path) -> SqliteStore:
    return SqliteStore(directory / "store.db", durability="normal", allow_network_filesystem=True)


async def run(workflow: CommittedWorkflow[Any, Any], directory: Path, given: Any) -> RunResult[Any]:
    async with Outlast([workflow], store=store_in(directory)) as app:
        return await (await app.create_run(workflow, run_id="run")).start(input_data=given)


async def journal(directory: Path) -> Sequence[Record]:
    store = store_in(directory)
    await store.open()
    try:
        row = await store.find_run("run")
        return [] if row is None else await store.load_records(row.key)
    finally:
        await store.close()


def size_of(record: Record) -> int:
    """Return about what a record takes on disk: 8 bytes for a number, texts and values as they are."""
    return sum(8 if isinstance(field, int) else len(field) for field in record if field is not None)


async def test_loop_of_many_passes_records_no_more_for_the_last_ones(tmp_path: Path) -> None:
    """5.4: what a pass records does not depend on the passes before it."""
    began, spent = time.perf_counter(), time.process_time()
    result = await run(COUNT, tmp_path, 0)
    took, spent = time.perf_counter() - began, time.process_time() - spent
    passes: dict[int, list[Record]] = {}
    for record in await journal(tmp_path):
        if named := re.match(r"poll#(\d+)", record.path):
            passes.setdefault(int(named[1]), []).append(record)

    groups = [[record for number in numbers for record in passes[number]] for numbers in ends(1_000)]
    first, last = (sum(map(size_of, group)) / 1_000 for group in groups)
    first_ms, last_ms = (group[-1].at_ms - group[0].at_ms for group in groups)
    print(f"\n{PASSES} passes in {took:.1f} s, {spent:.1f} s of CPU")
    print(f"the first 1,000: {first:.0f} bytes each, {first_ms} ms; the last 1,000: {last:.0f} bytes, {last_ms} ms")
    assert result.result == PASSES
    assert last <= 1.1 * first


def ends(count: int) -> tuple[range, range]:
    return range(1, count + 1), range(PASSES - count + 1, PASSES + 1)


@needs_proc
async def test_foreach_over_many_items_takes_bounded_memory(tmp_path: Path) -> None:
    """5.5: the output is aligned by index, whatever the number of items."""
    before = resident_megabytes()
    forget_peak()
    began, spent = time.perf_counter(), time.process_time()

    result = await run(EACH, tmp_path, list(range(ITEMS)))

    took, spent = time.perf_counter() - began, time.process_time() - spent
    growth = peak_megabytes() - before
    print(f"\n{ITEMS} items in {took:.1f} s, {spent:.1f} s of CPU, {growth:.0f} MB more at the peak")
    assert result.result == list(range(1, ITEMS + 1))
    assert growth < 400
