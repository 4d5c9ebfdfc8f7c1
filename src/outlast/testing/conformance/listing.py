"""The store contract: lists, summaries and counts of runs."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from outlast.core.status import RunStatus
from outlast.errors import InputError
from outlast.storage.base import Receipt, Store
from outlast.storage.flow import Flow, Gate, Limit
from outlast.storage.listing import COUNTED, QueueLength, RunCount, RunListing, RunQuery, RunSummary
from outlast.testing.conformance.scenario import LEASE, NOW, StoreScenario, append, hold, insert, new_run

__all__ = ["ListContract"]


async def _insert(store: Store, *run_ids: str, workflow_id: str = "orders", **changes: Any) -> None:  # noqa: ANN401
    graph = await store.ensure_graph(workflow_id, "v1", b"{}")
    answers = [insert(store, new_run(graph, each)._replace(workflow_id=workflow_id, **changes)) for each in run_ids]
    for answer in answers:
        assert isinstance(await answer, Receipt)


async def _ids(store: Store, **conditions: Any) -> list[str]:  # noqa: ANN401
    return _ids_of(await store.list_runs(RunQuery(**conditions)))


def _ids_of(listing: RunListing) -> list[str]:
    return [run.run_id for run in listing.runs]


class ListContract(StoreScenario):
    """`RunIndex`."""

    async def test_list_shows_the_runs_recorded_last_first(self) -> None:
        """Return the runs that match, those recorded last first."""
        async with self.process() as store:
            await _insert(store, "b", "a", "c")

            listing = await store.list_runs(RunQuery())

            assert _ids_of(listing) == ["c", "a", "b"]
            assert (listing.after, listing.total, listing.is_total_exact) == (None, 3, True)

    async def test_list_of_an_empty_store_is_empty(self) -> None:
        """Return the runs that match: there may be none."""
        async with self.process() as store:
            assert await store.list_runs(RunQuery()) == RunListing(runs=[], after=None, total=0, is_total_exact=True)

    async def test_list_shows_what_is_known_without_the_journal(self) -> None:
        """What is known of a run without its journal."""
        async with self.process() as store:
            await _insert(store, "r", tags=["slow", "red"], created_at_ms=NOW - 5)

            (run,) = (await store.list_runs(RunQuery())).runs

            assert run == RunSummary(
                run_id="r",
                workflow_id="orders",
                resource_id="customer-1",
                status=RunStatus.PENDING,
                execution=0,
                created_at_ms=NOW - 5,
                updated_at_ms=NOW,
                tags=("red", "slow"),
            )
            assert await store.summarize_run("r") == run

    async def test_summary_of_an_unknown_id_is_none(self) -> None:
        """Return what lists show of one run, or None if its id is not known."""
        async with self.process() as store:
            assert await store.summarize_run("nobody") is None

    async def test_list_sees_what_another_process_wrote(self) -> None:
        """A reader sees every write that settled before the reader asked."""
        async with self.process() as one, self.process() as two:
            held = await hold(one)
            await append(one, held.write(status=RunStatus.SUCCESS, is_released=True))

            assert await _ids(two, statuses=[RunStatus.SUCCESS]) == ["run"]
            assert await _ids(two, statuses=[RunStatus.RUNNING]) == []

    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            ({"workflow_id": "bills"}, ["b2", "b1"]),
            ({"workflow_id": "nothing"}, []),
            ({"resource_id": "eve"}, ["b2"]),
            ({"statuses": [RunStatus.PENDING]}, ["b2", "b1", "o2", "o1"]),
            ({"statuses": [RunStatus.FAILED, RunStatus.SUCCESS]}, []),
            ({"from_ms": NOW + 1}, ["b2"]),
            ({"to_ms": NOW}, ["b1", "o2", "o1"]),
            ({"from_ms": NOW, "to_ms": NOW}, ["b1", "o2", "o1"]),
            ({"tags": ["red"]}, ["b1", "o2"]),
            ({"tags": ["red", "slow"]}, ["b1"]),
            ({"tags": ["re"]}, []),
            ({"tags": ["red"], "workflow_id": "orders"}, ["o2"]),
        ],
        ids=str,
    )
    async def test_conditions_narrow(self, conditions: dict[str, Any], expected: Sequence[str]) -> None:
        """Which runs are meant; each condition narrows, None and an empty sequence do not."""
        async with self.process() as store:
            await _insert(store, "o1")
            await _insert(store, "o2", tags=["red"])
            await _insert(store, "b1", workflow_id="bills", tags=["slow", "red"])
            await _insert(store, "b2", workflow_id="bills", resource_id="eve", created_at_ms=NOW + 1)

            assert await _ids(store, **conditions) == expected

    @pytest.mark.parametrize(
        ("search", "expected"),
        [
            ("or", ["order-1", "tagged"]),
            ("order-", ["order-1"]),
            ("ORDER", []),
            ("%", []),
            ("or*", []),
            ("_", ["owned"]),
            ("_e", []),
            ("cust", ["tagged", "order-1"]),
            ("rder", []),
            ("", ["owned", "order-1", "tagged"]),
        ],
    )
    async def test_search_is_a_prefix(self, search: str, expected: list[str]) -> None:
        """Runs whose id, resource id or one of whose tags begins so; upper and lower case differ."""
        async with self.process() as store:
            await _insert(store, "tagged", tags=["blue", "orange"])
            await _insert(store, "order-1")
            await _insert(store, "owned", resource_id="_x")

            assert sorted(await _ids(store, search=search)) == sorted(expected)

    async def test_pages_show_each_run_once(self) -> None:
        """Pages that follow each other by `after` show each run once, in the order of recording."""
        async with self.process() as store:
            await _insert(store, *(f"r{n}" for n in range(10)))

            seen: list[str] = []
            query, pages = RunQuery(limit=3), 0
            while True:
                listing = await store.list_runs(query)
                seen += _ids_of(listing)
                pages += 1
                assert (listing.total, listing.is_total_exact) == (10, True)
                if listing.after is None:
                    break
                query = RunQuery(limit=3, after=listing.after)

            assert seen == [f"r{n}" for n in reversed(range(10))]
            assert pages == 4

    async def test_page_that_takes_the_rest_is_the_last(self) -> None:
        """None if it is the last page."""
        async with self.process() as store:
            await _insert(store, "a", "b")

            assert (await store.list_runs(RunQuery(limit=2))).after is None

    async def test_pages_are_stable_when_runs_come(self) -> None:
        """A run that is inserted after the first page was read is on none of them."""
        async with self.process() as store:
            await _insert(store, "a", "b", "c")
            first = await store.list_runs(RunQuery(limit=2))

            await _insert(store, "d")

            second = await store.list_runs(RunQuery(limit=2, after=first.after))
            assert (_ids_of(first), _ids_of(second)) == (["c", "b"], ["a"])
            assert second.total == 4

    async def test_place_of_a_page_means_the_same_in_another_process(self) -> None:
        """Where the page before ended, as `RunListing.after` told it."""
        async with self.process() as one, self.process() as two:
            await _insert(one, "a", "b")
            first = await one.list_runs(RunQuery(limit=1))

            assert await _ids(two, after=first.after) == ["a"]

    @pytest.mark.parametrize("after", ["", "7", "r", "rx", "r-1", "r1.0", "r²", "r" + "9" * 40])
    async def test_place_that_was_not_told_is_refused(self, after: str) -> None:
        """InputError: `after` was not told by this store."""
        async with self.process() as store:
            with pytest.raises(InputError, match="after is not valid"):
                await store.list_runs(RunQuery(after=after))

    async def test_offset_leaves_runs_out(self) -> None:
        """How many runs to leave out, for pages by number."""
        async with self.process() as store:
            await _insert(store, *(f"r{n}" for n in range(5)))

            assert await _ids(store, offset=1, limit=2) == ["r3", "r2"]
            assert await _ids(store, offset=4, limit=2) == ["r0"]
            assert await _ids(store, offset=5, limit=2) == []

    async def test_total_is_a_lower_bound_beyond_the_counted(self) -> None:
        """Exact up to `COUNTED`, else `COUNTED`; and pages go on beyond it."""
        async with self.process() as store:
            ids = [f"r{n}" for n in range(COUNTED)]
            await _insert(store, *ids)
            exact = await store.list_runs(RunQuery(limit=1))

            await _insert(store, "more")

            beyond = await store.list_runs(RunQuery(limit=1))
            assert (exact.total, exact.is_total_exact) == (COUNTED, True)
            assert (beyond.total, beyond.is_total_exact) == (COUNTED, False)
            last = await store.list_runs(RunQuery(limit=2, offset=COUNTED))
            assert _ids_of(last) == ["r0"]
            assert last.after is None

    async def test_counts_are_by_workflow_and_status(self) -> None:
        """Return how many runs there are, by workflow and status, in order of these."""
        async with self.process() as store:
            held = await hold(store)
            await append(store, held.write(status=RunStatus.SUCCESS, is_released=True))
            await _insert(store, "o1", "o2")
            await _insert(store, "b1", workflow_id="bills")

            bills = RunCount(workflow_id="bills", status=RunStatus.PENDING, count=1)
            pending = RunCount(workflow_id="orders", status=RunStatus.PENDING, count=2)
            success = RunCount(workflow_id="orders", status=RunStatus.SUCCESS, count=1)
            assert await store.count_runs() == [bills, pending, success]
            assert await store.count_runs("orders") == [pending, success]
            assert await store.count_runs("nothing") == []

    async def test_runs_in_flight_are_counted_by_graph(self) -> None:
        """Return how many runs have not ended, by graph; graphs without such a run are not named."""
        async with self.process() as store:
            held = await hold(store)
            await _insert(store, "o1", "o2")
            assert await store.count_in_flight() == {held.graph: 3}

            await append(store, held.write(status=RunStatus.FAILED, is_released=True))

            assert await store.count_in_flight() == {held.graph: 2}
        async with self.process() as other:
            assert list(await other.count_in_flight()) == [held.graph]

    async def test_queue_holds_the_runs_that_could_go_on_now(self) -> None:
        """Counted are the runs that nobody owns and whose `ready_at_ms` has come, whoever may claim them."""
        async with self.process() as store:
            assert await store.measure_queue(NOW) == []
            held = await hold(store)
            await _insert(store, "o1", "o2", created_at_ms=NOW - 7)
            await _insert(store, "o3", created_at_ms=NOW - 3)
            await _insert(store, "later", ready_at_ms=NOW + 1)
            await _insert(store, "b1", workflow_id="bills", ready_at_ms=NOW)

            orders, bills = QueueLength("orders", 3, NOW - 7), QueueLength("bills", 1, NOW)
            assert await store.measure_queue(NOW) == [bills, orders]
            await held.release(NOW - 9)
            assert await store.measure_queue(NOW + 1) == [bills, QueueLength("orders", 5, NOW - 9)]

    async def test_runs_that_rest_or_have_ended_are_in_no_queue(self) -> None:
        """Counted are the runs whose `ready_at_ms` has come: without one they wait for somebody."""
        async with self.process() as store:
            resting, ended = await hold(store), await hold(store, run_id="ended")
            await resting.release(None)
            await append(store, ended.write(status=RunStatus.FAILED, is_released=True))

            assert await store.measure_queue(NOW) == []

    async def test_runs_that_wait_for_their_limits_are_in_the_queue(self) -> None:
        """Return how many runs wait for a worker or for their limits, by workflow."""
        flow = Flow(0, (Gate("runs of workflow 'orders'", "key"),))
        async with self.process() as store:
            await store.declare_limits([Limit("runs of workflow 'orders'", 1)])
            await _insert(store, "plain", created_at_ms=NOW - 1)
            await _insert(store, "a", "b", created_at_ms=NOW - 2, flow=flow)
            await _insert(store, "later", ready_at_ms=NOW + 1, flow=flow)
            assert await store.measure_queue(NOW) == [QueueLength("orders", 3, NOW - 2)]
            graph = await store.ensure_graph("orders", "v1", b"{}")
            worker = await store.register_worker(workflows=["orders"], lease=LEASE)

            claimed = await store.claim(worker, graphs=[graph], now_ms=NOW, limit=10)

            assert len(claimed) == 2
            assert await store.measure_queue(NOW + 1) == [QueueLength("orders", 2, NOW - 2)]
