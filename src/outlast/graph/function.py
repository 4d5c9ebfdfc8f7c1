"""What the engine knows of a Python function that a graph refers to."""

from __future__ import annotations

import hashlib
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from outlast.errors import StepSignatureError
from outlast.graph.context import ReadContext, StepContext
from outlast.graph.schema import Schema

__all__ = ["Function", "inspect_map", "inspect_step"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A body or map function and how it wants to be called."""

    call: Callable[..., Any]
    """The author's function."""
    is_async: bool
    """Whether calling it gives a coroutine. Sync bodies run in a thread."""
    takes_input: bool
    """Whether the first positional argument is the input."""
    context_keyword: str | None
    """Name of the parameter that gets the context; None if there is none. Empty: it is the only positional one."""
    input: Schema[Any]
    """Declared type of the input."""
    output: Schema[Any]
    """Declared type of what it returns."""

    @property
    def code(self) -> str:
        """Qualified name and a hash of the byte code, to tell that a function changed; never to decide."""
        name = f"{getattr(self.call, '__module__', '?')}:{getattr(self.call, '__qualname__', repr(type(self.call)))}"
        code = getattr(self.call, "__code__", None)
        if code is None:
            return name
        digest = hashlib.blake2b(code.co_code + repr(code.co_names).encode(), digest_size=6).hexdigest()
        return f"{name}@{digest}"


def inspect_step(function: Callable[..., Any], *, frame_depth: int) -> Function:
    """Read a step's signature: the first parameter is the input, one annotated `StepContext` gets the context.

    Raises:
        StepSignatureError: The function cannot be a step; the message says which parameter is the matter.
        DefinitionError: An annotation is not a type that can be recorded.
    """
    name = _name_of(function)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        message = f"step '{name}' is a generator; a step returns one value. Collect the values into a list"
        raise StepSignatureError(message)
    signature = inspect.signature(function)
    hints = _hints_of(function, name, frame_depth + 1)
    context_keyword: str | None = None
    input_annotation: object = inspect.Parameter.empty
    takes_input = False
    for parameter in signature.parameters.values():
        annotation = hints.get(parameter.name, parameter.annotation)
        if annotation is StepContext and context_keyword is None:
            context_keyword = parameter.name if parameter.kind not in _POSITIONAL[:1] else ""
        elif parameter.kind in _POSITIONAL and not takes_input:
            takes_input, input_annotation = True, annotation
        elif parameter.default is inspect.Parameter.empty and parameter.kind in (*_POSITIONAL, parameter.KEYWORD_ONLY):
            message = (
                f"step '{name}' has a parameter '{parameter.name}' that nobody fills: a step takes one input and, "
                f"annotated StepContext, the context. Put several values into one model or TypedDict"
            )
            raise StepSignatureError(message)
    return Function(
        call=function,
        is_async=_is_async(function),
        takes_input=takes_input,
        context_keyword=context_keyword,
        input=Schema.of(input_annotation),
        output=Schema.of(hints.get("return", inspect.Parameter.empty)),
    )


def inspect_map(function: Callable[..., Any], *, input_schema: Schema[Any], frame_depth: int) -> Function:
    """Read the signature of a function of one `ReadContext`, whose input has the type that comes before it.

    Raises:
        StepSignatureError: It does not take exactly one argument.
        DefinitionError: The annotation of what it returns is not a type that can be recorded.
    """
    name = _name_of(function)
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        message = f"'{name}' cannot be called with one context: {error}. Write `lambda ctx: ...` or `def f(ctx): ...`"
        raise StepSignatureError(message) from error
    hints = _hints_of(function, name, frame_depth + 1)
    return Function(
        call=function,
        is_async=_is_async(function),
        takes_input=False,
        context_keyword="",
        input=input_schema,
        output=Schema.of(hints.get("return", inspect.Parameter.empty)),
    )


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _hints_of(function: Callable[..., Any], name: str, frame_depth: int) -> Mapping[str, object]:
    """Resolve the annotations, also those that name types of the function in which the step is defined."""
    target = function if hasattr(function, "__annotations__") else getattr(function, "__call__", function)  # noqa: B004
    here = {"StepContext": StepContext, "ReadContext": ReadContext}
    try:
        return typing.get_type_hints(target, localns=here, include_extras=True)
    except NameError:
        frame = sys._getframe(frame_depth + 1)  # noqa: SLF001 - the only way to see the names of an enclosing function
        try:
            return typing.get_type_hints(target, localns={**here, **frame.f_locals}, include_extras=True)
        except NameError as error:
            message = (
                f"'{name}' has an annotation that cannot be resolved: {error}. Define that type before the function"
            )
            raise StepSignatureError(message) from error
