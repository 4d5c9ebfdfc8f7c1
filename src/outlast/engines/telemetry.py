"""What an engine tells a tracing system, whatever that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from outlast.core.record import Record
from outlast.core.span import Span
from outlast.core.spans import ended_spans
from outlast.graph.nodes import Graph
from outlast.trace import TraceContext, Tracing

__all__ = ["Tracer", "export_ended"]


class Tracer(Protocol):
    """Takes the spans of runs. It is called on the event loop, must not block it, and never raises."""

    def is_sampled(self, run_id: str, workflow_id: str, tracing: Tracing) -> bool:
        """Say whether the spans of a run are exported; the same for a run whenever it is asked."""
        ...

    def export(self, spans: Sequence[Span]) -> None:
        """Take spans whose end is durable; those of runs that are sampled, each once."""
        ...

    def enter(self, place: TraceContext) -> None:
        """Make a span the current one of the running `contextvars` context, so that others begin below it."""
        ...

    def current(self) -> Tracing | None:
        """Return the place of the current span of whoever calls, for a run that is started there; None without one."""
        ...


def export_ended(tracer: Tracer, run_id: str, graph: Graph, records: Sequence[Record], *, after: int) -> None:
    """Export the spans of a run that nobody drives, as far as they ended after an event of its journal.

    Args:
        tracer: Takes the spans.
        run_id: Id of the run.
        graph: The graph that it is on.
        records: All its facts.
        after: `seq` of the last fact that another process recorded.
    """
    tracing, spans = ended_spans(run_id, graph, records, after=after)
    if spans and tracer.is_sampled(run_id, graph.workflow_id, tracing):
        tracer.export(spans)
