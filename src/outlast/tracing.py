"""What a caller may say about the trace of a run, checked before anything is written (rule 15.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Final, cast

from outlast.errors import InputError, Problem
from outlast.graph.schema import JSON
from outlast.immutable import frozen, new_dict
from outlast.trace import UNTRACED, Tracing
from outlast.values import InvalidValueError, JsonValue, decode

__all__ = ["TracingOptions", "check_tracing", "parse_traceparent"]

_MOST_WORDS: Final = 100
_LONGEST_WORD: Final = 200
_MOST_BYTES: Final = 64 * 1024
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


@frozen
class TracingOptions:
    """The trace of a run; kept with it, so that it holds across suspensions, crashes and processes.

    Ids correlate: whether spans are exported is the business of the workers (`Outlast(tracing=...)`).
    """

    trace_id: str | None = None
    """The trace that the run joins: 1 to 32 hex digits, filled up with zeros on the left. None: one of its own, or that
    of the OpenTelemetry span in which it is started."""
    parent_span_id: str | None = None
    """The span in that trace under which the run stands: 1 to 16 hex digits. Needs a `trace_id`."""
    metadata: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """Attributes of the span of the run."""
    tags: Sequence[str] = ()
    """Words on the span of the run."""
    root_span_name: str | None = None
    """Name of the span of the run; None for `workflow run: '<workflow id>'`."""
    request_context_keys: Sequence[str] = ()
    """Places in the request context that become attributes of the span of the run, as `user.id`."""
    hide_input: bool = False
    """Whether no span shows what went in."""
    hide_output: bool = False
    """Whether no span shows what came out."""
    is_sampled: bool = True
    """Whether the caller exports its part of the trace; if not, nor are the spans of the run."""


def check_tracing(given: object) -> Tracing:
    """Return the options as they are kept.

    Raises:
        InputError: One of them cannot be meant; names each.
    """
    if given is None:
        return UNTRACED
    if not isinstance(given, TracingOptions):
        reason = f"TracingOptions(...) is needed, not {given!r:.60}"
        raise InputError("tracing_options", (Problem("", reason),))
    problems = [*_problems(given)]
    if problems:
        raise InputError("tracing_options", tuple(problems))
    return Tracing(
        trace_id=None if given.trace_id is None else given.trace_id.lower().zfill(32),
        parent_span_id=None if given.parent_span_id is None else given.parent_span_id.lower().zfill(16),
        metadata=_checked_metadata(given.metadata),
        tags=tuple(given.tags),
        root_span_name=given.root_span_name,
        request_context_keys=tuple(given.request_context_keys),
        hide_input=given.hide_input,
        hide_output=given.hide_output,
        is_sampled=given.is_sampled,
    )


def parse_traceparent(header: str) -> TracingOptions | None:
    """Return the trace that a request belongs to (W3C Trace Context); None if the header is malformed.

    A malformed one is not the caller's business, says the standard. Versions after 00 may append fields.
    """
    found = _TRACEPARENT.fullmatch(header.strip())
    if found is None or (found["version"] == "00" and found["more"]):
        return None
    if not int(found["trace"], 16) or not int(found["span"], 16):
        return None
    return TracingOptions(
        trace_id=found["trace"], parent_span_id=found["span"], is_sampled=bool(int(found["flags"], 16) & 1)
    )


def _problems(given: TracingOptions) -> list[Problem]:
    problems = [
        *_problems_of_id("trace_id", given.trace_id, 32),
        *_problems_of_id("parent_span_id", given.parent_span_id, 16),
        *_problems_of_words("tags", given.tags),
        *_problems_of_words("request_context_keys", given.request_context_keys),
    ]
    if given.parent_span_id is not None and given.trace_id is None:
        problems.append(Problem("parent_span_id", "a span stands in a trace; give its trace_id, too"))
    if given.root_span_name is not None and not _is_word(given.root_span_name):
        problems.append(Problem("root_span_name", f"needs 1 to {_LONGEST_WORD} printable characters"))
    for name in ("hide_input", "hide_output", "is_sampled"):
        flag: object = getattr(given, name)
        if not isinstance(flag, bool):
            problems.append(Problem(name, f"True or False is needed, not {flag!r:.60}"))
    return problems


def _problems_of_id(name: str, value: object, digits: int) -> list[Problem]:
    if value is None:
        return []
    if isinstance(value, str) and 0 < len(value) <= digits and _HEX.issuperset(value) and value.strip("0"):
        return []
    return [Problem(name, f"needs 1 to {digits} hex digits that are not all zero, not {value!r:.60}")]


def _problems_of_words(name: str, words: object) -> list[Problem]:
    if isinstance(words, str) or not isinstance(words, Sequence):
        return [Problem(name, f"a list of texts is needed, not {words!r:.60}")]
    known = cast("Sequence[object]", words)
    if len(known) > _MOST_WORDS:
        return [Problem(name, f"at most {_MOST_WORDS} are taken, not {len(known)}")]
    reason = f"needs 1 to {_LONGEST_WORD} printable characters"
    return [Problem(f"{name}[{index}]", reason) for index, word in enumerate(known) if not _is_word(word)]


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_WORD and value.isprintable()


def _checked_metadata(metadata: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        raw = JSON.encode(metadata)
    except InvalidValueError as error:
        raise InputError(
            "tracing_options", tuple(Problem(f"metadata.{p.path}", p.reason) for p in error.problems)
        ) from None
    checked = decode(raw)
    if not isinstance(checked, dict):
        raise InputError("tracing_options", (Problem("metadata", "an object is needed"),))
    if len(raw) > _MOST_BYTES:
        reason = f"{len(raw):,} bytes are over the limit of {_MOST_BYTES:,}"
        raise InputError("tracing_options", (Problem("metadata", reason),))
    return checked
