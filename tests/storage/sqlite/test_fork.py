"""A forked child can do nothing with the parent's store, and nothing to it."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
import warnings
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eventually import eventually
from outlast.errors import ForkedAppError
from outlast.storage.base import Receipt
from outlast.storage.sqlite import SqliteStore
from outlast.testing.conformance.scenario import LEASE, NOW, append, hold

CHILD = Path(__file__).with_name("child.py")


def in_child(action: Callable[[], None]) -> int:
    """Fork, run something in the child, and return its exit status."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        except BaseException:  # noqa: BLE001 - a child of a test must never return into pytest
            traceback.print_exc()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def test_child_is_refused_and_the_parent_goes_on(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", allow_network_filesystem=True)
    await store.open()
    held = await hold(store)

    def try_everything() -> None:
        for call in (
            lambda: store.append(held.write(), lambda _: None),
            lambda: store.renew_lease(held.worker, LEASE),
            store.has_changed,
        ):
            with pytest.raises(ForkedAppError):
                call()
        links = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        assert not [link for link in links if ".writer" in link or ".lock" in link]

    assert in_child(try_everything) == 0
    assert isinstance(await append(store, held.write()), Receipt)
    assert await store.bury_dead_workers(now_ms=NOW) == 0
    await store.close()


async def test_child_cannot_open_a_file_that_was_open_in_its_parent(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", allow_network_filesystem=True)
    await store.open()
    again = SqliteStore(tmp_path / "store.db", allow_network_filesystem=True)

    def open_again() -> None:
        with pytest.raises(ForkedAppError, match="spawn instead of fork"):
            again.open().send(None)

    assert in_child(open_again) == 0
    await store.close()


async def test_child_may_open_a_file_that_its_parent_had_closed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, allow_network_filesystem=True)
    await store.open()
    await store.close()

    def work() -> None:
        async def open_and_hold() -> None:
            mine = SqliteStore(path, allow_network_filesystem=True)
            await mine.open()
            await hold(mine)
            await mine.close()

        with ThreadPoolExecutor(1) as pool:  # the loop of the parent's thread is still there
            pool.submit(asyncio.run, open_and_hold()).result()

    assert in_child(work) == 0


@pytest.mark.slow
async def test_child_does_not_keep_the_life_of_a_dead_parent(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, allow_network_filesystem=True)
    await store.open()

    command = [sys.executable, str(CHILD), "forks", str(path), "normal"]
    parent = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"ready\n"

    assert await eventually(lambda: store.bury_dead_workers(now_ms=NOW)) == 1
    assert parent.stdin is not None
    assert not parent.stdout.at_eof()  # its child lives
    parent.stdin.close()
    assert await parent.stdout.read() == b"child ended\n"
    await store.close()
