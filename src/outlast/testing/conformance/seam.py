"""The store contract: what a store does when a commit fails, its answer is lost, or the process dies there."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from outlast.errors import StoreUnavailableError
from outlast.storage.base import GraphKey, Receipt, Store, WorkerKey
from outlast.testing.conformance.scenario import (
    LEASE,
    NOW,
    OVER,
    Held,
    StoreScenario,
    append,
    find,
    hold,
    insert,
    new_run,
    records,
    until,
)
from outlast.testing.faults import CountCommits, FaultMode, KillAt, Killed

__all__ = ["FailureContract", "SeamContract"]


class Trip:
    """A seam that raises at the next commit after it was armed."""

    def __init__(self) -> None:
        self.before: BaseException | None = None
        """What to raise before the next commit."""
        self.after: BaseException | None = None
        """What to raise after the next commit."""

    def before_commit(self) -> None:
        """Raise once, if armed."""
        error, self.before = self.before, None
        if error is not None:
            raise error

    def after_commit(self) -> None:
        """Raise once, if armed."""
        error, self.after = self.after, None
        if error is not None:
            raise error


class SeamContract(StoreScenario):
    """Where the seam is called, and what the death of a process looks like."""

    async def test_every_kind_of_write_passes_the_seam(self) -> None:
        """Called around every transaction that writes."""
        seam = CountCommits()
        async with self.process(seam) as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            worker = await store.register_worker(workflows=[], lease=LEASE)
            dead = await store.register_worker(workflows=[], lease=OVER)
            writes: list[Callable[[], Awaitable[object]]] = [
                lambda: store.ensure_graph("orders", "v2", b"{}"),
                lambda: store.register_worker(workflows=[], lease=LEASE),
                lambda: insert(store, new_run(graph)),
                lambda: store.claim(worker, graphs=[graph], now_ms=NOW, limit=1),
                lambda: store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}"),
                lambda: self._append_second(store),
                lambda: asyncio.to_thread(store.renew_lease, worker, LEASE),
                lambda: store.bury_dead_workers(now_ms=NOW),
                lambda: store.retire_worker(worker),
            ]
            for number, write in enumerate(writes):
                before = seam.commits

                await write()

                assert seam.commits == before + 1, f"write {number}"
            assert dead not in {row.key for row in await store.list_workers()}

    async def _append_second(self, store: Store) -> object:
        row = await find(store)
        assert row.owner is not None
        held = Held(store=store, worker=row.owner, graph=row.graph, key=row.key, epoch=row.epoch)
        return await append(store, held.write())

    async def test_reading_does_not_pass_the_seam(self) -> None:
        """Called around every transaction that writes: no other."""
        seam = CountCommits()
        async with self.process(seam) as store:
            held = await hold(store)
            before = seam.commits

            await store.find_run("run")
            await store.load_records(held.key)
            await store.ensure_graph("orders", "v1", b"{}")
            await store.list_inbox(held.worker)
            await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
            await store.next_ready_at([held.graph])
            store.has_changed()

            assert seam.commits == before

    @pytest.mark.parametrize("mode", ["before", "after"])
    async def test_death_at_a_commit_ends_the_process(self, mode: FaultMode) -> None:
        """Nothing more is written, the locks are let go as the kernel would, every later call fails."""
        seam = Trip()
        async with self.process() as sibling, self.process(seam) as store:
            held = await hold(store, "first")
            killed = Killed(f"{mode} the commit")
            seam.before, seam.after = (killed, None) if mode == "before" else (None, killed)

            last = insert(store, new_run(held.graph, "last", owner=held.worker))

            async def is_dead() -> bool:
                return not any(row.is_alive for row in await sibling.list_workers())

            await until(is_dead)
            await self._check_dead(store, held.worker, held.graph)
            if last.done():
                assert isinstance(last.result(), StoreUnavailableError)
            assert await sibling.bury_dead_workers(now_ms=NOW) == (1 if mode == "before" else 2)
            assert (await sibling.find_run("last") is None) == (mode == "before")
            assert await sibling.find_run("too late") is None

    async def _check_dead(self, store: Store, worker: WorkerKey, graph: GraphKey) -> None:
        assert isinstance(await insert(store, new_run(graph, "too late")), StoreUnavailableError)
        for call in (
            lambda: store.find_run("first"),
            lambda: store.register_worker(workflows=[], lease=LEASE),
            lambda: store.claim(worker, graphs=[graph], now_ms=NOW, limit=1),
            lambda: store.post("first", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}"),
            store.list_workers,
        ):
            with pytest.raises(StoreUnavailableError):
                await call()
        with pytest.raises(StoreUnavailableError):
            store.renew_lease(worker, LEASE)


class FailureContract(StoreScenario):
    """A commit that fails, and a commit whose answer is lost."""

    async def test_failed_commit_records_nothing(self) -> None:
        """An ordinary exception stands for a commit that failed: raise to have it rolled back."""
        seam = Trip()
        async with self.process(seam) as store:
            held = await hold(store)
            seam.before = OSError("disk full")

            outcome = await append(store, held.write())

            assert isinstance(outcome, StoreUnavailableError)
            assert (await find(store)).head == 1
            assert await store.load_records(held.key) == records(1, 1)

    async def test_store_goes_on_after_a_failed_commit(self) -> None:
        """StoreUnavailableError: nothing of this write is recorded. The same call may succeed later."""
        seam = Trip()
        async with self.process(seam) as store:
            held = await hold(store)
            seam.before = OSError("disk full")
            await append(store, held.write())

            assert isinstance(await append(store, held.write()), Receipt)

            assert (await find(store)).head == 2

    async def test_failed_commit_fails_the_calls_that_wait_for_it(self) -> None:
        """StoreUnavailableError: Nothing was recorded; try again."""
        seam = Trip()
        async with self.process(seam) as store:
            held = await hold(store)
            await insert(store, new_run(held.graph, "pending"))

            seam.before = OSError("disk full")
            with pytest.raises(StoreUnavailableError):
                await store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")
            seam.before = OSError("disk full")
            with pytest.raises(StoreUnavailableError):
                await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
            seam.before = OSError("disk full")
            with pytest.raises(StoreUnavailableError):
                await store.retire_worker(held.worker)

            assert await store.list_inbox(held.worker) == []
            assert await store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")
            assert len(await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)) == 1

    async def test_lost_answer_settles_truthfully(self) -> None:
        """An ordinary exception stands for a lost answer: the store finds out what was recorded, settles truthfully."""
        seam = Trip()
        async with self.process(seam) as store:
            held = await hold(store)

            seam.after = OSError("connection reset")
            appended = await append(store, held.write())
            seam.after = OSError("connection reset")
            inserted = await insert(store, new_run(held.graph, "other"))

            assert appended == Receipt(held.key, 1, is_owned=True)
            assert isinstance(inserted, Receipt)
            assert await store.load_records(held.key) == records(1, 2)
            assert (await find(store, "other")).key == inserted.run
            assert isinstance(await append(store, held.write(3)), Receipt)

    async def test_lost_answer_of_a_call_is_found_out(self) -> None:
        """The store then finds out what was recorded."""
        seam = Trip()
        async with self.process(seam) as store:
            held = await hold(store)
            await insert(store, new_run(held.graph, "pending"))

            seam.after = OSError("connection reset")
            assert await store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")
            seam.after = OSError("connection reset")
            (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
            seam.after = OSError("connection reset")
            assert await store.retire_worker(held.worker) == 2

            assert claimed.run_id == "pending"
            assert await store.list_workers() == []

    async def test_kill_at_lost_strikes_once(self) -> None:
        """Raise to lose the answer: an ordinary exception, the process lives on."""
        seam = KillAt(2, "lost")
        async with self.process(seam) as store:
            held = await hold(store)
            for seq in range(2, 6):
                assert isinstance(await append(store, held.write(seq)), Receipt)

            assert seam.struck
            assert (await find(store)).head == 5
