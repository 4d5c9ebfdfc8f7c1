"""What is kept of an exception: data, never a pickled object (rule 9.4)."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Mapping
from dataclasses import field
from textwrap import indent
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from outlast.errors import NonRetryableError, OutlastError
from outlast.immutable import frozen, new_dict
from outlast.sealing import hidden
from outlast.values import JsonValue, decode, encode

__all__ = ["FailureInfo", "describe_exception", "failure_from_json", "failure_to_json", "type_name"]

_MAX_CAUSES = 8
_MAX_TEXT = 16_384
_MAX_ATTRIBUTES = 16 * _MAX_TEXT
_MAX_FRAMES = 40
_MAX_GROUPS = 3

T = TypeVar("T")


class _Detailed(Protocol):
    """An exception of pydantic's about a value."""

    def errors(self, *, include_url: bool, include_context: bool, include_input: bool) -> list[dict[str, Any]]: ...


@frozen
class FailureInfo:
    """A recorded failure."""

    type: str
    """Name of the exception's class, as `ValueError`."""
    message: str
    """Its text."""
    traceback: str = ""
    """The traceback as Python prints it, for people; empty for failures that no code raised."""
    attributes: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """What the exception carries that JSON can hold, for programs."""
    cause: FailureInfo | None = None
    """The failure that led to this one."""
    is_retryable: bool = True
    """Whether another attempt may be made."""
    bases: tuple[str, ...] = ()
    """The class and those it inherits from, as retry rules name them; empty for failures that no code raised."""


def describe_exception(
    error: BaseException, *, is_retryable: bool | None = None, hide: Callable[[str], str] | None = None
) -> FailureInfo:
    """Turn an exception with its causes into data.

    Texts are cut at 16 KiB, attributes kept up to 256 KiB in all and the chain of causes cut after 8, so that a failure
    always fits into the journal. An exception may bring code of its own wherever it is asked something: what that fails
    to tell is left out, and the rest is kept.

    Args:
        error: The exception.
        is_retryable: Whether another attempt may be made; by its type if not given.
        hide: Masks what must not be recorded in any text; None for nothing.
    """
    return _describe(error, is_retryable=is_retryable, depth=_MAX_CAUSES, hide=hide)


def _describe(
    error: BaseException, *, is_retryable: bool | None, depth: int, hide: Callable[[str], str] | None
) -> FailureInfo:
    kind = type(error)
    cause = None if depth <= 0 else _told(lambda: _cause_of(error), None)
    if is_retryable is None:
        is_retryable = not issubclass(kind, NonRetryableError)
    return FailureInfo(
        type=_told(lambda: _cut(kind.__name__), "Exception"),
        message=_told(lambda: _cut(_text_of(error, hide)), ""),
        traceback=_told(lambda: _cut(_render(error, hide)), ""),
        attributes=_told(lambda: _attributes(error, hide), {}),
        cause=None if cause is None else _describe(cause, is_retryable=None, depth=depth - 1, hide=hide),
        is_retryable=is_retryable,
        bases=_told(lambda: tuple(type_name(each) for each in kind.__mro__ if issubclass(each, BaseException)), ()),
    )


def _told(ask: Callable[[], T], otherwise: T) -> T:
    """Return what an exception tells of itself, or something else if its own code breaks on the way."""
    try:
        return ask()
    except KeyboardInterrupt:  # of the interpreter, not of the author
        raise
    except BaseException:  # noqa: BLE001 - user code; its failure must not hide that of the run
        return otherwise


def _cause_of(error: BaseException) -> BaseException | None:
    for cause in (error.__cause__, None if error.__suppress_context__ else error.__context__):
        if cause is not None:  # not its truth, which it may not have
            return cause
    return None


