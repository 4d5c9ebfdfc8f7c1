"""Messages on the wire (`packing`, `opening`, `said`, `holding`): what is written is read, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.chunk import ChunkWritten
from outlast.core.record import Record
from outlast.engines.temporal.holding import Reservation
from outlast.engines.temporal.opening import (
    RAWS_OF_EACH,
    facts_of,
    opening_from_json,
    opening_raws,
    opening_to_json,
)
from outlast.engines.temporal.packing import ABSENT, UnknownMessageError, pack, unpack
from outlast.engines.temporal.said import Said, Uttered
from outlast.engines.temporal.tidings import Errand
from outlast.values import encode

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", 'b"]', "é"]), inner),
    max_leaves=8,
)
RAWS = VALUES.map(encode)
HEADERS = st.dictionaries(st.sampled_from(["run_id", "path", 'odd"][']), VALUES)


@given(HEADERS, st.lists(st.none() | RAWS))
def test_message_is_read_as_it_was_written(header: dict[str, Any], raws: list[bytes | None]) -> None:
    found, values = unpack(pack(header, *raws))

    assert found == {"v": 1, **header}
    assert list(values) == [ABSENT if raw is None else raw for raw in raws]


def test_message_of_a_newer_version_waits_for_a_worker_that_reads_it() -> None:
    with pytest.raises(UnknownMessageError, match="version 2 needs a newer outlast"):
        unpack(b'[{"v":2}]')


@pytest.mark.parametrize("header", [{}, {"v": None}, {"v": "2"}, {"v": 0}])
def test_list_of_somebody_else_is_no_message_of_a_newer_version(header: dict[str, Any]) -> None:
    """A run would wait for ever for a worker that reads it."""
    with pytest.raises(ValueError, match="no message of outlast"):
        unpack(encode([header]))


@given(st.lists(st.tuples(st.none() | RAWS, st.none() | RAWS), max_size=4), st.lists(RAWS, max_size=2))
def test_events_of_an_opening_travel_as_they_are_recorded(
    values: list[tuple[bytes | None, bytes | None]], rest: list[bytes]
) -> None:
    records = tuple(
        Record(seq, 2, True, "step-resumed", 1, 10 * seq, "a.b[1]", seq, body, payload)
        for seq, (body, payload) in enumerate(values, start=7)
    )

    header, raws = unpack(pack({"opening": opening_to_json(records)}, *opening_raws(records), *rest))

    assert opening_from_json(header["opening"], raws) == records
    assert list(raws[RAWS_OF_EACH * len(records) :]) == rest


def test_opening_of_a_newer_version_waits_for_a_worker_that_reads_it() -> None:
    with pytest.raises(UnknownMessageError):
        facts_of([Record(1, 0, True, "step-started", 99, 1, "a", 0, None, None)])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), RAWS), max_size=4))
def test_batch_of_what_bodies_say_is_read_as_it_was_written(words: list[tuple[int, int, bytes]]) -> None:
    uttered = [
        Uttered.of(ChunkWritten(number, "talk[1]", 2), raw, restarts=restarts, crashes=crashes)
        for number, (restarts, crashes, raw) in enumerate(words)
    ]
    said = Said("source", 3, uttered)

    assert Said.read(said.to_bytes()) == said


@given(st.binary() | RAWS)
def test_signal_of_somebody_else_is_no_batch(message: bytes) -> None:
    assert Said.read(message) is None


def test_errand_of_an_older_version_has_no_spans_before_it() -> None:
    errand = Errand("run", "spans", 5, 1_000, after=3)

    assert Errand.from_bytes(errand.to_bytes()) == errand
    assert Errand.from_bytes(b'{"run_id":"run","kind":"on_finish","seq":5,"pause_ms":1}').after == 0


@pytest.mark.parametrize(
    "reservation",
    [Reservation("run", "p-run", "ab", 5), Reservation("run", "p-run", "ab", 5, replaced="old", is_started=True)],
)
def test_reservation_of_a_key_is_read_as_it_was_written(reservation: Reservation) -> None:
    assert Reservation.from_bytes(reservation.to_bytes()) == reservation
