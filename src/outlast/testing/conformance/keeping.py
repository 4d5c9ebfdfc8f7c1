"""The store contract: deleting runs, forgetting ids, and sweeping."""
# ruff: noqa: S101

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from outlast.core.chunk import removal_of
from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.errors import RunExistsError, RunNotFoundError, RunStateError, StaleRunError, StoreUnavailableError
from outlast.storage.base import Append, Receipt, Store
from outlast.storage.identity import Identity
from outlast.storage.keeping import Sweep
from outlast.storage.listing import RunQuery
from outlast.storage.outbox import NewDelivery
from outlast.testing.conformance.scenario import (
    LEASE,
    NOW,
    Held,
    StoreScenario,
    append,
    find,
    hold,
    insert,
    new_run,
    records,
)
from outlast.testing.faults import KillAt

__all__ = ["DeleteContract", "SweepContract"]

LATER = NOW + 1_000


async def _ended(store: Store, run_id: str = "run", *, events: int = 1) -> Held:
    """Record a run that has ended."""
    held = await hold(store, run_id)
    assert isinstance(await append(store, held.write(2, events, status=RunStatus.SUCCESS, is_released=True)), Receipt)
    return held


async def _talkative(store: Store, run_id: str, count: int) -> tuple[Held, list[Record]]:
    """Record a run that rests, in which every third event is no fact; return its journal, too."""
    held = await hold(store, run_id)
    journal = [record._replace(is_fact=record.seq % 3 != 0) for record in records(1, count)]
    write = held.write(records=journal[1:], status=RunStatus.SUSPENDED, is_released=True, ready_at_ms=LATER)
    assert isinstance(await append(store, write), Receipt)
    return held, journal


async def _sweep(store: Store, *, ended: int | None = LATER, deleted: int = NOW, said: int | None = None) -> Sweep:
    """Sweep until nothing is left to do, and return what all steps did."""
    deletions = forgotten = silenced = 0
    while True:
        step = await store.sweep(ended_before_ms=ended, deleted_before_ms=deleted, said_before_ms=said, now_ms=LATER)
        assert step is not None
        deletions, forgotten = deletions + step.deleted, forgotten + step.forgotten
        silenced += step.silenced
        if step.is_done:
            return Sweep(deleted=deletions, forgotten=forgotten, silenced=silenced)


async def _step(store: Store) -> Sweep:
    step = await store.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, said_before_ms=LATER, now_ms=LATER)
    assert step is not None
    return step


async def _ids(store: Store) -> list[str]:
    return [run.run_id for run in (await store.list_runs(RunQuery())).runs]


