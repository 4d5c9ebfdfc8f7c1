"""The store contract: starts under an idempotency key."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast.core.status import RunStatus
from outlast.errors import IdempotencyConflictError, OutlastError, RunExistsError, StoreUnavailableError
from outlast.storage.base import GraphKey, Store
from outlast.storage.identity import Admission, Identity
from outlast.storage.listing import RunQuery
from outlast.testing.conformance.scenario import (
    LEASE,
    NOW,
    Held,
    StoreScenario,
    append,
    find,
    insert,
    new_run,
    records,
)
from outlast.testing.faults import KillAt

__all__ = ["IdentityContract"]

KEEP = 60_000


def _identity(**changes: Any) -> Identity:  # noqa: ANN401
    fields: dict[str, Any] = {"scope": "orders", "key": "k", "input_hash": b"one", "keep_ms": KEEP}
    return Identity(**(fields | changes))


async def _graph(store: Store) -> GraphKey:
    return await store.ensure_graph("orders", "v1", b"{}")


async def _once(store: Store, run_id: str, *, at_ms: int = NOW, **changes: Any) -> Admission:  # noqa: ANN401
    run = new_run(await _graph(store), run_id, created_at_ms=at_ms)
    return await store.insert_once(run, _identity(**changes))


async def _total(store: Store) -> int:
    return (await store.list_runs(RunQuery())).total


async def _end(store: Store, run_id: str, status: RunStatus = RunStatus.SUCCESS) -> None:
    """Let a worker claim the run and end it."""
    worker = await store.register_worker(workflows=["orders"], lease=LEASE)
    graph = await _graph(store)
    (claimed,) = await store.claim(worker, graphs=[graph], now_ms=NOW, limit=1)
    assert claimed.run_id == run_id
    held = Held(store=store, worker=worker, graph=graph, key=claimed.key, epoch=claimed.epoch)
    await append(store, held.write(status=status, is_released=True))


class IdentityContract(StoreScenario):
    """`RunStore.insert_once`."""

    async def test_first_start_under_a_key_records_the_run(self) -> None:
        """Record a new run, without owner, unless its key stands for another one."""
        async with self.process() as store:
            run = new_run(await _graph(store), "a", journal=records(1, 2))._replace(tags=("red",))
            admission = await store.insert_once(run, _identity())

            row = await find(store, "a")
            assert admission == Admission("a", is_new=True)
            assert (row.status, row.owner, row.epoch, row.head, row.ready_at_ms) == (RunStatus.PENDING, None, 0, 2, NOW)
            assert await store.load_records(row.key) == records(1, 2)
            summary = await store.summarize_run("a")
            assert summary is not None
            assert summary.tags == ("red",)

    async def test_second_start_gets_the_first_run(self) -> None:
        """One records a run, and the others get that run."""
        async with self.process() as one, self.process() as two:
            await _once(one, "a")

            assert await _once(two, "b") == Admission("a", is_new=False)
            assert await _total(two) == 1

    async def test_scopes_part_keys(self) -> None:
        """Within what the key is unique."""
        async with self.process() as store:
            await _once(store, "a")

            assert (await _once(store, "b", scope="bills")).is_new
            assert (await _once(store, "c", key="other")).is_new

    async def test_racing_processes_have_one_winner(self) -> None:
        """Of any number of processes that race for one key, one records a run."""
        async with self.process() as one, self.process() as two:
            graph = await _graph(one)
            calls = [
                store.insert_once(new_run(graph, f"{name}-{n}"), _identity(key=f"k{n}"))
                for n in range(20)
                for name, store in (("one", one), ("two", two))
            ]

            admissions = await asyncio.gather(*calls)

            for first, second in zip(admissions[::2], admissions[1::2], strict=True):
                assert first.run_id == second.run_id
                assert first.is_new != second.is_new
            assert await _total(one) == len(calls) // 2

    async def test_other_meaning_is_a_conflict(self) -> None:
        """The key is held for something else. Nothing was changed."""
        async with self.process() as store:
            await _once(store, "a")

            with pytest.raises(IdempotencyConflictError) as caught:
                await _once(store, "b", input_hash=b"two")

            assert caught.value.run_id == "a"
            assert await _total(store) == 1

    @pytest.mark.parametrize(
        ("status", "policies", "expected"),
        [
            (None, {"while_running": "return"}, "a"),
            (None, {"while_running": "reject"}, RunExistsError),
            (None, {"while_running": "replace"}, "b"),
            (None, {"when_finished": "rerun"}, "a"),
            (RunStatus.SUCCESS, {"when_finished": "return"}, "a"),
            (RunStatus.SUCCESS, {"when_finished": "reject"}, RunExistsError),
            (RunStatus.SUCCESS, {"when_finished": "rerun"}, "b"),
            (RunStatus.SUCCESS, {"when_finished": "rerun_if_failed"}, "a"),
            (RunStatus.FAILED, {"when_finished": "rerun_if_failed"}, "b"),
            (RunStatus.CANCELED, {"when_finished": "rerun_if_failed"}, "b"),
            (RunStatus.SUCCESS, {"while_running": "reject"}, "a"),
        ],
    )
    async def test_policies_decide(
        self, status: RunStatus | None, policies: dict[str, Any], expected: str | type[OutlastError]
    ) -> None:
        """`identity.judge` decides which."""
        async with self.process() as store:
            await _once(store, "a")
            if status is not None:
                await _end(store, "a", status)

            if isinstance(expected, str):
                assert (await _once(store, "b", **policies)).run_id == expected
            else:
                with pytest.raises(expected):
                    await _once(store, "b", **policies)

            assert await _total(store) == (2 if expected == "b" else 1)
            assert (await _once(store, "c")).run_id == ("b" if expected == "b" else "a")

    async def test_replaced_run_is_asked_to_cancel(self) -> None:
        """A run that is replaced has a request to cancel it in its inbox from the same commit on."""
        async with self.process() as store:
            await _once(store, "a")

            admission = await _once(store, "b", while_running="replace", at_ms=NOW + 5)

            assert admission == Admission("b", is_new=True, replaced="a")
            (request,) = await store.list_requests((await find(store, "a")).key)
            assert (request.kind, request.topic, request.at_ms) == ("cancel", "cancel:0", NOW + 5)
            assert b"replaced by run b" in request.body

    async def test_key_is_free_after_its_time(self) -> None:
        """How long after the start the key is held at least."""
        async with self.process() as store:
            await _once(store, "a")
            await _end(store, "a")

            assert not (await _once(store, "b", at_ms=NOW + KEEP - 1)).is_new
            assert (await _once(store, "c", at_ms=NOW + KEEP, input_hash=b"two")).is_new

    async def test_key_is_held_while_its_run_is_active(self) -> None:
        """A key is held for its time, and beyond that as long as its run has not ended."""
        async with self.process() as store:
            await _once(store, "a")

            assert (await _once(store, "b", at_ms=NOW + 2 * KEEP)).run_id == "a"

    async def test_id_that_is_taken_is_refused_and_the_key_stays_free(self) -> None:
        """RunExistsError: the id of the new run is taken. Nothing was changed."""
        async with self.process() as store:
            await insert(store, new_run(await _graph(store), "a"))

            with pytest.raises(RunExistsError):
                await _once(store, "a")

            assert (await _once(store, "b")).is_new

    @pytest.mark.parametrize("mode", ["before", "after", "lost"])
    async def test_key_and_run_are_one_transaction(self, mode: Any) -> None:  # noqa: ANN401
        """The decision and what follows from it are one transaction."""
        async with self.process() as sibling:
            await _graph(sibling)
            seam = KillAt(1, mode)
            async with self.process(seam) as store:
                try:
                    admission = await _once(store, "a")
                except StoreUnavailableError:
                    assert mode != "lost"
                else:
                    assert mode == "lost"
                    assert admission == Admission("a", is_new=True)

            assert await _total(sibling) == (0 if mode == "before" else 1)
            assert (await _once(sibling, "b")).is_new == (mode == "before")
