"""The soak in its one-minute form, and that its verdict can be a bad one."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from outlast import Outlast
from soak import work
from soak.crew import Member
from soak.gauge import Gauge
from soak.notes import Notes
from soak.verdict import Check, judge

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(400)
def test_nothing_is_lost_while_processes_are_killed_and_stopped_at_random() -> None:
    command = [sys.executable, "-m", "soak", "--minutes", "1"]

    soak = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert soak.returncode == 0, soak.stdout + soak.stderr
    assert re.search(r"[1-9]\d* SIGKILL, [1-9]\d* SIGSTOP", soak.stdout)
    assert all(len(line) <= 80 for line in soak.stdout.splitlines())


async def small_soak(directory: Path) -> str:
    """Leave behind what a soak with one run leaves; return the id of the run."""
    work.note_calls_in(directory)
    starts = Notes(directory, "starts")
    async with Outlast(list(work.WORKFLOWS.values()), store=str(directory / "soak.db")) as app:
        run = await app.create_run(work.WORKFLOWS["nap"])
        started = await run.start_async(input_data={"n": 0, "tokens": []})
        starts.add(run=started.run_id, workflow="nap")
        (await started.result(timeout=20)).unwrap()
    return run.run_id


def verdict(directory: Path) -> dict[str, Check]:
    checks = judge(directory, [], Gauge(directory / "soak.db"), ended_well=True)
    return {check.promise: check for check in checks}


def tamper(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / "soak.db")) as connection, connection:
        assert connection.execute(statement).rowcount > 0


async def test_a_soak_in_which_nothing_went_wrong_holds_all_promises(tmp_path: Path) -> None:
    await small_soak(tmp_path)

    assert all(check.holds for check in verdict(tmp_path).values())


async def test_a_run_that_was_answered_and_is_not_there_is_noticed(tmp_path: Path) -> None:
    await small_soak(tmp_path)

    tamper(tmp_path, "DELETE FROM runs")

    assert not verdict(tmp_path)["answered starts that did not end with success"].holds


async def test_an_outcome_that_is_recorded_twice_is_noticed(tmp_path: Path) -> None:
    await small_soak(tmp_path)

    tamper(
        tmp_path,
        "INSERT INTO events SELECT run_key, seq + 100, execution, type, v, at_ms, path, attempt, body, payload "
        "FROM events WHERE type = 'step-succeeded' AND path = 'think'",
    )

    assert not verdict(tmp_path)["outcomes recorded twice"].holds


async def test_a_result_that_no_call_explains_is_noticed(tmp_path: Path) -> None:
    await small_soak(tmp_path)

    for notes in tmp_path.glob("calls-*.notes"):
        notes.write_text("")

    assert not verdict(tmp_path)["results that no calls explain"].holds


async def test_a_call_after_the_outcome_was_recorded_is_noticed(tmp_path: Path) -> None:
    run_id = await small_soak(tmp_path)

    Notes(tmp_path, "calls").add(run=run_id, path="think", token="late", at_ms=4e12)

    assert not verdict(tmp_path)["calls after the outcome was recorded"].holds


async def test_a_late_call_of_a_process_that_had_been_stopped_is_its_right(tmp_path: Path) -> None:
    run_id = await small_soak(tmp_path)
    Notes(tmp_path, "calls").add(run=run_id, path="think", token="late", at_ms=4e12)
    pid = int(next(tmp_path.glob("calls-*.notes")).stem.rpartition("-")[2])
    stopped = Member("worker", tmp_path, "normal", may_be_killed=False, stops=[(pid, 4e12 - 20_000, 4e12 - 10)])

    checks = judge(tmp_path, [stopped], Gauge(tmp_path / "soak.db"), ended_well=True)

    assert next(check for check in checks if check.promise == "calls after the outcome was recorded").holds


async def test_an_error_in_the_log_of_a_process_is_noticed(tmp_path: Path) -> None:
    await small_soak(tmp_path)

    (tmp_path / "worker.stderr").write_text("sqlite3.OperationalError: database is locked\n")

    assert not verdict(tmp_path)["lock errors and faults in the logs"].holds
