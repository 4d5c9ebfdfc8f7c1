"""Run ids: UUIDs of version 7 that only grow, and of version 8 that follow from others."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest

from outlast.ids import RunIds, derive_run_id


def test_ids_are_uuids_of_version_7_in_the_usual_form():
    for text in (RunIds().next() for _ in range(2_000)):
        value = UUID(text)

        assert str(value) == text
        assert (value.version, value.variant) == (7, RFC_4122)


def test_ids_begin_with_the_milliseconds_of_the_clock():
    before_ms = time.time_ns() // 1_000_000

    made_ms = UUID(RunIds().next()).int >> 80

    assert before_ms <= made_ms <= time.time_ns() // 1_000_000


def test_ids_grow_as_text_and_as_numbers():
    ids = RunIds()

    made = [ids.next() for _ in range(20_000)]

    assert made == sorted(set(made))
    assert made == sorted(made, key=lambda text: UUID(text).int)


def test_ids_grow_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch):
    ids = RunIds()
    first = ids.next()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000_000)

    made = [first, *(ids.next() for _ in range(100))]

    assert made == sorted(set(made))


def test_ids_grow_when_the_counter_of_a_millisecond_is_used_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    monkeypatch.setattr("os.urandom", lambda size: b"\xff" * size)
    ids = RunIds()
    ids.next()
    monkeypatch.setattr(ids, "_counter", (1 << 42) - 2)

    made = [ids.next() for _ in range(3)]

    assert made == sorted(set(made))
    assert [UUID(text).int >> 80 for text in made] == [1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_001]
    assert {UUID(text).version for text in made} == {7}


def test_ids_of_several_threads_differ():
    ids = RunIds()

    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda _: [ids.next() for _ in range(2_000)], range(4)))

    assert all(batch == sorted(batch) for batch in batches)
    assert len({text for batch in batches for text in batch}) == 8_000


def test_derived_ids_follow_from_their_parts():
    ids = [derive_run_id("run", "step", "child", f"number:{number}") for number in range(1000)]

    assert ids == [derive_run_id("run", "step", "child", f"number:{number}") for number in range(1000)]
    assert len(set(ids)) == 1000
    assert {(UUID(each).version, UUID(each).variant) for each in ids} == {(8, RFC_4122)}


def test_parts_of_derived_ids_do_not_run_into_each_other():
    assert (
        len({derive_run_id("ab", "c"), derive_run_id("a", "bc"), derive_run_id("abc", ""), derive_run_id("abc")}) == 4
    )
