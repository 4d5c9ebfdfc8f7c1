"""What a schedule does at a moment (rule 16): overlap, catching up, and that no time is lost or comes twice."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.scheduling.deciding import MOST_QUEUED, ON_TIME_MS, Queued, Standing, decide
from outlast.scheduling.schedule import CatchUp, Overlap
from outlast.scheduling.timing import Timing

MINUTE = 60_000
EACH_MINUTE = Timing(every_ms=MINUTE)


def standing(**changes: object) -> Standing:
    known: dict[str, object] = {
        "schedule_id": "s",
        "timing": EACH_MINUTE,
        "overlap": "skip",
        "catch_up": "one",
        "next_ms": MINUTE,
        "is_active": False,
    }
    return Standing(**(known | changes))  # type: ignore[arg-type]


def fates(state: Standing, now_ms: int) -> list[tuple[int, str]]:
    return [(each.at_ms // MINUTE, each.fate) for each in decide(state, now_ms).verdicts]


def test_nothing_happens_before_its_time() -> None:
    decision = decide(standing(), MINUTE - 1)

    assert decision.is_empty
    assert decision.next_ms == MINUTE


def test_time_that_has_come_fires() -> None:
    assert fates(standing(), MINUTE) == [(1, "fired")]
    assert decide(standing(), MINUTE).next_ms == 2 * MINUTE


@pytest.mark.parametrize(
    ("overlap", "fate", "cancels"),
    [("skip", "skipped", False), ("queue", "queued", False), ("cancel", "queued", True), ("allow", "fired", False)],
)
def test_overlap_decides_while_a_run_has_not_ended(overlap: str, fate: str, cancels: bool) -> None:
    """16.1: skip, queue, cancel, allow. What cancels begins only when the other one has ended."""
    decision = decide(standing(overlap=overlap, is_active=True), MINUTE)

    assert [each.fate for each in decision.verdicts] == [fate]
    assert decision.cancels is cancels


@pytest.mark.parametrize("overlap", ["queue", "cancel"])
def test_what_waited_begins_when_the_run_has_ended(overlap: str) -> None:
    """16.1: queue."""
    waiting = Queued(7, 0)

    assert decide(standing(overlap=overlap, queued=(waiting,), is_active=True), 1).is_empty
    assert decide(standing(overlap=overlap, queued=(waiting,)), 1).released == waiting


def test_what_waits_goes_first() -> None:
    """16.1: the order of times is kept."""
    decision = decide(standing(overlap="queue", queued=(Queued(7, 0), Queued(8, 30_000))), MINUTE)

    assert decision.released == Queued(7, 0)
    assert [each.fate for each in decision.verdicts] == ["queued"]


def test_later_firing_takes_the_place_of_one_that_waits() -> None:
    """16.1: cancel."""
    decision = decide(standing(overlap="cancel", is_active=True, queued=(Queued(7, 0),)), MINUTE)

    assert [each.queued for each in decision.dropped] == [Queued(7, 0)]
    assert [each.fate for each in decision.verdicts] == ["queued"]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("one", [(1, "skipped"), (10, "fired")]),
        ("all", [(minute, "fired") for minute in range(1, 11)]),
        ("none", [(1, "skipped"), (10, "fired")]),
    ],
)
def test_catching_up_in_the_middle_of_a_minute(catch_up: str, expected: list[tuple[int, str]]) -> None:
    """16.1: the latest of the missed times is up to a minute late here, which is in time."""
    assert fates(standing(catch_up=catch_up, overlap="allow"), 10 * MINUTE + 30_000) == expected


@pytest.mark.parametrize(("catch_up", "expected"), [("one", ["fired"]), ("all", ["fired"]), ("none", ["skipped"])])
def test_catching_up_with_a_single_time_that_is_late(catch_up: str, expected: list[str]) -> None:
    """16.1: none fires only in time."""
    timing = Timing(at_ms=MINUTE)
    decision = decide(standing(timing=timing, catch_up=catch_up), MINUTE + ON_TIME_MS + 1)

    assert [each.fate for each in decision.verdicts] == expected
    assert decision.next_ms is None


def test_very_many_missed_times_cost_little() -> None:
    """16.1: ten years of seconds are one line of history, and the next time is right."""
    timing = Timing(every_ms=1_000)
    now_ms = 10 * 365 * 86_400_000
    decision = decide(standing(timing=timing, next_ms=1_000), now_ms)

    missed, fired = decision.verdicts
    assert (missed.at_ms, missed.until_ms, missed.times, missed.fate) == (1_000, now_ms - 1_000, None, "skipped")
    assert (fired.at_ms, fired.fate) == (now_ms, "fired")
    assert decision.next_ms == now_ms + 1_000


def test_queue_is_bounded() -> None:
    """19: nothing grows without bound."""
    full = tuple(Queued(number, 0) for number in range(1, MOST_QUEUED + 1))

    assert fates(standing(overlap="queue", is_active=True, queued=full), MINUTE) == [(1, "skipped")]


def test_full_queue_holds_times_back_that_must_all_be_fired() -> None:
    """16.1: with catch_up='all' nothing is skipped: the times wait until there is room."""
    full = tuple(Queued(number, 0) for number in range(1, MOST_QUEUED + 1))
    held = decide(standing(overlap="queue", catch_up="all", is_active=True, queued=full), MINUTE)

    assert held.is_empty
    assert held.is_full
    assert held.next_ms == MINUTE


@given(
    overlap=st.sampled_from(get_args(Overlap)),
    catch_up=st.sampled_from(get_args(CatchUp)),
    jitter_ms=st.sampled_from([0, 20_000, 90_000]),
    steps=st.lists(st.tuples(st.integers(0, 400_000), st.booleans()), min_size=1, max_size=30),
)
def test_each_time_has_one_fate(
    overlap: Overlap, catch_up: CatchUp, jitter_ms: int, steps: list[tuple[int, bool]]
) -> None:
    """16.2: over any history of looks, each time up to the last look is dealt with once; nothing fires early.

    Without leave to overlap, at most one firing begins in a look, and none while a run has not ended.
    """
    timing = Timing(every_ms=MINUTE, jitter_ms=jitter_ms)
    state = standing(timing=timing, overlap=overlap, catch_up=catch_up)
    now_ms, number, active = 0, 0, 0
    dealt: list[int] = []
    begun: list[int] = []
    for passed_ms, has_ended in steps:
        now_ms += passed_ms
        active = 0 if has_ended else active
        state = standing(
            timing=timing,
            overlap=overlap,
            catch_up=catch_up,
            next_ms=state.next_ms,
            is_active=active > 0,
            queued=state.queued,
        )
        decision = decide(state, now_ms)
        started = [] if decision.released is None else [decision.released.at_ms]
        queued = [each for each in state.queued if each != decision.released]
        queued = [each for each in queued if each not in {drop.queued for drop in decision.dropped}]
        for verdict in decision.verdicts:
            number += 1
            covered = range(verdict.at_ms, verdict.until_ms + 1, MINUTE)
            assert verdict.times is None or verdict.times == len(covered)
            assert timing.due_at("s", verdict.until_ms) <= now_ms
            dealt += covered
            if verdict.fate == "fired":
                started.append(verdict.at_ms)
            if verdict.fate == "queued":
                queued.append(Queued(number, verdict.at_ms))
        if overlap != "allow":
            assert len(started) <= 1
            assert not started or active == 0
            assert not decision.cancels or active > 0
        assert len(queued) <= MOST_QUEUED
        begun += started
        active += len(started)
        state = standing(next_ms=decision.next_ms, queued=tuple(queued))
    assert dealt == list(range(MINUTE, MINUTE * len(dealt) + 1, MINUTE))
    assert begun == sorted(set(begun))
    assert state.next_ms is not None
    assert state.next_ms == MINUTE * (len(dealt) + 1)
