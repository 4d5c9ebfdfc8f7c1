"""What a body says while it runs, as its context hands it to the engine."""

from __future__ import annotations

from math import isfinite
from typing import Final, TypeAlias, assert_never

from outlast.errors import DefinitionError, InputError, Problem
from outlast.graph.schema import JSON, Schema
from outlast.immutable import immutable
from outlast.sealing import Disclosure
from outlast.values import InvalidValueError

__all__ = ["Emitted", "Progressed", "Saying", "Wrote", "check_name", "check_progress", "encode_said", "resealed"]

_LONGEST_NAME: Final = 200
_LONGEST_MESSAGE: Final = 10_000
_PLAIN: Final = (str, int, float, bool, list, dict, type(None))


@immutable
class Wrote:
    """`ctx.write(chunk)`."""

    payload: bytes
    """The chunk as JSON."""


@immutable
class Progressed:
    """`ctx.progress(done, total, message)`."""

    done: float
    """How much is done."""
    total: float | None
    """How much there is to do; None if that is not known."""
    message: str | None
    """The author's words."""


@immutable
class Emitted:
    """`ctx.emit(name, value)`."""

    name: str
    """The name, as `data-price`."""
    payload: bytes
    """The value as JSON."""


Saying: TypeAlias = Wrote | Progressed | Emitted
"""Closed on purpose: every engine handles each kind."""


def encode_said(value: object, subject: str) -> bytes:
    """Return a value as JSON: plain JSON as it is, anything else as its own type says.

    Raises:
        InputError: It cannot be recorded; names each path.
    """
    try:
        schema = JSON if type(value) in _PLAIN else Schema.of(type(value))
        return schema.encode(value)
    except InvalidValueError as error:
        raise InputError(subject, error.problems) from None
    except DefinitionError as error:
        raise InputError(subject, (Problem("", str(error)),)) from None


def resealed(saying: Saying, disclosure: Disclosure) -> Saying:
    """Seal or mask what a body says of the sensitive values that it knows.

    Raises:
        InputError: A key of an object holds a sensitive text, which cannot be sealed.
    """
    try:
        match saying:
            case Wrote(payload=payload):
                return Wrote(disclosure.reseal(payload))
            case Emitted(name=name, payload=payload):
                return Emitted(disclosure.hide(name), disclosure.reseal(payload))
            case Progressed(done=done, total=total, message=message):
                return Progressed(done, total, None if message is None else disclosure.hide(message))
            case _:
                assert_never(saying)
    except InvalidValueError as error:
        raise InputError("what the body says", error.problems) from None


def check_name(name: object) -> str:
    """Return the name of an event of the author's own.

    Raises:
        InputError: It is no printable text that begins with `data-`.
    """
    if not isinstance(name, str) or not name.startswith("data-") or len(name) > _LONGEST_NAME or not name.isprintable():
        reason = (
            f"needs a printable text of at most {_LONGEST_NAME} characters that begins with 'data-', not {name!r:.60}"
        )
        raise InputError("name", (Problem("", reason),))
    return name


def check_progress(done: object, total: object, message: object) -> Progressed:
    """Return what a body tells of its progress.

    Raises:
        InputError: It is no number of at least 0, or no text.
    """
    if message is not None and (not isinstance(message, str) or len(message) > _LONGEST_MESSAGE):
        reason = f"needs a text of at most {_LONGEST_MESSAGE:,} characters, not {message!r:.60}"
        raise InputError("message of the progress", (Problem("", reason),))
    whole = None if total is None else _number(total, "total")
    return Progressed(_number(done, "done"), whole, message)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise InputError("progress", (Problem(name, f"needs a number of at least 0, not {value!r:.60}"),))
    return value
