"""When a schedule fires (rule 16.1): properties of next times, latest times and jitter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from outlast import Schedule
from outlast.instant import to_ms
from outlast.scheduling.timing import Timing

T0 = to_ms(datetime(2023, 1, 1, tzinfo=UTC))
YEARS = 3 * 366 * 86_400_000
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "America/New_York"])
MINUTES = st.one_of(st.just("*"), st.just("*/20"), st.integers(0, 59).map(str), st.just("0,30"))
HOURS = st.one_of(st.just("*"), st.integers(0, 4).map(str), st.just("1-3"), st.just("*/6"))
DAYS = st.sampled_from(["*", "1", "L", "15,31"])
WEEKDAYS = st.sampled_from(["*", "SUN", "MON-FRI"])
CRONS = st.builds(
    lambda minute, hour, day, weekday: f"{minute} {hour} {day} * {weekday}", MINUTES, HOURS, DAYS, WEEKDAYS
)
INSTANTS = st.integers(T0, T0 + YEARS)
# Around the changes of the clocks, where mistakes live.
CHANGES = [
    to_ms(datetime(2024, *day, tzinfo=UTC))
    for day in [(3, 31, 1), (10, 27, 1), (3, 10, 7), (11, 3, 6), (4, 6, 15), (10, 5, 15), (9, 8, 4), (4, 7, 3)]
]
NEAR = st.builds(lambda change, minutes: change + minutes * 60_000, st.sampled_from(CHANGES), st.integers(-300, 300))
SOME_TIME = st.one_of(INSTANTS, NEAR)


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    start = draw(st.none() | INSTANTS)
    end = draw(st.none() | st.integers(T0 + YEARS, T0 + 2 * YEARS))
    jitter = draw(st.sampled_from([0, 5_000, 3_600_000]))
    if draw(st.booleans()):
        return Timing(cron=draw(CRONS), timezone=draw(ZONES), start_ms=start, end_ms=end, jitter_ms=jitter)
    return Timing(every_ms=draw(st.integers(1_000, 10**9)), start_ms=start, end_ms=end, jitter_ms=jitter)


@given(timings(), SOME_TIME)
def test_next_time_is_the_first_one_after(timing: Timing, at_ms: int) -> None:
    """16.1: no time lies between an instant and the next time; the next time is after it and within bounds."""
    found = timing.next_after(at_ms)
    if found is None:
        assert timing.end_ms is not None
        return
    assert found > at_ms
    assert found >= (timing.start_ms or 0)
    assert timing.end_ms is None or found <= timing.end_ms
    between = (at_ms + found) // 2
    if between < found:
        assert timing.next_after(between) == found
    assert timing.next_after(found - 1) == found


@given(timings(), SOME_TIME)
def test_latest_time_is_the_one_before_the_next(timing: Timing, at_ms: int) -> None:
    """16.1: looking back and looking forward agree, also in hours that come twice and in those that are left out."""
    latest = timing.latest_until(at_ms)
    if latest is None:
        assert timing.next_after(T0 - 60 * YEARS) is None or timing.next_after(T0 - 60 * YEARS) > at_ms  # type: ignore[operator]
        return
    assert latest <= at_ms
    following = timing.next_after(latest)
    assert following is None or following > at_ms
    assert timing.next_after(latest - 1) == latest


@given(timings(), SOME_TIME, st.integers(2, 6))
def test_asking_anew_gives_the_same_times(timing: Timing, at_ms: int, count: int) -> None:
    """16.2: every scheduler gets the same times, from wherever it begins to look."""
    times = []
    for time_ms in timing.later(at_ms):
        times.append(time_ms)
        if len(times) == count:
            break
    assert times == sorted(set(times))
    for earlier, later in pairwise(times):
        assert timing.next_after(earlier) == later


@given(timings(), st.text(min_size=1, max_size=20), INSTANTS)
def test_jitter_only_puts_off_and_is_always_the_same(timing: Timing, schedule_id: str, at_ms: int) -> None:
    """16.1: jitter is less than its bound, and a function of the schedule and the time."""
    due = timing.due_at(schedule_id, at_ms)

    assert at_ms <= due < at_ms + max(1, timing.jitter_ms)
    assert due == timing.due_at(schedule_id, at_ms)


def test_jitter_spreads() -> None:
    """16.1: a thousand schedules of one time fall into all tenths of the jitter."""
    timing = Schedule("@daily", jitter=3600).to_timing()
    at_ms = timing.next_after(T0)
    assert at_ms is not None

    tenths = {(timing.due_at(f"schedule-{n}", at_ms) - at_ms) // 360_000 for n in range(1_000)}

    assert tenths == set(range(10))


def test_interval_counts_from_1970_or_from_its_start() -> None:
    """16.1: an interval needs no memory."""
    quarter = Schedule(every=timedelta(minutes=15)).to_timing()
    from_seven = Schedule(every=timedelta(hours=2), start=datetime(2024, 1, 1, 7, 5, tzinfo=UTC)).to_timing()
    noon = to_ms(datetime(2024, 1, 1, 12, 1, tzinfo=UTC))

    assert quarter.next_after(noon) == to_ms(datetime(2024, 1, 1, 12, 15, tzinfo=UTC))
    assert from_seven.next_after(noon) == to_ms(datetime(2024, 1, 1, 13, 5, tzinfo=UTC))


def test_one_off_comes_once() -> None:
    """16.1: one-off."""
    at = datetime(2024, 1, 1, tzinfo=UTC)
    timing = Schedule(at=at).to_timing()

    assert timing.next_after(to_ms(at) - 1) == to_ms(at)
    assert timing.next_after(to_ms(at)) is None
