"""Calling user code: recorded JSON in; recorded JSON, a wish or a failure out. The same for every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeAlias, assert_never, cast

from outlast.engines.unawaited import why_unawaited
from outlast.errors import (
    DefinitionError,
    InputError,
    OutputError,
    PayloadTooLargeError,
    Problem,
    SealError,
    StreamWriteError,
)
from outlast.failures import FailureInfo, describe_exception, type_name
from outlast.graph.context import StepContext
from outlast.graph.function import Function
from outlast.graph.patch import Patch
from outlast.graph.schema import JSON, Schema
from outlast.graph.signals import AbortCall, BailCall, SuspendCall
from outlast.immutable import immutable
from outlast.sealing import Disclosure, Sealer, disclose, disclosing
from outlast.values import LARGEST_VALUE, InvalidValueError, encode

__all__ = [
    "DEFAULT_PAYLOAD_LIMIT",
    "Aborted",
    "Answered",
    "Bailed",
    "Call",
    "Outcome",
    "Raised",
    "Returned",
    "Suspended",
    "check_size",
    "check_value",
    "decode_init",
    "is_done",
    "perform_async",
    "perform_sync",
    "took_too_long",
]

DEFAULT_PAYLOAD_LIMIT = LARGEST_VALUE
"""How large one recorded value may be, in bytes of JSON (rule 9.7)."""

_LONGEST_LABEL = 200
_TIMEOUT_BASES = ("StepTimeoutError", *map(type_name, TimeoutError.__mro__[:-1]))
"""What an `except` with the type of a retry rule would have caught it as."""


@immutable
class Returned:
    """The function returned, and what it returned can be recorded."""

    payload: bytes
    """The value as JSON."""
    patch: Patch = ()
    """What it changed in the state."""


@immutable
class Answered:
    """A condition, duration or concurrency function returned something that can be used."""

    value: int
    """Its answer as a number."""


@immutable
class Raised:
    """The function raised, or its input or output does not fit."""

    failure: FailureInfo
    """What is kept of it."""


@immutable
class Suspended:
    """The body asked to be resumed later."""

    payload: bytes
    """What it tells those who ask, as JSON."""
    label: str | None
    """A name by which it can be resumed."""
    timeout: timedelta | None
    """How long it waits; None for ever."""
    patch: Patch
    """What it changed in the state."""


@immutable
class Bailed:
    """The body ended its workflow or block early."""

    payload: bytes
    """With this value, as JSON."""
    patch: Patch
    """What it changed in the state."""


@immutable
class Aborted:
    """The body canceled the run."""


Outcome: TypeAlias = Returned | Answered | Raised | Suspended | Bailed | Aborted
"""What became of a call."""


@immutable
class Call:
    """All that a call of user code takes."""

    function: Function
    """What is called."""
    raw: bytes
    """Its input as JSON."""
    subject: str
    """What it is, in words: `step 'fetch'`."""
    request_context: bytes
    """What the caller told all steps, as JSON."""
    make_context: Callable[[object], object] | None
    """Makes the context for the decoded input; None if the function takes none."""
    convert: Callable[[object], int] | None = None
    """For functions that steer the run: reads the answer; raises `ValueError` if it cannot be used."""
    limit: int = DEFAULT_PAYLOAD_LIMIT
    """How large a value that is to be recorded may be, in bytes of JSON."""
    disclosure: Disclosure | None = None
    """Opens what is sealed, for this call; None if the workflow has no sensitive types. It is called in a context of
    its own, where it stays disclosed."""
    refusal: PayloadTooLargeError | None = None
    """Why it fails without being called: its input is too large to be put together, and is not in `raw`."""


def check_size(raw: bytes, subject: str, limit: int = DEFAULT_PAYLOAD_LIMIT) -> None:
    """Refuse a value that is larger than what may be recorded.

    Raises:
        PayloadTooLargeError: It is.
    """
    if len(raw) > limit:
        raise PayloadTooLargeError(subject, len(raw), limit)


_NOTHING: Final = b"null"


def decode_init(schema: Schema[Any], raw: bytes) -> object:
    """Return the input of a workflow as its declared type; None if it fits no null and nobody gave any.

    A run that never ran may begin in the middle (rule 12.3): then nobody gave an input.

    Raises:
        InvalidValueError: It was given, and does not fit the type that is declared now.
    """
    try:
        return schema.decode(raw)
    except InvalidValueError:
        if raw == _NOTHING:
            return None
        raise


def check_value(
    raw: bytes, subject: str, decode: Callable[[bytes], object], sealer: Sealer | None = None
) -> FailureInfo | None:
    """Return why a recorded value does not fit a declared type, or None if it does."""
    disclosure = None if sealer is None else Disclosure(sealer)
    try:
        if disclosure is None:
            decode(raw)
        else:
            with disclosing(disclosure):
                decode(disclosure.open(raw))
    except InvalidValueError as error:
        hide = None if disclosure is None else disclosure.hide
        return describe_exception(InputError(subject, error.problems), is_retryable=False, hide=hide)
    except SealError as error:
        return describe_exception(error)
    return None


def is_done(answer: object) -> bool:
    """Say that a function has done its work, whatever it returned.

    Raises:
        TypeError: It returned something to await, so its work is not done.
    """
    if reason := why_unawaited(answer):
        raise TypeError(reason)
    return True


def took_too_long(path: str, timeout_ms: int | None) -> FailureInfo:
    """Return the failure of an attempt that was given up after its timeout; retry rules know it as `TimeoutError`."""
    limit = timedelta(milliseconds=timeout_ms or 0)
    return FailureInfo(
        type="StepTimeoutError",
        message=f"'{path}' took longer than its timeout of {limit}",
        bases=_TIMEOUT_BASES,
    )


async def perform_async(call: Call, watch: Callable[[StepContext], None]) -> Outcome:
    """Call an async function on the running loop.

    A `CancelledError` that the function raises by itself is its failure; one that comes from outside goes through.

    Args:
        call: What to call.
        watch: Told the context of a step before its body begins.
    """
    context: object = None
    task = asyncio.current_task()
    try:
        context, arguments, keywords = _arguments(call)
        if isinstance(context, StepContext):
            watch(context)
        returned = await call.function.call(*arguments, **keywords)
        return _signaled(call, context) or _returned(call, context, returned)
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling():
            raise
        return _caught(call, context, error)
    except GeneratorExit as error:
        if not _is_current(task):  # nobody runs this task any more: the interpreter clears it away
            raise
        return _caught(call, context, error)
    except KeyboardInterrupt:  # of the interpreter, not of the author
        raise
    except BaseException as error:  # noqa: BLE001 - user code; a task group wraps the signals of `suspend` and `bail`
        return _caught(call, context, error)


def _is_current(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop is running
        return False


def perform_sync(call: Call, watch: Callable[[StepContext], None] | None = None) -> Outcome:
    """Call a sync function in this thread.

    Args:
        call: What to call.
        watch: Told the context of a step before its body begins.
    """
    context: object = None
    try:
        context, arguments, keywords = _arguments(call)
        if watch is not None and isinstance(context, StepContext):
            watch(context)
        returned = call.function.call(*arguments, **keywords)
        return _signaled(call, context) or _returned(call, context, returned)
    except KeyboardInterrupt:  # of the interpreter, not of the author
        raise
    except BaseException as error:  # noqa: BLE001 - user code: whatever it raises is its outcome
        return _caught(call, context, error)


def _arguments(call: Call) -> tuple[object, list[object], dict[str, object]]:
    function, raw, request_context = call.function, call.raw, call.request_context
    if call.refusal is not None:
        raise call.refusal
    if call.disclosure is not None:
        disclose(call.disclosure)
        request_context = call.disclosure.open(request_context)
        raw = raw if function.reads_recorded else call.disclosure.open(raw)
    if function.request_context is not None:
        try:
            function.request_context.decode(request_context)
        except InvalidValueError as error:
            raise InputError(f"request context of {call.subject}", error.problems) from None
    try:
        value = function.input.decode(raw)
    except InvalidValueError as error:
        raise InputError(f"input of {call.subject}", error.problems) from None
    arguments: list[object] = [value] if function.takes_input else []
    if function.context_keyword is None or call.make_context is None:
        return None, arguments, {}
    context = call.make_context(value)
    if function.context_keyword == "":
        return context, [*arguments, context], {}
    return context, arguments, {function.context_keyword: context}


def _returned(call: Call, context: object, value: object) -> Outcome:
    if call.convert is not None:
        return Answered(call.convert(value))
    patch = _patch_of(call, context) if isinstance(context, StepContext) else ()
    return Returned(_encode(call, call.function.output, value, "output"), patch)


def _caught(call: Call, context: object, error: BaseException) -> Outcome:
    """Say what became of a body that raised: what it asked for before counts, not what it raised then."""
    try:
        signaled = _signaled(call, context)
    except KeyboardInterrupt:  # of the interpreter, not of the author
        raise
    except BaseException as refused:  # noqa: BLE001 - user code encodes values; a run must learn of whatever it raises
        return Raised(_failure(call, refused))
    return signaled or Raised(_failure(call, error))


def _signaled(call: Call, context: object) -> Outcome | None:
    if not isinstance(context, StepContext) or context.signal is None:
        return None
    signal = context.signal
    match signal:
        case SuspendCall(payload=payload, label=label, timeout=timeout):
            raw = _encode(call, call.function.suspend, payload, "suspend payload")
            return Suspended(raw, _checked_label(label, call), timeout, _patch_of(call, context))
        case BailCall(value=value):
            raw = _encode(call, _schema_of(value, call.function.output), value, "bail value")
            return Bailed(raw, _patch_of(call, context))
        case AbortCall():
            return Aborted()
        case _:
            assert_never(signal)


def _patch_of(call: Call, context: StepContext) -> Patch:
    """Return what a body set in the state, which is recorded with its outcome and bounded as that is (rule 9.7)."""
    patch = context.patch
    if patch:
        size = len(encode([operation.value for operation in patch]))
        if size > call.limit:
            raise PayloadTooLargeError(f"patch of the state by {call.subject}", size, call.limit)
    return patch


def _checked_label(label: object, call: Call) -> str | None:
    subject = call.subject
    if label is None:
        return None
    if not isinstance(label, str) or not label or len(label) > _LONGEST_LABEL or not label.isprintable():
        reason = f"needs 1 to {_LONGEST_LABEL} printable characters, not {repr(label)[:60]}"
        raise OutputError(f"label of {subject}", (Problem("", reason),))
    if call.disclosure is not None and call.disclosure.hide(label) != label:
        raise OutputError(f"label of {subject}", (Problem("", "it holds a sensitive value, and labels are in clear"),))
    return label


def _schema_of(value: object, declared: Schema[Any]) -> Schema[Any]:
    """Return what writes a value that ends its workflow early: the declared type if it fits, else the type it has."""
    if _fits(declared, value):
        return declared
    try:
        return Schema.of(type(value))
    except DefinitionError:
        return JSON  # which refuses it, with the reason


def _fits(schema: Schema[Any], value: object) -> bool:
    try:
        schema.encode(value)
    except InvalidValueError:
        return False
    return True


def _encode(call: Call, schema: Schema[Any], value: object, what: str) -> bytes:
    subject = f"{what} of {call.subject}"
    try:
        raw = schema.encode(value)
        if call.disclosure is not None and not schema.is_sensitive and not call.function.reads_recorded:
            raw = call.disclosure.admit(raw)
    except InvalidValueError as error:
        reason = why_unawaited(value)
        raise OutputError(subject, error.problems if reason is None else (Problem("", reason),)) from None
    if len(raw) > call.limit:
        raise PayloadTooLargeError(subject, len(raw), call.limit)
    return raw


def _failure(call: Call, error: BaseException) -> FailureInfo:
    hide = None if call.disclosure is None else call.disclosure.hide
    kind = type(error)  # asked of the class: an author's exception may have broken attributes
    if issubclass(kind, InvalidValueError):
        problems = cast("InvalidValueError", error).problems
        return describe_exception(InputError("the value given to the context", problems), hide=hide)
    is_retryable = False if issubclass(kind, InputError | StreamWriteError) else None
    return describe_exception(error, is_retryable=is_retryable, hide=hide)
