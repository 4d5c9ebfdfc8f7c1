"""Steps: typed functions that a workflow is made of (rule 1.1)."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from outlast.errors import DefinitionError
from outlast.graph.context import StepContext
from outlast.graph.function import Function, inspect_step, target_of
from outlast.graph.retry import Retry
from outlast.graph.schema import Schema
from outlast.graph.state import StateType
from outlast.values import InvalidValueError, JsonValue, decode, encode

__all__ = [
    "Step",
    "StepDecorator",
    "StepFunction",
    "check_description",
    "check_id",
    "check_metadata",
    "step",
    "to_milliseconds",
    "to_retry",
]

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

_LONGEST = 1e11
"""No length of time is longer than this many seconds: 3,000 years."""
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def to_retry(retries: object, owner: str) -> Retry | None:
    """Return the author's `retries=` as a policy.

    Raises:
        DefinitionError: It is neither a number nor a policy, or below zero.
    """
    if retries is None or isinstance(retries, Retry):
        return retries
    if isinstance(retries, int) and not isinstance(retries, bool):
        return Retry(limit=retries)
    message = f"{owner} has retries={retries!r}; give how often to try again, or Retry(limit=..., delay=...)"
    raise DefinitionError(message)


class Step(Generic[In_contra, Out_co]):
    """A typed function that a workflow can run: it takes `In` and gives `Out`. Made by `@step`."""

    def __init__(
        self,
        function: Function,
        *,
        id: str,
        description: str,
        retries: Retry | None,
        timeout_ms: int | None,
        metadata: Mapping[str, JsonValue],
    ) -> None:
        self.function = function
        """How the body is called, and its types."""
        self.id = check_id(id, "step")
        """Id under which it stands in graphs and results unless the graph gives another."""
        self.description = check_description(description, f"step '{id}'")
        """The author's words."""
        self.retries = retries
        """When it is tried again; None for the workflow's default."""
        self.timeout_ms = timeout_ms
        """How long one attempt may take, in milliseconds; None for ever."""
        self.metadata = check_metadata(metadata, f"step '{id}'")
        """The author's data, shown with the graph."""

    @property
    def input(self) -> Schema[Any]:
        """Declared type of the input."""
        return self.function.input

    @property
    def output(self) -> Schema[Any]:
        """Declared type of the output."""
        return self.function.output

    def clone(self, *, id: str) -> Step[In_contra, Out_co]:
        """Return the same step under another id (rule 1.6).

        Raises:
            DefinitionError: The id has characters that paths are made of.
        """
        twin = copy.copy(self)
        twin.id = check_id(id, "step")
        return twin

    def __repr__(self) -> str:
        """Show id and types."""
        return f"Step({self.id!r}: {self.input.name} -> {self.output.name})"


