"""What a caller hands over to start a run, checked as a whole before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

from outlast.engines.base import StartRequest
from outlast.engines.perform import DEFAULT_PAYLOAD_LIMIT
from outlast.errors import InputError, PayloadTooLargeError, Problem
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import Schema
from outlast.instant import to_ms
from outlast.values import InvalidValueError, JsonValue, decode

__all__ = ["check_tags", "check_text", "encode_value", "make_request"]

_LONGEST: Final = timedelta(days=365 * 3_000)
_MOST_TAGS: Final = 100
_LONGEST_TEXT: Final = 200


def make_request(  # noqa: PLR0913 - the options of a start, all by name
    workflow: CommittedWorkflow[Any, Any],
    *,
    run_id: str,
    resource_id: str | None,
    input_data: object = None,
    initial_state: object = None,
    request_context: object = None,
    include_state: bool = False,
    tags: Sequence[str] = (),
    delay: timedelta | float | None = None,
    start_at: datetime | None = None,
    start_within: timedelta | float | None = None,
) -> StartRequest:
    """Check everything about a start.

    Raises:
        InputError: Something does not fit; names what, and each path in it.
    """
    is_immediate = delay is None and start_at is None
    delay_ms, start_at_ms = (None, None) if is_immediate else _when(delay, start_at)
    return StartRequest(
        workflow=workflow,
        run_id=run_id,
        resource_id=resource_id,
        request_context=_request_context(workflow, request_context),
        input=encode_value(workflow.input, input_data, "input_data"),
        state=_initial_state(workflow, initial_state),
        include_state=include_state,
        delay_ms=delay_ms,
        start_at_ms=start_at_ms,
        tags=check_tags(tags) if tags else (),
        start_within_ms=None if start_within is None else _start_within_ms(start_within),
    )


def encode_value(schema: Schema[Any], value: object, subject: str) -> bytes:
    """Validate a caller's value and return it as JSON.

    Raises:
        InputError: It does not fit; names each path.
        PayloadTooLargeError: It is larger than the limit.
    """
    try:
        raw = schema.encode(value)
    except InvalidValueError as error:
        raise InputError(subject, error.problems) from None
    if len(raw) > DEFAULT_PAYLOAD_LIMIT:
        raise PayloadTooLargeError(subject, len(raw), DEFAULT_PAYLOAD_LIMIT)
    return raw


def check_text(value: object, name: str) -> None:
    """Refuse an id that is not a usable text.

    Raises:
        InputError: It is not a text, is empty, too long, or holds control characters.
    """
    if not _is_text(value):
        reason = f"needs 1 to {_LONGEST_TEXT} printable characters, not {value!r:.60}"
        raise InputError(name, (Problem("", reason),))


def check_tags(tags: object) -> tuple[str, ...]:
    """Return tags, each once, in the order given.

    Raises:
        InputError: They are not a list of usable texts, or too many.
    """
    if isinstance(tags, str) or not isinstance(tags, Sequence):
        raise InputError("tags", (Problem("", f"a list of texts is needed, as ['urgent'], not {tags!r:.60}"),))
    known = cast("Sequence[object]", tags)
    reason = f"needs 1 to {_LONGEST_TEXT} printable characters"
    if problems := tuple(Problem(f"[{n}]", reason) for n, tag in enumerate(known) if not _is_text(tag)):
        raise InputError("tags", problems)
    once = tuple(dict.fromkeys(cast("Sequence[str]", tags)))
    if len(once) > _MOST_TAGS:
        raise InputError("tags", (Problem("", f"a run has at most {_MOST_TAGS} tags, not {len(once)}"),))
    return once


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and value.isprintable()


def _when(delay: object, start_at: object) -> tuple[int | None, int | None]:
    """Return how long to wait, or until when, in milliseconds."""
    if delay is not None and start_at is not None:
        raise InputError("start_at", (Problem("", "give either delay or start_at, not both"),))
    if delay is None:
        if not isinstance(start_at, datetime) or start_at.tzinfo is None:
            reason = f"a datetime with a time zone is needed, as datetime.now(UTC), not {start_at!r:.60}"
            raise InputError("start_at", (Problem("", reason),))
        return None, to_ms(start_at)
    return _milliseconds(delay, "delay"), None


def _start_within_ms(value: object) -> int:
    milliseconds = _milliseconds(value, "start_within")
    if not milliseconds:
        raise InputError("start_within", (Problem("", "no worker can begin a run within no time; give it some"),))
    return milliseconds


def _milliseconds(value: object, name: str) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    longest = _LONGEST.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= longest:
        reason = f"seconds or a timedelta are needed, at least 0 and below 3,000 years, not {value!r:.60}"
        raise InputError(name, (Problem("", reason),))
    return round(seconds * 1000)


def _initial_state(workflow: CommittedWorkflow[Any, Any], value: object) -> dict[str, JsonValue]:
    if value is None and workflow.state.schema.is_json:
        return {}
    try:
        raw = workflow.state.validate_initial({} if value is None else value)
    except InvalidValueError as error:
        raise InputError("initial_state", error.problems) from None
    if len(raw) > DEFAULT_PAYLOAD_LIMIT:
        raise PayloadTooLargeError("initial_state", len(raw), DEFAULT_PAYLOAD_LIMIT)
    return cast("dict[str, JsonValue]", decode(raw))


def _request_context(workflow: CommittedWorkflow[Any, Any], value: object) -> dict[str, JsonValue]:
    schema = workflow.request_context
    if schema.is_json and not value:
        return {}
    context = decode(encode_value(schema, {} if value is None else value, "request_context"))
    if not isinstance(context, dict):
        raise InputError("request_context", (Problem("", "an object is needed"),))
    return context
