"""Spans as OpenTelemetry takes them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from outlast.core.span import Span
from outlast.failures import FailureInfo
from outlast.trace import TraceContext, Tracing, run_trace
from outlast.values import JsonValue, encode

__all__ = ["OpenTelemetryTracer"]

_log = logging.getLogger("outlast.tracing")

_NS_PER_MS: Final = 1_000_000
_LARGEST: Final = 2**63 - 1
"""The largest whole number that an attribute can hold."""


class _GivenIds(IdGenerator):
    """Ids that were told just before: those of the run and its parts, not random ones."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class OpenTelemetryTracer:
    """Hands spans to the sampler and the processors of a provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._ids = _GivenIds()
        self._tracer = provider.get_tracer("outlast")
        if isinstance(self._tracer, SdkTracer):  # else the SDK is disabled, and what it gives takes nothing
            self._tracer.id_generator = self._ids

    def is_sampled(self, run_id: str, workflow_id: str, tracing: Tracing) -> bool:
        """Ask the sampler of the provider, as for the span of the run, whenever that is known to be needed."""
        if not tracing.is_sampled or not isinstance(self._tracer, SdkTracer):
            return False
        place = run_trace(run_id, 0, tracing)
        around = _context_of(place.trace_id, tracing.parent_span_id)
        name = tracing.root_span_name or f"workflow run: '{workflow_id}'"
        result = self._tracer.sampler.should_sample(around, int(place.trace_id, 16), name, SpanKind.INTERNAL, {}, ())
        return result.decision is not Decision.DROP

    def export(self, spans: Sequence[Span]) -> None:
        """Begin and end each span with its own times and ids; the provider takes it from there."""
        for span in spans:
            try:
                self._export(span)
            except Exception:  # noqa: BLE001 - processors are foreign code: what they do must not end a run
                _log.exception("the span '%s' could not be exported", span.name)

    def _export(self, span: Span) -> None:
        self._ids.trace_id, self._ids.span_id = int(span.context.trace_id, 16), int(span.context.span_id, 16)
        started = self._tracer.start_span(
            span.name,
            context=_context_of(span.context.trace_id, span.parent_id),
            attributes=_attributes(span),
            start_time=span.started_at_ms * _NS_PER_MS,
        )
        ended_at = span.ended_at_ms * _NS_PER_MS
        if span.failure is not None:
            started.add_event("exception", _exception(span.failure), timestamp=ended_at)
            started.set_status(StatusCode.ERROR, f"{span.failure.type}: {span.failure.message}")
        started.end(end_time=ended_at)

    def enter(self, place: TraceContext) -> None:
        """Attach a span that is not recorded here: its own beginning and end are recorded facts."""
        otel_context.attach(set_span_in_context(_remote(place.trace_id, place.span_id, is_sampled=place.is_sampled)))

    def current(self) -> Tracing | None:
        """Return the place of the span that is current in this `contextvars` context."""
        place = get_current_span().get_span_context()
        if not place.is_valid:
            return None
        return Tracing(
            trace_id=format_trace_id(place.trace_id),
            parent_span_id=format_span_id(place.span_id),
            is_sampled=place.trace_flags.sampled,
        )


def _context_of(trace_id: str, parent_id: str | None) -> Context:
    return Context() if parent_id is None else set_span_in_context(_remote(trace_id, parent_id), Context())


def _remote(trace_id: str, span_id: str, *, is_sampled: bool = True) -> NonRecordingSpan:
    flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
    return NonRecordingSpan(SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=flags))


def _attributes(span: Span) -> dict[str, AttributeValue]:
    ours: Mapping[str, JsonValue] = {
        "span_type": span.kind.value,
        "workflow_id": span.workflow_id,
        "path": span.path,
        "node_id": span.node_id,
        "status": span.status,
        **span.attributes,
    }
    named = {**span.given, **{f"outlast.{name}": value for name, value in ours.items()}}
    return {name: _attribute(value) for name, value in named.items() if value not in (None, "", [])}


def _attribute(value: JsonValue) -> AttributeValue:
    """Return a value as attributes can hold it: objects, mixed lists, null and very large numbers as JSON."""
    if isinstance(value, str | bool | float) or (isinstance(value, int) and abs(value) <= _LARGEST):
        return value
    if isinstance(value, list):
        texts = [each for each in value if isinstance(each, str)]
        numbers = [each for each in value if type(each) is int and abs(each) <= _LARGEST]
        if len(texts) == len(value):
            return texts
        if len(numbers) == len(value):
            return numbers
    return encode(value).decode()


def _exception(failure: FailureInfo) -> dict[str, AttributeValue]:
    return {
        "exception.type": failure.type,
        "exception.message": failure.message,
        "exception.stacktrace": failure.traceback,
    }
