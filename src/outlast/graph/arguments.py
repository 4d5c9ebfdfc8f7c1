"""Arguments of the builder, checked where they are given."""

from __future__ import annotations

from datetime import datetime

from outlast.errors import DefinitionError
from outlast.instant import to_ms
from outlast.values import InvalidValueError, JsonValue, decode, encode

__all__ = ["at_least_one", "instant_ms", "plain_json"]


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


def plain_json(value: object, owner: str) -> JsonValue:
    """Return a copy of a value that JSON can hold.

    Raises:
        DefinitionError: JSON cannot hold it.
    """
    try:
        return decode(encode(value))
    except InvalidValueError as error:
        message = f"{owner} must be JSON: {error}"
        raise DefinitionError(message) from error
