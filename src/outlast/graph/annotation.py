"""Reading declared types: what messages call them, and whether values of them can be recorded at all."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin

__all__ = ["holds", "is_plain", "name_of", "why_unrecordable"]

_ADVICE: Final[Mapping[str, str]] = {
    "call": "a function is not data; declare what it returns",
    "callable": "a function is not data; declare what it returns",
    "generator": "an iterator can be read only once; declare a list",
    "is-instance": "declare a pydantic model, a dataclass or a TypedDict, or give it a validator and a serialiser",
    "is-subclass": "a class is not data; declare its name or a Literal",
    "json": "Json[...] is written as what it holds and cannot be read back; declare what it holds",
}
"""What to do about the kinds of pydantic's core schema that cannot be read back from JSON."""

_CONVERTERS: Final = frozenset({"function-before", "function-wrap", "function-plain"})
"""Kinds that run user code on the JSON before the type sees it, so that it may become anything."""

_JSON_BRANCH: Final = {"json-or-python": "json_schema", "lax-or-strict": "lax_schema"}
"""Kinds with several branches, and the one that JSON takes."""

_NOT_NESTED: Final = frozenset({"cls", "computed_fields", "config", "default", "expected", "metadata", "serialization"})
"""Keys of a core schema that hold no further types of the value."""

_PLAIN: Final[Mapping[str, Sequence[str]]] = {
    "none": (),
    "bool": (),
    "int": (),
    "float": (),
    "str": (),
    "literal": (),
    "nullable": ("schema",),
    "list": ("items_schema",),
    "dict": ("keys_schema", "values_schema"),
    "typed-dict": ("fields",),
    "typed-dict-field": ("schema",),
}
"""Kinds whose validator makes nothing but what their serialiser expects, and which of their parts must be so too."""


def name_of(annotation: object) -> str:
    """Render an annotation as its author would write it, without modules."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is types.NoneType:
        return "None"
    if annotation is Ellipsis:
        return "..."
    if origin is Annotated:
        return name_of(args[0])
    if origin is Union or origin is types.UnionType:
        return " | ".join(name_of(arg) for arg in args)
    if origin is Literal:
        return f"Literal[{', '.join(repr(arg) for arg in args)}]"
    if isinstance(annotation, list):  # the parameters of a callable
        return f"[{', '.join(name_of(arg) for arg in cast('list[object]', annotation))}]"
    bare = _bare_name(annotation if origin is None or (isinstance(annotation, type) and not args) else origin)
    return f"{bare}[{', '.join(name_of(arg) for arg in args)}]" if args else bare


def why_unrecordable(core_schema: object, comes_back: Callable[[object, object], bool]) -> str | None:
    """Say why no value of a type can be recorded and what to declare instead; None if values can be.

    Args:
        core_schema: The type as pydantic's core sees it.
        comes_back: Whether a part of it, an enum or a literal, reads one of its members as itself once it was written.
    """
    for node in _nodes(core_schema, converted=False):
        if reason := _objection(node) or _lost_member(node, comes_back):
            return reason
    return None


def holds(core_schema: object, *kinds: str) -> bool:
    """Say whether a type has parts of one of these kinds, also where code of the author's reads them.

    Args:
        core_schema: The type as pydantic's core sees it.
        kinds: Words of pydantic's, as `time`.
    """
    return any(node.get("type") in kinds for node in _nodes(core_schema, converted=None))


def is_plain(core_schema: object) -> bool:
    """Say whether a type is made of JSON's own kinds only: no objects, no places of any type, no code of the author's.

    Args:
        core_schema: The type as pydantic's core sees it.
    """
    node = cast("Mapping[str, Any]", core_schema)
    if node["type"] not in _PLAIN or node.get("serialization") or node.get("computed_fields"):
        return False
    if "allow" in (node.get("extra_behavior"), node.get("config", {}).get("extra_fields_behavior")):
        return False
    for key in _PLAIN[node["type"]]:
        parts = node[key].values() if key == "fields" else [node.get(key, {"type": "any"})]
        if not all(is_plain(part) for part in parts):
            return False
    return True


def _nodes(schema: object, *, converted: bool | None) -> Iterator[Mapping[str, Any]]:
    """Walk a core schema, without what user code reads if `converted` is False: it makes what JSON alone could not."""
    if isinstance(schema, (list, tuple)):
        for item in cast("Sequence[object]", schema):
            yield from _nodes(item, converted=converted)
    if not isinstance(schema, Mapping):
        return
    node = cast("Mapping[str, Any]", schema)
    kind = node.get("type")
    if node.get("serialization_exclude") or (converted is False and kind in _CONVERTERS):
        return  # an excluded field is never written
    yield node
    for part in _parts(node, kind):
        yield from _nodes(part, converted=converted)


def _objection(node: Mapping[str, Any]) -> str | None:
    kind = node.get("type")
    named_tuple = kind == "call" and isinstance(node["function"], type)  # as pydantic before 2.14 has them
    if not isinstance(kind, str) or kind not in _ADVICE or named_tuple:
        return None
    subject = f"{name_of(node['cls'])}: " if "cls" in node else ""
    return subject + _ADVICE[kind]


def _lost_member(node: Mapping[str, Any], comes_back: Callable[[object, object], bool]) -> str | None:
    """Say which member of an enum or a literal JSON does not give back."""
    if node.get("type") not in ("enum", "literal"):
        return None
    members: Sequence[object] = node["members" if node["type"] == "enum" else "expected"]
    for member in members:
        value: object = member.value if node["type"] == "enum" and isinstance(member, Enum) else member
        if type(value) not in (str, int, bool, types.NoneType) and not comes_back(node, member):
            advice = "name the enum instead of the member, or make it a StrEnum"
            if node["type"] == "enum":
                advice = "give the members texts or numbers as values, or the enum a `_missing_` that finds them"
            elif not isinstance(member, Enum):
                advice = "declare texts or numbers"
            return f"{member!r} does not come back from JSON; {advice}"
    return None


def _parts(node: Mapping[str, Any], kind: object) -> Iterator[object]:
    """Give the parts of a core schema node that JSON reaches."""
    if isinstance(kind, str) and kind in _JSON_BRANCH:
        yield node[_JSON_BRANCH[kind]]
        return
    for key, part in node.items():
        if key in {"fields", "choices"} and isinstance(part, Mapping):  # keyed by names of the author's own
            yield from cast("Mapping[str, object]", part).values()
        elif key not in _NOT_NESTED:
            yield part


def _bare_name(annotation: object) -> str:
    name = getattr(annotation, "__name__", None) or getattr(annotation, "_name", None)
    return name if isinstance(name, str) else repr(annotation)
