"""A forked child can do nothing with the parent's store, and nothing to it."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from outlast.errors import ForkedAppError
from outlast.storage.base import Receipt
from outlast.storage.sqlite import SqliteStore
from outlast.testing.conformance.scenario import LEASE, NOW, append, hold


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


async def test_child_does_not_keep_the_life_of_a_dead_parent(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, allow_network_filesystem=True)
    await store.open()
    read_end, write_end = os.pipe()

    def be_a_worker_whose_child_outlives_it() -> None:
        import asyncio  # noqa: PLC0415 - in the child only

        async def work() -> None:
            mine = SqliteStore(path, allow_network_filesystem=True)
            await mine.open()
            await hold(mine)
            if os.fork() == 0:
                os.close(write_end)
                os.read(read_end, 1)  # until the test is over
                os._exit(0)
            os._exit(0)

        import threading  # noqa: PLC0415 - in the child only

        thread = threading.Thread(target=lambda: asyncio.run(work()))
        thread.start()
        thread.join()

    assert in_child(be_a_worker_whose_child_outlives_it) == 0
    assert await store.bury_dead_workers(now_ms=NOW) == 1
    os.close(write_end)
    os.close(read_end)
    await store.close()
