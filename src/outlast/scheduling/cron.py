"""Cron expressions in time zones: when one comes next, and what of it is refused. Everything is milliseconds in UTC.

`cronsim` finds the readings of a wall clock that fit an expression, as Debian's cron does. Which instants these are is
decided here, by the rules of that cron for the hours in which clocks are set, so that it does not depend on from where
one looks. The library is loaded with the first expression: a program without schedules does not pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from outlast.instant import to_ms

__all__ = ["CronError", "find_zone", "latest_cron", "next_cron", "parse_cron"]

NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_CRON_FIELDS: Final = 5
_SECOND: Final = timedelta(seconds=1)
_FOLD: Final = timedelta(hours=3)
"""No clock is set back by more, other than to another day."""
_PROBE: Final = timedelta(days=1)
"""No clock is set twice within this time."""


class CronError(ValueError):
    """An expression or a zone that cannot be used; the message says why, as a clause."""


def parse_cron(expression: str) -> str:
    """Return the expression as it is evaluated: nicknames as fields, blanks made one.

    Raises:
        CronError: It is no cron expression, or it never comes.
    """
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - only programs with schedules need it

    text = " ".join(expression.split())
    if text.startswith("@"):
        if text.lower() not in NICKNAMES:
            raise CronError(f"'{text}' is none of {', '.join(NICKNAMES)}")
        text = NICKNAMES[text.lower()]
    try:
        next(CronSim(text, _FIRST))
    except CronSimError as error:
        reason = str(error)
        raise CronError(
            f"'{text}' is no cron expression: {reason[0].lower()}{reason[1:]}; write minute, hour, day of month, month "
            "and day of week, as '30 8 * * MON-FRI', with seconds in front if there are six fields"
        ) from None
    except StopIteration:
        raise CronError(f"'{text}' never comes: no day in 50 years fits") from None
    return text


@lru_cache(maxsize=256)
def find_zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name.

    Raises:
        CronError: There is none of this name in the zone data of this machine.
    """
    if name == "UTC":  # it must work where there is no zone data at all
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CronError(
            f"this machine has no time zone '{name}'; write an IANA name, as 'Europe/Berlin'. If it is one, the zone "
            "data is missing: install the system's tzdata, or `pip install tzdata`"
        ) from None


def next_cron(expression: str, zone: tzinfo, after_ms: int) -> int | None:
    """Return the first time after an instant; None if there is none in 50 years."""
    after = datetime.fromtimestamp(after_ms // 1000, UTC)
    found = _next_fixed(expression, zone, after) if _is_fixed(expression) else _next_by_wall(expression, zone, after)
    return None if found is None else to_ms(found)


def latest_cron(expression: str, zone: tzinfo, until_ms: int) -> int | None:
    """Return the last time up to an instant, itself included; None if there is none in 50 years.

    It is one of those that `next_cron` gives.
    """
    until = datetime.fromtimestamp(until_ms // 1000, UTC)
    found = _last_fixed(expression, zone, until) if _is_fixed(expression) else _last_by_wall(expression, zone, until)
    return None if found is None else to_ms(found)


def _is_fixed(expression: str) -> bool:
    """Say whether Debian's cron takes it for a job at fixed times, which fires once a time wherever clocks go."""
    fields = expression.split()
    return len(fields) == _CRON_FIELDS and not fields[0].startswith("*") and not fields[1].startswith("*")


# ---- Jobs at fixed times: each reading of the wall clock is one instant, in the same order.


def _next_fixed(expression: str, zone: tzinfo, after: datetime) -> datetime | None:
    found = (_instant(reading, zone) for reading in _readings(expression, _reading(after, zone)))
    return next((at for at in found if at > after), None)


def _last_fixed(expression: str, zone: tzinfo, until: datetime) -> datetime | None:
    # Where clocks went back, readings that are later than the present one are over.
    begin = max(_reading(until, zone), _reading(until - _FOLD, zone) + _FOLD) + _SECOND
    found = (_instant(reading, zone) for reading in _readings(expression, begin, reverse=True))
    return next((at for at in found if at <= until), None)


def _instant(reading: datetime, zone: tzinfo) -> datetime:
    """Return the first instant with a reading; if clocks went over it, the one at which they did."""
    at = reading.replace(tzinfo=zone).astimezone(UTC)
    if _reading(at, zone) == reading:
        return at
    change = _find_change(zone, reading.replace(tzinfo=zone, fold=1).astimezone(UTC), at)
    return at if change is None else change


# ---- Other jobs go by the wall clock as it is: between two changes of it, readings and instants go side by side.


def _next_by_wall(expression: str, zone: tzinfo, after: datetime) -> datetime | None:
    begin, reading = after, _reading(after, zone)
    while (found := next(_readings(expression, reading), None)) is not None:
        at = found.replace(tzinfo=UTC) - _offset(begin, zone)
        change = _find_change(zone, begin, at)
        if change is None:
            return at
        begin, reading = change, _reading(change, zone) - _SECOND
    return None


def _last_by_wall(expression: str, zone: tzinfo, until: datetime) -> datetime | None:
    end = until
    while (found := next(_readings(expression, _reading(end, zone) + _SECOND, reverse=True), None)) is not None:
        at = found.replace(tzinfo=UTC) - _offset(end, zone)
        change = _find_change(zone, at, end, is_last=True)
        if change is None:
            return at
        end = change - _SECOND
    return None


# ---- Readings of wall clocks


def _readings(expression: str, after: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """Give the readings of a wall clock that fit an expression, after or before one."""
    from cronsim import CronSim  # noqa: PLC0415 - as above

    return iter(CronSim(expression, after, reverse=reverse))


def _reading(at: datetime, zone: tzinfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _find_change(zone: tzinfo, after: datetime, until: datetime, *, is_last: bool = False) -> datetime | None:
    """Return the first (or last) second up to `until` at which clocks were set since `after`; None if they were not."""
    if zone is UTC:
        return None
    step = -_PROBE if is_last else _PROBE
    here, limit = (until, after) if is_last else (after, until)
    while here != limit:
        there = max(here + step, limit) if is_last else min(here + step, limit)
        if _offset(here, zone) != _offset(there, zone):
            return _bisect(zone, min(here, there), max(here, there))
        here = there
    return None


def _bisect(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    offset = _offset(before, zone)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        before, after = (middle, after) if _offset(middle, zone) == offset else (before, middle)
    return after
