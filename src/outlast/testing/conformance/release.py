"""The store contract: giving a run up, and who may have it next."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio

from outlast.core.status import RunStatus
from outlast.storage.base import InboxKey, Receipt
from outlast.testing.conformance.scenario import LEASE, NOW, Held, StoreScenario, append, find, hold, records

__all__ = ["ReleaseContract"]


class ReleaseContract(StoreScenario):
    """`RunStore.append` when it gives the run up."""

    async def test_release_takes_the_owner_away(self) -> None:
        """Whether the owner gives the run up with this write."""
        async with self.process() as store:
            held = await hold(store)

            receipt = await held.release(None)

            row = await find(store)
            assert receipt == Receipt(held.key, row.epoch, is_owned=False)
            assert (row.owner, row.status, row.head) == (None, RunStatus.SUSPENDED, 2)
            assert await store.load_records(held.key) == records(1, 2)

    async def test_run_released_without_time_waits_for_its_inbox(self) -> None:
        """When it may be claimed again; None if only its inbox can wake it."""
        async with self.process() as store:
            held = await hold(store)

            await held.release(None)

            assert (await find(store)).ready_at_ms is None
            assert await store.next_ready_at([held.graph]) is None
            assert await store.claim(held.worker, graphs=[held.graph], now_ms=NOW * 2, limit=1) == []

    async def test_run_released_until_later_is_claimable_from_then_on(self) -> None:
        """A run without owner is claimable from `ready_at_ms` on."""
        async with self.process() as store:
            held = await hold(store)

            await held.release(NOW + 1000)

            assert (await find(store)).ready_at_ms == NOW + 1000
            assert await store.next_ready_at([held.graph]) == NOW + 1000
            assert await store.claim(held.worker, graphs=[held.graph], now_ms=NOW + 999, limit=1) == []
            assert len(await store.claim(held.worker, graphs=[held.graph], now_ms=NOW + 1000, limit=1)) == 1

    async def test_run_released_until_now_is_claimable_at_once(self) -> None:
        """A run without owner is claimable from `ready_at_ms` on: by anybody."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            rival = await other.register_worker(workflows=["orders"], lease=LEASE)

            await held.release(NOW)

            (claimed,) = await other.claim(rival, graphs=[held.graph], now_ms=NOW, limit=1)
            assert (claimed.key, claimed.epoch) == (held.key, 2)

    async def test_release_takes_inbox_rows_with_it(self) -> None:
        """Inbox rows named in `inbox_taken` are marked taken by the same commit."""
        async with self.process() as store:
            held = await hold(store)
            await store.post("run", kind="resume", topic="a", at_ms=NOW, body=b"{}")
            (request,) = await store.list_inbox(held.worker)

            await held.release(None, inbox_taken=[request.key])

            assert await store.next_ready_at([held.graph]) is None
            assert await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1) == []

    async def test_release_with_requests_waiting_leaves_the_run_claimable_at_once(self) -> None:
        """A write that releases the run while its inbox holds rows not taken leaves it claimable at once."""
        async with self.process() as store:
            for number, ready_at_ms in enumerate([None, NOW + 60_000, NOW]):
                held = await hold(store, f"run-{number}")
                for topic in ("a", "b"):
                    await store.post(f"run-{number}", kind="resume", topic=topic, at_ms=NOW, body=b"{}")
                first, second = await store.list_inbox(held.worker)

                await held.release(ready_at_ms, inbox_taken=[first.key])

                (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=9)
                assert claimed.key == held.key
                assert await store.list_inbox(held.worker) == [second]
                await store.retire_worker(held.worker)
                await self._take_all(store_run=held)

    async def _take_all(self, *, store_run: Held) -> None:
        """Keep the runs of earlier rounds out of the next ones."""
        store = store_run.store
        worker = await store.register_worker(workflows=["orders"], lease=LEASE)
        await store.claim(worker, graphs=[store_run.graph], now_ms=NOW, limit=9)

    async def test_requests_that_were_seen_stay_and_do_not_wake_the_run(self) -> None:
        """`inbox_seen`: inbox rows that stay, and that do not make the run claimable; later ones do."""
        async with self.process() as store:
            held = await hold(store)
            for topic in ("a", "b"):
                await store.post("run", kind="resume", topic=topic, at_ms=NOW, body=b"{}")
            first, second = await store.list_inbox(held.worker)

            await held.release(NOW + 60_000, inbox_taken=[first.key], inbox_seen=[second.key])

            assert await store.next_ready_at([held.graph]) == NOW + 60_000
            assert await store.list_requests(held.key) == [second]
            await store.post("run", kind="cancel", topic="c", at_ms=NOW, body=b"{}")
            (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=9)
            assert claimed.key == held.key
            assert [row.topic for row in await store.list_inbox(held.worker)] == ["b", "c"]

    async def test_requests_that_were_seen_do_not_keep_others_from_waking_the_run(self) -> None:
        """Neither taken nor named in `inbox_seen`: claimable at once."""
        async with self.process() as store:
            held = await hold(store)
            for topic in ("a", "b"):
                await store.post("run", kind="resume", topic=topic, at_ms=NOW, body=b"{}")
            first, _ = await store.list_inbox(held.worker)

            await held.release(NOW + 60_000, inbox_seen=[first.key])

            assert len(await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=9)) == 1

    async def test_reason_of_the_latest_write_is_told(self) -> None:
        """The latest `hold` that a write named; a write without any event may name one, too."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            assert await other.find_hold(held.key) is None

            await append(store, held.write(hold="first"))
            await append(store, held.write(3, 0, hold="it waits for 'its' turn"))

            assert await other.find_hold(held.key) == "it waits for 'its' turn"
            await held.release(NOW, first=3)
            assert await other.find_hold(held.key) is None

    async def test_reason_of_a_release_counts_until_somebody_takes_the_run(self) -> None:
        """As long as nobody took the run since; what is asked of it meanwhile changes nothing."""
        async with self.process() as store:
            held = await hold(store)
            await held.release(NOW, hold="not here")

            await store.post("run", kind="resume", topic="a", at_ms=NOW, body=b"{}")

            assert await store.find_hold(held.key) == "not here"
            await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
            assert await store.find_hold(held.key) is None

    async def test_refused_write_leaves_no_reason(self) -> None:
        """If run, owner and epoch do not all match the row, it changes nothing."""
        async with self.process() as store:
            held = await hold(store)

            await append(store, held.write(hold="stale", epoch=held.epoch + 1))

            assert await store.find_hold(held.key) is None

    async def test_several_writes_of_one_commit_leave_the_latest_reason(self) -> None:
        """Writes settle in the order in which they were handed over."""
        async with self.process() as store:
            held = await hold(store)
            writes = [held.write(2, hold="old"), held.write(3), held.write(4, 0, hold="new"), held.write(4, 0)]
            await asyncio.gather(*(append(store, write) for write in writes))

            assert await store.find_hold(held.key) == "new"

    async def test_inbox_rows_unknown_to_the_run_are_no_error(self) -> None:
        """Inbox rows that became events with this write: they are never listed again. Naming them twice is harmless."""
        async with self.process() as store:
            held = await hold(store)
            await store.post("run", kind="resume", topic="a", at_ms=NOW, body=b"{}")
            (request,) = await store.list_inbox(held.worker)
            await append(store, held.write(2, inbox_taken=[request.key]))

            outcome = await append(store, held.write(3, inbox_taken=[request.key, InboxKey(987_654)]))

            assert isinstance(outcome, Receipt)
            assert await store.list_inbox(held.worker) == []
