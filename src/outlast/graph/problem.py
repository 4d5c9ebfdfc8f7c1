"""Pydantic's error details in the words of Outlast: a path such as `items[2].price`, and a lower-case reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TypedDict, cast

from outlast.errors import Problem
from outlast.values import child_path

__all__ = ["ErrorDetail", "render_problem"]


class ErrorDetail(TypedDict):
    """The part of one of pydantic's error details that is used here."""

    type: str
    """Pydantic's name for what is wrong, as `missing`."""
    loc: tuple[str | int, ...]
    """Keys and indexes on the way to it, with tags of pydantic's own between them."""
    msg: str
    """What is wrong, as a sentence."""


def render_problem(detail: ErrorDetail, value: object, prefix: str = "") -> Problem:
    """Translate one of pydantic's errors.

    Args:
        detail: The error.
        value: What was validated, to tell its keys from pydantic's own tags.
        prefix: What to put before the reason.
    """
    reason = detail["msg"][:1].lower() + detail["msg"][1:].removesuffix(".")
    if detail["type"] == "extra_forbidden":
        reason = "this key is not declared and would be lost; declare it or leave it out"
    location = detail["loc"]
    if location[-1:] == ("[key]",):
        prefix, location = f"{prefix}the key: ", location[:-1]
    return Problem(_path(location, value, ends_absent=detail["type"] == "missing"), prefix + reason)


def _path(location: Sequence[str | int], value: object, *, ends_absent: bool) -> str:
    """Render where an error is. What the value does not have is a tag of pydantic's own, as the members of unions."""
    path, at = "", value
    for index, key in enumerate(location):
        found, child = _child(at, key)
        if found or (ends_absent and index == len(location) - 1):
            path, at = child_path(path, key), child
    return path


def _child(value: object, key: str | int) -> tuple[bool, object]:
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value)
        if key in items:
            return True, items[key]
        return next(((True, item) for name, item in items.items() if str(name) == str(key)), (False, None))
    if isinstance(key, int):
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            return False, None
        return next(((True, item) for item in islice(cast("Iterable[object]", value), key, None)), (False, None))
    return hasattr(value, key), getattr(value, key, None)
