"""Typed dicts that lose nothing: pydantic drops the keys that one does not declare, and what is recorded keeps all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

__all__ = ["close_typed_dicts"]

_VALUES: Final = frozenset({"default", "metadata", "serialization", "expected", "members"})
"""Keys of a core schema that hold values, and no schemas."""


def close_typed_dicts(core_schema: object) -> object | None:
    """Return a core schema whose typed dicts refuse keys that they do not declare; None if it is none other.

    A typed dict that says itself what becomes of such keys (`extra` in its `__pydantic_config__`) is left as it is, and
    so is what lies in models and dataclasses: these have a configuration of their own.

    Args:
        core_schema: The type as pydantic's core sees it.
    """
    closed = _close(core_schema)
    return None if closed is core_schema else closed


def _close(schema: object) -> object:
    if isinstance(schema, (list, tuple)):  # a tuple is a choice of a union with its label
        items = cast("list[object] | tuple[object, ...]", schema)
        closed = [_close(item) for item in items]
        if all(new is old for new, old in zip(closed, items, strict=True)):
            return items
        return closed if isinstance(schema, list) else tuple(closed)
    if not isinstance(schema, Mapping):
        return schema
    node = cast("Mapping[str, Any]", schema)
    changed: dict[str, Any] = {
        key: new for key, part in node.items() if key not in _VALUES and (new := _close(part)) is not part
    }
    if node.get("type") == "typed-dict" and _is_silent(node):
        changed["extra_behavior"] = "forbid"
    return {**node, **changed} if changed else node


def _is_silent(node: Mapping[str, Any]) -> bool:
    config: Mapping[str, Any] = node.get("config") or {}
    return node.get("extra_behavior", "ignore") == "ignore" and "extra_fields_behavior" not in config
