"""The store contract: what outsiders ask of runs, and the graphs that runs stand on."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

import asyncio

import pytest

from outlast.errors import RunNotFoundError, StoreError
from outlast.storage.base import GraphKey, GraphRow, InboxRow
from outlast.testing.conformance.scenario import LEASE, NOW, StoreScenario, append, find, hold, insert, new_run

__all__ = ["GraphContract", "InboxContract"]


class InboxContract(StoreScenario):
    """`RunStore.post` and `WorkerStore.list_inbox`."""

    async def test_request_reaches_the_owner(self) -> None:
        """Put a request into the inbox of a run. Durable when it returns."""
        body = '{"by":"Ö"}\x00'.encode()
        async with self.process() as store, self.process() as other:
            held = await hold(store)

            assert await other.post("run", kind="cancel", topic="the end", at_ms=NOW - 3, body=body)

            (row,) = await store.list_inbox(held.worker)
            assert row == InboxRow(key=row.key, run=held.key, kind="cancel", topic="the end", at_ms=NOW - 3, body=body)

    async def test_second_request_on_a_topic_changes_nothing(self) -> None:
        """True for the first request per run and topic, False (and changes nothing) for every later one."""
        async with self.process() as store:
            held = await hold(store)
            first = await store.post("run", kind="resume", topic="a", at_ms=NOW, body=b"1")

            second = await store.post("run", kind="cancel", topic="a", at_ms=NOW, body=b"2")

            assert (first, second) == (True, False)
            (row,) = await store.list_inbox(held.worker)
            assert (row.kind, row.body) == ("resume", b"1")

    async def test_topic_stays_used_after_its_row_was_taken(self) -> None:
        """False for every later one also after the first was taken: and it does not wake the run."""
        async with self.process() as store:
            held = await hold(store)
            await store.post("run", kind="resume", topic="a", at_ms=NOW, body=b"1")
            (row,) = await store.list_inbox(held.worker)
            await held.release(None, inbox_taken=[row.key])

            assert not await store.post("run", kind="resume", topic="a", at_ms=NOW, body=b"2")

            assert await store.next_ready_at([held.graph]) is None

    async def test_topics_of_other_runs_and_other_topics_are_free(self) -> None:
        """At most one row ever per run and topic: not per topic, not per run."""
        async with self.process() as store:
            one = await hold(store, "one")
            await hold(store, "two", worker=one.worker)

            answers = [
                await store.post(run_id, kind="resume", topic=topic, at_ms=NOW, body=b"{}")
                for run_id, topic in [("one", "a"), ("two", "a"), ("one", "b")]
            ]

            assert answers == [True, True, True]
            assert len(await store.list_inbox(one.worker)) == 3

    async def test_racing_requests_have_one_winner(self) -> None:
        """False for every later one also when processes race."""
        async with self.process() as one, self.process() as two:
            held = await hold(one)

            answers = await asyncio.gather(
                *(
                    store.post("run", kind="resume", topic=f"t{n}", at_ms=NOW, body=who)
                    for n in range(10)
                    for store, who in ((one, b"one"), (two, b"two"))
                )
            )

            assert [sum(answers[n : n + 2]) for n in range(0, 20, 2)] == [1] * 10
            rows = {row.topic: row.body for row in await one.list_inbox(held.worker)}
            assert rows == {f"t{n}": b"one" if answers[2 * n] else b"two" for n in range(10)}

    async def test_request_to_an_unknown_run_is_an_error(self) -> None:
        """RunNotFoundError: No run has this id."""
        async with self.process() as store:
            with pytest.raises(RunNotFoundError) as caught:
                await store.post("nobody", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")

            assert caught.value.run_id == "nobody"

    async def test_request_wakes_a_run_at_rest(self) -> None:
        """Make the run claimable at once if nobody owns it: one that waits for nothing else."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            await held.release(None)

            await other.post("run", kind="resume", topic="a", at_ms=NOW, body=b"{}")

            (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
            assert claimed.key == held.key
            assert [row.topic for row in await store.list_inbox(held.worker)] == ["a"]

    async def test_request_wakes_a_run_that_sleeps(self) -> None:
        """Make the run claimable at once if nobody owns it: one that would wake later."""
        async with self.process() as store:
            held = await hold(store)
            await held.release(NOW + 60_000)

            await store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")

            assert len(await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)) == 1

    async def test_request_does_not_delay_a_run_that_is_ready(self) -> None:
        """Make the run claimable at once: one that was claimable before stays so."""
        async with self.process() as store:
            held = await hold(store)
            await held.release(NOW - 60_000)

            await store.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")

            assert len(await store.claim(held.worker, graphs=[held.graph], now_ms=NOW - 60_000, limit=1)) == 1

    async def test_request_leaves_the_owner_alone(self) -> None:
        """Make the run claimable at once if nobody owns it."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            rival = await other.register_worker(workflows=["orders"], lease=LEASE)

            await other.post("run", kind="cancel", topic="cancel", at_ms=NOW, body=b"{}")

            assert await other.claim(rival, graphs=[held.graph], now_ms=NOW, limit=9) == []
            row = await find(store)
            assert (row.owner, row.epoch) == (held.worker, 1)

    async def test_inbox_lists_only_the_runs_of_the_worker_oldest_first(self) -> None:
        """Return the inbox rows, not taken yet, of the runs that this worker owns, oldest first."""
        async with self.process() as store, self.process() as other:
            one = await hold(store, "one")
            await hold(store, "two", worker=one.worker)
            foreign = await hold(other, "foreign")
            await insert(store, new_run(one.graph, "nobody's"))
            for number, run_id in enumerate(["two", "one", "foreign", "nobody's", "two", "one"]):
                await store.post(run_id, kind="resume", topic=f"t{number}", at_ms=NOW - number, body=b"{}")

            mine = await store.list_inbox(one.worker)
            theirs = await store.list_inbox(foreign.worker)

            assert [row.topic for row in mine] == ["t0", "t1", "t4", "t5"]
            assert [row.key for row in mine] == sorted({row.key for row in mine})
            assert [row.topic for row in theirs] == ["t2"]

    async def test_cancels_of_runs_that_nobody_owns_are_listed(self) -> None:
        """Runs that nobody owns and that somebody asked to cancel, without an answer so far."""
        async with self.process() as store, self.process() as other:
            owned, free, resumed = [await hold(store, name) for name in ("owned", "free", "resumed")]
            for run_id, kind, topic in (
                ("owned", "cancel", "c"),
                ("free", "resume", "r"),
                ("free", "cancel", "c"),
                ("free", "cancel", "c-2"),
                ("resumed", "resume", "r"),
            ):
                await store.post(run_id, kind=kind, topic=topic, at_ms=NOW, body=b"{}")
            assert await other.list_left_cancels() == []

            await free.release(None)
            await resumed.release(None)

            assert await other.list_left_cancels() == ["free"]
            requests = [row.key for row in await store.list_inbox(owned.worker)]
            await owned.release(None, inbox_taken=requests)
            assert await other.list_left_cancels() == ["free"]
            (claimed,) = await store.claim(free.worker, graphs=[free.graph], now_ms=NOW, limit=1)
            assert claimed.key == free.key
            assert await other.list_left_cancels() == []

    async def test_taken_rows_are_never_listed_again(self) -> None:
        """Inbox rows that became events with this write: they are never listed again, whoever owns the run."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            rival = await other.register_worker(workflows=["orders"], lease=LEASE)
            for topic in ("a", "b", "c"):
                await store.post("run", kind="resume", topic=topic, at_ms=NOW, body=b"{}")
            a, b, c = await store.list_inbox(held.worker)

            await append(store, held.write(2, inbox_taken=[a.key, c.key]))

            assert await store.list_inbox(held.worker) == [b]
            await append(store, held.write(3, is_released=True))
            await other.claim(rival, graphs=[held.graph], now_ms=NOW, limit=1)
            assert await other.list_inbox(rival) == [b]
            assert await store.list_inbox(held.worker) == []


