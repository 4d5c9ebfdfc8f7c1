"""Cron expressions in time zones: when one comes next, and what of it is refused. Everything is milliseconds in UTC.

The expressions are read by `cronsim`, which follows Debian's cron, also where clocks are set forward and back. It is
loaded with the first expression, so that a program without schedules does not pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
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
    return next(_later(expression, zone, after_ms), None)


def latest_cron(expression: str, zone: tzinfo, until_ms: int) -> int | None:
    """Return the last time up to an instant, itself included; None if there is none in 50 years.

    It is one of the times that `next_cron` gives: going backwards only finds where to begin, because an hour that
    comes twice reads differently from its end.
    """
    from cronsim import CronSim  # noqa: PLC0415 - as above

    for earlier in CronSim(expression, datetime.fromtimestamp((until_ms + 1000) // 1000, zone), reverse=True):
        latest: int | None = None
        for at_ms in _later(expression, zone, min(to_ms(earlier), until_ms) - 1):
            if at_ms > until_ms:
                break
            latest = at_ms
        if latest is not None:
            return latest
    return None


def _later(expression: str, zone: tzinfo, after_ms: int) -> Iterator[int]:
    """Give the times after an instant, each once and in order."""
    from cronsim import CronSim  # noqa: PLC0415 - as above

    latest = after_ms
    for at in CronSim(expression, datetime.fromtimestamp(after_ms // 1000, zone)):
        at_ms = to_ms(at)
        # In an hour that comes twice, a time of the first pass is over in the second one; and several times of an
        # hour that is left out fall on the instant at which the clocks go on.
        if at_ms > latest:
            latest = at_ms
            yield at_ms
