"""Calling user code: recorded JSON in, recorded JSON or a failure out. The same for every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from outlast.errors import InputError, OutputError, PayloadTooLargeError
from outlast.failures import FailureInfo, describe_exception
from outlast.graph.context import ReadContext
from outlast.graph.function import Function
from outlast.values import InvalidValueError

__all__ = ["DEFAULT_PAYLOAD_LIMIT", "Outcome", "Raised", "Returned", "check_value", "perform_async", "perform_sync"]

DEFAULT_PAYLOAD_LIMIT = 4 * 1024 * 1024
"""How large one recorded value may be, in bytes of JSON (rule 9.7)."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The function returned, and what it returned can be recorded."""

    payload: bytes
    """The value as JSON."""


@dataclass(frozen=True, slots=True)
class Raised:
    """The function raised, or its input or output does not fit."""

    failure: FailureInfo
    """What is kept of it."""


Outcome: TypeAlias = Returned | Raised
"""What became of a call."""

MakeContext: TypeAlias = Callable[[object], ReadContext[object]]
"""Makes the context for a decoded input."""


def check_value(raw: bytes, subject: str, decode: Callable[[bytes], object]) -> FailureInfo | None:
    """Return why a recorded value does not fit a declared type, or None if it does."""
    try:
        decode(raw)
    except InvalidValueError as error:
        return describe_exception(InputError(subject, error.problems), is_retryable=False)
    return None


async def perform_async(function: Function, raw: bytes, make_context: MakeContext, subject: str) -> Outcome:
    """Call an async function on the running loop.

    A `CancelledError` that the function raises by itself is its failure; one that comes from outside goes through.
    """
    task = asyncio.current_task()
    try:
        arguments, keywords = _arguments(function, raw, make_context, subject)
        return Returned(_encode(function, await function.call(*arguments, **keywords), subject))
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling():
            raise
        return Raised(describe_exception(error))
    except _USER_ERRORS as error:
        return Raised(_failure(error))


def perform_sync(function: Function, raw: bytes, make_context: MakeContext, subject: str) -> Outcome:
    """Call a sync function in this thread."""
    try:
        arguments, keywords = _arguments(function, raw, make_context, subject)
        return Returned(_encode(function, function.call(*arguments, **keywords), subject))
    except (*_USER_ERRORS, asyncio.CancelledError) as error:
        return Raised(_failure(error))


_USER_ERRORS = (Exception, SystemExit)
"""What user code may raise and becomes a recorded failure: performing it is one of the three places that catch all."""


def _arguments(
    function: Function, raw: bytes, make_context: MakeContext, subject: str
) -> tuple[list[object], dict[str, object]]:
    try:
        value = function.input.decode(raw)
    except InvalidValueError as error:
        raise InputError(f"input of {subject}", error.problems) from None
    arguments: list[object] = [value] if function.takes_input else []
    if function.context_keyword is None:
        return arguments, {}
    if function.context_keyword == "":
        return [*arguments, make_context(value)], {}
    return arguments, {function.context_keyword: make_context(value)}


def _encode(function: Function, value: object, subject: str) -> bytes:
    try:
        raw = function.output.encode(value)
    except InvalidValueError as error:
        raise OutputError(f"output of {subject}", error.problems) from None
    if len(raw) > DEFAULT_PAYLOAD_LIMIT:
        raise PayloadTooLargeError(f"output of {subject}", len(raw), DEFAULT_PAYLOAD_LIMIT)
    return raw


def _failure(error: BaseException) -> FailureInfo:
    return describe_exception(error, is_retryable=False if isinstance(error, InputError) else None)
