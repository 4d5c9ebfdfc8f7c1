"""Calls of bodies and hooks: which lost ones are counted, what is heard of them, and how much is sent at one time."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.workflow.v1 import PendingActivityInfo

from outlast.core.chunk import ChunkWritten
from outlast.core.commands import RunHook, RunStep
from outlast.core.ref import Recorded
from outlast.engines.perform import Returned
from outlast.engines.temporal.flow import TELL
from outlast.engines.temporal.hearing import Hearing
from outlast.engines.temporal.inbound import (
    Canceled,
    Heard,
    Inbound,
    Lost,
    Rang,
    Requested,
    Told,
    carried_of,
    rank_of,
)
from outlast.engines.temporal.messages import Reply, Request
from outlast.engines.temporal.pace import Pace
from outlast.engines.temporal.packing import LARGEST_MESSAGE
from outlast.engines.temporal.past import Past
from outlast.engines.temporal.said import Said, Uttered
from outlast.engines.temporal.tries import with_tries
from outlast.failures import failure_from_json
from outlast.storage.keys import DeliveryKey
from outlast.storage.outbox import DeliveryRow
from outlast.values import decode

SERVER_TAKES = 4 * 1024 * 1024
STEP = RunStep("talk", "w/talk", 0, Recorded(1))


@given(st.lists(st.sampled_from(["put back", "handed back", "crashed"]), max_size=8))
def test_crashes_are_the_calls_that_nobody_left_on_purpose(ends: list[str]) -> None:
    """9.6: Temporal counts attempts; a heartbeat says which of them were no crash. A crashed worker sent none."""
    details: tuple[int, ...] = ()
    for attempt, end in enumerate(ends, start=1):
        past = Past.of(attempt, details)
        if end != "crashed":
            details = (past.put_back() if end == "put back" else past.hand_back()).details

    past = Past.of(len(ends) + 1, details)

    assert past.crashes == ends.count("crashed")
    assert past.restarts == ends.count("crashed") + ends.count("handed back")


@given(
    st.lists(st.integers(0, LARGEST_MESSAGE) | st.integers(0, 2_000), max_size=60),
    st.sampled_from([LARGEST_MESSAGE, 32 * 1024 * 1024]),
)
def test_no_task_sends_more_than_a_server_takes(sizes: list[int], largest: int) -> None:
    """Also with one message of unknown size, which is sent where nothing says that the task is full."""
    pace, sent = Pace(largest), [0]
    for size in sizes:
        message = bytes(size)
        if not pace.fits(message):
            assert sent[-1], "the first message of a task is always sent"
            pace.begin()
            sent.append(0)
        pace.add(message)
        sent[-1] += size if largest == LARGEST_MESSAGE else min(size, 128 * 1024)

    assert max(sent) <= SERVER_TAKES
    assert pace.is_full or sent[-1] + LARGEST_MESSAGE <= SERVER_TAKES


def test_what_reached_a_run_at_one_time_has_one_order() -> None:
    """However an event loop hands it over; bodies are heard before they are over."""
    uttered = Uttered.of(ChunkWritten(1, "talk", 0), b"1", restarts=0, crashes=0)
    inbound: list[Inbound] = [
        Canceled(None),
        Requested(Request("id", "resume", "topic", b"{}")),
        Rang(),
        Heard(Said("source", 0, [uttered])),
        Told("talk", Reply(1, Returned(b"1", ()))),
    ]

    assert all(sorted(each, key=rank_of) == inbound for each in permutations(inbound))
    assert rank_of(Lost("talk")) == rank_of(inbound[-1])


def test_only_what_outsiders_asked_is_taken_along() -> None:
    """When a run goes on in another workflow; timers are set again there, and no body is in flight."""
    asked = Requested(Request("id", "resume", "topic", b"{}"))

    assert carried_of([Rang(), asked, Canceled("enough")]) == [
        asked,
        Requested(Request("", "cancel", "", b'{"reason":"enough"}')),
    ]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=20))
def test_each_batch_is_heard_once(sent: list[tuple[str, int]]) -> None:
    """14.3: batches of a source come in order, perhaps more than once; what is behind the latest one was heard."""
    hearing, latest = Hearing(), {"a": -1, "b": -1}
    uttered = [Uttered.of(ChunkWritten(1, "talk", 0), b"1", restarts=0, crashes=0)]

    for source, number in sent:
        news = hearing.news(Said(source, number, uttered))
        assert list(news) == (uttered if number > latest[source] else [])
        latest[source] = max(latest[source], number)


@given(st.lists(st.booleans(), max_size=8), st.lists(st.integers(0, 8), max_size=4))
def test_each_call_that_began_again_is_recorded_once(crashed: list[bool], heard: list[int]) -> None:
    """9.6, 14.3: however much was heard of it before its outcome."""
    hearing, names = Hearing(), list[str]()

    for restarts in [*sorted(min(each, len(crashed)) for each in heard), len(crashed)]:
        facts = hearing.begun_again(STEP, restarts, sum(crashed[:restarts]), 1)
        names += [type(event).__name__ for event, _ in facts]

    assert names.count("RunCrashed") == sum(crashed)
    assert names.count("StepStarted") == len(crashed)


def test_call_that_is_poison_is_no_new_start() -> None:
    """9.6: the last crash ends the run; what crashed before did start again."""
    facts = Hearing().begun_again(STEP, 2, 2, 1, is_poison=True)

    assert [type(event).__name__ for event, _ in facts] == ["RunCrashed", "StepStarted", "RunCrashed"]
    assert [getattr(event, "is_poison", None) for event, _ in facts] == [False, None, True]


def test_hook_that_began_again_is_no_start_of_a_step() -> None:
    facts = Hearing().begun_again(RunHook("on_start", "w?on_start", Recorded(1)), 2, 1, 1)

    assert [type(event).__name__ for event, _ in facts] == ["RunCrashed"]


def delivery(seq: int, *, due_at_ms: int | None = 5) -> DeliveryRow:
    return DeliveryRow(
        key=DeliveryKey(seq),
        kind="on_finish",
        seq=seq,
        execution=0,
        tries=0,
        due_at_ms=due_at_ms,
        owner=None,
        failure=None,
    )


def pending(seq: int, **fields: object) -> PendingActivityInfo:
    info = PendingActivityInfo(activity_id=f"?on_finish:{seq}", **fields)  # type: ignore[arg-type]
    info.activity_type.name = TELL
    return info


def test_call_of_a_hook_that_waits_has_no_tries() -> None:
    rows = [delivery(1), delivery(2)]

    assert with_tries(rows, []) == rows
    assert with_tries(rows, [pending(1, attempt=1)]) == rows


def test_first_call_of_a_hook_that_runs_is_a_try() -> None:
    now = pending(2, attempt=1)
    now.last_started_time.FromSeconds(3)

    assert [row.tries for row in with_tries([delivery(1), delivery(2)], [now])] == [0, 1]


@pytest.mark.parametrize("kind", ["ValueError", ""])
def test_call_of_a_hook_that_failed_is_shown_with_the_reason_and_when_it_is_tried_again(kind: str) -> None:
    now = pending(1, attempt=3)
    now.last_failure.message = "no"
    now.last_failure.application_failure_info.type = kind
    now.next_attempt_schedule_time.FromMilliseconds(1_234)

    row, other = with_tries([delivery(1), delivery(1, due_at_ms=None)], [now])

    assert (row.tries, row.due_at_ms, other) == (2, 1_234, delivery(1, due_at_ms=None))
    assert row.failure is not None
    found = failure_from_json(decode(row.failure))  # type: ignore[arg-type]
    assert (found.type, found.message) == (kind or "CallLostError", "no")
