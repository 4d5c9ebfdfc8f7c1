"""A fault in the memory store itself: everybody is answered, and the answers are true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from outlast import Outlast, Workflow, step
from outlast.errors import StoreUnavailableError
from outlast.storage.base import NewRun, Receipt
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.testing.conformance.scenario import find, insert, new_run

BUG = KeyError("a bug")


class Faulty(MemoryDatabase):
    """Fails where a test says so, as a bug in it would."""

    fails_at: str | None = None

    def would_insert(self, new: NewRun) -> bool:
        if self.fails_at == f"look at {new.run_id}":
            raise BUG
        return super().would_insert(new)

    def insert(self, new: NewRun) -> Any:
        if self.fails_at == f"insert {new.run_id}":
            raise BUG
        return super().insert(new)


@pytest.fixture
def database() -> Faulty:
    return Faulty()


@asynccontextmanager
async def opened(database: MemoryDatabase) -> AsyncGenerator[MemoryStore]:
    store = MemoryStore(database)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def insert_together(store: MemoryStore, *run_ids: str) -> list[Any]:
    """Insert runs in one turn, which is one transaction; return their answers."""
    graph = await store.ensure_graph("orders", "v1", b"{}")
    inserts = (insert(store, new_run(graph, run_id)) for run_id in run_ids)
    return await asyncio.wait_for(asyncio.gather(*inserts, return_exceptions=True), timeout=10)


async def test_write_with_a_fault_those_before_and_those_behind_are_answered(database: Faulty) -> None:
    """What was applied before it stands; those behind it may build on it, so they are refused."""
    database.fails_at = "insert b"
    async with opened(database) as store:
        before, faulty, behind = await insert_together(store, "a", "b", "c")

        assert isinstance(before, Receipt)
        assert isinstance(faulty, StoreUnavailableError)
        assert isinstance(behind, StoreUnavailableError)
        assert "it is not known what is recorded: KeyError('a bug')" in str(faulty)
        assert "nothing is recorded" in str(behind)
        assert faulty.__cause__ is behind.__cause__ is BUG
        assert (await find(store, "a")).run_id == "a"
        assert await store.find_run("c") is None


async def test_fault_before_anything_is_applied_refuses_all(database: Faulty) -> None:
    """Nothing is recorded then, and that is what they are told."""
    database.fails_at = "look at a"
    async with opened(database) as store:
        answers = await insert_together(store, "a", "b")

        assert [type(each) for each in answers] == [StoreUnavailableError] * 2
        assert "nothing is recorded" in str(answers[0])
        assert await store.find_run("a") is None
        assert await store.find_run("b") is None


async def test_store_goes_on_after_a_fault(database: Faulty) -> None:
    """A fault costs the writes that it met, and no later one."""
    async with opened(database) as store:
        database.fails_at = "insert a"
        await insert_together(store, "a")
        database.fails_at = None

        (answer,) = await insert_together(store, "b")

    assert isinstance(answer, Receipt)


async def test_other_stores_see_what_was_applied_before_a_fault(database: Faulty) -> None:
    """It was committed, so whoever waits for changes must learn of it."""
    database.fails_at = "insert b"
    async with opened(database) as store, opened(database) as other:
        await store.ensure_graph("orders", "v1", b"{}")
        other.has_changed()

        await insert_together(store, "a", "b")

        assert other.has_changed()


class FaultyOnce(MemoryDatabase):
    """Fails when it records the first outcome of a step."""

    has_failed = False

    def append(self, write: Any) -> Any:
        if not self.has_failed and any(record.type == "step-succeeded" for record in write.records):
            self.has_failed = True
            raise BUG
        return super().append(write)


async def test_run_whose_write_met_a_fault_is_read_again() -> None:
    """3.1: no status in which a run stays for ever with nobody working on it."""
    calls: list[int] = []

    @step
    async def body(x: int) -> int:
        calls.append(x)
        return x

    database = FaultyOnce()
    workflow = Workflow("w", input=int).then(body).commit()
    async with Outlast([workflow], store=MemoryStore(database), drain=timedelta(seconds=0.1)) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=1)
        result = await started.result(timeout=10)

    assert database.has_failed
    assert result.status == "success"
    assert calls == [1, 1]
