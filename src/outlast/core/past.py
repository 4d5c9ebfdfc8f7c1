"""What a journal remembers of the nodes that it tells of: what a next execution can begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from outlast.core.advance import apply, decide
from outlast.core.codec import decode_event
from outlast.core.commands import Resumption
from outlast.core.events import (
    BlockOpened,
    Evaluated,
    Event,
    RunRewound,
    RunStarted,
    StepResumed,
    StepSucceeded,
    StepSuspended,
)
from outlast.core.frames import Frame, LeafFrame
from outlast.core.record import Record
from outlast.core.ref import Recorded, Ref
from outlast.core.seed import Seed, is_retained
from outlast.core.state import RunState
from outlast.graph.merge import merge
from outlast.graph.nodes import Graph
from outlast.graph.patch import Patch
from outlast.values import JsonValue

__all__ = ["Past", "fold_past"]

T = TypeVar("T")


class Past:
    """The latest execution of a run, with all that earlier ones left to it."""

    def __init__(self, graph: Graph) -> None:
        self.state: RunState = _NotingState(graph, self)
        """The state after the last event."""
        self.outputs: dict[str, Ref] = {}
        """Outputs of the nodes that ended well, by path."""
        self.bailed: dict[str, bool] = {}
        """Those of them that ended with a bail."""
        self.answers: dict[str, int] = {}
        """What conditions and concurrency functions answered."""
        self.inputs: dict[str, Ref] = {}
        """What nodes received instead of the output before them."""
        self.lengths: dict[str, int] = {}
        """How many items each foreach has."""
        self.passes: dict[str, int] = {}
        """How many passes of each loop ended well."""
        self.positions: dict[str, int] = {}
        """With which node the workflows began that this execution entered in the middle."""
        self.resumptions: dict[str, Resumption] = {}
        """Why steps were called last as after a suspension."""
        self.suspend_payloads: dict[str, Ref] = {}
        """What nodes told when they were suspended last."""
        self.base: Mapping[str, JsonValue] = {}
        """The state that somebody set, at the start or with a later execution."""
        self.patches: list[tuple[str, Patch]] = []
        """What changed it since, by path and in order."""

    def state_after(self, seed: Seed) -> Mapping[str, JsonValue]:
        """Return the run's state as only those nodes left it whose results are kept."""
        data = self.base
        for path, patch in self.patches:
            if is_retained(path, seed):
                data = merge(data, patch)
        return data

    def note_end(self, path: str, output: Ref, *, is_bail: bool) -> None:
        """Note that a node ended well."""
        self.outputs[path] = output
        if is_bail:
            self.bailed[path] = True
        loop, separator, number = path.rpartition("#")
        if separator and number.isdigit():
            self.passes[loop] = max(int(number), self.passes.get(loop, 0))

    def note(self, seq: int, event: Event) -> None:
        """Note what an event says beside the ends of nodes; called after it is applied."""
        match event:
            case RunStarted():
                self.base = event.state
            case StepSucceeded(path=path) | StepSuspended(path=path):
                if event.patch:
                    self.patches.append((path, event.patch))
                if isinstance(event, StepSuspended):
                    self.suspend_payloads[path] = Recorded(seq)
            case StepResumed(path=path):
                frame = self.state.frames.get(path)
                if isinstance(frame, LeafFrame) and frame.resumption is not None:
                    self.resumptions[path] = frame.resumption
            case Evaluated(path=path):
                self.answers[path] = event.value
            case BlockOpened(path=path, length=int(length)):
                self.lengths[path] = length
            case RunRewound():
                self._rewind(event)
            case _:
                pass

    def _rewind(self, event: RunRewound) -> None:
        seed = event.seed
        self.outputs = _retained(self.outputs, seed) | dict(seed.kept)
        self.bailed = _retained(self.bailed, seed) | dict.fromkeys(seed.bailed, True)
        self.answers = _retained(self.answers, seed) | dict(seed.answers)
        self.lengths = _retained(self.lengths, seed)
        self.passes = _retained(self.passes, seed) | dict(seed.passes)
        self.positions = dict(seed.positions)
        self.inputs = dict(seed.inputs)
        self.resumptions = dict(seed.resumptions)
        if event.is_state_given:
            self.base, self.patches = event.state, []
        else:
            self.patches = [each for each in self.patches if is_retained(each[0], seed)]


def _retained(noted: Mapping[str, T], seed: Seed) -> dict[str, T]:
    return {path: each for path, each in noted.items() if is_retained(path, seed)}


class _NotingState(RunState):
    """A state that tells how nodes end: the frames themselves are gone by then."""

    __slots__ = ("_past",)

    def __init__(self, graph: Graph, past: Past) -> None:
        super().__init__(graph)
        self._past = past

    def succeed(self, frame: Frame, output: Ref, *, is_bail: bool = False) -> None:
        """Note that a node ended with an output."""
        self._past.note_end(frame.path, output, is_bail=is_bail)
        super().succeed(frame, output, is_bail=is_bail)


def fold_past(graph: Graph, records: Iterable[Record]) -> Past:
    """Return what these records leave to a next execution.

    Raises:
        UnknownEventError: A newer version wrote one of them.
        JournalMismatchError: They do not belong to this graph.
    """
    past = Past(graph)
    for record in records:
        if record.is_fact:
            event = decode_event(record)
            apply(past.state, record.seq, event)
            past.note(record.seq, event)
            decide(past.state)
    return past
