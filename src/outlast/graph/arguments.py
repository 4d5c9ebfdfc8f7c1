"""Arguments of the builder, checked where they are given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from outlast.errors import DefinitionError
from outlast.instant import to_ms
from outlast.values import LARGEST_VALUE, InvalidValueError, JsonValue, decode, encode

__all__ = ["at_least_one", "instant_ms", "listed", "plain_json", "within_limit"]


def at_least_one(value: object, name: str, owner: str) -> int | None:
    """Return a whole number of at least 1, or None.

    Raises:
        DefinitionError: It is something else.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    message = f"{owner} has {name}={value!r}; it must be a whole number of at least 1"
    raise DefinitionError(message)


def instant_ms(value: object, owner: str) -> int:
    """Return an aware datetime as milliseconds since 1970.

    Raises:
        DefinitionError: It is something else.
    """
    if isinstance(value, datetime) and value.tzinfo is not None:
        return to_ms(value)
    message = f"{owner} takes a datetime with a time zone, not {value!r}"
    raise DefinitionError(message)


def listed(value: object, owner: str, what: str) -> tuple[Any, ...]:
    """Return the members of a list.

    Raises:
        DefinitionError: It is none.
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(cast("Sequence[object]", value))
    message = f"{owner} takes a list of {what}, not {value!r}"
    raise DefinitionError(message)


def plain_json(value: object, owner: str) -> JsonValue:
    """Return a copy of a value that JSON can hold.

    Raises:
        DefinitionError: JSON cannot hold it, or it is too large to be recorded.
    """
    try:
        raw = encode(value)
    except InvalidValueError as error:
        message = f"{owner} must be JSON: {error}"
        raise DefinitionError(message) from error
    return decode(within_limit(raw, owner))


def within_limit(raw: bytes, owner: str) -> bytes:
    """Return a constant that becomes a recorded value, as JSON, unless it is larger than these may be (rule 9.7).

    Raises:
        DefinitionError: It is.
    """
    if len(raw) > LARGEST_VALUE:
        size = f"{len(raw):,} bytes as JSON, over the limit of {LARGEST_VALUE:,}"
        message = f"{owner} has {size}; store it elsewhere and give a reference"
        raise DefinitionError(message)
    return raw
