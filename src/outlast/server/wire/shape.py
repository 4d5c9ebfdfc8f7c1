"""Reading a part of a request as the shape that it must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from outlast.errors import Problem
from outlast.server.problem import Refusal

__all__ = ["invalid_request", "read_shape"]

Shape = TypeVar("Shape", bound=BaseModel)


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
