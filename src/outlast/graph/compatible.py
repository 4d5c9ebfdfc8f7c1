"""Whether the output of one node can ever be the input of the next (rule 1.3). Pure: it compares shapes, no values.

Only what is proven is refused. Shapes are JSON Schema that claims only what is certain (see `Schema.shape`); a keyword
that is not known here claims nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, cast, get_args, get_origin

from outlast.graph.schema import JSON, Schema
from outlast.immutable import immutable, new_dict
from outlast.values import child_path

__all__ = ["item_schema", "why_incompatible"]

_Shape: TypeAlias = Mapping[str, Any]
_ANYTHING: Final[_Shape] = {}

_ARTICLES: Final[Mapping[str, str]] = {
    "array": "a list",
    "boolean": "a boolean",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
_TEXT_ONLY: Final = frozenset({
    "base64", "base64url", "binary", "directory-path", "email", "file-path", "name-email", "password", "path", "regex",
    "uri", "uuid", "uuid1", "uuid3", "uuid4", "uuid5", "uuid6", "uuid7", "uuid8",
})  # fmt: skip
"""Formats of strings for which pydantic takes no number. It does for dates, durations, addresses and others."""


def why_incompatible(source: Schema[Any], target: Schema[Any]) -> str | None:
    """Say why no output of the source type can be an input of the target type.

    Types are compared as strict JSON: text is never a number, whatever pydantic would make of `"5"`. None means that
    some value may fit both, or that it cannot be known.

    Raises:
        DefinitionError: one of the types has a hook that cannot describe it.
    """
    if source.is_json or target.is_json or source is target:
        return None
    given, needed = source.shape("serialization"), target.shape("validation")
    return _Comparison(given, needed).why_disjoint(given, needed, "")


def item_schema(source: Schema[Any]) -> Schema[Any] | None:
    """Give the schema of the items of a list type, `JSON` if it is not known; None if the type is never a list.

    Raises:
        DefinitionError: the type has a hook that cannot describe it, or its items cannot be recorded by themselves.
    """
    if source.is_json:
        return JSON
    given = source.shape("serialization")
    if _Comparison(given, {}).why_disjoint(given, {"type": "array"}, "") is not None:
        return None
    if not given:  # a serialiser of the author's own decides
        return JSON
    found = [items for member in _members(source.annotation) for items in _items_of(member)]
    return JSON if not found or Any in found else Schema.of(Union[tuple(found)])  # noqa: UP007  (built from a tuple)


def _members(annotation: object) -> Iterator[object]:
    """Give the members of a union, without wrappers."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        for member in get_args(annotation):
            yield from _members(member)
    elif (wrapped := getattr(annotation, "__supertype__", getattr(annotation, "__value__", None))) is not None:
        yield from _members(wrapped)  # NewType, or an alias made by the `type` statement
    else:
        yield annotation


def _items_of(annotation: object) -> Sequence[object]:
    """Give the types of the items of one list type; empty if it is none; `Any` if they are not known."""
    origin, args = get_origin(annotation) or annotation, get_args(annotation)
    if not isinstance(origin, type):
        return (Any,)
    if not issubclass(origin, Collection):
        return () if origin in {bool, int, float, type(None)} else (Any,)
    if issubclass(origin, (str, bytes, bytearray, Mapping)):
        return ()
    known = [arg for arg in args if arg is not Ellipsis]
    return known or (Any,)