class DeleteContract(StoreScenario):
    """`RunKeeper.delete_run`."""

    async def test_deleted_run_is_found_by_nobody(self) -> None:
        """From the commit on, nobody finds the run."""
        async with self.process() as one, self.process() as two:
            held = await _ended(one)

            await one.delete_run("run", now_ms=LATER)

            for store in (one, two):
                assert await store.find_run("run") is None
                assert await store.summarize_run("run") is None
                assert await store.load_records(held.key) == []
                assert await store.load_heads([held.key]) == {}
                assert await _ids(store) == []
                assert await store.count_runs() == []
                with pytest.raises(RunNotFoundError):
                    await store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")

    async def test_deleted_run_leaves_its_id_behind(self) -> None:
        """`insert` settles with `RunExistsError`, until a sweep forgets the id."""
        async with self.process() as store:
            held = await _ended(store)
            await store.delete_run("run", now_ms=LATER)

            assert isinstance(await insert(store, new_run(held.graph)), RunExistsError)
            await _sweep(store, deleted=LATER)
            assert isinstance(await insert(store, new_run(held.graph)), RunExistsError)

            assert await _sweep(store, deleted=LATER + 1) == Sweep(forgotten=1)
            assert isinstance(await insert(store, new_run(held.graph)), Receipt)

    async def test_others_are_left_alone(self) -> None:
        """Delete a run: its journal, inbox and tags."""
        async with self.process() as store:
            await _ended(store, "gone")
            kept = await _ended(store, "kept")

            await store.delete_run("gone", now_ms=LATER)

            assert await _ids(store) == ["kept"]
            assert await store.load_records(kept.key) == records(1, 2)

    async def test_whoever_held_it_can_write_nothing(self) -> None:
        """Whoever still holds it for something else can write nothing."""
        async with self.process() as store:
            held = await _ended(store)
            await store.delete_run("run", now_ms=LATER)

            assert isinstance(await append(store, held.write(3)), StaleRunError)
            late = Append(run=held.key, owner=held.worker, epoch=0, records=records(1, 1), status=RunStatus.RUNNING)
            assert isinstance(await append(store, late), StaleRunError)
            assert await store.load_records(held.key) == []

    async def test_run_that_has_not_ended_is_refused(self) -> None:
        """RunStateError: the run has not ended. Nothing was changed."""
        async with self.process() as store:
            held = await hold(store, "running")
            await insert(store, new_run(held.graph, "pending"))
            suspended = await hold(store, "suspended", worker=held.worker)
            await suspended.release(None)

            for status in ("running", "pending", "suspended"):
                with pytest.raises(RunStateError, match=f"cannot delete while the run is {status}: cancel it first"):
                    await store.delete_run(status, now_ms=LATER)

            assert sorted(await _ids(store)) == ["pending", "running", "suspended"]

    async def test_run_of_which_something_is_asked_is_refused(self) -> None:
        """RunStateError: something is asked of it."""
        async with self.process() as store:
            await _ended(store)
            await store.post("run", kind="restart", topic="restart", at_ms=NOW, body=b"{}")

            with pytest.raises(RunStateError, match="something is asked of it"):
                await store.delete_run("run", now_ms=LATER)

    async def test_run_with_something_to_deliver_is_kept(self) -> None:
        """RunStateError: its outbox is not empty; and no sweep deletes it. What was given up is no obstacle."""
        async with self.process() as store:
            held = await hold(store)
            told = [NewDelivery("on_finish", 2, 0, NOW)]
            await append(store, held.write(status=RunStatus.SUCCESS, is_released=True, outbox=told))

            with pytest.raises(RunStateError, match="its hooks are not done"):
                await store.delete_run("run", now_ms=LATER)
            assert await _sweep(store) == Sweep()

            (delivery,) = await store.claim_deliveries(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
            await store.end_delivery(held.worker, delivery.key, failure=b"no", due_at_ms=None)
            await store.delete_run("run", now_ms=LATER)
            assert await store.list_deliveries(held.key) == []

    async def test_unknown_run_is_refused(self) -> None:
        """RunNotFoundError: No run has this id; also if it was deleted already."""
        async with self.process() as store:
            await _ended(store)
            await store.delete_run("run", now_ms=LATER)

            for run_id in ("run", "nobody"):
                with pytest.raises(RunNotFoundError):
                    await store.delete_run(run_id, now_ms=LATER)

    async def test_key_of_a_deleted_run_is_held(self) -> None:
        """Its idempotency key is held until then or its own end."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            identity = Identity(scope="orders", key="k", input_hash=b"1", keep_ms=5_000)
            await store.insert_once(new_run(graph, "run"), identity)
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)
            (claimed,) = await store.claim(worker, graphs=[graph], now_ms=NOW, limit=1)
            held = Held(store=store, worker=worker, graph=graph, key=claimed.key, epoch=claimed.epoch)
            await append(store, held.write(status=RunStatus.SUCCESS, is_released=True))
            await store.delete_run("run", now_ms=LATER)

            with pytest.raises(RunExistsError):
                await store.insert_once(new_run(graph, "again"), identity)
            await _sweep(store, deleted=LATER + 1)

            assert (await store.insert_once(new_run(graph, "again"), identity)).is_new

    @pytest.mark.parametrize("mode", ["before", "after", "lost"])
    async def test_deleting_is_one_transaction(self, mode: Any) -> None:  # noqa: ANN401
        """Durable when it returns."""
        async with self.process() as sibling:
            await _ended(sibling)
            async with self.process(KillAt(1, mode)) as store:
                if mode == "lost":
                    await store.delete_run("run", now_ms=LATER)
                else:
                    with pytest.raises(StoreUnavailableError):
                        await store.delete_run("run", now_ms=LATER)

            assert await _ids(sibling) == (["run"] if mode == "before" else [])


class SweepContract(StoreScenario):
    """`RunKeeper.sweep`."""

    async def test_sweep_deletes_runs_that_ended_earlier(self) -> None:
        """A run is deleted only if its latest event is older than `ended_before_ms`."""
        async with self.process() as store:
            await _ended(store, "a")
            await _ended(store, "b")

            assert await _sweep(store, ended=NOW) == Sweep()
            assert await _sweep(store, ended=None) == Sweep()
            assert await _ids(store) == ["b", "a"]

            assert await _sweep(store, ended=NOW + 1) == Sweep(deleted=2)
            assert await _ids(store) == []

    async def test_sweep_spares_what_has_not_ended_or_is_asked_for(self) -> None:
        """It has ended, nothing is asked of it."""
        async with self.process() as store:
            held = await hold(store, "running")
            await insert(store, new_run(held.graph, "pending"))
            suspended = await hold(store, "suspended", worker=held.worker)
            await suspended.release(None)
            await _ended(store, "asked")
            await store.post("asked", kind="restart", topic="restart", at_ms=NOW, body=b"{}")

            assert await _sweep(store) == Sweep()

            assert sorted(await _ids(store)) == ["asked", "pending", "running", "suspended"]

    async def test_sweep_spares_runs_with_a_live_key(self) -> None:
        """No idempotency key is held for it at `now_ms`."""
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)
            for run_id, keep_ms in (("live", 5_000), ("over", 10)):
                identity = Identity(scope="orders", key=run_id, input_hash=b"1", keep_ms=keep_ms)
                await store.insert_once(new_run(graph, run_id), identity)
                (claimed,) = await store.claim(worker, graphs=[graph], now_ms=NOW, limit=1)
                held = Held(store=store, worker=worker, graph=graph, key=claimed.key, epoch=claimed.epoch)
                await append(store, held.write(status=RunStatus.SUCCESS, is_released=True))

            assert await _sweep(store) == Sweep(deleted=1)

            assert await _ids(store) == ["live"]

    async def test_ids_are_forgotten_after_their_time(self) -> None:
        """An id is forgotten only if its run was deleted before `deleted_before_ms`."""
        async with self.process() as store:
            await _ended(store)
            await _sweep(store)

            assert await _sweep(store, deleted=LATER) == Sweep()
            assert await _sweep(store, deleted=LATER + 1) == Sweep(forgotten=1)

    async def test_many_runs_take_many_steps(self) -> None:
        """No step holds up other writes for longer than a few milliseconds of work."""
        count = 450
        async with self.process() as store:
            graph = await store.ensure_graph("orders", "v1", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)
            answers = [insert(store, new_run(graph, f"r{n}", owner=worker)) for n in range(count)]
            for answer in answers:
                receipt = await answer
                assert isinstance(receipt, Receipt)
                held = Held(store=store, worker=worker, graph=graph, key=receipt.run, epoch=receipt.epoch)
                await append(store, held.write(status=RunStatus.SUCCESS, is_released=True))

            first = await store.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER)

            assert first is not None
            assert 0 < first.deleted < count
            assert first.deleted + (await _sweep(store)).deleted == count
            assert await _ids(store) == []

    async def test_long_journal_is_removed_as_a_whole(self) -> None:
        """Do one small step of what is left to do: what one step leaves over, the next ones remove."""
        async with self.process() as store:
            swept, deleted = await _ended(store, "swept", events=3_500), await _ended(store, "deleted", events=3_500)

            await store.delete_run("deleted", now_ms=LATER)
            assert await store.find_run("deleted") is None
            assert await _sweep(store) == Sweep(deleted=1)

            assert await store.load_records(swept.key) == []
            assert await store.load_records(deleted.key) == []
            assert await _sweep(store, deleted=LATER + 1) == Sweep(forgotten=2)

    async def test_what_was_said_goes_before_its_run_and_leaves_a_notice(self) -> None:
        """In the place of the last event that was removed stands `removal_of` it; facts stay."""
        async with self.process() as store, self.process() as other:
            held, journal = await _talkative(store, "run", 12)

            assert await _sweep(store, ended=None, said=LATER) == Sweep(silenced=4)

            facts = [record for record in journal if record.is_fact]
            for reader in (store, other):
                assert await reader.load_records(held.key) == [*facts, removal_of(journal[11])]
                assert await reader.load_facts(held.key) == facts
            assert (await find(store)).head == len(journal)
            assert await _sweep(store, ended=None, said=LATER) == Sweep()

    async def test_what_was_said_later_goes_in_its_turn(self) -> None:
        """Every reader sees that something is missing: one notice is enough, behind all that is."""
        async with self.process() as store:
            held, journal = await _talkative(store, "run", 5)
            await _sweep(store, ended=None, said=LATER)
            more = [record._replace(is_fact=record.seq % 2 != 0) for record in records(6, 3)]
            (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=LATER, limit=1)
            write = held.write(records=more, epoch=claimed.epoch, status=RunStatus.SUSPENDED, is_released=True)
            assert isinstance(await append(store, write), Receipt)

            assert await _sweep(store, ended=None, said=LATER) == Sweep(silenced=2)

            kept = [record for record in (*journal, *more) if record.is_fact]
            assert await store.load_records(held.key) == [*kept, removal_of(more[2])]

    async def test_what_was_said_lately_or_in_an_owned_run_is_kept(self) -> None:
        """Only if nobody owns the run and its latest event is older than `said_before_ms`; None keeps all."""
        async with self.process() as store:
            free, journal = await _talkative(store, "free", 6)
            owned = await hold(store, "owned", worker=free.worker)
            said = [record._replace(is_fact=False) for record in records(2, 3)]
            await append(store, owned.write(records=said))

            assert await _sweep(store, ended=None, said=NOW) == Sweep()
            assert await _sweep(store, ended=None) == Sweep()

            assert await store.load_records(free.key) == journal
            assert await _sweep(store, ended=None, said=LATER) == Sweep(silenced=2)
            assert await store.load_records(owned.key) == [*records(1, 1), *said]

    async def test_much_that_was_said_takes_many_steps_and_is_never_half_told(self) -> None:
        """No step holds up other writes for longer than a few milliseconds of work."""
        async with self.process() as store:
            held, journal = await _talkative(store, "run", 9_000)
            facts = sum(record.is_fact for record in journal)

            first = await store.sweep(ended_before_ms=None, deleted_before_ms=NOW, said_before_ms=LATER, now_ms=LATER)

            assert first is not None
            assert first.silenced > 0
            said = [record for record in await store.load_records(held.key) if not record.is_fact]
            assert said[0] == removal_of(journal[said[0].seq - 1])
            assert len(said) == 1 + len(journal) - facts - first.silenced
            rest = await _sweep(store, ended=None, said=LATER)
            assert first.silenced + rest.silenced == len(journal) - facts
            assert len(await store.load_records(held.key)) == facts + 1

    @pytest.mark.parametrize("mode", ["before", "after", "lost"])
    async def test_sweep_that_dies_at_any_step_is_finished_by_the_next_store(self, mode: Any) -> None:  # noqa: ANN401
        """This step did nothing, or it is not known; the next one goes on."""
        async with self.process() as sibling:
            held, journal = await _talkative(sibling, "talkative", 6)
            long = await _ended(sibling, "long", events=400)
            await _ended(sibling, "short")
            commits = 0
            while True:  # one more commit each time, until none is left to die at
                commits += 1
                seam = KillAt(commits, mode)
                async with self.process(seam) as store:
                    with suppress(StoreUnavailableError):
                        while not (await _step(store)).is_done:
                            pass
                if not seam.struck:
                    break

            assert await _ids(sibling) == ["talkative"]
            assert await sibling.load_records(long.key) == []
            facts = [record for record in journal if record.is_fact]
            assert await sibling.load_records(held.key) == [*facts, removal_of(journal[5])]
            assert await _sweep(sibling, said=LATER, deleted=LATER + 1) == Sweep(forgotten=2)

    async def test_one_store_sweeps_at_a_time(self) -> None:
        """At most one open store on this machine sweeps; the others get None."""
        async with self.process() as two:
            async with self.process() as one:
                await _ended(one)
                await _sweep(one, ended=None)

                assert await two.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER) is None

            assert await _sweep(two) == Sweep(deleted=1)

    async def test_dead_store_does_not_keep_others_from_sweeping(self) -> None:
        """From its first step until it is closed or its process ends."""
        async with self.process() as two:
            await _ended(two)
            async with self.process(KillAt(1, "before")) as one:
                with pytest.raises(StoreUnavailableError):
                    await one.sweep(ended_before_ms=LATER, deleted_before_ms=NOW, now_ms=LATER)

                assert await _sweep(two) == Sweep(deleted=1)

    async def test_sweep_with_nothing_to_do_writes_nothing(self) -> None:
        """Whether nothing is left to do for now."""
        seam = KillAt(1, "before")
        async with self.process() as sibling:
            await _ended(sibling)
            async with self.process(seam) as store:
                assert await _sweep(store, ended=None) == Sweep()

        assert seam.commits == 0

    async def test_row_of_a_kept_run_is_as_before(self) -> None:
        """Others are left alone."""
        async with self.process() as store:
            await _ended(store, "old")
            held = await hold(store, "new")
            before = await find(store, "new")

            await _sweep(store)

            assert await find(store, "new") == before
            assert await store.load_records(held.key) == records(1, 1)
