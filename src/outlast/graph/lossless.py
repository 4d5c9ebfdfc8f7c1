"""What a value loses on its way through JSON: the slow look behind `Schema.encode`, taken when it came back unequal.

Pure: it knows pydantic's models and dataclasses by their attributes and never imports pydantic.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, time, timezone
from enum import Enum
from math import isfinite
from typing import Any, cast

from outlast.errors import Problem
from outlast.values import child_path, kind_of

__all__ = ["find_losses", "find_unwritable"]


def find_losses(before: object, after: object, path: str = "") -> Iterator[Problem]:
    """Find where a value differs from what its encoding gave back.

    Passes over what its author excluded on purpose (excluded fields, fields that do not count in comparison, objects
    that define no equality) and over lists for tuples.
    """
    if (fields := _fields(before)) is not None:
        yield from _record_losses(before, fields, after, path)
    elif isinstance(before, Mapping):
        yield from _mapping_losses(cast("Mapping[object, object]", before), after, path)
    elif isinstance(before, (list, tuple, deque)):
        yield from _sequence_losses(cast("Sequence[object]", before), after, path)
    elif isinstance(before, AbstractSet):
        yield from _set_losses(cast("AbstractSet[object]", before), after, path)
    elif reason := _leaf_loss(before, after):
        yield Problem(path, reason)


def find_unwritable(
    value: object, why_unwritable: Callable[[object], str | None], path: str = "", parents: tuple[object, ...] = ()
) -> Iterator[Problem]:
    """Find the parts of a value that no encoder takes.

    Args:
        value: What could not be encoded as a whole.
        why_unwritable: Gives the reason for a part that holds no others, None if it can be encoded.
        path: Where the value is.
        parents: The containers around it, outermost first.
    """
    children = _children(value, path)
    if children is None:
        if isinstance(value, float) and not isfinite(value):
            yield Problem(path, not_finite(value))
        elif reason := why_unwritable(value):
            yield Problem(path, reason)
    elif any(value is parent for parent in parents):
        yield Problem(path, "it contains itself; JSON has no references")
    else:
        for at, child in children:
            yield from find_unwritable(child, why_unwritable, at, (*parents, value))


def not_finite(value: float) -> str:
    """Say why a number that is none cannot be recorded."""
    return f"{float(value)} is not JSON; use None or a string for it"


def _record_losses(before: object, fields: dict[str, object], after: object, path: str) -> Iterator[Problem]:
    kept = _fields(after)
    if kept is None or not isinstance(before, type(after)):
        yield Problem(path, _turned_into(before, after))
        return
    if lost := [name for name in fields if name not in kept]:
        declared = type(after).__name__
        reason = f"{kind_of(before)} has more fields than the declared {declared}, which would lose {', '.join(lost)}"
        yield Problem(path, f"{reason}; declare the type that is returned")
    for name, value in fields.items():
        if name in kept:
            yield from find_losses(value, kept[name], _field_path(before, path, name))


def _mapping_losses(before: Mapping[object, object], after: object, path: str) -> Iterator[Problem]:
    if not isinstance(after, Mapping):
        yield Problem(path, _turned_into(before, after))
        return
    kept = {_at_offset(key): value for key, value in cast("Mapping[object, object]", after).items()}
    for key, value in ((_at_offset(key), value) for key, value in before.items()):
        if key in kept:
            yield from find_losses(value, kept[key], _key_path(path, key))
        elif isinstance(key, str):
            yield Problem(path, f"the key {key!r} does not come back")
        else:
            reason = f"the key {key!r} is {kind_of(key)}; keys are strings in JSON"
            yield Problem(path, f"{reason}, so declare the type of the keys or use strings")


def _sequence_losses(before: Sequence[object], after: object, path: str) -> Iterator[Problem]:
    if not isinstance(after, (list, tuple, deque)):
        yield Problem(path, _turned_into(before, after))
        return
    kept = cast("Sequence[object]", after)
    if len(before) != len(kept):
        yield Problem(path, f"{len(before)} items come back as {len(kept)}")
        return
    for index, (item, back) in enumerate(zip(before, kept, strict=True)):
        yield from find_losses(item, back, child_path(path, index))


def _set_losses(before: AbstractSet[object], after: object, path: str) -> Iterator[Problem]:
    if not isinstance(after, AbstractSet):
        yield Problem(path, _turned_into(before, after))
        return
    kept = {_at_offset(item) for item in cast("AbstractSet[object]", after)}
    if len(before) != len(kept):
        yield Problem(path, f"{len(before)} items come back as {len(kept)}")
    for item in before:
        if _at_offset(item) not in kept and _has_equality(item):
            yield Problem(path, f"the item {_short(item)} does not come back")


def _leaf_loss(before: object, after: object) -> str | None:
    """Say how a value that holds no others came back, None if it is still the same."""
    if before is after or _at_offset(before) == _at_offset(after):
        return None
    if isinstance(before, float) and not isfinite(before):
        both_nan = isinstance(after, float) and before != before and after != after  # noqa: PLR0124  (nan)
        return None if both_nan else not_finite(before)
    if not isinstance(before, type(after)):
        return _turned_into(before, after)
    if isinstance(before, time) and before.replace(tzinfo=None) == after:
        return f"a time of day loses its zone {before.tzinfo}; use a datetime, or keep the name of the zone beside it"
    return f"{_short(before)} comes back as {_short(after)}" if _has_equality(before) else None


def _at_offset(value: object) -> object:
    """Give a time of a zone by its offset: a time in the hour that clocks go through twice equals none elsewhere.

    A time of day has no offset in a zone that has summers. It equals the time without zone that it is written as.
    """
    if isinstance(value, datetime) and (offset := value.utcoffset()) is not None:
        return value.replace(tzinfo=timezone(offset), fold=0)
    if isinstance(value, time) and value.tzinfo is not None and value.utcoffset() is None:
        return value.replace(tzinfo=None), value.tzinfo
    return value


def _turned_into(before: object, after: object) -> str:
    return f"{kind_of(before)} comes back as {kind_of(after)}; annotate the type so that it is converted back"


def _has_equality(value: object) -> bool:
    return isinstance(value, Enum) or type(value).__eq__ is not object.__eq__  # a member is equal to itself alone


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004  (enough to recognise it)


def _children(value: object, path: str) -> list[tuple[str, object]] | None:
    """Give the parts of a value with their paths, None if it holds no others."""
    if (fields := _fields(value)) is not None:
        return [(_field_path(value, path, name), child) for name, child in fields.items()]
    if isinstance(value, Mapping):
        return [(_key_path(path, key), item) for key, item in cast("Mapping[object, object]", value).items()]
    if isinstance(value, (list, tuple, deque)):
        return [(child_path(path, at), item) for at, item in enumerate(cast("Sequence[object]", value))]
    if isinstance(value, AbstractSet):
        return [(path, item) for item in cast("AbstractSet[object]", value)]
    return None


def _fields(value: object) -> dict[str, object] | None:
    """Give the fields of a model or dataclass that must come back, None for anything else."""
    kind: type[object] = type(value)
    infos: Mapping[str, Any] | None = getattr(kind, "__pydantic_fields__", None)
    if infos is not None:
        kept = [name for name, info in infos.items() if not info.exclude and not getattr(info, "exclude_if", None)]
        extra: Mapping[str, object] | None = getattr(value, "__pydantic_extra__", None)
        return {name: getattr(value, name) for name in kept if hasattr(value, name)} | dict(extra or {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.compare]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    return None


def _field_path(record: object, path: str, name: str) -> str:
    """Extend a path by a field; the only field of a root model is the model."""
    return path if getattr(type(record), "__pydantic_root_model__", False) else child_path(path, name)


def _key_path(path: str, key: object) -> str:
    return child_path(path, key if isinstance(key, str) else str(key))
