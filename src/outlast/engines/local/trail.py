"""The spans of a run while this process drives it."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.core.commands import Command
from outlast.core.events import Event, RunStarted
from outlast.core.span import Span
from outlast.core.spans import ReadValue, SpanFold
from outlast.core.state import RunState
from outlast.engines.telemetry import Tracer
from outlast.trace import TraceContext

__all__ = ["Trail"]


class Trail:
    """Follows the facts of a run, and exports each span once the fact that ends it is durable.

    What this process recorded it exports, once; what it reads from the journal was exported by whoever recorded that.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._fold: SpanFold | None = None
        self._ended: list[tuple[int, Span]] = []

    @property
    def is_sampled(self) -> bool:
        """Whether the spans of the run are exported."""
        return self._fold is not None

    def begin(self, run_id: str, event: RunStarted, state: RunState, *, read: ReadValue) -> None:
        """Take the start of the run, before the state folds it."""
        if self._tracer.is_sampled(run_id, state.graph.workflow_id, event.tracing):
            self._fold = SpanFold(run_id, state, read=read)

    def note(self, seq: int, event: Event, commands: Sequence[Command], *, is_ours: bool = True) -> None:
        """Take an event that the state has just folded.

        Args:
            seq: Place of the event.
            event: The event.
            commands: What it issued.
            is_ours: Whether this process records it.
        """
        if self._fold is not None:
            ended = self._fold.fold(event, commands)
            if is_ours:
                self._ended += ((seq, span) for span in ended)

    def became_durable(self, seq: int) -> None:
        """Export what ended with events up to this one."""
        if self._ended:
            durable = [span for at, span in self._ended if at <= seq]
            self._ended = [each for each in self._ended if each[0] > seq]
            self._tracer.export(durable)

    def enter(self, place: TraceContext) -> None:
        """Make a span of the run the current one of the running `contextvars` context."""
        self._tracer.enter(place)
