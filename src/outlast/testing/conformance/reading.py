"""The store contract: what readers see."""
# ruff: noqa: S101, PLR2004

from __future__ import annotations

import asyncio
from dataclasses import replace

from outlast.core.record import Record
from outlast.storage.base import Head, Receipt, RunKey
from outlast.testing.conformance.scenario import NOW, StoreScenario, append, find, hold, records

__all__ = ["ReadContract"]


class ReadContract(StoreScenario):
    """`RunStore.find_run`, `load_records`, `load_facts`, `load_heads` and `load_journals`."""

    async def test_unknown_run_is_not_found(self) -> None:
        """Return the row of a run, or None if the id is not known."""
        async with self.process() as store:
            assert await store.find_run("nobody") is None

    async def test_records_are_loaded_by_range(self) -> None:
        """Return the events with `seq` over `after`, in order, at most `limit`; empty if there are none."""
        async with self.process() as store:
            held = await hold(store)
            await append(store, held.write(2, 9))

            assert await store.load_records(held.key) == records(1, 10)
            assert await store.load_records(held.key, after=0, limit=100) == records(1, 10)
            assert await store.load_records(held.key, after=7) == records(8, 3)
            assert await store.load_records(held.key, limit=4) == records(1, 4)
            assert await store.load_records(held.key, after=2, limit=3) == records(3, 3)
            assert await store.load_records(held.key, after=10) == []
            assert await store.load_records(held.key, after=99) == []
            assert await store.load_records(held.key, limit=0) == []
            assert await store.load_records(RunKey(987_654)) == []

    async def test_both_classes_are_loaded_in_one_order(self) -> None:
        """Return the events of both classes, in order, cut as it was asked for; `load_facts` the facts only."""
        given = [record._replace(is_fact=record.seq % 3 != 0) for record in records(1, 20)]
        facts = [record for record in given if record.is_fact]
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            await append(store, held.write(records=given[1:]))

            for reader in (store, other):
                assert await reader.load_records(held.key) == given
                assert await reader.load_records(held.key, after=2, until=9) == given[2:9]
                assert await reader.load_records(held.key, after=5, limit=4) == given[5:9]
                assert await reader.load_facts(held.key) == facts
                assert await reader.load_facts(held.key, after=2, until=9) == [
                    each for each in given[2:9] if each.is_fact
                ]
                assert await reader.load_facts(held.key, after=3, limit=2) == given[3:5]
                assert await reader.load_facts(held.key, after=20) == []
                assert await reader.load_journals([held.key]) == {held.key: facts}

    async def test_reading_stops_with_the_event_that_reaches_the_size(self) -> None:
        """Stop after the event with which the bodies and payloads reach this size."""
        sized = [record._replace(body=b"x" * 40, payload=b"y" * 60) for record in records(1, 9)]
        async with self.process() as store:
            held = await hold(store)
            await append(
                store, held.write(records=[record._replace(is_fact=record.seq % 2 == 0) for record in sized[1:]])
            )

            for most, expected in (
                (1, [2]),
                (100, [2]),
                (101, [2, 3]),
                (250, [2, 3, 4]),
                (10_000, [2, 3, 4, 5, 6, 7, 8, 9]),
            ):
                loaded = await store.load_records(held.key, after=1, most_bytes=most)
                assert [record.seq for record in loaded] == expected
            assert [each.seq for each in await store.load_facts(held.key, after=1, most_bytes=101)] == [2, 4]

    async def test_events_of_both_classes_move_the_head(self) -> None:
        """`seq` of its latest event, of either class; in rows, in heads and in what is claimed."""
        async with self.process() as store:
            held = await hold(store)
            other = await hold(store, "other")
            said = [record._replace(is_fact=False, at_ms=NOW + 9) for record in records(2, 3)]
            await append(store, held.write(records=said))

            row = await find(store)
            assert (row.head, row.updated_at_ms) == (4, NOW + 9)
            heads = await store.load_heads([held.key, RunKey(987_654), other.key])
            assert heads == {held.key: Head(4, row.status), other.key: Head(1, row.status)}
            assert await store.load_heads([]) == {}

            await append(store, held.write(count=0, is_released=True, ready_at_ms=NOW))
            (claimed,) = await store.claim(held.worker, graphs=[held.graph], now_ms=NOW, limit=1)
            assert claimed.head == 4
            assert isinstance(await append(store, replace(held, epoch=claimed.epoch).write(5)), Receipt)

    async def test_journals_of_several_runs_are_loaded_at_once(self) -> None:
        """Each run that was asked for is in the answer, with its facts in order; an unknown one with an empty list."""
        async with self.process() as store, self.process() as other:
            held = [await hold(store, f"run-{n}") for n in range(70)]
            for n, run in enumerate(held):
                await append(store, run.write(2, 1 + n % 4))
            unknown = RunKey(987_654)
            asked = [held[7].key, unknown, *(run.key for run in reversed(held)), held[7].key]

            for reader in (store, other):
                journals = await reader.load_journals(asked)

                assert journals.keys() == set(asked)
                assert journals[unknown] == []
                assert [journals[run.key] for run in held] == [records(1, 2 + n % 4) for n in range(70)]
                assert all(type(record) is Record for journal in journals.values() for record in journal)
                assert await reader.load_journals([]) == {}

    async def test_records_survive_byte_for_byte(self) -> None:
        """What a store keeps, byte for byte, without understanding it."""
        first = records(1, 1)[0]
        given = [
            first,
            first._replace(seq=2, body=None, payload=None),
            first._replace(seq=3, body=b"", payload=b""),
            first._replace(seq=4, payload=b"\x00\xff\x01 no JSON at all \xfe"),
            first._replace(seq=5, body='{"ö":"日本 🎉 \\u0000"}'.encode(), payload='"\u2028\ue000"'.encode()),
            first._replace(seq=6, payload=bytes(range(256)) * 4096),
            first._replace(seq=7, is_fact=False, type="chunk", version=12, execution=3, attempt=41),
            first._replace(seq=8, path="each[3].größe#2 'quoted' \"twice\" %s ?", at_ms=2**53),
        ]
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            await append(store, held.write(records=given[1:]))

            for reader in (store, other):
                loaded = await reader.load_records(held.key)

                assert loaded == given
                assert all(type(record) is Record for record in loaded)
                assert [[type(field) for field in record] for record in loaded] == [
                    [type(field) for field in record] for record in given
                ]

    async def test_ids_survive_character_for_character(self) -> None:
        """Id that callers know it by."""
        names = ["Ümlaut", "日本", "a'b\"c", "%s ? :x", " ", "a" * 500, "RUN", "run"]
        async with self.process() as store:
            held = {name: await hold(store, name) for name in names}

            for name in names:
                row = await find(store, name)
                assert (row.run_id, row.key) == (name, held[name].key)
            assert len({run.key for run in held.values()}) == len(names)

    async def test_reader_sees_what_settled_before_it_asked(self) -> None:
        """A reader sees every write that settled before the reader asked: in every process."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)
            for seq in range(2, 12):
                await append(store, held.write(seq, execution=seq))

                for reader in (store, other):
                    row = await find(reader)
                    assert (row.head, row.execution) == (seq, seq)
                    assert len(await reader.load_records(held.key)) == seq

    async def test_reader_sees_a_write_whole_or_not_at_all(self) -> None:
        """A reader sees a write whole or not at all."""
        async with self.process() as store, self.process() as other:
            held = await hold(store)

            async def write_all() -> None:
                for first in range(2, 152, 3):
                    await append(store, held.write(first, 3, execution=first + 2))

            writing = asyncio.create_task(write_all())
            while not writing.done():
                row = await find(other)
                assert row.head % 3 == 1
                assert row.execution in {0, row.head}
                assert len(await other.load_records(held.key)) % 3 == 1
                await asyncio.sleep(0)
            await writing
