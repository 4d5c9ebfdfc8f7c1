"""Faults of the machine: a clear error, new starts refused, runs under way not lost, and all well when it is mended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eventually import eventually
from outlast import Outlast, ResumeConflictError, StoreError, StoreUnavailableError, Workflow, step
from soak.work import WORKFLOWS

TESTS = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@step
async def add(n: int) -> int:
    return n + 1


adding = Workflow("adding", input=int, output=int).then(add).then(add, id="again").commit()


@cache
def can_mount() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def run_alone(scenario: str, directory: Path, *, megabytes: int) -> dict[str, Any]:
    """Run a scenario of `child.py` on a file system of its own, of this size."""
    if not can_mount():
        pytest.skip("needs user namespaces with mounts, to fill a disk without harming anybody")
    child = [sys.executable, str(TESTS / "faults" / "child.py"), scenario, str(directory)]
    mount = f"mount -t tmpfs -o size={megabytes}m tmpfs '{directory}' && exec \"$@\""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *child]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=55)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_a_full_disk_refuses_starts_and_loses_no_run_that_was_answered(tmp_path: Path) -> None:
    seen = run_alone("full_disk", tmp_path, megabytes=8)

    assert "disk" in seen["error"]
    assert "try again" in seen["error"]
    assert seen["ended"] == seen["answered"] > 3
    assert seen["again"] == "success"


def test_a_disk_with_little_room_refuses_starts_before_it_is_full(tmp_path: Path) -> None:
    seen = run_alone("low_disk", tmp_path, megabytes=64)

    assert "MB are free on its disk" in seen["error"]
    assert seen["ended"] == seen["answered"] > 3


def test_a_read_only_file_system_is_refused_and_loses_no_run(tmp_path: Path) -> None:
    seen = run_alone("read_only", tmp_path, megabytes=16)

    assert seen["error"].startswith("ConfigurationError")
    assert "written" in seen["error"]
    assert seen["ended"] == 1


def test_a_process_without_free_descriptors_goes_on_with_what_it_has(tmp_path: Path) -> None:
    seen = run_alone("no_descriptors", tmp_path, megabytes=16)

    assert "Error" in seen["error"]
    assert seen["ended"] == 2


async def test_a_file_that_is_deleted_while_open_takes_no_more_writes(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Outlast([adding], store=path) as app:
        (await (await app.create_run(adding)).start(input_data=1)).unwrap()
        aside = tmp_path / "aside.db"
        path.rename(aside)

        async def refusal() -> str:
            try:
                await (await app.create_run(adding)).start_async(input_data=1)
            except StoreUnavailableError as error:
                return str(error)
            return ""  # it is looked at every hundredth of a second only

        assert "was deleted or replaced while it was open" in await eventually(refusal)
        aside.rename(path)
        assert (await (await app.create_run(adding)).start(input_data=1)).unwrap() == 3


async def test_a_program_that_locks_the_file_only_makes_starts_wait(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Outlast([adding], store=path, durability="normal") as app:
        with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            run = await app.create_run(adding)
            starting = asyncio.create_task(run.start(input_data=1))
            await asyncio.wait([starting], timeout=0.2)
            assert not starting.done()
            foreign.execute("ROLLBACK")

        assert (await starting).unwrap() == 3


async def test_a_damaged_page_is_named_and_harms_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Outlast([adding], store=path) as app:
        for number in range(200):
            await (await app.create_run(adding, run_id=f"run-{number}")).start_async(input_data=number)
        await app.until_idle()
    damage(path)

    with pytest.raises(StoreError, match=r"damaged: .*; restore it from a backup"):
        await read_all(path)


async def read_all(path: Path) -> None:
    async with Outlast([adding], store=path) as app:
        for number in range(200):
            await app.run(f"run-{number}").snapshot()


def damage(path: Path) -> None:
    """Overwrite pages in the middle of the file, as a bad disk does; the head is whole."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        for page in range(8, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 512)


async def test_a_copy_of_the_files_taken_at_any_moment_opens_and_recovers(tmp_path: Path) -> None:
    """What a power cut leaves: the files as they were at one moment, whatever was being written."""
    original = tmp_path / "original"
    original.mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    command = [sys.executable, "-m", "soak.child"]
    crew = [
        subprocess.Popen([*command, play, str(original), "full"], env=environment, cwd=TESTS.parent)  # noqa: ASYNC220
        for play in ("starter", "worker")
    ]
    try:
        await eventually(lambda: (original / "soak.db").exists() and _runs_in(original / "soak.db") > 10, within=20)
        for number in range(8):
            copy = tmp_path / f"copy-{number}"
            take_copy(original, copy, [each.pid for each in crew])
            answered = [json.loads(line)["run"] for line in _answers(copy)]
            await check_copy(copy / "soak.db", answered)
    finally:
        for each in crew:
            each.kill()
            each.wait()


def take_copy(original: Path, copy: Path, pids: list[int]) -> None:
    copy.mkdir()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for file in original.iterdir():
            if file.is_file() and not file.name.endswith("-shm"):  # shared memory does not survive a power cut
                (copy / file.name).write_bytes(file.read_bytes())
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _answers(copy: Path) -> list[str]:
    return [line for file in copy.glob("starts-*.notes") for line in file.read_text().splitlines()]


def _runs_in(path: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


async def check_copy(path: Path, answered: list[str]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    async with Outlast(list(WORKFLOWS.values()), store=path) as app:
        for run_id in answered:
            result = await app.run(run_id).result(timeout=30)
            if result.status == "suspended":
                try:
                    result = await app.run(run_id).resume("yes")
                except ResumeConflictError:  # the copy holds an approval that no worker had seen
                    result = await app.run(run_id).result(timeout=30, until="end")
            assert result.status == "success"
