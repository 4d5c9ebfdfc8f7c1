"""What the engine knows of a Python function that a graph refers to."""

from __future__ import annotations

import functools
import hashlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any, cast

from outlast.errors import StepSignatureError
from outlast.graph.context import ReadContext, StepContext
from outlast.graph.schema import JSON, Schema
from outlast.graph.state import StateType
from outlast.immutable import immutable

__all__ = ["Function", "inspect_hook", "inspect_map", "inspect_step", "wait_function"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@immutable(kw_only=True)
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
    resume: Schema[Any] = JSON
    """Declared type of what it can be resumed with."""
    suspend: Schema[Any] = JSON
    """Declared type of what it tells when it suspends."""
    state: StateType | None = None
    """Declared type of the part of the state that it uses; None for the workflow's."""
    request_context: Schema[Any] | None = None
    """Declared type of what it needs of the request context; None for nothing."""
    reads_recorded: bool = False
    """Whether it wants its input as it is recorded, with what is sealed in it: maps of sources open it themselves."""

    @property
    def is_sensitive(self) -> bool:
        """Whether a type that it declares has sensitive parts."""
        types = (self.input, self.output, self.resume, self.suspend, self.request_context)
        is_state = self.state is not None and self.state.schema.is_sensitive
        return is_state or any(each is not None and each.is_sensitive for each in types)

    @property
    def code(self) -> str:
        """Qualified name and a hash of the byte code, to tell that a function changed; never to decide."""
        named = self.call if hasattr(self.call, "__qualname__") else type(self.call)
        name = f"{named.__module__}:{named.__qualname__}"
        code = getattr(self.call, "__code__", None)
        if not isinstance(code, CodeType):
            return name
        digest = hashlib.blake2b(b"\0".join(_parts_of(code)), digest_size=6).hexdigest()
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
            context_keyword = parameter.name if parameter.kind is not parameter.POSITIONAL_ONLY else ""
        elif parameter.kind in _POSITIONAL and not takes_input:
            if context_keyword is not None:
                message = (
                    f"step '{name}' has its context before its input; "
                    f"swap them: {name}({parameter.name}, context: StepContext)"
                )
                raise StepSignatureError(message)
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


def inspect_map(function: Callable[..., Any], *, frame_depth: int) -> Function:
    """Read the signature of a function of one `ReadContext`. What its input is, is known when it has its place.

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
        input=JSON,
        output=Schema.of(hints.get("return", inspect.Parameter.empty)),
    )


def inspect_hook(function: Callable[..., Any], name: str) -> Function:
    """Read the signature of a lifecycle hook: a function of one value, whose answer nobody looks at.

    Raises:
        StepSignatureError: It does not take exactly one argument, or is a generator.
    """
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        message = f"{name} is a generator, which would do nothing when it is called; write a function"
        raise StepSignatureError(message)
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        message = f"{name} cannot be called with one value: {error}. Write `def {_name_of(function)}(value): ...`"
        raise StepSignatureError(message) from error
    return Function(
        call=function, is_async=_is_async(function), takes_input=False, context_keyword="", input=JSON, output=JSON
    )


def wait_function(resume: Schema[Any]) -> Function:
    """Return what stands for a wait in the registry: it is never called, but declares what it is resumed with."""
    return Function(
        call=_never, is_async=False, takes_input=False, context_keyword=None, input=JSON, output=resume, resume=resume
    )


def _never() -> None:
    message = "a wait has no body"
    raise TypeError(message)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _hints_of(function: Callable[..., Any], name: str, frame_depth: int) -> Mapping[str, object]:
    """Resolve the annotations, also those that name types of the function in which the step is defined."""
    target = function
    while isinstance(target, functools.partial):
        target = target.func
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = type(target).__call__
    here = {"StepContext": StepContext, "ReadContext": ReadContext}
    try:
        return typing.get_type_hints(target, localns=here, include_extras=True)
    except NameError:
        names = {**_names_at(frame_depth + 1), **here}
        try:
            return typing.get_type_hints(target, localns=names, include_extras=True)
        except NameError as error:
            message = (
                f"'{name}' has an annotation that cannot be resolved: {error}. "
                f"Define or import that type before the function, and not under TYPE_CHECKING"
            )
            raise StepSignatureError(message) from error


def _names_at(depth: int) -> Mapping[str, object]:
    """Return the local names of a caller: the types that are defined in the function in which the step is."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame.f_back if frame is not None else None
    return frame.f_locals if frame is not None else {}


def _parts_of(code: CodeType) -> Iterator[bytes]:
    """Give what makes a function what it is, the same in each process: no addresses, no order of sets."""
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts_of(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, cast("frozenset[object]", constant)))).encode()
        else:
            yield repr(constant).encode()
