"""A file full of finished runs: lists and results stay quick, and retention gives room back while others start runs.

`OUTLAST_RUNS` sets how many runs there are: `OUTLAST_RUNS=1000000 pytest -s tests/load/test_many_finished_runs.py`.
Times are printed and not asserted: they are those of the machine, its disk and its neighbours.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eventually import eventually
from outlast import Outlast, RunDetails, Workflow, step
from outlast.engines.local import housekeeper
from outlast.reading import RunPage
from outlast.storage.sqlite import SqliteStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RUNS = int(os.environ.get("OUTLAST_RUNS", "30000"))
OLD = RUNS * 9 // 10
QUIET_S = min(30.0, RUNS / 30_000)
WAL_LIMIT = 48 * 1024 * 1024


@step
async def greet(name: str) -> str:
    return f"Hello {name}" * 5


@step
async def shout(text: str) -> str:
    return text.upper()


LETTER = Workflow("letter", input=str, output=str).then(greet).then(shout).commit()


@dataclass
class Figures:
    """What was seen."""

    pages: dict[str, RunPage] = field(default_factory=dict)
    details: RunDetails[str] | None = None
    size_before: int = 0
    size_after: int = 0
    largest_log: int = 0
    left: int = 0
    starts: list[float] = field(default_factory=list)
    quiet_starts: list[float] = field(default_factory=list)
    """Without a sweep beside them: what the machine and its neighbours make of a start."""


def open_store(path: Path) -> SqliteStore:
    return SqliteStore(path, durability="normal", allow_network_filesystem=True)


async def fill(path: Path) -> None:
    """Make one run, and copy its rows: nine of ten with times of forty days ago."""
    async with Outlast([LETTER], store=open_store(path)) as app:
        run = await app.create_run(LETTER, run_id="model")
        await run.start(input_data="Ada", tags=["model"])
    old = timedelta(days=40) // timedelta(milliseconds=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = off")
        connection.execute("PRAGMA cache_size = -200000")
        connection.execute("BEGIN")
        connection.execute(
            """
            WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO runs (key, run_id, workflow_id, graph, resource_id, status, execution, epoch, owner, head,
                              ready_at_ms, created_at_ms, updated_at_ms)
            SELECT i, printf('%08x-0000-7000-8000-%012x', i, i * 7919), workflow_id, graph,
                   'customer-' || (i % 1000), CASE WHEN i % 997 THEN status ELSE 'failed' END, execution, epoch, NULL,
                   head, NULL, created_at_ms - (i <= ?) * ?, updated_at_ms - (i <= ?) * ?
            FROM n, runs WHERE runs.key = 1
            """,
            (RUNS, OLD + 1, old, OLD + 1, old),
        )
        connection.execute(
            """
            INSERT INTO events
            SELECT runs.key, seq, events.execution, type, v, at_ms, path, attempt, body, payload
            FROM runs CROSS JOIN events ON events.run_key = 1 WHERE runs.key > 1
            """
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def timed(what: str, call: Callable[[], Awaitable[object]]) -> object:
    """Do it three times and print how long the slowest and the quickest took."""
    spans: list[float] = []
    answer: object = None
    for _ in range(3):
        began = time.perf_counter()
        answer = await call()
        spans.append((time.perf_counter() - began) * 1_000)
    print(f"{what}: {min(spans):.1f} to {max(spans):.1f} ms")
    return answer


async def read(figures: Figures, path: Path) -> None:
    async with Outlast([LETTER], store=open_store(path), worker=False) as app:
        month_ago = datetime.now(UTC) - timedelta(days=35)
        asks: dict[str, Callable[[], Awaitable[object]]] = {
            "newest": LETTER.list_workflow_runs,
            "failed": lambda: app.list_runs(status="failed"),
            "of one customer": lambda: app.list_runs(resource_id="customer-7"),
            "before a date": lambda: app.list_runs(to_date=month_ago),
            "searched": lambda: app.list_runs(search="customer-99"),
            "tagged": lambda: app.list_runs(tags=["model"]),
            "none": lambda: app.list_runs(resource_id="nobody"),
        }
        for name, ask in asks.items():
            page = await timed(f"page '{name}'", ask)
            assert isinstance(page, RunPage)
            figures.pages[name] = page
        await timed("counts", app.counts)
        middle = figures.pages["newest"].runs[-1].run_id
        details = await timed("one run with all it has", lambda: LETTER.get_workflow_run_by_id(middle))
        assert isinstance(details, RunDetails)
        figures.details = details


async def keep_starting(app: Outlast, spans: list[float], done: asyncio.Event) -> None:
    """Start a run every few milliseconds and note how long each start took."""
    while not done.is_set():
        run = await app.create_run(LETTER)
        began = time.perf_counter()
        await run.start_async(input_data="Grace")
        spans.append((time.perf_counter() - began) * 1_000)
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.01)


async def retire(figures: Figures, path: Path) -> None:
    """Let a worker delete what is old while runs are started all the time."""
    log = Path(f"{path}-wal")
    figures.size_before = path.stat().st_size
    async with Outlast([LETTER], store=open_store(path)) as app:
        done = asyncio.Event()
        starting = asyncio.create_task(keep_starting(app, figures.quiet_starts, done))
        await asyncio.wait([starting], timeout=QUIET_S)
        done.set()
        await starting
        done = asyncio.Event()
        starting = asyncio.create_task(keep_starting(app, figures.starts, done))
        keeper = app._engine._housekeeper  # noqa: SLF001
        began = time.perf_counter()
        sweeping = asyncio.create_task(keeper.sweep())
        while not sweeping.done():
            await asyncio.wait([sweeping], timeout=0.1)
            figures.largest_log = max(figures.largest_log, log.stat().st_size)
        await sweeping
        span = time.perf_counter() - began
        done.set()
        await starting
        worker = app._engine._worker  # noqa: SLF001
        await eventually(lambda: worker is not None and not worker.live, within=30)
        figures.left = sum(sum(counts.values()) for counts in (await app.counts()).values())
        figures.left -= len(figures.starts) + len(figures.quiet_starts)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    figures.size_after = path.stat().st_size
    print(f"retention: {OLD} of {RUNS} runs in {span:.1f} s, beside {len(figures.starts)} starts")
    print_starts("a start before it", figures.quiet_starts)
    print_starts("a start meanwhile", figures.starts)
    print(f"file: {figures.size_before / 1e6:.0f} MB, then {figures.size_after / 1e6:.0f} MB")
    print(f"log: at most {figures.largest_log / 1e6:.0f} MB")


def print_starts(what: str, starts: list[float]) -> None:
    spans = sorted(starts)
    late = sum(span > 50 for span in spans)
    print(
        f"{what}: median {spans[len(spans) // 2]:.2f} ms, 99 of 100 within {spans[len(spans) * 99 // 100]:.1f} ms, "
        f"slowest {spans[-1]:.1f} ms, {late} of {len(spans)} over 50 ms"
    )


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    path = tmp_path_factory.mktemp("many") / "store.db"
    figures = Figures()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(housekeeper, "_FIRST_AFTER_S", 1e9)  # sweeps begin when the test says so
        print()
        asyncio.run(fill(path))
        asyncio.run(read(figures, path))
        asyncio.run(retire(figures, path))
    return figures


def test_pages_show_what_was_asked_for(figures: Figures) -> None:
    """17: filters, on a store that is full."""
    pages = figures.pages
    assert [len(page.runs) for page in pages.values()] == [
        50,
        min(50, RUNS // 997),
        min(50, RUNS // 1000),
        50,
        50,
        1,
        0,
    ]
    assert pages["newest"].is_total_exact == (RUNS <= 10_000)
    assert pages["newest"].total == min(RUNS, 10_000)
    assert pages["failed"].total == RUNS // 997


def test_run_is_read_as_a_whole(figures: Figures) -> None:
    """17: one run among many."""
    assert figures.details is not None
    assert figures.details.result == "HELLO ADA" * 5
    assert list(figures.details.steps) == ["greet", "shout"]


def test_retention_deletes_what_is_old_and_nothing_else(figures: Figures) -> None:
    """17: retention, in the background, while others start runs."""
    assert figures.left == RUNS - OLD
    assert figures.starts


def test_file_shrinks(figures: Figures) -> None:
    """17: gives disk back; what stays of an old run is its id, and of the free pages a few for the next runs."""
    assert figures.size_after < figures.size_before * 0.7


def test_log_stays_bounded(figures: Figures) -> None:
    """17: in small transactions, and the log is checkpointed between them."""
    assert figures.largest_log < WAL_LIMIT
