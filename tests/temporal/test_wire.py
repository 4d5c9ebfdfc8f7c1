"""Messages on the wire (`packing`, `opening`, `said`, `holding`): what is written is read, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.chunk import ChunkWritten
from outlast.core.record import Record
from outlast.engines.perform import Answered, Bailed, Outcome, Suspended
from outlast.engines.temporal.holding import Reservation
from outlast.engines.temporal.messages import Ask, Asks, Reply, Request, Start, Verdict
from outlast.engines.temporal.opening import (
    RAWS_OF_EACH,
    facts_of,
    opening_from_json,
    opening_raws,
    opening_to_json,
)
from outlast.engines.temporal.packing import ABSENT, LARGEST_MESSAGE, UnknownMessageError, pack, unpack
from outlast.engines.temporal.said import Said, Uttered
from outlast.engines.temporal.tidings import Errand
from outlast.graph.patch import Operation, PatchVerb
from outlast.trace import Tracing
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


START = Start(
    run_id="run",
    resource_id=None,
    request_context={},
    state={},
    include_state=False,
    max_recoveries=5,
    grace_ms=5_000,
    lease_ms=15_000,
    delay_ms=0,
    start_within_ms=None,
    per_step=False,
    tags=(),
    hook_delay_ms=1_000,
    graph=b"{}",
    input=b"[1]",
)
OPENING = (
    Record(7, 1, True, "run-rewound", 1, 5, "", 0, b"{}", b"[]"),
    Record(8, 1, True, "x", 1, 5, "", 0, None, None),
)


@pytest.mark.parametrize(
    "start",
    [
        START,
        replace(START, tracing=Tracing(trace_id="0" * 31 + "1", tags=("a",)), is_traced=True),
        replace(START, snapshot=b'{"state":1}', opening=OPENING),
        replace(
            START, snapshot=b"1", carried=(Request("a", "resume", "t", b"{}"), Request("b", "cancel", "", b"null"))
        ),
        replace(START, opening=OPENING, carried=(Request("a", "resume", "t", b"{}"),), largest=5 * LARGEST_MESSAGE),
    ],
    ids=["plain", "traced", "next execution", "gone on", "all of it"],
)
def test_start_is_read_as_it_was_written(start: Start) -> None:
    assert Start.from_bytes(start.to_bytes()) == start


@given(st.text(st.characters(exclude_categories=["Cs"])), RAWS)
def test_request_is_read_as_it_was_written(text: str, body: bytes) -> None:
    request = Request(text, text, text, body)

    assert Request.read(request.to_bytes()) == request


@given(st.binary() | RAWS)
def test_signal_of_somebody_else_is_no_request(message: bytes) -> None:
    assert Request.read(message) is None


@pytest.mark.parametrize(
    "outcome",
    [
        Bailed(b"[1]", ()),
        Suspended(b'"why"', "label", timedelta(milliseconds=1_500), (Operation("a", PatchVerb.ADD, 1),)),
        Suspended(b"null", None, None, ()),
        Answered(7),
        "fits",
        "poison",
        "elsewhere",
    ],
    ids=repr,
)
def test_outcome_is_read_as_it_was_written(outcome: Outcome | Verdict) -> None:
    uttered = [Uttered.of(ChunkWritten(3, "talk", 0), b"1", restarts=0, crashes=0)]

    assert Reply.from_bytes(Reply(5, outcome, 2, 1, uttered).to_bytes()) == Reply(5, outcome, 2, 1, uttered)


def test_questions_are_read_as_they_were_written() -> None:
    asks = Asks(
        run_id="run",
        workflow="w",
        resource_id=None,
        grace_ms=1,
        crashes_left=5,
        state=b"{}",
        request_context=b"{}",
        asks=[
            Ask(kind="map", path="m", scope="w", value=0, function="w/m?map", init=0, results={"a": 1, "large": None}),
            Ask(kind="map", path="n", scope="w", value=1, sources={"x": ["value", 1]}, results={}),
            Ask(
                kind="evaluate",
                path="l",
                scope="w",
                value=1,
                function="w/l?while",
                purpose="condition",
                iteration_count=3,
            ),
            Ask(kind="check", path="c", scope="c", value=1, function="input", subject="input of workflow 'c'"),
        ],
        values=[b"1", b'"two"'],
        execution=2,
    )

    assert Asks.from_bytes(asks.to_bytes()) == asks


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