def type_name(kind: type[BaseException]) -> str:
    """Return the name under which rules and failures know an exception type.

    Built-in ones by their bare name, others with their module: `ConnectionError` is not
    `requests.exceptions.ConnectionError`. Cut like every text of a failure.
    """
    return _cut(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")


def _render(error: BaseException, hide: Callable[[str], str] | None, *, depth: int = _MAX_GROUPS) -> str:
    """Render the traceback without the marks below the lines: these are found by parsing, which can fail itself."""
    places = list(traceback.walk_tb(_own_frames(error)))
    left_out = len(places) - _MAX_FRAMES
    if left_out > 0:
        places = [*places[: _MAX_FRAMES // 2], *places[-_MAX_FRAMES // 2 :]]
    lines = ["Traceback (most recent call last):"]
    for number, (frame, line_number) in enumerate(places):
        if left_out > 0 and number == _MAX_FRAMES // 2:
            lines.append(f"  ... {left_out} calls left out ...")
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {line_number}, in {code.co_name}')
        source = linecache.getline(code.co_filename, line_number, frame.f_globals).strip()
        if source:
            lines.append(f"    {source}")
    lines.append(f"{type(error).__name__}: {_text_of(error, hide)}")
    if isinstance(error, BaseExceptionGroup) and depth > 0:
        members = cast("BaseExceptionGroup[BaseException]", error).exceptions
        lines += [indent(_render(each, hide, depth=depth - 1), "  | ") for each in members[:_MAX_CAUSES]]
    return "\n".join(lines)


def _own_frames(error: BaseException) -> TracebackType | None:
    """Skip the frames of the engine itself: the reader looks for their own code."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None and _is_ours(frame):
        frame = frame.tb_next
    return frame


def _is_ours(frame: TracebackType) -> bool:
    name = frame.tb_frame.f_globals.get("__name__", "")
    return isinstance(name, str) and name.startswith("outlast.engines.")


def _text_of(error: BaseException, hide: Callable[[str], str] | None) -> str:
    try:
        text = _plain(str(error) if hide is None else hide(_without_inputs(error)))
    except KeyboardInterrupt:  # of the interpreter, not of the author
        raise
    except BaseException as broken:  # noqa: BLE001 - the author's __str__ is user code; its failure must not hide the error
        text = f"<{type(error).__name__} whose __str__ raised {type(broken).__name__}>"
    return text


def _plain(text: str) -> str:
    """Return a text that UTF-8 can hold, without what a subclass of `str` may bring."""
    return str.encode(text, "utf-8", "replace").decode("utf-8")


def _without_inputs(error: BaseException) -> str:
    """Return the text of an exception; that of pydantic quotes inputs, cut in the middle, where nobody finds them."""
    if not (type(error).__module__.startswith("pydantic") and hasattr(error, "errors")):
        return str(error)
    details = cast("_Detailed", error).errors(include_url=False, include_context=False, include_input=False)
    return "\n".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in details)


def _cut(text: str) -> str:
    text = _plain(text)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}... ({len(text) - _MAX_TEXT:,} characters cut)"


def _attributes(error: BaseException, hide: Callable[[str], str] | None) -> dict[str, JsonValue]:
    kept: dict[str, JsonValue] = {}
    if isinstance(error, OutlastError):
        return kept
    room = _MAX_ATTRIBUTES
    for name, value in cast("dict[object, object]", vars(error)).items():  # the author may have put any keys there
        if not isinstance(name, str) or name.startswith("_"):
            continue
        try:
            raw = encode({name: value})
        except Exception:  # noqa: BLE001, S112 - the author's value may bring code of its own, as an `__eq__`
            continue  # an attribute that JSON cannot hold stays visible in the traceback's text, or not at all
        if len(raw) <= min(_MAX_TEXT, room):
            room -= len(raw)
            told = decode(raw)  # a copy: the author's code may go on and change the value
            kept |= cast("dict[str, JsonValue]", told if hide is None else hidden(told, hide))
    return kept


def failure_to_json(failure: FailureInfo) -> dict[str, JsonValue]:
    """Return the failure as a JSON object."""
    return {
        "type": failure.type,
        "message": failure.message,
        "traceback": failure.traceback,
        "attributes": dict(failure.attributes),
        "cause": failure_to_json(failure.cause) if failure.cause is not None else None,
        "is_retryable": failure.is_retryable,
        "bases": list(failure.bases),
    }


def failure_from_json(data: Mapping[str, JsonValue]) -> FailureInfo:
    """Return the failure that `failure_to_json` wrote; unknown keys are ignored, missing ones get their default."""
    cause = data.get("cause")
    attributes, bases = data.get("attributes"), data.get("bases")
    return FailureInfo(
        type=str(data.get("type", "Exception")),
        message=str(data.get("message", "")),
        traceback=str(data.get("traceback", "")),
        attributes=attributes if isinstance(attributes, dict) else {},
        cause=failure_from_json(cause) if isinstance(cause, dict) else None,
        is_retryable=bool(data.get("is_retryable", True)),
        bases=tuple(str(each) for each in bases) if isinstance(bases, list) else (),
    )
