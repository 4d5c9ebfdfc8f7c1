"""Traces: which one a run belongs to, and the ids of its spans (rule 15).

All ids follow from what is recorded. So a process that recovers a run, or only reads it, knows them without asking
anybody, nothing is written for a run that was started without options, and a replay cannot make a span twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field
from typing import Final, cast

from outlast.immutable import frozen, immutable, new_dict
from outlast.values import JsonValue

__all__ = ["UNTRACED", "TraceContext", "Tracing", "attempt_trace", "derive_span_id", "run_trace", "tracing_from_json"]


@frozen
class TraceContext:
    """A place in a trace: what an outside service needs to go on with it."""

    trace_id: str
    """Id of the trace: 32 hex digits."""
    span_id: str
    """Id of the span: 16 hex digits."""
    is_sampled: bool = True
    """Whether the spans of this trace are exported."""

    @property
    def traceparent(self) -> str:
        """The value of the header `traceparent` of a request that belongs to this span (W3C Trace Context)."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


@immutable
class Tracing:
    """What the caller of a start asked of its trace; kept with the run as far as it says something."""

    trace_id: str | None = None
    """The trace that the run joins, 32 hex digits; None for one of its own."""
    parent_span_id: str | None = None
    """The span in it under which the run stands, 16 hex digits."""
    metadata: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """More attributes of the run's span."""
    tags: tuple[str, ...] = ()
    """Words on the run's span."""
    root_span_name: str | None = None
    """Name of the run's span."""
    request_context_keys: tuple[str, ...] = ()
    """Places in the request context that become attributes of the run's span, as `user.id`."""
    hide_input: bool = False
    """Whether no span shows what went in."""
    hide_output: bool = False
    """Whether no span shows what came out."""
    is_sampled: bool = True
    """Whether the caller exports its own part of the trace; if not, nor are the spans of the run."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form: what differs from the defaults."""
        fields: dict[str, JsonValue] = {
            "trace_id": self.trace_id,
            "parent_span_id": self.parent_span_id,
            "metadata": dict(self.metadata),
            "tags": list(self.tags),
            "root_span_name": self.root_span_name,
            "request_context_keys": list(self.request_context_keys),
            "hide_input": self.hide_input,
            "hide_output": self.hide_output,
            "unsampled": not self.is_sampled,
        }
        return {name: value for name, value in fields.items() if value}


UNTRACED: Final = Tracing()
"""What a run is started with that nobody said anything about."""


def tracing_from_json(value: JsonValue) -> Tracing:
    """Read the stored form; anything else than an object says nothing."""
    if not isinstance(value, dict):
        return UNTRACED
    metadata = value.get("metadata")
    return Tracing(
        trace_id=cast("str | None", value.get("trace_id")),
        parent_span_id=cast("str | None", value.get("parent_span_id")),
        metadata=metadata if isinstance(metadata, dict) else {},
        tags=_texts(value.get("tags")),
        root_span_name=cast("str | None", value.get("root_span_name")),
        request_context_keys=_texts(value.get("request_context_keys")),
        hide_input=bool(value.get("hide_input")),
        hide_output=bool(value.get("hide_output")),
        is_sampled=not value.get("unsampled"),
    )


def run_trace(run_id: str, execution: int, tracing: Tracing, *, is_sampled: bool = True) -> TraceContext:
    """Return the place of a run in its trace: its own span, of which each execution has one."""
    return TraceContext(
        trace_id=tracing.trace_id or _digest(16, "trace", run_id),
        span_id=derive_span_id(run_id, execution, "run", "", 0),
        is_sampled=is_sampled and tracing.is_sampled,
    )


def attempt_trace(run: TraceContext, run_id: str, execution: int, path: str, *, call: tuple[int, int]) -> TraceContext:
    """Return the place of one call of a body.

    Args:
        run: The place of its run.
        run_id: Id of the run.
        execution: Which execution of the run.
        path: The step.
        call: The attempt, and how often the step was suspended before: a resumed attempt is called once more.
    """
    span_id = derive_span_id(run_id, execution, "attempt", path, *call)
    return TraceContext(trace_id=run.trace_id, span_id=span_id, is_sampled=run.is_sampled)


def derive_span_id(run_id: str, execution: int, kind: str, path: str, *numbers: int) -> str:
    """Return the id of a span: always the same for the same part of a run."""
    return _digest(8, run_id, str(execution), kind, path, *map(str, numbers))


def _digest(size: int, *parts: str) -> str:
    told = b"".join(b"%d:%s" % (len(raw), raw) for raw in (part.encode(errors="surrogatepass") for part in parts))
    return hashlib.blake2b(told, digest_size=size).hexdigest()


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()
