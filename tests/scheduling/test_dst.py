"""What happens to cron expressions where clocks change (rule 16.1), as a table with its sources.

When the clocks of a zone change is what the IANA time zone database says (https://www.iana.org/time-zones, files
`europe`, `northamerica`, `australasia`, `asia`, `africa`); each row names the rule. What cron does about it is what
cron(8) of Debian says, after Paul Vixie's cron: jobs that run at a specific time or less often than each hour run
once where the clocks go back, and run at once when the clocks went forward over their time; others (a star in the
minute or hour) go by the wall clock as it is. Expressions with seconds are no cron of that kind: they go by the wall
clock, too. Times are UTC in the expected column.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from outlast import Schedule
from outlast.instant import from_ms, to_ms


def _times(cron: str, zone: str, start: str, count: int) -> list[str]:
    timing = Schedule(cron, timezone=zone).to_timing()
    later = timing.later(to_ms(datetime.fromisoformat(start).replace(tzinfo=UTC)))
    return [from_ms(next(later)).strftime("%m-%d %H:%M") for _ in range(count)]


TABLE = [
    # EU rule: last Sunday of March, 01:00 UTC. Berlin: 02:00 CET -> 03:00 CEST on 31 March 2024.
    ("gap, fixed time: at once after it", "30 2 * * *", "Europe/Berlin", "2024-03-30T12:00",
     ["03-31 01:00", "04-01 00:30", "04-02 00:30"]),
    ("gap, fixed time before it", "30 1 * * *", "Europe/Berlin", "2024-03-30T12:00", ["03-31 00:30", "03-31 23:30"]),
    ("gap, fixed time at its end", "0 3 * * *", "Europe/Berlin", "2024-03-30T12:00", ["03-31 01:00", "04-01 01:00"]),
    ("gap, two times of it are one", "0,30 2 * * *", "Europe/Berlin", "2024-03-30T12:00",
     ["03-31 01:00", "04-01 00:00", "04-01 00:30"]),
    ("gap, every half hour: 48 real ones less two", "*/30 * * * *", "Europe/Berlin", "2024-03-31T00:15",
     ["03-31 00:30", "03-31 01:00", "03-31 01:30"]),
    ("gap, each hour", "0 * * * *", "Europe/Berlin", "2024-03-31T00:30", ["03-31 01:00", "03-31 02:00"]),
    # EU rule: last Sunday of October, 01:00 UTC. Berlin: 03:00 CEST -> 02:00 CET on 27 October 2024.
    ("fold, fixed time: once, the first one", "30 2 * * *", "Europe/Berlin", "2024-10-26T12:00",
     ["10-27 00:30", "10-28 01:30", "10-29 01:30"]),
    ("fold, asked in between: not again", "30 2 * * *", "Europe/Berlin", "2024-10-27T01:10", ["10-28 01:30"]),
    ("fold, every half hour: both passes", "*/30 * * * *", "Europe/Berlin", "2024-10-26T23:45",
     ["10-27 00:00", "10-27 00:30", "10-27 01:00", "10-27 01:30", "10-27 02:00"]),
    ("fold, each hour: both passes", "15 * * * *", "Europe/Berlin", "2024-10-27T00:00",
     ["10-27 00:15", "10-27 01:15", "10-27 02:15"]),
    ("fold, with seconds: by the wall clock, both passes", "0 30 2 * * *", "Europe/Berlin", "2024-10-26T12:00",
     ["10-27 00:30", "10-27 01:30", "10-28 01:30"]),
    ("fold, minutes of the hour before", "59 1 * * *", "Europe/Berlin", "2024-10-26T12:00",
     ["10-26 23:59", "10-28 00:59"]),
    # US rule: second Sunday of March, first Sunday of November, 02:00 local. 10 March and 3 November 2024.
    ("gap in New York", "30 2 * * *", "America/New_York", "2024-03-09T12:00", ["03-10 07:00", "03-11 06:30"]),
    ("fold in New York", "30 1 * * *", "America/New_York", "2024-11-02T12:00", ["11-03 05:30", "11-04 06:30"]),
    ("midnight is not touched", "@daily", "America/New_York", "2024-03-09T12:00",
     ["03-10 05:00", "03-11 04:00", "03-12 04:00"]),
    # Lord Howe rule: half an hour. Back on 7 April 2024, 02:00 -> 01:30 (+11 -> +10:30); forward on 6 October 2024,
    # 02:00 -> 02:30.
    ("fold of half an hour", "45 1 * * *", "Australia/Lord_Howe", "2024-04-06T00:00", ["04-06 14:45", "04-07 15:15"]),
    ("hours after a fold of half an hour", "0 */6 * * *", "Australia/Lord_Howe", "2024-04-06T12:00",
     ["04-06 13:00", "04-06 19:30", "04-07 01:30"]),
    ("gap of half an hour", "15 2 * * *", "Australia/Lord_Howe", "2024-10-05T00:00", ["10-05 15:30", "10-06 15:15"]),
    # Chile rule: at midnight. Forward on 8 September 2024, 00:00 -> 01:00 (-04 -> -03).
    ("gap at midnight", "0 0 * * *", "America/Santiago", "2024-09-07T12:00", ["09-08 04:00", "09-09 03:00"]),
    ("gap at midnight, on its weekday", "30 0 * * SUN", "America/Santiago", "2024-09-07T12:00",
     ["09-08 04:00", "09-15 03:30"]),
    # Morocco: +01 the year round, an hour less in Ramadan. 10 March 2024 03:00 -> 02:00, 14 April 02:00 -> 03:00.
    ("fold for Ramadan", "30 2 * * *", "Africa/Casablanca", "2024-03-09T12:00", ["03-10 01:30", "03-11 02:30"]),
    ("gap after Ramadan", "30 2 * * *", "Africa/Casablanca", "2024-04-13T12:00", ["04-14 02:00", "04-15 01:30"]),
    # India: no daylight saving, half an hour off.
    ("no change at all", "0 9 * * *", "Asia/Kolkata", "2024-03-30T12:00", ["03-31 03:30", "04-01 03:30"]),
    # UTC has none either, and needs no zone data.
    ("UTC", "30 2 * * *", "UTC", "2024-03-30T12:00", ["03-31 02:30", "04-01 02:30"]),
    # Calendar: the last day, the 29th of February, the first Monday.
    ("last day of the month", "0 0 L * *", "UTC", "2024-01-31T12:00", ["02-29 00:00", "03-31 00:00"]),
    ("leap day", "0 0 29 2 *", "UTC", "2024-03-01T00:00", ["02-29 00:00"]),
    ("first Monday", "0 8 * * MON#1", "UTC", "2024-03-01T00:00", ["03-04 08:00", "04-01 08:00"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_cron_where_clocks_change(cron: str, zone: str, start: str, expected: list[str]) -> None:
    """16.1: correct over DST."""
    assert _times(cron, zone, start, len(expected)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
@pytest.mark.parametrize("minute", range(0, 60, 20))
@pytest.mark.parametrize("hour", range(5))
def test_daily_job_runs_once_on_each_day_of_a_year(zone: str, hour: int, minute: int) -> None:
    """16.1: a fixed time comes once a day, also on the days on which clocks change."""
    timing = Schedule(f"{minute} {hour} * * *", timezone=zone).to_timing()
    start = datetime(2024, 1, 1, 12, tzinfo=UTC)
    days = [from_ms(at_ms) for at_ms in _until(timing.later(to_ms(start)), to_ms(start + timedelta(days=365)))]

    assert len(days) == 365
    gaps = [later - earlier for earlier, later in pairwise(days)]
    assert all(timedelta(hours=22, minutes=30) <= gap <= timedelta(hours=25, minutes=30) for gap in gaps)


def _until(times, last: int):
    for at_ms in times:
        if at_ms > last:
            return
        yield at_ms
