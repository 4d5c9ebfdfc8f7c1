"""The numbers of a run while this process drives it."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Final, NamedTuple, TypeAlias

from outlast.core.events import (
    Event,
    RunFinished,
    RunStarted,
    StepCanceled,
    StepFailed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
)
from outlast.core.frames import LeafFrame
from outlast.core.state import RunState
from outlast.engines.metrics import RUNS_ENDED, RUNS_STARTED, STEP_DURATION, Instrument, Meter, without_positions
from outlast.graph.nodes import StepNode

__all__ = ["Tally"]


_Outcome: TypeAlias = StepSucceeded | StepFailed | StepSuspended | StepCanceled
"""The events that end an attempt."""
_ENDS: Final[Mapping[type[_Outcome], str]] = {
    StepSucceeded: "success",
    StepFailed: "failed",
    StepSuspended: "suspended",
    StepCanceled: "canceled",
}
"""How they call it."""


class _Entry(NamedTuple):
    """A number that counts once an event is durable."""

    seq: int
    instrument: Instrument
    value: float
    labels: tuple[str, ...]


class Tally:
    """Follows the facts of a run that this process records, and tells each number once its fact is durable.

    What it reads from the journal was told by whoever recorded it. So nothing is told twice, whatever dies; what a
    process had recorded when it died and not told is told by nobody.
    """

    def __init__(self, meter: Meter, state: RunState) -> None:
        self._meter = meter
        self._state = state
        self._starting: list[tuple[int, str]] = []
        self._begun: dict[str, float] = {}
        self._entries: list[_Entry] = []

    def note(self, seq: int, event: Event) -> None:
        """Take an event that the state has just folded and that this process records."""
        if isinstance(event, _Outcome):
            self._ended(seq, event)
        elif isinstance(event, StepStarted):
            frame = self._state.frames.get(event.path)
            if isinstance(frame, LeafFrame) and isinstance(frame.node, StepNode):
                self._starting.append((seq, event.path))
        elif isinstance(event, RunFinished):
            self._add(seq, RUNS_ENDED, 1, event.status.value)
        elif (
            isinstance(event, RunStarted) and seq > 1
        ):  # it was created before; others are counted as they are inserted
            self._add(seq, RUNS_STARTED, 1)

    def became_durable(self, seq: int) -> None:
        """Tell what counts now; attempts whose start is durable begin."""
        if self._starting:
            now = perf_counter()
            self._begun.update((path, now) for at, path in self._starting if at <= seq)
            self._starting = [each for each in self._starting if each[0] > seq]
        if self._entries:
            for entry in self._entries:
                if entry.seq <= seq:
                    self._tell(entry)
            self._entries = [each for each in self._entries if each.seq > seq]

    def _ended(self, seq: int, event: _Outcome) -> None:
        """Note the end of an attempt; a wait is none. One whose start was not durable yet took no time."""
        path = event.path
        begun = self._begun.pop(path, None)
        if begun is None:
            if all(each != path for _, each in self._starting):
                return
            self._starting = [each for each in self._starting if each[1] != path]
        seconds = 0.0 if begun is None else perf_counter() - begun
        status = "bailed" if isinstance(event, StepSucceeded) and event.is_bail else _ENDS[type(event)]
        self._add(seq, STEP_DURATION, seconds, without_positions(path), status)

    def _add(self, seq: int, instrument: Instrument, value: float, *labels: str) -> None:
        self._entries.append(_Entry(seq, instrument, value, (self._state.graph.workflow_id, *labels)))

    def _tell(self, entry: _Entry) -> None:
        if entry.instrument is STEP_DURATION:
            self._meter.record(entry.instrument, entry.value, *entry.labels)
        else:
            self._meter.add(entry.instrument, int(entry.value), *entry.labels)
