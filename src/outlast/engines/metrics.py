"""What an engine counts and measures, and for whom: one table, whatever takes the numbers.

Names and units follow the conventions of OpenTelemetry. Labels are few and bounded by the code of the workflows: ids of
workflows and steps, and statuses; never the id of a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

__all__ = [
    "COMMIT_DURATION",
    "INSTRUMENTS",
    "JOURNAL_BYTES",
    "QUEUE_AGE",
    "QUEUE_DEPTH",
    "RUNS_ENDED",
    "RUNS_REOPENED",
    "RUNS_STARTED",
    "SCHEDULE_LAG",
    "STEP_DURATION",
    "TAKEOVERS",
    "WORKER_RUNS",
    "WORKER_STEPS",
    "WORKER_STEPS_WAITING",
    "Instrument",
    "InstrumentKind",
    "Meter",
    "Observation",
    "without_positions",
]


class InstrumentKind(StrEnum):
    """How the values of an instrument belong together."""

    COUNTER = "counter"
    """They are added up."""
    HISTOGRAM = "histogram"
    """How many there were of which size."""
    GAUGE = "gauge"
    """The latest one counts; it is read when somebody looks."""


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """Something that is counted or measured. Each is one object: it is looked up with every number."""

    name: str
    """Its name, as `outlast.runs.started`."""
    kind: InstrumentKind
    """How its values belong together."""
    unit: str
    """Its unit as UCUM writes it: `s`, `By`, or what is counted in braces."""
    description: str
    """What it tells, in one sentence."""
    labels: tuple[str, ...] = ()
    """The attributes of its values."""
    buckets: tuple[float, ...] = ()
    """Of a histogram: the upper bounds of its buckets."""


class Observation(NamedTuple):
    """What a gauge shows."""

    instrument: Instrument
    """The gauge."""
    value: float
    """Its value now."""
    labels: tuple[str, ...] = ()
    """One for each label of the instrument."""


_SHORT: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

_WORKFLOW: Final = "outlast.workflow.id"
_STEP: Final = "outlast.step.path"
_STATUS: Final = "outlast.status"

RUNS_STARTED: Final = Instrument(
    "outlast.runs.started",
    InstrumentKind.COUNTER,
    "{run}",
    "Runs that were started, whoever drives them.",
    (_WORKFLOW,),
)
RUNS_REOPENED: Final = Instrument(
    "outlast.runs.reopened",
    InstrumentKind.COUNTER,
    "{run}",
    "Further executions of runs, after a restart or a time travel.",
    (_WORKFLOW,),
)
RUNS_ENDED: Final = Instrument(
    "outlast.runs.ended",
    InstrumentKind.COUNTER,
    "{run}",
    "Executions of runs that ended, by how: success, failed or canceled.",
    (_WORKFLOW, _STATUS),
)
STEP_DURATION: Final = Instrument(
    "outlast.step.duration",
    InstrumentKind.HISTOGRAM,
    "s",
    "How long attempts of steps took, by how they ended: success, bailed, failed, suspended or canceled.",
    (_WORKFLOW, _STEP, _STATUS),
    _LONG,
)
QUEUE_DEPTH: Final = Instrument(
    "outlast.queue.depth",
    InstrumentKind.GAUGE,
    "{run}",
    "Runs that could go on now and wait for a worker or for their limits.",
    (_WORKFLOW,),
)
QUEUE_AGE: Final = Instrument(
    "outlast.queue.age",
    InstrumentKind.GAUGE,
    "s",
    "How long the first of these runs has waited; 0 if there is none.",
    (_WORKFLOW,),
)
TAKEOVERS: Final = Instrument(
    "outlast.takeovers",
    InstrumentKind.COUNTER,
    "{run}",
    "Runs that this process took from workers that died or lost their lease.",
)
COMMIT_DURATION: Final = Instrument(
    "outlast.commit.duration",
    InstrumentKind.HISTOGRAM,
    "s",
    "How long starts and outcomes waited until they were durable.",
    (),
    _SHORT,
)
JOURNAL_BYTES: Final = Instrument(
    "outlast.journal.bytes",
    InstrumentKind.COUNTER,
    "By",
    "Size of what was written to journals: the fields of events and their values.",
)
SCHEDULE_LAG: Final = Instrument(
    "outlast.schedule.lag",
    InstrumentKind.HISTOGRAM,
    "s",
    "How long after its time a schedule started a run.",
    (_WORKFLOW,),
    _LONG,
)
WORKER_RUNS: Final = Instrument(
    "outlast.worker.runs", InstrumentKind.GAUGE, "{run}", "Runs that this process drives now."
)
WORKER_STEPS: Final = Instrument(
    "outlast.worker.steps", InstrumentKind.GAUGE, "{step}", "Steps that run now in this process."
)
WORKER_STEPS_WAITING: Final = Instrument(
    "outlast.worker.steps.waiting",
    InstrumentKind.GAUGE,
    "{step}",
    "Steps that wait in this process for one of its places.",
)

INSTRUMENTS: Final = (
    RUNS_STARTED,
    RUNS_REOPENED,
    RUNS_ENDED,
    STEP_DURATION,
    QUEUE_DEPTH,
    QUEUE_AGE,
    TAKEOVERS,
    COMMIT_DURATION,
    JOURNAL_BYTES,
    SCHEDULE_LAG,
    WORKER_RUNS,
    WORKER_STEPS,
    WORKER_STEPS_WAITING,
)
"""All there are."""


_POSITION: Final = re.compile(r"\[\d+\]|#\d+")


def without_positions(path: str) -> str:
    """Return the path of a step as a label: items of a foreach and passes of a loop are left out."""
    return _POSITION.sub("", path) if "[" in path or "#" in path else path


class Meter(Protocol):
    """Takes numbers. It is called on the event loop, must not block it, and never raises."""

    def add(self, instrument: Instrument, amount: int, *labels: str) -> None:
        """Add to a counter.

        Args:
            instrument: The counter.
            amount: How much; not negative.
            labels: One for each label of the instrument.
        """
        ...

    def record(self, instrument: Instrument, value: float, *labels: str) -> None:
        """Put a value into a histogram; the rest as for `add`."""
        ...

    def observe(self, read: Callable[[], Iterable[Observation]]) -> Callable[[], None]:
        """Ask for the values of gauges whenever somebody looks, on any thread; what is returned ends that."""
        ...
