"""One list of options for all forms of a verb: `start` and `stream` take what `start_async` names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, cast

__all__ = ["Options", "parameters_of"]

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")

Options: TypeAlias = Any
"""What a method hands over to the one that names and checks it."""


def parameters_of(
    verb: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[Concatenate[S, ...], R]], Callable[Concatenate[S, P], R]]:
    """Give a method, which takes `**options`, the parameters of another one, which names them.

    Type checkers, editors and `help()` show them with their types and defaults. An async method hands its options over
    to what names them, and that refuses one that it does not know. A plain method does its work later, as a stream
    does: so it is refused here, when it is called.
    """
    signature = inspect.signature(verb)

    def decorate(method: Callable[Concatenate[S, ...], R]) -> Callable[Concatenate[S, P], R]:
        form: Any = method if inspect.iscoroutinefunction(method) else _strict(method, signature)
        form.__signature__ = signature.replace(return_annotation=form.__annotations__["return"])
        return cast("Callable[Concatenate[S, P], R]", form)

    return decorate


def _strict(method: Callable[..., R], signature: inspect.Signature) -> Callable[..., R]:
    @wraps(method)
    def call(*args: object, **options: object) -> R:
        try:
            signature.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{method.__qualname__}() {error}") from None
        return method(*args, **options)

    return call
