"""Reducers: how what several steps set in one field of the state comes together (rule 8.2).

They are named, never functions: a run goes on in another process, perhaps of another version, and has to merge there
as it would have here.
"""

from __future__ import annotations

import collections
import functools
import inspect
import types
import typing
from collections import abc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast, get_args, get_origin

from outlast.errors import DefinitionError
from outlast.graph.annotation import name_of
from outlast.graph.patch import PatchVerb

__all__ = [
    "Add",
    "Append",
    "Extend",
    "Max",
    "MergeDict",
    "Min",
    "Reducer",
    "Union",
    "bare_type",
    "is_nullable",
    "is_typed_dict",
    "marks_beside",
    "patch_type",
    "reducer_of",
]


@dataclass(frozen=True, slots=True)
class Reducer:
    """Marks a field of the state: `log: Annotated[list[str], Append]`. Use the constants, there are no others."""

    name: str
    """How authors write it."""
    verb: PatchVerb
    """What becomes of a value that is set."""

    def __repr__(self) -> str:
        """Show it as authors write it."""
        return self.name


Append: Final = Reducer("Append", PatchVerb.APPEND)
"""`set_state({"log": "x"})` puts one item at the end of the list."""
Extend: Final = Reducer("Extend", PatchVerb.EXTEND)
"""`set_state({"log": ["x", "y"]})` puts several items at the end of the list."""
Add: Final = Reducer("Add", PatchVerb.ADD)
"""`set_state({"count": 1})` adds to the number; sums stop at the largest float."""
Max: Final = Reducer("Max", PatchVerb.MAX)
"""`set_state({"peak": 7})` keeps the greater number."""
Min: Final = Reducer("Min", PatchVerb.MIN)
"""`set_state({"best": 7})` keeps the lesser number."""
Union: Final = Reducer("Union", PatchVerb.UNION)
"""`set_state({"tags": {"x"}})` puts in what the set or list has not yet."""
MergeDict: Final = Reducer("MergeDict", PatchVerb.MERGE_DICT)
"""`set_state({"totals": {"a": 1}})` sets these keys and keeps the others."""

_LISTS: Final[tuple[object, ...]] = (list, collections.deque, abc.Sequence, abc.MutableSequence)
_SETS: Final[tuple[object, ...]] = (set, frozenset, abc.Set, abc.MutableSet)
_DICTS: Final[tuple[object, ...]] = (dict, abc.Mapping, abc.MutableMapping)
_ADVICE: Final[Mapping[PatchVerb, str]] = {
    PatchVerb.APPEND: "a list; for a set use Union",
    PatchVerb.EXTEND: "a list; for a set use Union",
    PatchVerb.ADD: "an int or a float",
    PatchVerb.MAX: "an int or a float",
    PatchVerb.MIN: "an int or a float",
    PatchVerb.UNION: "a set or a list",
    PatchVerb.MERGE_DICT: "a dict or a TypedDict",
}
_NAMES: Final = "Append, Extend, Add, Max, Min, Union, MergeDict"


def reducer_of(annotation: object, metadata: Iterable[object], owner: str) -> Reducer | None:
    """Return the reducer that a field declares, None if setting it replaces it.

    Args:
        annotation: The field's type.
        metadata: What was written beside the type, as far as it is not in the annotation any more.
        owner: What the field is, as `field 'log' of Draft`.

    Raises:
        DefinitionError: A function instead of a name, several, one in the wrong place or for another type.
    """
    beside = [*metadata, *marks_beside(annotation)]
    for mark in beside:
        if _is_function(mark):
            what = getattr(mark, "__name__", None) or repr(mark)
            raise DefinitionError(f"{owner} has the function {what} as its reducer; reducers are data, one of {_NAMES}")
    found = [mark for mark in beside if isinstance(mark, Reducer)]
    if any(isinstance(mark, Reducer) for mark in _inner_metadata(annotation)):
        raise DefinitionError(f"{owner} has a reducer inside its type; put it around: Annotated[<the whole type>, ...]")
    if len(found) > 1:
        raise DefinitionError(f"{owner} has {len(found)} reducers ({', '.join(map(repr, found))}); keep one")
    if found and not _fits(found[0].verb, bare_type(annotation)):
        raise DefinitionError(
            f"{owner} is declared {name_of(annotation)}, but {found[0]!r} needs {_ADVICE[found[0].verb]}"
        )
    return found[0] if found else None


