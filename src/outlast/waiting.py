"""What a caller says of how long, and for what, it waits; checked before anything happens."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from outlast.errors import InputError, Problem

__all__ = ["check_execution", "check_until", "seconds_to_wait"]

_LONGEST: Final = timedelta(days=365 * 3_000).total_seconds()


def seconds_to_wait(timeout: object) -> float | None:
    """Return how long a caller waits at most; None for ever.

    A time that is over is fine: what is left of a deadline may well be less than nothing.

    Raises:
        InputError: It is neither a timedelta nor a number of seconds.
    """
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not isinstance(seconds, int | float) or not is_number or not (seconds <= _LONGEST or seconds == math.inf):
        reason = f"seconds or a timedelta are needed, below 3,000 years, or None to wait for ever, not {timeout!r:.60}"
        raise InputError("timeout", (Problem("", reason),))
    return float(max(seconds, 0))


def check_until(until: object) -> None:
    """Refuse what names nothing to wait for.

    Raises:
        InputError: It is neither `rest` nor `end`.
    """
    if until not in ("rest", "end"):
        raise InputError("until", (Problem("", f"{until!r:.60} is none of rest, end"),))


def check_execution(execution: object) -> None:
    """Refuse what is no number of an execution; whether the run has it is another matter.

    Raises:
        InputError: It is none.
    """
    if execution is not None and (type(execution) is not int or execution < 0):
        raise InputError("execution", (Problem("", f"a whole number is needed, from 0, not {execution!r:.20}"),))
