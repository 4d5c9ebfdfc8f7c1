"""Reading declared types: what messages call them, and whether values of them can be recorded at all."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin

__all__ = ["is_plain", "name_of", "why_unrecordable"]

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


def why_unrecordable(core_schema: object) -> str | None:
    """Say why no value of a type can be recorded and what to declare instead; None if values can be.

    Args:
        core_schema: The type as pydantic's core sees it.
    """
    return next(_objections(core_schema, converted=False), None)


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


def _objections(schema: object, *, converted: bool) -> Iterator[str]:
    """Walk the kinds in a core schema. `converted`: user code around this part makes what JSON alone could not."""
    if isinstance(schema, (list, tuple)):
        for item in cast("Sequence[object]", schema):
            yield from _objections(item, converted=converted)
    if not isinstance(schema, Mapping):
        return
    node = cast("Mapping[str, Any]", schema)
    kind = node.get("type")
    if node.get("serialization_exclude"):
        return  # an excluded field is never written
    named_tuple = kind == "call" and isinstance(node["function"], type)  # as pydantic before 2.14 has them
    if isinstance(kind, str) and kind in _ADVICE and not converted and not named_tuple:
        subject = f"{name_of(node['cls'])}: " if "cls" in node else ""
        yield subject + _ADVICE[kind]
    for part in _parts(node, kind):
        yield from _objections(part, converted=converted or kind in _CONVERTERS)


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
