"""Immutable values: dataclasses that are cheap to define, since an import defines hundreds, and cheap to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ["frozen", "immutable", "new_dict", "new_list", "new_set"]

T = TypeVar("T")

# Defaults of fields. `dict[str, int]` would be a factory too, at four times the price: what it makes is asked to
# remember the alias, which it cannot, and an error is worded that nobody sees.
new_dict: Callable[[], dict[Any, Any]] = dict
new_list: Callable[[], list[Any]] = list
new_set: Callable[[], set[Any]] = set


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: type[T]) -> type[T]: ...


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...


def immutable(cls: type[T] | None = None, *, kw_only: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a dataclass that type checkers treat as frozen, for what stays inside.

    A dataclass that is frozen at run time sets each field through `object.__setattr__`, which makes it three times as
    dear to create; one step creates a dozen of these. Both type checkers refuse to assign to a field, and they are run
    on every change.
    """

    def make(cls: type[T]) -> type[T]:
        return _with_comparison(dataclass(slots=True, kw_only=kw_only, eq=False, repr=False)(cls))

    return make if cls is None else make(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a dataclass whose fields are given by name and cannot be set again, for what users hold."""
    return _with_comparison(dataclass(slots=True, kw_only=True, frozen=True, eq=False, repr=False)(cls))


def _with_comparison(cls: type[T]) -> type[T]:
    """Give a dataclass the equality, hash and representation that `dataclass` would compile for each class anew."""
    shown = tuple(each.name for each in fields(cls) if each.repr)  # type: ignore[arg-type] # it is a dataclass now
    values = _getter([each.name for each in fields(cls) if each.compare])  # type: ignore[arg-type] # as above

    def __eq__(self: object, other: object) -> bool:  # noqa: N807 - a method of the class
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: object) -> int:  # noqa: N807 - as above
        return hash(values(self))

    def __repr__(self: object) -> str:  # noqa: N807 - as above
        return f"{cls.__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in shown])})"

    for method in (__eq__, __hash__, __repr__):
        if method.__name__ not in vars(cls):
            setattr(cls, method.__name__, method)
    return cls


def _getter(names: list[str]) -> Callable[[object], object]:
    match names:
        case []:
            return lambda _: ()
        case [name]:  # alone it would return the value itself, which need not equal itself
            return lambda value: (getattr(value, name),)
        case _:
            return attrgetter(*names)
