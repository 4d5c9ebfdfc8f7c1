"""What is told of a run while this process drives it: its spans and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from outlast.core.commands import Command
from outlast.core.events import Event, RunStarted
from outlast.core.span import Span
from outlast.core.spans import ReadValue, SpanFold
from outlast.core.state import RunState
from outlast.engines.local.tally import Tally
from outlast.engines.metrics import Meter
from outlast.engines.telemetry import Tracer
from outlast.trace import TraceContext

__all__ = ["MakeTrail", "Trail", "trails"]

MakeTrail: TypeAlias = "Callable[[RunState], Trail]"
"""Makes what follows a run, given its state."""


def trails(tracer: Tracer | None, meter: Meter | None) -> MakeTrail | None:
    """Return what makes the trails of runs; None if nobody is told of anything."""
    return None if tracer is None and meter is None else partial(Trail, tracer, meter)


class Trail:
    """Follows the facts of a run, and tells of each span and number once the fact that ends it is durable.

    What this process recorded it tells, once; what it reads from the journal was told by whoever recorded that.
    """

    def __init__(self, tracer: Tracer | None, meter: Meter | None, state: RunState) -> None:
        self._tracer = tracer
        self._tally = None if meter is None else Tally(meter, state)
        self._fold: SpanFold | None = None
        self._ended: list[tuple[int, Span]] = []

    @property
    def is_sampled(self) -> bool:
        """Whether the spans of the run are exported, as far as this process knows."""
        return self._tracer is None or self._fold is not None

    def begin(self, run_id: str, event: RunStarted, state: RunState, *, read: ReadValue) -> None:
        """Take the start of the run, before the state folds it."""
        if self._tracer is not None and self._tracer.is_sampled(run_id, state.graph.workflow_id, event.tracing):
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
        if is_ours and self._tally is not None:
            self._tally.note(seq, event)

    def became_durable(self, seq: int) -> None:
        """Tell what ended with events up to this one."""
        if self._ended and self._tracer is not None:
            durable = [span for at, span in self._ended if at <= seq]
            self._ended = [each for each in self._ended if each[0] > seq]
            self._tracer.export(durable)
        if self._tally is not None:
            self._tally.became_durable(seq)

    def enter(self, place: TraceContext) -> None:
        """Make a span of the run the current one of the running `contextvars` context."""
        if self._tracer is not None:
            self._tracer.enter(place)
