"""What a map of sources makes when it runs (rule 5.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Final, Protocol, assert_never

from outlast.graph.source import Source, SourceKind, place_of
from outlast.graph.template import split_template
from outlast.sealing import is_sealed, needed_disclosure, opened_value
from outlast.values import JsonValue, decode

__all__ = ["MISSING", "MapScope", "Missing", "MissingPathError", "TemplateValueError", "evaluate", "follow"]


class Missing(Enum):
    """Type of `MISSING`."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
"""What `MapScope.step` gives for a step that has no result: not reached, not taken, failed."""


class MapScope(Protocol):
    """What a map can read: JSON values as they are recorded."""

    @property
    def input(self) -> JsonValue:
        """What the map gets."""
        ...

    @property
    def init(self) -> JsonValue:
        """The input of the workflow in which the map stands."""
        ...

    @property
    def state(self) -> JsonValue:
        """The state as it is when the map begins."""
        ...

    @property
    def request_context(self) -> JsonValue:
        """What the caller told all steps."""
        ...

    def step(self, step_id: str, /) -> JsonValue | Missing:
        """Return the output of a step of the same workflow, `MISSING` unless it succeeded."""
        ...


class MissingPathError(ValueError):
    """A map needs a value that is not there. It fails the node."""

    def __init__(self, key: str, source: Source, path: str, found: str) -> None:
        super().__init__(key, source, path, found)
        self.key = key
        """The key of the map whose value is missing."""
        self.source = source
        """Where it should have come from."""
        self.path = path
        """The path that leads nowhere."""
        self.found = found
        """What is there instead."""

    def __str__(self) -> str:
        """Say what is missing and what is there."""
        missing = f"nothing at path '{self.path}' of {self.source}" if self.path else f"{self.source} has no value"
        return f"map key '{self.key}': {missing}: {self.found}"


class TemplateValueError(ValueError):
    """A template names an object or a list, which has no form as text. It fails the node."""


def evaluate(sources: Mapping[str, Source], scope: MapScope) -> dict[str, JsonValue]:
    """Return the object that a map makes. Constants in it are fresh, the rest is as the scope gives it.

    Raises:
        MissingPathError: A value is not there.
        TemplateValueError: A template names an object or a list.
    """
    return {key: _evaluate(key, source, scope) for key, source in sources.items()}


def _evaluate(key: str, source: Source, scope: MapScope) -> JsonValue:
    match source.kind:
        case SourceKind.VALUE:
            return decode(source.text.encode())
        case SourceKind.TEMPLATE:
            return _fill(key, source, scope)
        case _:
            return _take(key, source, source, scope)


def _fill(key: str, source: Source, scope: MapScope) -> JsonValue:
    """Put a template together."""
    texts: list[str] = []
    is_sensitive = False
    for part in split_template(source.text):
        if isinstance(part, str):
            texts.append(part)
            continue
        found = _take(key, source, place_of(part), scope)
        if is_sealed(found):
            is_sensitive, found = True, opened_value(found)
        if isinstance(found, dict | list):
            raise TemplateValueError(
                f"map key '{key}': '${{{part.text}}}' resolved to {_kind(found)}, which a template cannot hold; "
                f"name one of its values, or take it with a source of its own"
            )
        texts.append(_text_of(found))
    text = "".join(texts)
    return needed_disclosure().seal(text) if is_sensitive else text


def _take(key: str, source: Source, place: Source, scope: MapScope) -> JsonValue:
    """Take the value at a place. `source` is what its author wrote, for messages."""
    try:
        return _look_up(place, scope)
    except LookupError as error:
        raise MissingPathError(key, source, place.path, str(error.args[0])) from None


def _look_up(place: Source, scope: MapScope) -> JsonValue:
    match place.kind:
        case SourceKind.INPUT:
            return follow(scope.input, place.path)
        case SourceKind.INIT:
            return follow(scope.init, place.path)
        case SourceKind.STATE:
            return follow(scope.state, place.path)
        case SourceKind.CONTEXT:
            return _enter(scope.request_context, place.path, "the request context")
        case SourceKind.STEP:
            return follow(_result_of(place.steps, scope), place.path)
        case SourceKind.VALUE | SourceKind.TEMPLATE:  # pragma: no cover - handled by `_evaluate`
            raise AssertionError(place.kind)
        case _:  # pragma: no cover - closed
            assert_never(place.kind)


def _result_of(steps: tuple[str, ...], scope: MapScope) -> JsonValue:
    for step_id in steps:
        result = scope.step(step_id)
        if result is not MISSING:
            return result
    if len(steps) == 1:
        raise LookupError(f"step '{steps[0]}' has no result")
    raise LookupError(f"none of the steps {', '.join(map(repr, steps))} has a result")


def follow(value: JsonValue, path: str) -> JsonValue:
    """Go along a path. Parts of what is sealed are sealed again.

    Raises:
        LookupError: It leads nowhere; the message says what is there instead.
    """
    at = ""
    is_sensitive = False
    for segment in path.split(".") if path else ():
        if is_sealed(value):
            is_sensitive, value = True, opened_value(value)
        value = _enter(value, segment, f"'{at}'" if at else "the value")
        at = f"{at}.{segment}" if at else segment
    return needed_disclosure().seal(value) if is_sensitive and not is_sealed(value) else value


def _enter(value: JsonValue, segment: str, subject: str) -> JsonValue:
    if isinstance(value, dict) and segment in value:
        return value[segment]
    if isinstance(value, list) and _is_index(segment) and int(segment) < len(value):
        return value[int(segment)]
    raise LookupError(f"{subject} is {_description(value, segment)}")


def _is_index(segment: str) -> bool:
    return segment.isascii() and segment.isdigit() and len(segment) <= _LONGEST_INDEX


def _description(value: JsonValue, segment: str) -> str:
    """Describe what a path ended at, to one who expected `segment` in it."""
    if isinstance(value, dict) and value:
        near = get_close_matches(segment, value, n=1)
        keys = ", ".join(map(repr, list(value)[:_SHOWN_KEYS])) + (", ..." if len(value) > _SHOWN_KEYS else "")
        return f"an object with the keys {keys}" + (f"; did you mean {near[0]!r}?" if near else "")
    if isinstance(value, list) and value:
        return (
            "a list of 1 item, at 0" if len(value) == 1 else f"a list of {len(value)} items, at 0 to {len(value) - 1}"
        )
    return f"an empty {'object' if isinstance(value, dict) else 'list'}" if value in ({}, []) else _kind(value)


def _kind(value: JsonValue) -> str:
    if value is None:
        return "null"
    return _KINDS[type(value)]


def _text_of(value: JsonValue) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


_KINDS: Final[Mapping[type, str]] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
_SHOWN_KEYS: Final = 8
"""How many keys of an object a message names."""
_LONGEST_INDEX: Final = 18
"""No list has an index of more digits."""
