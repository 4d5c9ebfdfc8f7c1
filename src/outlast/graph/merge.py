"""How patches change the state of a run (rules 8.1 and 8.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, cast

from outlast.graph.patch import Operation, Patch, PatchVerb
from outlast.values import JsonValue

__all__ = ["compose", "merge"]

_LARGEST: Final = 1.7976931348623157e308
"""The largest number that a float can be. Sums stop there: infinity is not JSON."""
_RESETS: Final = (PatchVerb.REPLACE, PatchVerb.DELETE)
"""What makes earlier operations on the same field pointless."""


def merge(state: Mapping[str, JsonValue], patch: Patch) -> dict[str, JsonValue]:
    """Return the state after a patch. It shares nothing with the arguments.

    Operations apply in order. Never fails: a field that is missing, null or - because its declared type has changed
    since - of another kind than the operation needs counts as empty.
    """
    merged = {field: _copy(value) for field, value in state.items()}
    for operation in patch:
        if operation.verb is PatchVerb.DELETE:
            merged.pop(operation.field, None)
        else:
            reduce = _REDUCERS[operation.verb]
            merged[operation.field] = reduce(merged.get(operation.field), _copy(operation.value))
    return merged


def compose(first: Patch, second: Patch) -> Patch:
    """Return the patch that does what two do one after the other.

    Guarantees `merge(state, compose(a, b)) == merge(merge(state, a), b)` exactly, also for sums of floats: the
    operations are kept in order, less those whose effect a later one wipes out.
    """
    kept: list[Operation] = []
    wiped: set[str] = set()
    for operation in reversed(first + second):
        if operation.field in wiped:
            continue
        kept.append(operation)
        if operation.verb in _RESETS:
            wiped.add(operation.field)
    return tuple(reversed(kept))


def _replace(_: JsonValue, new: JsonValue) -> JsonValue:
    return new


def _append(old: JsonValue, new: JsonValue) -> JsonValue:
    return [*_items(old), new]


def _extend(old: JsonValue, new: JsonValue) -> JsonValue:
    return _items(old) + _items(new)


def _add(old: JsonValue, new: JsonValue) -> JsonValue:
    if not _is_number(old) or not _is_number(new):
        return new
    try:
        total = cast("float", old) + cast("float", new)
    except OverflowError:  # an integer beyond all floats and a float
        total = cast("float", old) if abs(cast("float", old)) > abs(cast("float", new)) else cast("float", new)
    if -_LARGEST <= total <= _LARGEST:
        return total
    largest = int(_LARGEST) if isinstance(total, int) else _LARGEST
    return largest if total > 0 else -largest


def _max(old: JsonValue, new: JsonValue) -> JsonValue:
    return max(cast("float", old), cast("float", new)) if _is_number(old) and _is_number(new) else new


def _min(old: JsonValue, new: JsonValue) -> JsonValue:
    return min(cast("float", old), cast("float", new)) if _is_number(old) and _is_number(new) else new


def _union(old: JsonValue, new: JsonValue) -> JsonValue:
    items = {_text(item): item for item in _items(old)}
    for item in _items(new):
        items.setdefault(_text(item), item)
    return list(items.values())


def _merge_dict(old: JsonValue, new: JsonValue) -> JsonValue:
    return {**_object(old), **_object(new)}


_REDUCERS: Final[Mapping[PatchVerb, Callable[[JsonValue, JsonValue], JsonValue]]] = {
    PatchVerb.REPLACE: _replace,
    PatchVerb.APPEND: _append,
    PatchVerb.EXTEND: _extend,
    PatchVerb.ADD: _add,
    PatchVerb.MAX: _max,
    PatchVerb.MIN: _min,
    PatchVerb.UNION: _union,
    PatchVerb.MERGE_DICT: _merge_dict,
}


def _copy(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: JsonValue) -> str:
    """Return what tells JSON values apart; Python would take `1` and `true` for the same."""
    return json.dumps(value, sort_keys=True)
