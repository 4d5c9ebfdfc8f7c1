"""Verbs that are looked for on the wrong object: what is said to who forgot a step on the way to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

__all__ = ["point_elsewhere", "public_names"]


class _Elsewhere:
    """Stands in a class for a verb that its objects lack: whoever reads it is told where it is."""

    __slots__ = ("_name", "_where")

    def __init__(self, name: str, where: str) -> None:
        self._name = name
        self._where = where

    def __get__(self, instance: object, owner: type[object]) -> NoReturn:
        message = f"'{owner.__name__}' object has no attribute '{self._name}': {self._where}"
        raise AttributeError(message, name=self._name, obj=instance)


def point_elsewhere(cls: type[object], names: Iterable[str], where: str) -> None:
    """Let a class answer for names that its objects lack with where they are.

    Not by `__getattr__`: in a class that has one, the interpreter finds every attribute the long way, and a start looks
    at two dozen of them. Nor for type checkers: they are to refuse what is not there.

    Args:
        cls: The class.
        names: What is looked for on its objects; what they have is left alone.
        where: Where it is; `{name}` stands for the name.
    """
    for name in names:
        if not hasattr(cls, name):
            setattr(cls, name, _Elsewhere(name, where.format(name=name)))


def public_names(cls: type[object]) -> list[str]:
    """Return what may be looked for on the objects of a class."""
    return [name for name in dir(cls) if not name.startswith("_")]