class GraphContract(StoreScenario):
    """The graphs of a store."""

    async def test_graph_is_stored_once(self) -> None:
        """Idempotent: the same fingerprint gives the same number for ever."""
        document = '{"ü":[1,2]}'.encode()
        async with self.process() as store, self.process() as other:
            key = await store.ensure_graph("orders", "v1", document)

            assert await store.ensure_graph("orders", "v1", document) == key
            assert await other.ensure_graph("orders", "v1", document) == key
            assert await other.load_graph(key) == document
            assert len(await other.list_graphs()) == 1

    async def test_racing_processes_store_a_graph_once(self) -> None:
        """Idempotent, also when processes race."""
        async with self.process() as one, self.process() as two:
            keys = await asyncio.gather(
                *(store.ensure_graph("orders", f"v{n}", b"{}") for n in range(10) for store in (one, two, one))
            )

            assert len(set(keys)) == 10
            assert all(len(set(keys[n : n + 3])) == 1 for n in range(0, 30, 3))
            assert len(await two.list_graphs()) == 10

    async def test_graph_is_kept_per_workflow_and_fingerprint(self) -> None:
        """Store a graph document once per workflow and fingerprint."""
        async with self.process() as store:
            names = [("orders", "v1"), ("orders", "v2"), ("invoices", "v1")]
            keys = [await store.ensure_graph(*name, f'"{name}"'.encode()) for name in names]

            assert len(set(keys)) == 3
            assert [await store.load_graph(key) for key in keys] == [f'"{name}"'.encode() for name in names]

    async def test_unknown_graph_is_an_error(self) -> None:
        """StoreError: There is none with this number."""
        async with self.process() as store:
            with pytest.raises(StoreError):
                await store.load_graph(GraphKey(987_654))

    async def test_graphs_are_listed_in_order_of_their_numbers(self) -> None:
        """Return the graphs with a number over `after`, in order of their numbers."""
        async with self.process() as store:
            assert await store.list_graphs() == []
            names = [("orders", "v1"), ("invoices", "zz"), ("orders", "aa")]
            rows = [
                GraphRow(key=await store.ensure_graph(*name, b"{}"), workflow_id=name[0], fingerprint=name[1])
                for name in names
            ]
            rows.sort(key=lambda row: row.key)

            assert await store.list_graphs() == rows
            assert await store.list_graphs(after=rows[0].key) == rows[1:]
            assert await store.list_graphs(after=rows[2].key) == []
