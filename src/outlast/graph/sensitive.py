"""Which parts of a declared type are sensitive, and how its serialiser seals them.

Read and changed where all kinds of types look alike: in the schema that pydantic compiles of them. A validator never
sees anything sealed: what is recorded is opened before it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias, cast, final

__all__ = ["Sensitive", "is_sensitive", "models_in", "with_seals"]

Writer: TypeAlias = Callable[..., object]
"""A serialiser in the form of pydantic's: of a value, the next serialiser, and info about what is asked for."""

_MARKER: Final = "outlast_sensitive"
_VALUES: Final = frozenset({"cls", "config", "default", "expected", "members", "metadata", "serialization"})
"""Keys of a core schema that hold no further types of the value."""
_OF_SECRETS: Final = frozenset({"_serialize_secret_field", "_serialize_secret"})
"""The serialisers of pydantic's `SecretStr`, `SecretBytes` and `Secret[...]`; they are known by nothing else."""


class _Handler(Protocol):
    def __call__(self, source: Any, /) -> Any: ...  # noqa: ANN401 - pydantic's signature


@final
class Sensitive:
    """Marks a value that is recorded encrypted and shown masked: `card: Annotated[str, Sensitive]`.

    Bodies get it in clear, and so does a caller in a process that has the keys. Works around any type, and anywhere in
    one: fields of models, dataclasses and typed dicts, items of lists, values of dicts. The `SecretStr` and
    `SecretBytes` of pydantic are sensitive by themselves.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: _Handler) -> dict[str, Any]:  # noqa: ANN401 - pydantic's signature
        return {"type": "chain", "steps": [handler(source)], "metadata": {_MARKER: True}}


def is_sensitive(core_schema: object) -> bool:
    """Whether a part of a type is sensitive."""
    return any(_is_marked(node) or _is_secret(node) for node in _nodes(core_schema))


def models_in(core_schema: object) -> list[type[Any]]:
    """Return the classes in a type for which pydantic has a serialiser at hand."""
    return [node["cls"] for node in _nodes(core_schema) if node.get("type") in ("model", "dataclass")]


def with_seals(core_schema: object, seal: Writer, seal_secret: Writer) -> object:
    """Return a core schema of which the serialiser seals what is sensitive.

    Where a serialiser of the author's writes something that holds sensitive parts, the whole of that is sealed.

    Args:
        core_schema: The type as pydantic's core sees it.
        seal: Called with a value, the serialiser that would have been asked, and pydantic's info.
        seal_secret: The same, for the secrets of pydantic.
    """
    if isinstance(core_schema, list | tuple):  # a tuple is a choice of a union with its label
        items = [with_seals(item, seal, seal_secret) for item in cast("list[object]", core_schema)]
        return items if isinstance(core_schema, list) else tuple(items)
    if not isinstance(core_schema, Mapping):
        return core_schema
    node = cast("Mapping[str, Any]", core_schema)
    is_own = _has_own_serializer(node)
    if _is_secret(node) and not is_own:
        return _wrapped(node, seal_secret)
    changed = {key: part if key in _VALUES else with_seals(part, seal, seal_secret) for key, part in node.items()}
    is_whole = _is_marked(node) or (is_own and is_sensitive(node))
    return _wrapped(changed, seal) if is_whole else changed


def _wrapped(node: Mapping[str, Any], write: Writer) -> dict[str, Any]:
    """Let a function write what a node describes."""
    inner = {key: part for key, part in node.items() if key != "ref"}
    serialization = {
        "type": "function-wrap",
        "function": write,
        "info_arg": True,
        "schema": inner,
        "return_schema": {"type": "any"},
    }
    outer: dict[str, Any] = {"ref": node["ref"]} if "ref" in node else {}
    return {**outer, "type": "chain", "steps": [inner], "serialization": serialization}


def _is_marked(node: Mapping[str, Any]) -> bool:
    metadata: Mapping[str, object] = node.get("metadata") or {}
    return bool(metadata.get(_MARKER))


def _is_secret(node: Mapping[str, Any]) -> bool:
    """Whether a node is one of pydantic's secrets, perhaps with a serialiser of the author's around it."""
    if node.get("type") == "lax-or-strict":
        return _is_secret(node["lax_schema"])
    return getattr(_serializer_of(node), "__name__", "") in _OF_SECRETS


def _has_own_serializer(node: Mapping[str, Any]) -> bool:
    """Whether a function that is not of pydantic's secrets writes what a node describes."""
    function = _serializer_of(node)
    return function is not None and getattr(function, "__name__", "") not in _OF_SECRETS


def _serializer_of(node: Mapping[str, Any]) -> object:
    serialization: Mapping[str, object] = node.get("serialization") or {}
    return serialization.get("function")


def _nodes(schema: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, list | tuple):
        for item in cast("list[object]", schema):
            yield from _nodes(item)
    elif isinstance(schema, Mapping):
        node = cast("Mapping[str, Any]", schema)
        yield node
        for key, part in node.items():
            if key not in _VALUES:
                yield from _nodes(part)
