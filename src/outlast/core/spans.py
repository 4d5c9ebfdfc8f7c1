"""The spans of a run, as a fold of its journal beside that of its state.

A span begins and ends with recorded facts, so it is the same in every process that folds them: its ids, its times and
what stands around it. It is told by the fold of the fact that ends it; the process that records that fact exports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from outlast.core.advance import apply, decide
from outlast.core.codec import decode_event
from outlast.core.commands import Command, Evaluate
from outlast.core.events import (
    Event,
    RunFinished,
    RunRewound,
    RunStarted,
    SleepStarted,
    StepCanceled,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
)
from outlast.core.frames import Frame, LeafFrame, PauseFrame
from outlast.core.record import Record
from outlast.core.ref import Ref, Resolver
from outlast.core.span import Span, SpanKind, describe_frame, kind_of, name_of
from outlast.core.state import RunState
from outlast.failures import FailureInfo
from outlast.graph.nodes import Graph
from outlast.sealing import masked, masked_value
from outlast.trace import UNTRACED, TraceContext, Tracing, attempt_trace, derive_span_id, run_trace
from outlast.values import JsonValue

__all__ = ["ReadValue", "SpanFold", "ended_spans"]

_Outcome: TypeAlias = StepSucceeded | StepFailed | StepSuspended | StepCanceled

ReadValue: TypeAlias = Callable[[Ref], bytes | None]
"""Returns a recorded value as JSON; None if it is not at hand."""

_LONGEST_VALUE = 8_192
"""How many bytes of an input or output a span shows."""


@dataclass(slots=True, eq=False)
class _Node:
    """A live frame, and what of it is still to be told."""

    frame: Frame
    parent: _Node | None
    span_id: str
    started_at_ms: int | None = None
    """When its span began; None while it has none."""
    called_at_ms: int | None = None
    """When the attempt in flight began."""
    call: tuple[int, int] = (0, 0)
    """The attempt, and how many suspensions came before it."""
    is_recovered: bool = False
    suspended_at_ms: int | None = None
    suspensions: int = 0
    """How many of its suspensions have begun."""


class SpanFold:
    """Folds each fact after the state did, and returns the spans that it ended."""

    def __init__(self, run_id: str, state: RunState, *, read: ReadValue) -> None:
        self._run_id = run_id
        self._state = state
        self._read = read
        self._nodes: dict[str, _Node] = {}
        self.tracing = UNTRACED
        """What the caller asked of the trace."""
        self._context: Mapping[str, JsonValue] = {}
        self._execution = 0

    def fold(self, event: Event, commands: Sequence[Command]) -> list[Span]:
        """Take an event that the state has folded, and the commands that this issued, and return what ended."""
        ended: list[Span] = []
        match event:
            case RunStarted():
                self.tracing, self._context = event.tracing, event.request_context
                self._begin(event.at_ms, 0)
            case RunRewound():
                if event.execution > self._execution:  # a fork opens its first execution with this event
                    ended += self._end_all(event.at_ms, "superseded", None)
                self._context = {**self._context, **event.request_context}
                self._begin(event.at_ms, event.execution)
            case RunFinished():
                return list(self._end_all(event.at_ms, event.status.value, event.failure))
            case StepResumed() if event.request_context:
                self._context = {**self._context, **event.request_context}
            case _:
                pass
        path = getattr(event, "path", "").partition("?")[0]
        node = self._nodes.get(path) if path else None
        if node is not None:
            ended += self._note(node, event)
        for command in commands:
            self._meet(command, event.at_ms)
        if node is not None:
            ended += self._end_upwards(node, event.at_ms)
        for abandoned in self._state.abandoned:
            if abandoned in self._nodes:
                ended += self._end(self._nodes[abandoned], event.at_ms, "canceled", None)
        return ended

    def _begin(self, at_ms: int, execution: int) -> None:
        self._execution = execution
        if self._state.root is not None:
            span_id = derive_span_id(self._run_id, execution, "run", "", 0)
            self._nodes = {"": _Node(self._state.root, None, span_id, at_ms)}

    def _meet(self, command: Command, at_ms: int) -> None:
        """Get to know the node of a command, and the blocks around it."""
        frame = self._state.frames.get(command.node_path if isinstance(command, Evaluate) else command.path)
        if frame is not None and frame.path not in self._nodes:
            self._ensure(frame, at_ms)

    def _ensure(self, frame: Frame, at_ms: int) -> _Node:
        node = self._nodes.get(frame.path)
        if node is None:
            parent = None if frame.parent is None else self._ensure(frame.parent, at_ms)
            kind = kind_of(frame)
            span_id = derive_span_id(self._run_id, self._execution, kind or "", frame.path, 0)
            node = self._nodes[frame.path] = _Node(frame, parent, span_id)
            if not isinstance(frame, LeafFrame | PauseFrame):
                node.started_at_ms = at_ms  # of a step it is recorded when it begins, after it got a free slot
        return node

    def _note(self, node: _Node, event: Event) -> Iterator[Span]:
        """Note what an event says of a step or pause, and yield the attempt or suspension that it ends."""
        match event:
            case StepStarted() if kind_of(node.frame) is not None:
                if node.started_at_ms is None:
                    node.started_at_ms = event.at_ms
                if node.called_at_ms is None:
                    node.called_at_ms = event.at_ms
                    node.call = (event.attempt, node.suspensions)
                node.is_recovered = event.is_recovered
            case SleepStarted():
                node.started_at_ms = event.at_ms
            case StepSucceeded() | StepFailed() | StepSuspended() | StepCanceled():
                yield from self._end_attempt(node, event)
                if isinstance(event, StepSuspended):
                    node.suspended_at_ms = event.at_ms
                    node.suspensions += 1
            case StepResumed():
                yield from self._end_suspension(node, event.at_ms, "resumed")
            case SuspensionTimedOut():
                yield from self._end_suspension(node, event.at_ms, "timed_out")
            case _:
                pass

    def _end_upwards(self, node: _Node, at_ms: int) -> Iterator[Span]:
        """End the node if its frame has, and the blocks around it that ended because of that."""
        following = node
        while following.parent is not None:  # the run ends with a fact of its own
            frame = following.frame
            if self._state.frames.get(frame.path) is frame:
                return
            status = "canceled" if frame.output is None else "bailed" if frame.is_bail else "success"
            failure = None if frame.cause is None else frame.cause.failure
            yield from self._end(following, at_ms, status if failure is None else "failed", failure)
            following = following.parent

    def _end_all(self, at_ms: int, status: str, failure: FailureInfo | None) -> Iterator[Span]:
        """End the run, and before that all that is alive in it."""
        for node in reversed(self._nodes.copy().values()):
            is_run = node.parent is None
            yield from self._end(node, at_ms, status if is_run else "canceled", failure if is_run else None)

    def _end(self, node: _Node, at_ms: int, status: str, failure: FailureInfo | None) -> Iterator[Span]:
        frame = node.frame
        self._nodes.pop(frame.path, None)
        yield from self._end_attempt(node, StepCanceled(at_ms, frame.path, node.call[0]))
        yield from self._end_suspension(node, at_ms, "canceled")
        kind = kind_of(frame)
        if kind is None or node.started_at_ms is None:
            return
        attributes = describe_frame(frame)
        if kind is SpanKind.RUN:
            attributes["tags"] = list(self.tracing.tags)
        if kind in (SpanKind.RUN, SpanKind.STEP):
            attributes |= self._values_of(frame)
        if kind is SpanKind.STEP and isinstance(frame, LeafFrame):
            attributes["attempts"] = node.call[0] + 1
        if kind is SpanKind.SLEEP:
            attributes["duration_ms"] = at_ms - node.started_at_ms
        yield self._span(node, kind, node.started_at_ms, at_ms, status, attributes, failure)

    def _end_attempt(self, node: _Node, event: _Outcome) -> Iterator[Span]:
        if node.called_at_ms is None:
            return
        at_ms, node.called_at_ms = node.called_at_ms, None
        failure, status = None, "canceled"
        match event:
            case StepSucceeded():
                status = "bailed" if event.is_bail else "success"
            case StepFailed():
                failure, status = event.failure, "failed"
            case StepSuspended():
                status = "suspended"
            case StepCanceled():
                pass
        attributes: dict[str, JsonValue] = {"attempt": node.call[0], "recovered": node.is_recovered}
        place = attempt_trace(self._run_place(), self._run_id, self._execution, node.frame.path, call=node.call)
        yield self._span(node, SpanKind.ATTEMPT, at_ms, event.at_ms, status, attributes, failure, span_id=place.span_id)

    def _end_suspension(self, node: _Node, at_ms: int, status: str) -> Iterator[Span]:
        if node.suspended_at_ms is None:
            return
        since, node.suspended_at_ms = node.suspended_at_ms, None
        path, number = node.frame.path, node.suspensions - 1
        span_id = derive_span_id(self._run_id, self._execution, "suspension", path, number)
        yield self._span(node, SpanKind.SUSPENSION, since, at_ms, status, {"suspension": number}, None, span_id=span_id)

    def _span(
        self,
        node: _Node,
        kind: SpanKind,
        started_at_ms: int,
        ended_at_ms: int,
        status: str,
        attributes: dict[str, JsonValue],
        failure: FailureInfo | None,
        *,
        span_id: str | None = None,
    ) -> Span:
        frame = node.frame
        run = self._run_place()
        return Span(
            context=TraceContext(trace_id=run.trace_id, span_id=span_id or node.span_id, is_sampled=run.is_sampled),
            parent_id=self._parent_id(node if span_id is not None else node.parent),
            kind=kind,
            name=self._name(node, kind),
            workflow_id=self._state.graph.workflow_id,
            path=frame.path,
            node_id=frame.node.id,
            started_at_ms=started_at_ms,
            ended_at_ms=ended_at_ms,
            status=status,
            attributes={"run_id": self._run_id, "execution": self._execution, **attributes},
            given=self._given() if kind is SpanKind.RUN else {},
            failure=failure,
        )

    def _parent_id(self, around: _Node | None) -> str | None:
        """Return the id of the nearest span around a place; that of the caller if there is none in the run."""
        while around is not None:
            if around.started_at_ms is not None and kind_of(around.frame) is not None:
                return around.span_id
            around = around.parent
        return self.tracing.parent_span_id

    def _name(self, node: _Node, kind: SpanKind) -> str:
        match kind:
            case SpanKind.RUN:
                return self.tracing.root_span_name or name_of(node.frame)
            case SpanKind.ATTEMPT:
                return f"attempt {node.call[0]}"
            case SpanKind.SUSPENSION:
                return f"suspension: '{node.frame.node.id}'"
            case _:
                return name_of(node.frame)

    def _run_place(self) -> TraceContext:
        return run_trace(self._run_id, self._execution, self.tracing)

    def _given(self) -> dict[str, JsonValue]:
        """Return what the caller wants to see on the span of the run."""
        keys = self.tracing.request_context_keys
        found = {key: masked_value(_look_up(self._context, key)) for key in keys}
        return {**{key: value for key, value in found.items() if value is not None}, **self.tracing.metadata}

    def _values_of(self, frame: Frame) -> dict[str, JsonValue]:
        """Return what went in and came out, as far as it is at hand and may be shown."""
        output = self._state.result if frame.parent is None else frame.output
        shown: dict[str, JsonValue] = {}
        for name, ref, is_hidden in (
            ("input", frame.input, self.tracing.hide_input),
            ("output", output, self.tracing.hide_output),
        ):
            raw = None if is_hidden or ref is None else self._read(ref)
            if raw is not None:
                shown[name] = masked(raw)[:_LONGEST_VALUE].decode(errors="ignore")
        return shown


def _look_up(context: Mapping[str, JsonValue], key: str) -> JsonValue:
    """Return what stands at a place of the request context, as `user.id`; None if nothing does."""
    value: JsonValue = dict(context)
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def ended_spans(run_id: str, graph: Graph, records: Sequence[Record], *, after: int) -> tuple[Tracing, Sequence[Span]]:
    """Return what the caller asked of the trace, and the spans that ended after an event of a journal.

    Raises:
        UnknownEventError: A newer version wrote one of the records.
        JournalMismatchError: They do not belong to this graph.
    """
    payloads = {record.seq: record.payload for record in records if record.payload is not None}
    state = RunState(graph)
    fold = SpanFold(run_id, state, read=Resolver(payloads).resolve)
    spans: list[Span] = []
    for record in records:
        event = decode_event(record)
        apply(state, record.seq, event)
        ended = fold.fold(event, decide(state))
        if record.seq > after:
            spans += ended
    return fold.tracing, spans