class StepFunction(Step[In_contra, Out_co], Generic[In_contra, Out_co, P, R_co]):
    """A step that can still be called as the plain function it was made from."""

    def __init__(self, function: Function, **options: Any) -> None:  # noqa: ANN401 - passed on as they are
        super().__init__(function, **options)
        # Not its attributes: those of a callable object would take the place of the step's own.
        functools.update_wrapper(self, function.call, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, without any engine: nothing is recorded."""
        return cast("R_co", self.function.call(*args, **kwargs))


class StepDecorator:
    """Turns a plain function into a step: `@step` or `@step(retries=3)`.

    The first parameter is the input (none is fine). A parameter annotated `StepContext` gets the context. The types
    come from the annotations: whatever pydantic can validate; no annotation means any JSON value. Async functions run
    on the event loop, sync ones in a thread.

    Options: `id` (default: the function's name), `description`, `retries`, `timeout` of one attempt in seconds (an
    async body is canceled, a thread is left to itself and its late result refused), `resume` and `suspend` (types of
    what a suspended step is resumed with and of what it tells when it suspends), `state` (type of the part of the
    state that it uses), `request_context` (type of what it needs of it; a run without that fails there), `metadata`.

    Raises:
        StepSignatureError: The function cannot be a step; the message names the parameter.
        DefinitionError: An annotation or an option cannot work.
    """

    def __init__(  # noqa: PLR0913 - the decorator's options, each by its name
        self,
        *,
        id: str | None = None,
        description: str | None = None,
        retries: int | Retry | None = None,
        timeout: float | timedelta | None = None,
        resume: object = Any,
        suspend: object = Any,
        state: object = None,
        request_context: object = None,
        metadata: Mapping[str, JsonValue] | None = None,
    ) -> None:
        self._id = id
        self._description = description
        self._retries = to_retry(retries, "step" if id is None else f"step '{id}'")
        self._timeout_ms = to_milliseconds(timeout, "timeout", "step" if id is None else f"step '{id}'")
        self._resume = Schema.of(resume)
        self._suspend = Schema.of(suspend)
        self._state = None if state is None else StateType.of(state)
        self._request_context = None if request_context is None else Schema.of(request_context)
        self._metadata: Mapping[str, JsonValue] = {} if metadata is None else metadata

    # The first one that fits is meant: a coroutine is also something that a sync function may return.
    @overload
    def __call__(
        self, function: Callable[[StepContext], Coroutine[Any, Any, Out]], /
    ) -> StepFunction[object, Out, [StepContext], Coroutine[Any, Any, Out]]: ...
    @overload
    def __call__(
        self, function: Callable[[], Coroutine[Any, Any, Out]], /
    ) -> StepFunction[object, Out, [], Coroutine[Any, Any, Out]]: ...
    @overload
    def __call__(self, function: Callable[[StepContext], Out], /) -> StepFunction[object, Out, [StepContext], Out]: ...
    @overload
    def __call__(self, function: Callable[[], Out], /) -> StepFunction[object, Out, [], Out]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[In, P], Coroutine[Any, Any, Out]], /
    ) -> StepFunction[In, Out, Concatenate[In, P], Coroutine[Any, Any, Out]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[In, P], Out], /
    ) -> StepFunction[In, Out, Concatenate[In, P], Out]: ...
    @overload
    def __call__(
        self,
        /,
        *,
        id: str | None = None,
        description: str | None = None,
        retries: int | Retry | None = None,
        timeout: float | timedelta | None = None,
        resume: object = Any,
        suspend: object = Any,
        state: object = None,
        request_context: object = None,
        metadata: Mapping[str, JsonValue] | None = None,
    ) -> StepDecorator: ...
    def __call__(self, function: object = None, /, **options: Any) -> Any:
        """Make the step, or take options first and the function then."""
        if function is None:
            return StepDecorator(**options)
        if isinstance(function, Step):
            message = f"{function!r} is a step already; use .clone(id=...) for a second one"
            raise DefinitionError(message)
        if not callable(function):
            message = f"@step needs a function, not {function!r}; options are given by name, as @step(retries=3)"
            raise DefinitionError(message)
        target = target_of(function)
        name = str(getattr(target, "__name__", "")) or type(target).__name__
        description = self._description if self._description is not None else inspect.cleandoc(target.__doc__ or "")
        made: StepFunction[Any, Any, ..., Any] = StepFunction(
            replace(
                inspect_step(function, frame_depth=1),
                resume=self._resume,
                suspend=self._suspend,
                state=self._state,
                request_context=self._request_context,
            ),
            id=self._id if self._id is not None else name,
            description=description,
            retries=self._retries,
            timeout_ms=self._timeout_ms,
            metadata=self._metadata,
        )
        return made


def to_milliseconds(value: object, name: str, owner: str) -> int | None:
    """Return a length of time as graph data.

    Raises:
        DefinitionError: It is neither seconds nor a timedelta, or not above zero.
    """
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < _LONGEST:
        message = f"{owner} has {name}={value!r}; give seconds or a timedelta above zero"
        raise DefinitionError(message)
    return max(1, round(seconds * 1000))


def check_id(id: object, kind: str) -> str:
    """Return the id if it can stand in a path.

    Raises:
        DefinitionError: It cannot; the message says which characters can.
    """
    if not isinstance(id, str) or not _ID.fullmatch(id):
        message = (
            f"{kind} id {id!r}: use letters, digits, '_' and '-', beginning with a letter or '_' "
            f"(paths such as child.fetch or each[3] are made of ids); give one with id=..."
        )
        raise DefinitionError(message)
    return id


def check_description(description: object, owner: str) -> str:
    """Return the description if it is a text.

    Raises:
        DefinitionError: It is something else.
    """
    if not isinstance(description, str):
        message = f"description of {owner} must be a text, not {description!r:.60}"
        raise DefinitionError(message)
    return description


def check_metadata(metadata: object, owner: str) -> Mapping[str, JsonValue]:
    """Return a copy of the metadata if it is a JSON object, so that nobody can change it later.

    Raises:
        DefinitionError: It is not; the message names the place.
    """
    if not isinstance(metadata, Mapping):
        message = f"metadata of {owner} must be a JSON object, not {metadata!r}"
        raise DefinitionError(message)
    try:
        return cast("Mapping[str, JsonValue]", decode(encode(dict(cast("Mapping[str, object]", metadata)))))
    except InvalidValueError as error:
        message = f"metadata of {owner} must be JSON: {error}"
        raise DefinitionError(message) from error


step = StepDecorator()
"""The decorator: `@step` or `@step(id=..., description=..., retries=..., metadata=...)`."""
