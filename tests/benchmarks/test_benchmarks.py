"""The benchmarks run, and their floors still write what Outlast writes. Figures are not looked at."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks.__main__
from benchmarks.floor import FLOORS
from benchmarks.ours import OURS
from benchmarks.subject import QUICK_SIZES, Open, Sizes, Subject, expect

ROOT = Path(__file__).parent.parent.parent
INSIDE = {("W1", "p50"), ("W1", "p99"), ("W1q", "p50"), ("W2", "rate"), ("W3", "rate"), ("W4", "rate"), ("W5", "p50")}
BESIDE = {("W7", "p50"), ("W7", "p99"), ("W7", "worker"), ("recovery", "seconds")}


def run_benchmarks(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--quick", *options]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=50)


@pytest.mark.slow
def test_quick_run_measures_everything_and_leaves_nothing_behind(tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()

    run = run_benchmarks("--dir", str(data), "--json", str(tmp_path / "figures.json"))

    assert (run.returncode, run.stderr) == (0, "")
    assert max(len(line) for line in run.stdout.splitlines()) <= 80
    assert not list(data.iterdir())
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert not figures["failures"]
    systems = {system.key for system in (*OURS, *FLOORS)}
    wanted = {(*figure, system) for figure in INSIDE | {("W6", "seconds")} for system in systems}
    wanted |= {("W6", "read", system.key) for system in OURS}
    wanted |= {(*figure, system) for figure in BESIDE for system in ("full", "normal")}
    wanted.add(("import", "ms", "import"))
    found = {(each["workload"], each["figure"], each["system"]): each["median"] for each in figures["results"]}
    # The journal counts milliseconds: in a run this short, the first steps may take none.
    assert {key for key in found if key[1] != "last/first"} == wanted
    assert all(value > 0 for value in found.values())


@pytest.mark.slow
def test_table_shows_each_system_with_its_disk_policy_and_target():
    run = run_benchmarks("--only", "W3")

    assert run.returncode == 0, run.stderr
    rows = [line for line in run.stdout.splitlines() if line.startswith(("  outlast, ", "  floor: "))]
    assert [row[2:30].strip() for row in rows] == [system.label for system in (*OURS, *FLOORS)]
    assert [row[31:40].strip() for row in rows] == [system.disk for system in (*OURS, *FLOORS)]
    assert [row.split()[-1] in ("reached", "first", "missed") for row in rows] == [True] * 3 + [False] * len(FLOORS)
    assert rows[2].split()[-2] == "25,000"


@pytest.mark.slow
def test_wrong_result_of_one_system_fails_the_run_and_spares_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    first = iter([True])

    async def wrong_at_first(subject: Subject, sizes: Sizes) -> dict[str, float]:
        expect("the answer", 41 if next(first, False) else 42, 42)
        return {"rate": 1.0}

    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "--only", "W2"])
    monkeypatch.setitem(benchmarks.__main__.INSIDE, "W2", wrong_at_first)

    status = benchmarks.__main__.main()

    printed = capsys.readouterr()
    assert status == 1
    assert printed.err == "failed: W2, outlast, full (fsync): WrongResultError: the answer: got 41, not 42\n"
    assert "  outlast, full  " not in printed.out
    assert "  outlast, normal  " in printed.out


async def test_floors_write_as_many_rows_as_outlast_writes(tmp_path: Path):
    ours = next(opener for system, opener in OURS.items() if system.key == "normal")
    wanted = await rows_of(ours, tmp_path / "outlast")

    for system, opener in FLOORS.items():
        assert await rows_of(opener, tmp_path / system.key) == wanted, system.key


async def rows_of(opener: Open, directory: Path) -> tuple[list[tuple[str, int]], int]:
    directory.mkdir()
    async with opener(directory, QUICK_SIZES) as subject:
        await do_a_bit(subject)
    connection = sqlite3.connect(next(directory.glob("*.db")))
    try:
        events = connection.execute("SELECT type, count(*) FROM events GROUP BY type ORDER BY type").fetchall()
        return events, connection.execute("SELECT count(*) FROM runs WHERE status = 'success'").fetchone()[0]
    finally:
        connection.close()


async def do_a_bit(subject: Subject) -> None:
    assert await (await subject.start(1, 5)).result() == 6
    assert await (await subject.start(10, 5)).result() == 15
    assert await subject.map(range(20), QUICK_SIZES.width) == list(range(1, 21))
