"""What an author says of a schedule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NoReturn, TypeAlias, cast, get_args

from outlast.errors import DefinitionError
from outlast.immutable import new_dict
from outlast.instant import to_ms
from outlast.scheduling.cron import CronError, find_zone, parse_cron
from outlast.scheduling.timing import Timing
from outlast.values import InvalidValueError, JsonValue, encode

__all__ = ["CatchUp", "Overlap", "Schedule", "recorded_schedule"]

Overlap: TypeAlias = Literal["skip", "queue", "cancel", "allow"]
"""What a firing does while the run of an earlier one has not ended."""
CatchUp: TypeAlias = Literal["one", "all", "none"]
"""What becomes of times that nobody was there for."""

_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LONGEST_REASON: Final = 200
_LONGEST_ID: Final = 40
_LONGEST: Final = timedelta(days=366 * 10)
_LONGEST_JITTER: Final = timedelta(days=1)
_SHORTEST: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a workflow is started by itself, and with what (rule 16).

    Give exactly one of `cron`, `every` and `at`.
    """

    cron: str | None = None
    """A cron expression of five fields, or of six with the seconds first, or `@hourly`, `@daily`, `@weekly`,
    `@monthly`, `@yearly`."""
    _: KW_ONLY
    every: timedelta | float | None = None
    """An interval, as a timedelta or in seconds, at least a second. It is counted from `start`, else from 1970 in UTC:
    every 15 minutes is at :00, :15, :30 and :45."""
    at: datetime | None = None
    """The one time of a schedule that fires once; with a time zone."""
    id: str = ""
    """Tells several schedules of one workflow apart; not needed for a single one."""
    timezone: str = "UTC"
    """The IANA zone in which `cron` is read, as `Europe/Berlin`."""
    input_data: object = None
    """The input of the runs."""
    initial_state: object = None
    """Their initial state."""
    request_context: object = None
    """Their request context."""
    resource_id: str | None = None
    """Whose runs they are."""
    tags: Sequence[str] = ()
    """Words to find them by."""
    overlap: Overlap = "skip"
    """While the run of an earlier firing has not ended: `skip` this firing; `queue` it until that run has ended;
    `cancel` that run, and start when it has ended; or `allow` both."""
    catch_up: CatchUp = "one"
    """Of times that passed while no worker lived: fire the latest `one`, `all`, or `none` of them. Up to a minute late
    counts as in time."""
    jitter: timedelta | float = 0
    """Each firing is put off by less than this, at most a day: always the same for one schedule and time."""
    start: datetime | None = None
    """No firing before this time; with a time zone."""
    end: datetime | None = None
    """No firing for a time after this one; with a time zone."""
    metadata: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """JSON, shown with the schedule."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            DefinitionError: The message names the option, what is wrong with it and what it may be.
        """
        timing = self.to_timing()
        try:
            find_zone(_text(self.timezone, "timezone"))
        except CronError as error:
            raise DefinitionError(f"a schedule cannot work: {error}") from None
        if timing.next_after(-1) is None:
            _refuse("no time lies between its start and its end")
        for name, value, allowed in (
            ("overlap", self.overlap, get_args(Overlap)),
            ("catch_up", self.catch_up, get_args(CatchUp)),
        ):
            if value not in allowed:
                _refuse(f"{name}={value!r:.60} is none of {', '.join(allowed)}")
        if self.id and (len(self.id) > _LONGEST_ID or _ID.fullmatch(self.id) is None):
            _refuse(f"id={self.id!r:.60} needs 1 to {_LONGEST_ID} letters, digits, dots, dashes and underscores")
        _check_metadata(self.metadata)

    def to_timing(self) -> Timing:
        """Return its times as numbers.

        Raises:
            DefinitionError: They cannot be meant.
        """
        given = [name for name in ("cron", "every", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            _refuse(f"exactly one of cron, every and at is needed, not {' and '.join(given) or 'none'}")
        if self.timezone != "UTC" and self.cron is None:
            _refuse(f"timezone={self.timezone!r} is for cron; an interval has no zone, and `at` brings its own")
        try:
            cron = None if self.cron is None else parse_cron(_text(self.cron, "cron"))
        except CronError as error:
            raise DefinitionError(f"a schedule cannot work: {error}") from None
        return Timing(
            cron=cron,
            every_ms=None if self.every is None else _length_ms(self.every, "every", _SHORTEST, _LONGEST),
            at_ms=_instant_ms(self.at, "at"),
            timezone=self.timezone,
            start_ms=_instant_ms(self.start, "start"),
            end_ms=_instant_ms(self.end, "end"),
            jitter_ms=_length_ms(self.jitter, "jitter", timedelta(), _LONGEST_JITTER),
        )


def recorded_schedule(arguments: Mapping[str, Any]) -> Schedule:
    """Return a schedule as it was recorded, perhaps by another machine, where it was checked.

    It is not checked again: whoever looks at it may lack the data of its zone, and can still see what it says.
    """
    schedule = object.__new__(Schedule)
    for each in fields(Schedule):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        object.__setattr__(schedule, each.name, arguments.get(each.name, default))
    return schedule


def _length_ms(value: object, name: str, least: timedelta, most: timedelta) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        _refuse(f"{name}={value!r:.60} must be a timedelta or seconds")
    if not least.total_seconds() <= seconds <= most.total_seconds():
        _refuse(f"{name}={value} must be between {_in_words(least)} and {_in_words(most)}")
    return round(seconds * 1000)


def _in_words(time: timedelta) -> str:
    seconds = time // timedelta(seconds=1)
    return f"{time.days:,} days" if time.days > 1 else "1 second" if seconds == 1 else f"{seconds:,} seconds"


def _instant_ms(value: object, name: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        _refuse(f"{name}={value!r:.60} must be a datetime with a time zone")
    return to_ms(value)


def _check_metadata(value: object) -> None:
    if not isinstance(value, Mapping):
        _refuse(f"metadata={value!r:.60} must be an object of JSON")
    try:
        encode(dict(cast("Mapping[str, object]", value)))
    except InvalidValueError as error:
        _refuse(f"metadata cannot be recorded: {str(error)[:_LONGEST_REASON]}")


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        _refuse(f"{name}={value!r:.60} must be a text")
    return value


def _refuse(reason: str) -> NoReturn:
    raise DefinitionError(f"a schedule cannot work: {reason}")