@immutable
class _Comparison:
    """Two shapes with the definitions that they refer to."""

    given: _Shape
    """The whole shape of the source."""
    needed: _Shape
    """The whole shape of the target."""
    known: dict[tuple[int, int], str | None] = field(default_factory=new_dict)
    """Reasons by the identity of two parts. A pair that is met again inside itself is in doubt, so it holds None."""

    def why_disjoint(self, given: object, needed: object, path: str) -> str | None:
        """Say why no value has both shapes; None if one may."""
        left, right = _resolved(given, self.given), _resolved(needed, self.needed)
        pair = (id(left), id(right))
        if pair not in self.known:
            self.known[pair] = None
            self.known[pair] = self._why_disjoint(left, right, path)
        return self.known[pair]

    def _why_disjoint(self, given: _Shape, needed: _Shape, path: str) -> str | None:
        for part in given.get("allOf", ()):
            if reason := self.why_disjoint(part, needed, path):
                return reason
        for part in needed.get("allOf", ()):
            if reason := self.why_disjoint(given, part, path):
                return reason
        return (
            _all_reasons([self.why_disjoint(member, needed, path) for member in _choices(given)])
            or _all_reasons([self.why_disjoint(given, member, path) for member in _choices(needed)])
            or self._why_kinds_differ(given, needed, path)
        )

    def _why_kinds_differ(self, given: _Shape, needed: _Shape, path: str) -> str | None:
        left, right = _kinds(given), _kinds(needed, is_target=True)
        common = left & right
        where = f"{path}: " if path else ""
        if not common:
            return f"{where}{_render(given, left)} is given where {_render(needed, right)} is needed"
        offered, taken = _constants(given), _constants(needed)
        if offered is not None and taken is not None and not offered.keys() & taken.keys():
            return f"{where}{_render(given, left)} is given where {_render(needed, right)} is needed"
        if common == {"object"}:
            return self._why_objects_differ(given, needed, path)
        return self._why_lists_differ(given, needed, path) if common == {"array"} else None

    def _why_objects_differ(self, given: _Shape, needed: _Shape, path: str) -> str | None:
        always, wanted = set(given.get("required", ())), set(needed.get("required", ()))
        for name in [*needed.get("required", ()), *(key for key in given.get("required", ()) if key not in wanted)]:
            at = child_path(path, name)
            offered = _property(given, name)
            if offered is False and name not in always:
                return f"{at} is needed and never given"
            if reason := self.why_disjoint(offered, _property(needed, name), at):
                return reason
        return None

    def _why_lists_differ(self, given: _Shape, needed: _Shape, path: str) -> str | None:
        where = f"{path}: " if path else ""
        given_least, needed_least = given.get("minItems", 0), needed.get("minItems", 0)
        if given.get("maxItems", needed_least) < needed_least:
            return f"{where}at most {given['maxItems']} items are given where at least {needed_least} are needed"
        if needed.get("maxItems", given_least) < given_least:
            return f"{where}at least {given_least} items are given where at most {needed['maxItems']} are allowed"
        at_least = max(given_least, needed_least)
        for index in range(min(at_least, 32)):  # a proof needs few; a long minimum must not take long
            reason = self.why_disjoint(_item(given, index), _item(needed, index), child_path(path, index))
            if reason:
                return reason
        return None


def _resolved(shape: object, root: _Shape) -> _Shape:
    """Follow references. What cannot be followed claims nothing."""
    for _ in range(16):  # a chain is one or two long; a ring of references must end
        if not isinstance(shape, dict):
            break
        found = cast("_Shape", shape)
        if "$ref" not in found:
            return found
        shape = root.get("$defs", {}).get(found["$ref"].removeprefix("#/$defs/"))
    return _ANYTHING


def _choices(shape: _Shape) -> Sequence[object]:
    return shape.get("anyOf") or shape.get("oneOf") or ()


def _all_reasons(reasons: Sequence[str | None]) -> str | None:
    """Join the reasons of all choices; None if one of them is possible, or if there are none."""
    if any(reason is None for reason in reasons):
        return None
    return ", and ".join(dict.fromkeys(reason for reason in reasons if reason)) or None


def _kinds(shape: _Shape, *, is_target: bool = False) -> set[str]:
    """Give the JSON types of a shape. `number` stands for the numbers that are no integers."""
    constants = _constants(shape)
    declared = shape.get("type", list(_ARTICLES))
    kinds = {declared} if isinstance(declared, str) else {*declared}
    if constants is not None:
        return {kind for value in constants.values() for kind in _kinds_of_constant(value)}
    if "number" in kinds:
        kinds.add("integer")
    if is_target and "string" in kinds and shape.get("format", "uuid") not in _TEXT_ONLY:
        kinds |= {"integer", "number"}
    return kinds


def _constants(shape: _Shape) -> dict[object, object] | None:
    """Give the only values that a shape allows, keyed by what is equal; None if it names none."""
    if "const" not in shape and "enum" not in shape:
        return None
    found: list[object] = [shape["const"]] if "const" in shape else shape["enum"]
    return {value if isinstance(value, (bool, int, float, str)) else repr(value): value for value in found}


def _kinds_of_constant(value: object) -> set[str]:
    """Give the JSON types that pydantic takes for a constant: it looks them up, and `True` is found under `1`."""
    if isinstance(value, (int, float)):
        whole = {"integer"} if isinstance(value, int) or value.is_integer() else set[str]()
        return {"number", *whole, *({"boolean"} if value in {0, 1} else ())}
    if value is None or isinstance(value, str):
        return {"null" if value is None else "string"}
    return {"array" if isinstance(value, list) else "object"}


def _property(shape: _Shape, name: str) -> object:
    """Give the shape of a property; False if objects of this shape never have it."""
    if "patternProperties" in shape:
        return True
    return shape.get("properties", {}).get(name, shape.get("additionalProperties", True))


def _item(shape: _Shape, index: int) -> object:
    first = shape.get("prefixItems", ())
    return first[index] if index < len(first) else shape.get("items", True)


def _render(shape: _Shape, kinds: set[str]) -> str:
    constants = _constants(shape)
    if constants is not None:
        return " or ".join(repr(value) for value in constants.values())
    shown = kinds - {"integer"} if "number" in kinds else kinds
    return " or ".join(_ARTICLES[kind] for kind in sorted(shown))
