"""Values that are made by the thousand: immutable to the type checker, cheap at run time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["immutable"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: type[T]) -> type[T]:
    """Make a dataclass that type checkers treat as frozen.

    A dataclass that is frozen at run time sets each field through `object.__setattr__`, which makes it three times as
    dear to create; one step creates a dozen of these. Both type checkers refuse to assign to a field, and they are run
    on every change.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
