"""The store contract: appending to journals."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

from dataclasses import replace
from typing import Any

from outlast.core.status import RunStatus
from outlast.errors import StaleRunError
from outlast.storage.base import Receipt, RunKey, WorkerKey
from outlast.testing.conformance.scenario import LEASE, NOW, Held, StoreScenario, append, find, hold, records

__all__ = ["AppendContract"]


class AppendContract(StoreScenario):
    """`RunStore.append` while the run stays owned."""

    async def test_append_adds_events_and_changes_the_row(self) -> None:
        """Add events to the journal of an owned run."""
        async with self.process() as store:
            held = await hold(store)
            added = [record._replace(at_ms=NOW + 7) for record in records(2, 2)]

            outcome = await append(store, held.write(records=added, status=RunStatus.WAITING, execution=1))

            assert outcome == Receipt(held.key, 1, is_owned=True)
            row = await find(store)
            assert (row.status, row.execution, row.head, row.updated_at_ms) == (RunStatus.WAITING, 1, 3, NOW + 7)
            assert (row.owner, row.epoch, row.created_at_ms) == (held.worker, 1, NOW)
            assert await store.load_records(held.key) == records(1, 1) + added

    async def test_append_without_events_changes_only_the_row(self) -> None:
        """Events may be empty when only the row changes."""
        async with self.process() as store:
            held = await hold(store)

            assert isinstance(await append(store, held.write(count=0, status=RunStatus.PAUSED)), Receipt)

            row = await find(store)
            assert (row.status, row.head, row.updated_at_ms) == (RunStatus.PAUSED, 1, NOW)
            assert isinstance(await append(store, held.write(2)), Receipt)

    async def _check_refused(self, held: Held, **changes: Any) -> None:  # noqa: ANN401
        store = held.store
        await store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")
        (request,) = await store.list_inbox(held.worker)
        before = await find(store)
        write = held.write(
            status=RunStatus.FAILED, execution=3, is_released=True, ready_at_ms=NOW, inbox_taken=[request.key]
        )

        outcome = await append(store, replace(write, **changes))

        assert isinstance(outcome, StaleRunError)
        assert await find(store) == before
        assert await store.load_records(held.key) == records(1, 1)
        assert await store.list_inbox(held.worker) == [request]

    async def test_append_of_another_worker_changes_nothing(self) -> None:
        """If run, owner and epoch do not all match, it settles with `StaleRunError` and changes nothing: owner."""
        async with self.process() as store, self.process() as other:
            rival = await other.register_worker(workflows=["orders"], lease=LEASE)
            await self._check_refused(await hold(store), owner=rival)

    async def test_append_of_an_unknown_worker_changes_nothing(self) -> None:
        """If run, owner and epoch do not all match, it settles with `StaleRunError`, changes nothing: no such owner."""
        async with self.process() as store:
            await self._check_refused(await hold(store), owner=WorkerKey(987_654))

    async def test_append_with_an_old_epoch_changes_nothing(self) -> None:
        """A write that names an old epoch or owner is refused: the same worker, which lost the run in between."""
        async with self.process() as store:
            held = await hold(store)
            await append(store, held.write(count=0, is_released=True, ready_at_ms=NOW))
            (again,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)

            await self._check_refused(replace(held, epoch=again.epoch), epoch=held.epoch)

    async def test_append_with_an_epoch_to_come_changes_nothing(self) -> None:
        """If run, owner and epoch do not all match, it settles with `StaleRunError` and changes nothing: epoch."""
        async with self.process() as store:
            await self._check_refused(await hold(store), epoch=2)

    async def test_append_to_an_unknown_run_changes_nothing(self) -> None:
        """If run, owner and epoch do not all match, it settles with `StaleRunError` and changes nothing: run."""
        async with self.process() as store:
            await self._check_refused(await hold(store), run=RunKey(987_654))

    async def test_append_with_a_gap_changes_nothing(self) -> None:
        """Records whose first `seq` does not follow the head are refused the same way: a gap."""
        async with self.process() as store:
            await self._check_refused(await hold(store), records=records(3, 2))

    async def test_append_of_what_is_recorded_changes_nothing(self) -> None:
        """Records whose first `seq` does not follow the head are refused the same way: already there."""
        async with self.process() as store:
            await self._check_refused(await hold(store), records=records(1, 2))

    async def test_append_to_a_run_without_owner_changes_nothing(self) -> None:
        """Only the owner appends to its journal."""
        async with self.process() as store:
            held = await hold(store)
            await held.release(None)
            before = await find(store)

            assert isinstance(await append(store, held.write(3)), StaleRunError)

            assert await find(store) == before

    async def test_refused_write_leaves_the_others_of_its_turn_alone(self) -> None:
        """Other writes of the same commit are not affected."""
        async with self.process() as store:
            runs = [await hold(store, f"run-{n}") for n in range(6)]

            answers = [append(store, run.write(epoch=1 if n % 2 else 7)) for n, run in enumerate(runs)]
            outcomes = [type(await answer) for answer in answers]

            assert outcomes == [StaleRunError, Receipt] * 3
            assert [(await find(store, f"run-{n}")).head for n in range(6)] == [1, 2] * 3

    async def test_appends_of_one_run_in_one_turn_are_all_recorded(self) -> None:
        """Add events to the journal of an owned run: each write sees those before it, also in the same commit."""
        async with self.process() as store:
            held = await hold(store)

            answers = [append(store, held.write(first, 2, execution=first)) for first in range(2, 22, 2)]

            assert {type(await answer) for answer in answers} == {Receipt}
            row = await find(store)
            assert (row.head, row.execution) == (21, 20)
            assert await store.load_records(held.key) == records(1, 21)

    async def test_good_write_after_a_refused_one_of_its_run_is_recorded(self) -> None:
        """Other writes of the same commit are not affected: nor are those of the same run."""
        async with self.process() as store:
            held = await hold(store)

            gap, good, twice = append(store, held.write(5)), append(store, held.write(2)), append(store, held.write(2))

            assert [type(await answer) for answer in (gap, good, twice)] == [StaleRunError, Receipt, StaleRunError]
            assert await store.load_records(held.key) == records(1, 2)

    async def test_write_after_the_release_in_one_turn_is_refused(self) -> None:
        """If run, owner and epoch do not all match the row: as the write before it in the same commit left it."""
        async with self.process() as store:
            held = await hold(store)

            released, late = held.release(None), append(store, held.write(3))

            assert isinstance(await released, Receipt)
            assert isinstance(await late, StaleRunError)
            assert (await find(store)).head == 2
