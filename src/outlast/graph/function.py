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
from outlast.graph.reducer import bare_type
from outlast.graph.schema import JSON, Schema
from outlast.graph.state import StateType
from outlast.immutable import immutable

__all__ = ["Function", "inspect_hook", "inspect_map", "inspect_step", "target_of", "wait_function"]

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
        is_named = hasattr(self.call, "__qualname__") and hasattr(self.call, "__module__")
        named = self.call if is_named else type(self.call)
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
    if _is_generator(function):
        message = f"step '{name}' is a generator; a step returns one value. Collect the values into a list"
        raise StepSignatureError(message)
    signature = _signature_of(function, name)
    hints = _hints_of(function, name, frame_depth + 1)
    taken, context_keyword = _parameters_of(signature, hints, name)
    annotation = inspect.Parameter.empty if taken is None else hints.get(taken.name, taken.annotation)
    return Function(
        call=function,
        is_async=_is_async(function),
        takes_input=taken is not None,
        context_keyword=context_keyword,
        input=Schema.of(annotation),
        output=_output_of(hints),
    )


def _output_of(hints: Mapping[str, object]) -> Schema[Any]:
    """Return the type of what a function returns. One that never does, as it always suspends, declares none."""
    annotation = hints.get("return", inspect.Parameter.empty)
    never: tuple[object, ...] = (typing.NoReturn, typing.Never)
    return JSON if any(annotation is each for each in never) else Schema.of(annotation)


def _parameters_of(
    signature: inspect.Signature, hints: Mapping[str, object], name: str
) -> tuple[inspect.Parameter | None, str | None]:
    """Return the parameter that gets the input, and how the context is handed over (see `Function`)."""
    taken: inspect.Parameter | None = None
    context_keyword: str | None = None
    unfilled: str | None = None
    for parameter in signature.parameters.values():
        is_positional = parameter.kind in _POSITIONAL
        if context_keyword is None and _is_context(hints.get(parameter.name, parameter.annotation)):
            if parameter.kind is parameter.POSITIONAL_ONLY and unfilled is not None:
                message = f"step '{name}' has '{unfilled}' before its context, which only its place can fill; swap them"
                raise StepSignatureError(message)
            context_keyword = parameter.name if parameter.kind is not parameter.POSITIONAL_ONLY else ""
        elif is_positional and taken is None:
            if parameter.name == "self" and parameter.kind is not parameter.POSITIONAL_ONLY:
                message = (
                    f"step '{name}' is a method, and nobody has the object that it is called on; "
                    f"write a function, or make a step of the method of an object: step(shop.{name})"
                )
                raise StepSignatureError(message)
            if context_keyword is not None:
                message = (
                    f"step '{name}' has its context before its input; "
                    f"swap them: {name}({parameter.name}, context: StepContext)"
                )
                raise StepSignatureError(message)
            taken = parameter
        elif parameter.kind is parameter.VAR_POSITIONAL and taken is None and context_keyword is None:
            message = (
                f"step '{name}' takes *{parameter.name}, which does not say what it needs; name one parameter. "
                f"A decorator shows the parameters of what it wraps if it uses functools.wraps"
            )
            raise StepSignatureError(message)
        elif parameter.default is parameter.empty and (is_positional or parameter.kind is parameter.KEYWORD_ONLY):
            message = (
                f"step '{name}' has a parameter '{parameter.name}' that nobody fills: a step takes one input and, "
                f"annotated StepContext, the context. Put several values into one model or TypedDict"
            )
            raise StepSignatureError(message)
        elif is_positional:
            unfilled = parameter.name
    return taken, context_keyword


def _is_context(annotation: object) -> bool:
    """Whether a parameter asks for the context, also one that may be None for those who call the plain function."""
    return bare_type(annotation) is StepContext


def inspect_map(function: Callable[..., Any], *, frame_depth: int) -> Function:
    """Read the signature of a function of one `ReadContext`. What its input is, is known when it has its place.

    Raises:
        StepSignatureError: It does not take exactly one argument.
        DefinitionError: The annotation of what it returns is not a type that can be recorded.
    """
    name = _name_of(function)
    if _is_generator(function):
        message = f"'{name}' is a generator, which would do nothing when it is called; return the value"
        raise StepSignatureError(message)
    try:
        _signature_of(function, name).bind(object())
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
        output=_output_of(hints),
    )


def inspect_hook(function: Callable[..., Any], name: str) -> Function:
    """Read the signature of a lifecycle hook: a function of one value, whose answer nobody looks at.

    Raises:
        StepSignatureError: It does not take exactly one argument, or is a generator.
    """
    if _is_generator(function):
        message = f"{name} is a generator, which would do nothing when it is called; write a function"
        raise StepSignatureError(message)
    try:
        _signature_of(function, name).bind(object())
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


def target_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is called in the end: the function in a `functools.partial`, and in a static method."""
    while isinstance(function, functools.partial | staticmethod):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    return function


def _is_async(function: Callable[..., Any]) -> bool:
    target = target_of(function)
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(getattr(target, "__call__", None))  # noqa: B004


def _is_generator(function: Callable[..., Any]) -> bool:
    target = target_of(function)
    called = (target, getattr(target, "__call__", None))  # noqa: B004 - it is looked at and not called
    return any(inspect.isasyncgenfunction(each) or inspect.isgeneratorfunction(each) for each in called)


def _name_of(function: Callable[..., Any]) -> str:
    target = target_of(function)
    return str(getattr(target, "__name__", type(target).__name__))


def _signature_of(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError as error:  # of what is built into Python, some say nothing
        message = f"'{name}' is built into Python and does not say what it takes; call it in a function of your own"
        raise StepSignatureError(message) from error


def _hints_of(function: Callable[..., Any], name: str, frame_depth: int) -> Mapping[str, object]:
    """Resolve the annotations, also those that name types of the function in which the step is defined."""
    target = target_of(function)
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = type(target).__call__
    here = {"StepContext": StepContext, "ReadContext": ReadContext}
    try:
        try:
            return typing.get_type_hints(target, localns=here, include_extras=True)
        except NameError:
            names = {**_names_at(frame_depth + 1), **here}
            return typing.get_type_hints(target, localns=names, include_extras=True)
    except NameError as error:
        message = (
            f"'{name}' has an annotation that cannot be resolved: {error}. "
            f"Define or import that type before the function, and not under TYPE_CHECKING"
        )
        raise StepSignatureError(message) from error
    except Exception as error:  # an annotation is code of the author's
        message = f"'{name}' has an annotation that is no type: {type(error).__name__}: {error}. Write one that is"
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
