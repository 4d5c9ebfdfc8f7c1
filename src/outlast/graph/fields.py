"""The fields of a declared object type, and the schema of each of them alone.

They are read where all kinds of object types look alike: in the schema that pydantic compiles of them. So a field keeps
its validators and serialisers, those in the class body too, and the settings of its class.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, cast, get_origin

from outlast.errors import DefinitionError
from outlast.graph.annotation import name_of
from outlast.graph.reducer import is_typed_dict
from outlast.graph.schema import Schema
from outlast.immutable import immutable, new_dict

__all__ = ["FieldInfo", "field_schema", "fields_of"]

_OTHER_KEYS: Final = "extra_fields_behavior"
"""The setting that decides about undeclared keys. It belongs to the whole object."""

_LISTING: Final = "dataclass-args"
"""The kind of schema that has its fields in a list."""
_WITH_FIELDS: Final = ("model-fields", "typed-dict", _LISTING)
"""The kinds of schema that say what the fields are."""


@immutable(kw_only=True)
class FieldInfo:
    """One field that is written when an object of the type is recorded."""

    name: str
    """What the class calls it."""
    key: str
    """What JSON calls it: the name, or its alias."""
    is_required: bool
    """Whether an object without it does not fit the type."""
    annotation: object
    """Its declared type."""
    metadata: tuple[object, ...]
    """What stands beside the type and is not in the annotation any more."""


def fields_of(owner: object) -> tuple[FieldInfo, ...]:
    """Return the fields of a pydantic model, a TypedDict or a dataclass, in declaration order.

    Raises:
        DefinitionError: It is something else, or pydantic does not take it; the message says what to declare.
    """
    name = name_of(owner)
    if not _is_object_type(owner):
        raise DefinitionError(f"{name} has no fields; declare a pydantic model, a TypedDict or a dataclass")
    Schema.of(owner)
    capture = _Capture(owner=owner)
    Schema.of(Annotated[Any, capture])
    annotations = _annotations_of(owner, name)
    return tuple(
        FieldInfo(
            name=field,
            key=schema.get("serialization_alias") or field,
            is_required=_is_required(schema, capture.node),
            annotation=annotations[field][0],
            metadata=annotations[field][1],
        )
        for field, schema in _fields_in(capture.node)
        if field in annotations
    )


def field_schema(owner: object, field: FieldInfo, annotation: object = None) -> Schema[Any]:
    """Return the schema of `{<field name>: value}`, whose problems have the path of the field.

    Args:
        owner: The type that has the field.
        field: The field.
        annotation: A type to take instead of the declared one; None for that. Settings of the class hold for it too.

    Raises:
        DefinitionError: No value of that type can be recorded.
    """
    part = _Part(owner=owner, field=field.name, annotation=annotation)
    return Schema.of(Annotated[dict[str, Any], part])


class _Handler(Protocol):
    """What pydantic hands to a hook."""

    def generate_schema(self, source_type: Any, /) -> Any: ...  # noqa: ANN401 - pydantic's signature

    def resolve_ref_schema(self, maybe_ref_schema: Any, /) -> Any: ...  # noqa: ANN401 - pydantic's signature


# Not hashable, on purpose: `Schema.of` keeps what is, and would fill up with schemas that are asked for once.
@dataclass(slots=True, kw_only=True)
class _Capture:
    """Lets pydantic show what it makes of a type."""

    owner: object
    node: Mapping[str, Any] = dataclasses.field(default_factory=new_dict)

    def __get_pydantic_core_schema__(self, _source: object, handler: _Handler) -> dict[str, Any]:
        self.node = _node_with_fields(self.owner, handler)
        return {"type": "any"}


@dataclass(slots=True, kw_only=True)
class _Part:
    """Lets pydantic make an object type of one field of another type."""

    owner: object
    field: str
    annotation: object

    def __get_pydantic_core_schema__(self, _source: object, handler: _Handler) -> dict[str, Any]:
        node = _node_with_fields(self.owner, handler)
        if self.annotation is None:
            schema = dict(_fields_in(node))[self.field]["schema"]
        else:
            schema = handler.generate_schema(self.annotation)
        config = {key: value for key, value in _config_of(node).items() if key != _OTHER_KEYS}
        # Not required, for a field with a default cannot be; it is always given.
        field = {"type": "typed-dict-field", "schema": schema, "required": False}
        return {"type": "typed-dict", "fields": {self.field: field}, "config": config}


def _node_with_fields(owner: object, handler: _Handler) -> Mapping[str, Any]:
    """Find the part of a core schema that lists the fields; validators of the whole type are around it."""
    config: Mapping[str, Any] = {}
    node: Mapping[str, Any] = handler.resolve_ref_schema(handler.generate_schema(owner))
    while node["type"] not in _WITH_FIELDS:
        config = node.get("config") or config
        node = handler.resolve_ref_schema(node["schema"])
    return {**node, "config": node.get("config") or config}


def _config_of(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", node["config"])


def _fields_in(node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the fields that are written, by name; dataclasses list them, the others have them by name."""
    fields = node["fields"]
    named: Mapping[str, Mapping[str, Any]] = (
        fields if node["type"] != _LISTING else {each["name"]: each for each in fields}
    )
    for name, field in named.items():
        if not field.get("serialization_exclude") and not field.get("init_only"):
            yield name, field


def _is_required(field: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    if field["type"] == "typed-dict-field":
        return bool(field.get("required", node.get("total", True)))
    return cast("str", field["schema"]["type"]) != "default"


def _is_object_type(owner: object) -> bool:
    if not isinstance(owner, type) or get_origin(owner) is not None or getattr(owner, "__pydantic_root_model__", False):
        return False
    owner = cast("object", owner)
    return hasattr(owner, "__pydantic_fields__") or dataclasses.is_dataclass(owner) or is_typed_dict(owner)


def _annotations_of(owner: object, name: str) -> Mapping[str, tuple[object, tuple[object, ...]]]:
    """Return type and metadata by field name."""
    known = getattr(owner, "__pydantic_fields__", None)
    if known is not None:
        return {field: (info.annotation, tuple(info.metadata)) for field, info in known.items()}
    try:
        hints = typing.get_type_hints(owner, include_extras=True)
    except NameError as error:  # pragma: no cover - pydantic resolves the same names and says so first
        advice = "define or import that type at the top of the module, and not under TYPE_CHECKING"
        raise DefinitionError(f"{name} has an annotation that cannot be resolved: {error}; {advice}") from error
    return {field: (hint, ()) for field, hint in hints.items()}
