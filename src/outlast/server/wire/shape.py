"""Reading a part of a request as the shape that it must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from outlast.errors import Problem
from outlast.server.problem import Refusal
from outlast.values import JsonValue, decode, encode

__all__ = ["decode_body", "invalid_request", "read_shape"]

_SURROGATES: Final = (b"\\ud", b"\\uD")
"""How halves of a pair begin in JSON; a half alone is no text."""

Shape = TypeVar("Shape", bound=BaseModel)


def decode_body(raw: bytes) -> JsonValue:
    """Decode the body of a request. What comes out of it can be written again: it may be quoted in an answer.

    Raises:
        InvalidValueError: It is not JSON, or holds half a surrogate pair.
    """
    value = decode(raw)
    if any(each in raw for each in _SURROGATES):
        encode(value)
    return value


def read_shape(shape: type[Shape], given: object, *, is_body: bool = False) -> Shape:
    """Return what was given as the model that it is to fit.

    Raises:
        Refusal: It does not fit; names each place. What was sent is not repeated.
    """
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid_request([_issue(each, each["loc"]) for each in details], in_body=is_body) from None


def invalid_request(issues: Sequence[Problem], *, in_body: bool) -> Refusal:
    """Return the refusal of a request that does not have the declared shape."""
    text = "Invalid request body" if in_body else "Invalid query parameters"
    return Refusal(400, text, code="invalid-request", issues=issues)


def _issue(detail: Mapping[str, Any], place: Sequence[int | str]) -> Problem:
    return Problem(".".join(str(part) for part in place), str(detail["msg"]))
