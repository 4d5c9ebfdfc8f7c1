"""Which trace a run that is started over HTTP belongs to."""

from __future__ import annotations

from dataclasses import replace

from outlast.server.wire.body import TracingBody
from outlast.tracing import TracingOptions, parse_traceparent

__all__ = ["join_trace"]


def join_trace(body: TracingBody | None, header: str | None) -> TracingOptions | None:
    """Return the tracing options of a start. A trace that the body names wins over the `traceparent` of the request."""
    sent = None if header is None else parse_traceparent(header)
    if body is None:
        return sent
    options = TracingOptions(**body.model_dump())
    if sent is None or body.trace_id is not None or body.parent_span_id is not None:
        return options
    return replace(options, trace_id=sent.trace_id, parent_span_id=sent.parent_span_id, is_sampled=sent.is_sampled)