def patch_type(reducer: Reducer, annotation: object) -> object:
    """Return the type of the values that a field with a reducer is set to, without the bounds of the whole.

    The bounds of a list or a sum cannot be checked where one item or summand is known: they hold for the initial state
    and show when a step reads the field.
    """
    bare = bare_type(annotation)
    if reducer.verb is not PatchVerb.APPEND:
        return bare
    arguments = get_args(bare)
    return arguments[0] if arguments else Any


def bare_type(annotation: object) -> object:
    """Return what is declared without `Annotated`, aliases, and null as an alternative."""
    outer = _unwrapped(annotation)
    if not _is_union(outer):
        return outer
    members = [member for member in get_args(outer) if member is not types.NoneType]
    return bare_type(members[0]) if len(members) == 1 else typing.Union[tuple(members)]  # noqa: UP007 - not a literal


def is_nullable(annotation: object) -> bool:
    """Whether null is one of the declared alternatives."""
    outer = _unwrapped(annotation)
    return _is_union(outer) and types.NoneType in get_args(outer)


def is_typed_dict(annotation: object) -> bool:
    """Whether it is a TypedDict, from `typing` or `typing_extensions`."""
    return isinstance(annotation, type) and dict in annotation.__mro__ and hasattr(annotation, "__total__")


def _fits(verb: PatchVerb, bare: object) -> bool:
    kind = get_origin(bare) or bare
    match verb:
        case PatchVerb.APPEND | PatchVerb.EXTEND:
            return _is_list(kind, bare)
        case PatchVerb.UNION:
            return _is_list(kind, bare) or kind in _SETS
        case PatchVerb.MERGE_DICT:
            return kind in _DICTS or is_typed_dict(kind)
        case _:
            members = [_unwrapped(member) for member in get_args(bare)] if _is_union(bare) else [bare]
            return all(member is int or member is float for member in members)


def _is_list(kind: object, bare: object) -> bool:
    return any(kind is each for each in _LISTS) or (kind is tuple and get_args(bare)[-1:] == (Ellipsis,))


def _is_function(mark: object) -> bool:
    return inspect.isroutine(mark) or isinstance(mark, functools.partial)


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (typing.Union, types.UnionType)


def _unwrapped(annotation: object) -> object:
    return functools.reduce(lambda _, layer: layer[1], _layers(annotation), annotation)


def marks_beside(annotation: object) -> Iterator[object]:
    """Give what stands beside a type in `Annotated`."""
    for metadata, _ in _layers(annotation):
        yield from metadata


def _layers(annotation: object) -> Iterator[tuple[tuple[object, ...], object]]:
    """Take off `Annotated`, `Required`, `NotRequired`, aliases and NewTypes: what stood beside, and what is left."""
    while True:
        metadata: tuple[object, ...] = ()
        if get_origin(annotation) is Annotated:
            metadata, annotation = cast("Any", annotation).__metadata__, get_args(annotation)[0]
        elif get_origin(annotation) in (typing.Required, typing.NotRequired):
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = cast("Any", annotation).__supertype__
        elif hasattr(annotation, "__value__"):
            annotation = cast("Any", annotation).__value__
        else:
            return
        yield metadata, annotation


def _inner_metadata(annotation: object) -> Iterator[object]:
    """Give what stands beside types inside a type, as in `list[Annotated[int, ...]]`."""
    for argument in get_args(_unwrapped(annotation)):
        yield from marks_beside(argument)
        yield from _inner_metadata(argument)
