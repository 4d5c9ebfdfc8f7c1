"""The store contract: priorities, turns between keys, and how many runs begin in a time."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

from collections.abc import Sequence

from outlast.core.status import RunStatus
from outlast.storage.base import NewRun
from outlast.storage.flow import Flow, Gate, Limit
from outlast.testing.conformance.flow import RUNS, Shop, flow
from outlast.testing.conformance.scenario import NOW, StoreScenario, insert, new_run

__all__ = ["RateContract", "TurnsContract"]

_RATE = "rate of workflow 'orders'"


class TurnsContract(StoreScenario):
    """Priorities, and turns between keys."""

    async def test_higher_priorities_come_first(self) -> None:
        """Higher priorities come first, also before runs that need nothing but a worker."""
        async with self.process() as store:
            shop = await Shop.open(store)
            await shop.add("plain")
            for priority in (-1, 5, 1, -100):
                await shop.add(f"{priority}", flow=Flow(priority, ()), at_ms=NOW + priority)

            assert await shop.take(now_ms=NOW + 10) == ["5", "1", "plain", "-1", "-100"]

    async def test_those_of_one_priority_come_in_their_order(self) -> None:
        """Those that are ready for the longest time first."""
        async with self.process() as store:
            shop = await Shop.open(store)
            for number in (2, 0, 1):
                await shop.add(f"run-{number}", flow=Flow(3, ()), at_ms=NOW - 10 + number)

            assert await shop.take() == ["run-0", "run-1", "run-2"]

    async def test_a_flood_of_one_key_does_not_delay_another(self) -> None:
        """Runs with different keys take turns."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 100))
            await shop.add(*(f"flood-{n}" for n in range(50)), flow=flow('"flood"'), at_ms=NOW - 1000)
            assert len(await shop.take(10)) == 10
            await shop.add("one", "two", flow=flow('"small"'))

            turns = [await shop.take(1) for _ in range(5)]

            assert [run_id for (run_id,) in turns if "flood" not in run_id] == ["one", "two"]
            assert sum("flood" in run_id for (run_id,) in turns[:4]) == 2

    async def test_every_key_gets_one_turn_before_any_gets_two(self) -> None:
        """Each other lane of its priority has at most as much as one turn of its own."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 100))
            for key in range(4):
                await shop.add(*(f"{key}-{n}" for n in range(5)), flow=flow(f"{key}"))

            taken = [run_id for _ in range(5) for run_id in await shop.take(4)]

            rounds = [sorted(taken[start : start + 4]) for start in range(0, 20, 4)]
            assert rounds == [[f"{key}-{n}" for key in range(4)] for n in range(5)]

    async def test_a_key_that_comes_back_gets_no_turn_ahead(self) -> None:
        """Each lane that begins to wait goes to the end of the ring."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 100))
            for key in range(3):
                await shop.add(*(f"{key}-{n}" for n in range(5)), flow=flow(f"{key}"))
            taken: list[str] = []

            for number in range(8):
                await shop.add(f"again-{number}", flow=flow('"again"'))
                taken += await shop.take(1)

            assert sum("again" in run_id for run_id in taken) <= 3

    async def test_runs_without_limits_take_turns_with_the_others(self) -> None:
        """So do runs under flow control and runs that need nothing but a worker."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 100))
            await shop.add(*(f"plain-{n}" for n in range(9)), at_ms=NOW - 10)
            await shop.add(*(f"limited-{n}" for n in range(9)), flow=flow())

            batches: Sequence[Sequence[str]] = [await shop.take(4) for _ in range(2)]
            singles = [await shop.take(1) for _ in range(4)]

            assert all(sum("plain" in run_id for run_id in batch) == 2 for batch in batches)
            assert sum("plain" in run_id for (run_id,) in singles) == 2
            assert len(await shop.take(20)) == 6

    async def test_a_lane_that_is_full_does_not_keep_others_waiting(self) -> None:
        """Runs with different keys take turns; one whose gates are closed has none."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            await shop.add(*(f"full-{n}" for n in range(5)), flow=flow('"full"', priority=9))
            await shop.add("other", flow=flow('"other"'))

            assert await shop.take(2) == ["full-0", "other"]

    async def test_other_graphs_have_their_own_lanes(self) -> None:
        """Take claimable runs of the given graphs."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(RUNS, 1))
            unknown = await store.ensure_graph("orders", "v2", b"{}")
            run: NewRun = new_run(unknown, "unknown")._replace(flow=flow())
            await insert(store, run)
            await shop.add("known", flow=flow())

            assert await shop.take() == ["known"]
            assert await store.next_ready_at([unknown]) is None  # the limit is one for both
            await shop.end("known")
            assert await shop.take() == []
            assert (await store.next_ready_at([unknown]) or 0) <= NOW


class RateContract(StoreScenario):
    """Limits of how many runs begin in a time."""

    async def test_beginnings_are_spread_evenly(self) -> None:
        """How many runs begin in a time; the next one is told."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(_RATE, 10, per_ms=1000))
            await shop.add(*(f"run-{n}" for n in range(5)), flow=flow(limit=_RATE))

            assert await shop.take() == ["run-0"]
            assert await shop.next_ready_at() == NOW + 100
            assert await shop.take(now_ms=NOW + 99) == []
            assert await shop.take(now_ms=NOW + 100) == ["run-1"]
            assert await shop.take(now_ms=NOW + 350) == ["run-2"]
            assert await shop.next_ready_at() == NOW + 450

    async def test_a_burst_may_begin_at_once_after_a_pause(self) -> None:
        """With `per_ms`: how many may begin at once after a pause."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(_RATE, 10, per_ms=1000, burst=3))
            await shop.add(*(f"run-{n}" for n in range(9)), flow=flow(limit=_RATE))

            counts = [len(await shop.take(now_ms=NOW + at)) for at in (0, 99, 100, 200, 1000)]

            assert counts == [3, 0, 1, 1, 3]

    async def test_keys_have_rates_of_their_own(self) -> None:
        """A gate is a limit for one key; the record is shared by all processes."""
        async with self.process() as one, self.process() as two:
            shops = [await Shop.open(store, Limit(_RATE, 1, per_ms=1000)) for store in (one, two)]
            for key in ("1", "2"):
                await shops[0].add(*(f"{key}-{n}" for n in range(3)), flow=flow(key, limit=_RATE))

            first = [await shop.take(now_ms=NOW) for shop in shops]
            second = [await shop.take(now_ms=NOW + 1000) for shop in reversed(shops)]

            assert [sorted(each) for each in first] == [["1-0", "2-0"], []]
            assert await shops[1].next_ready_at() == NOW + 2000
            assert [sorted(each) for each in second] == [["1-1", "2-1"], []]

    async def test_a_run_that_goes_on_does_not_count_again(self) -> None:
        """A rate counts beginnings only."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(_RATE, 1, per_ms=1000))
            await shop.add("a", "b", flow=flow(limit=_RATE))
            assert await shop.take() == ["a"]

            await shop.give_up("a", RunStatus.WAITING, NOW + 10)

            assert await shop.take(now_ms=NOW + 10) == ["a"]
            assert await shop.take(now_ms=NOW + 999) == []
            assert await shop.take(now_ms=NOW + 1000) == ["b"]

    async def test_a_closed_rate_takes_no_place_of_another_limit(self) -> None:
        """A run is given only while all its gates are open, and holds none before."""
        async with self.process() as store:
            shop = await Shop.open(store, Limit(_RATE, 1, per_ms=1000), Limit(RUNS, 2))
            both = Flow(0, (Gate(RUNS, None), Gate(_RATE, '"x"')))
            await shop.add("a", "b", flow=both)
            await shop.add("c", flow=flow())

            assert await shop.take() == ["a", "c"]
            await shop.end("a")
            assert await shop.take(now_ms=NOW + 999) == []
            assert await shop.take(now_ms=NOW + 1000) == ["b"]
