"""The store contract: which runs had an owner that crashed, and whose turn it is to drive such a run."""
# ruff: noqa: S101

from __future__ import annotations

from outlast.storage.base import ClaimedRun, GraphKey, Store
from outlast.testing.conformance.scenario import LEASE, NOW, OVER, StoreScenario, append, hold
from outlast.testing.faults import Killed

__all__ = ["CrashContract", "TurnContract"]


class Fuse:
    """A seam at which the process dies with its next commit, once it is armed."""

    def __init__(self) -> None:
        self.is_armed = False

    def before_commit(self) -> None:
        """Die if armed.

        Raises:
            Killed: The process dies.
        """
        if self.is_armed:
            raise Killed("killed by the test")

    def after_commit(self) -> None:
        """Nothing happens here."""


async def claim_all(store: Store, graph: GraphKey) -> list[ClaimedRun]:
    """Bury the dead and claim what there is, as a new worker."""
    worker = await store.register_worker(workflows=["orders"], lease=LEASE)
    await store.bury_dead_workers(now_ms=NOW)
    return await store.claim(worker, graphs=[graph], now_ms=NOW, limit=9)


class CrashContract(StoreScenario):
    """`ClaimedRun.has_crashed`."""

    async def test_run_of_a_process_that_ended_without_giving_it_up_has_crashed(self) -> None:
        """Whether its last owner was a process of this boot that ended without giving it up."""
        async with self.process() as store:
            async with self.process() as other:
                held = await hold(other)

            (claimed,) = await claim_all(store, held.graph)

            assert claimed.has_crashed

    async def test_run_of_a_killed_process_has_crashed(self) -> None:
        """Whether its last owner was a process of this boot that ended without giving it up: during a write."""
        fuse = Fuse()
        async with self.process() as store, self.process(fuse) as other:
            held = await hold(other)
            fuse.is_armed = True
            await append(other, held.write())

            (claimed,) = await claim_all(store, held.graph)

            assert claimed.has_crashed

    async def test_next_claim_clears_the_crash(self) -> None:
        """Whether its last owner crashed, not one before that."""
        async with self.process() as store:
            async with self.process() as other:
                held = await hold(other)
            (claimed,) = await claim_all(store, held.graph)
            worker = (await store.list_workers())[0].key
            await append(store, held.write(owner=worker, epoch=claimed.epoch, is_released=True, ready_at_ms=NOW))

            (again,) = await claim_all(store, held.graph)

            assert (claimed.has_crashed, again.has_crashed) == (True, False)

    async def test_each_crash_counts_anew(self) -> None:
        """Whether its last owner was a process that ended without giving it up: also the second one."""
        async with self.process() as store:
            async with self.process() as other:
                held = await hold(other)
            async with self.process() as other:
                (first,) = await claim_all(other, held.graph)

            (second,) = await claim_all(store, held.graph)

            assert (first.has_crashed, second.has_crashed) == (True, True)

    async def test_run_of_a_retired_worker_has_not_crashed(self) -> None:
        """Without giving it up: retiring gives all runs up."""
        async with self.process() as store, self.process() as other:
            held = await hold(other)
            await other.retire_worker(held.worker)

            (claimed,) = await claim_all(store, held.graph)

            assert not claimed.has_crashed

    async def test_run_given_up_before_its_owner_crashed_has_not_crashed(self) -> None:
        """Without giving it up: what was released before is nobody's."""
        async with self.process() as store:
            async with self.process() as other:
                held = await hold(other)
                await held.release(NOW)

            (claimed,) = await claim_all(store, held.graph)

            assert not claimed.has_crashed

    async def test_run_whose_lease_ran_out_has_not_crashed(self) -> None:
        """Was a process that ended: a stalled one lives."""
        async with self.process() as store, self.process() as other:
            held = await hold(other)
            other.renew_lease(held.worker, OVER)

            (claimed,) = await claim_all(store, held.graph)

            assert not claimed.has_crashed


class TurnContract(StoreScenario):
    """`WorkerStore.try_take_turn` and `give_turn`."""

    async def test_turn_has_one_holder(self) -> None:
        """At most one open store on this machine has the turn. Whoever has it keeps it until `give_turn`."""
        async with self.process() as one, self.process() as two, self.process() as three:
            assert [each.try_take_turn() for each in (one, two, three)] == [True, False, False]

            one.give_turn()

            assert [each.try_take_turn() for each in (two, three, one)] == [True, False, False]

    async def test_taking_the_turn_twice_is_harmless(self) -> None:
        """True also if this store has it already: one `give_turn` gives it back."""
        async with self.process() as one, self.process() as two:
            assert [one.try_take_turn() for _ in range(3)] == [True] * 3

            one.give_turn()

            assert two.try_take_turn()

    async def test_giving_the_turn_of_another_changes_nothing(self) -> None:
        """Give the turn back. Idempotent: those who do not have it give nothing."""
        async with self.process() as one, self.process() as two:
            assert one.try_take_turn()

            two.give_turn()

            assert not two.try_take_turn()
            for _ in range(2):
                one.give_turn()
            assert two.try_take_turn()

    async def test_closing_gives_the_turn_back(self) -> None:
        """At most one open store has it: a closed one does not."""
        async with self.process() as one:
            async with self.process() as two:
                assert two.try_take_turn()
                assert not one.try_take_turn()

            assert one.try_take_turn()

    async def test_death_frees_the_turn(self) -> None:
        """Loses it at once when its process ends."""
        fuse = Fuse()
        async with self.process() as one, self.process(fuse) as two:
            held = await hold(two)
            assert two.try_take_turn()
            fuse.is_armed = True

            await append(two, held.write())

            assert one.try_take_turn()
