"""The journal as public events (rule 14.1): a fold that tells readers of a stream what each record means to them.

A projection has to see every fact from the beginning, because an outcome is told together with what its step received
and when it began. It keeps what is alive and no more. Chunks before the place where a reader begins may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from outlast.core.advance import apply, decide
from outlast.core.chunk import ChunkWritten, DataEmitted, EntriesRemoved, ProgressMade, StreamEntry, decode_entry
from outlast.core.codec import decode_event
from outlast.core.commands import Evaluate
from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    CancelRequested,
    Evaluated,
    EvaluationFailed,
    Event,
    HookEnded,
    HookStarted,
    RunContinued,
    RunCrashed,
    RunCreated,
    RunFinished,
    RunGivenUp,
    RunPaused,
    RunRewound,
    RunStarted,
    RunTimedOut,
    SleepStarted,
    StartTimedOut,
    StepCanceled,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.frames import ForeachFrame, Frame, GroupFrame, LeafFrame, LoopFrame, ScopeFrame
from outlast.core.public import PublicEvent, public_seq
from outlast.core.record import Record
from outlast.core.ref import Recorded, Ref
from outlast.core.state import RunState
from outlast.core.status import RunStatus, StepStatus
from outlast.failures import failure_to_json
from outlast.graph.nodes import Graph
from outlast.immutable import new_dict
from outlast.values import JsonValue

__all__ = ["Projection"]

_PASS: Final = re.compile(r"#(\d+)")


@dataclass(slots=True, kw_only=True)
class _Call:
    """What is told of a live node again and again."""

    seq: int
    """Record of its latest start."""
    started_at_ms: int
    attempt: int = 0
    resumed_at_ms: int | None = None


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A public event without its number."""

    type: str
    fields: dict[str, JsonValue] = field(default_factory=new_dict)
    values: dict[str, Ref] = field(default_factory=new_dict)
    is_by_user: bool = False


class Projection:
    """Reads the journal of one run, record by record, in order."""

    def __init__(self, graph: Graph) -> None:
        self._state = RunState(graph)
        self._calls: dict[str, _Call] = {}
        self._cancel_reason: str | None = None

    def read(self, record: Record) -> list[PublicEvent]:
        """Return what readers are told about a record; often nothing.

        Raises:
            UnknownEventError: A newer version of Outlast wrote it.
            JournalMismatchError: It does not belong to this graph.
        """
        drafts = self._fold(record) if record.is_fact else [self._entry(record.seq, decode_entry(record))]
        return [
            PublicEvent(
                public_seq(record.seq, index),
                record.at_ms,
                record.execution,
                draft.type,
                draft.is_by_user,
                draft.fields,
                draft.values,
            )
            for index, draft in enumerate(drafts)
        ]

    def _fold(self, record: Record) -> list[_Draft]:
        event, state = decode_event(record), self._state
        frame = self._frame_of(event)
        was_at_rest = state.status().is_rest
        apply(state, record.seq, event)
        decide(state)
        is_leaving = was_at_rest and isinstance(event, StepResumed | SuspensionTimedOut | RunContinued)
        drafts = [self._start()] if is_leaving or isinstance(event, RunStarted | RunRewound) else []
        drafts += self._told(record.seq, event, frame)
        status = state.status()
        if status.is_rest and not status.is_terminal and (is_leaving or not was_at_rest):
            drafts += _at_rest(status)
        for path in state.abandoned:
            self._calls.pop(path, None)
        return drafts

    def _frame_of(self, event: Event) -> Frame | None:
        """Return the node that an event is about; asked before it is applied, as its frame may end with it."""
        path: str = getattr(event, "path", "")
        if isinstance(event, EvaluationFailed):
            command = self._state.open.get(path)
            path = command.node_path if isinstance(command, Evaluate) else ""
        return self._state.frames.get(path) if path else None

    def _told(self, seq: int, event: Event, frame: Frame | None) -> list[_Draft]:
        match event:
            case StepStarted() | SleepStarted() | BlockOpened():
                return self._begin(seq, event, frame)
            case StepSucceeded() | BlockSucceeded() | BlockFailed() | TimerFired() | EvaluationFailed():
                return self._end(seq, event, frame)
            case StepFailed():
                return self._end(seq, event, frame) or self._retry(event)
            case StepSuspended():
                return self._suspend(seq, event, frame)
            case StepResumed() | SuspensionTimedOut():
                if isinstance(event, StepResumed) and event.path in self._calls:
                    self._calls[event.path].resumed_at_ms = event.at_ms
                return self._end(seq, event, frame)
            case StepCanceled():
                return self._result(event.path, event.at_ms, StepStatus.CANCELED, frame)
            case CancelRequested(reason=reason):
                self._cancel_reason = reason
                return []
            case (
                RunCreated()
                | RunStarted()
                | StartTimedOut()
                | Evaluated()
                | RunTimedOut()
                | RunCrashed()
                | HookStarted()
                | HookEnded()
            ):
                return []
            case RunGivenUp() | RunPaused() | RunContinued():
                return []  # the status of the run tells of them
            case RunRewound() | RunFinished():
                return [self._rewind(event)] if isinstance(event, RunRewound) else self._finish(event)
            case _:
                assert_never(event)

    def _start(self) -> _Draft:
        return _Draft(type="workflow-start", fields={"workflow_id": self._state.graph.workflow_id})

    def _begin(self, seq: int, event: StepStarted | SleepStarted | BlockOpened, frame: Frame | None) -> list[_Draft]:
        call = self._calls.setdefault(event.path, _Call(seq=seq, started_at_ms=event.at_ms))
        call.seq = seq
        if isinstance(frame, LoopFrame):
            return []  # its passes are told
        draft = self._draft("workflow-step-start", event.path, frame)
        if isinstance(event, SleepStarted):
            draft.type = "workflow-step-waiting"
            draft.fields |= {"status": StepStatus.WAITING, "due_at_ms": event.due_at_ms}
            return [draft]
        if isinstance(event, StepStarted):
            call.attempt = event.attempt
            draft.fields |= {"attempt": event.attempt, "recovered": event.is_recovered}
        draft.fields["status"] = StepStatus.RUNNING
        return [draft]

    def _end(self, seq: int, event: Event, frame: Frame | None) -> list[_Draft]:
        """Tell how a node ended, if it did."""
        if frame is None or self._state.frames.get(frame.path) is frame:
            return []
        if frame.cause is not None:
            status = StepStatus.FAILED
        else:
            is_bail = isinstance(event, StepSucceeded) and event.is_bail
            status = StepStatus.BAILED if is_bail else StepStatus.SUCCESS
        self._calls.setdefault(frame.path, _Call(seq=seq, started_at_ms=event.at_ms))
        drafts = self._result(frame.path, event.at_ms, status, frame)
        del self._calls[frame.path]
        if isinstance(frame, LoopFrame) and not _is_own_failure(frame):
            return []  # its last pass told the same
        return [*drafts, *_progress(frame, status)]

    def _result(self, path: str, at_ms: int, status: StepStatus, frame: Frame | None) -> list[_Draft]:
        draft = self._draft("workflow-step-result", path, frame)
        draft.fields |= {"status": status, "ended_at_ms": at_ms}
        if frame is not None and frame.cause is not None:
            draft.fields["error"] = failure_to_json(frame.cause.failure)
        elif frame is not None and frame.output is not None:
            draft.values["output"] = frame.output
        return [draft]

    def _retry(self, event: StepFailed) -> list[_Draft]:
        """Tell that an attempt failed and that another one follows; the outcome of the step is not known yet."""
        draft = self._draft("workflow-step-waiting", event.path, self._state.frames.get(event.path))
        error = failure_to_json(event.failure)
        draft.fields |= {"status": StepStatus.WAITING, "error": error, "due_at_ms": event.retry_at_ms}
        return [draft]

    def _suspend(self, seq: int, event: StepSuspended, frame: Frame | None) -> list[_Draft]:
        """Tell of a suspension, and of the nodes around it that can do nothing any more until it is resumed."""
        if frame is None or event.path not in self._state.open:
            return []  # the run is being canceled, or the block around it ended without it
        self._calls.setdefault(event.path, _Call(seq=seq, started_at_ms=event.at_ms))
        suspended = self._state.open[event.path]
        payload: Ref | None = getattr(suspended, "payload", None)
        drafts: list[_Draft] = []
        for each in [frame, *_blocked_around(frame)]:
            draft = self._draft("workflow-step-suspended", each.path, each)
            draft.fields |= {"status": StepStatus.SUSPENDED, "suspended_at_ms": event.at_ms}
            if payload is not None:
                draft.values["suspend_payload"] = payload
            if each is frame and event.label is not None:
                draft.fields["label"] = event.label
            drafts += [draft, *_progress(each, StepStatus.SUSPENDED)]
        return drafts

    def _rewind(self, event: RunRewound) -> _Draft:
        """Tell that the next execution begins: what was told of nodes that are not kept holds no longer."""
        self._calls.clear()
        self._cancel_reason = None
        return _Draft(
            type="workflow-rewound",
            fields={"execution": event.execution, "to": event.to, "kept": list(event.seed.kept)},
        )

    def _finish(self, event: RunFinished) -> list[_Draft]:
        self._calls.clear()
        finish = _Draft(type="workflow-finish", fields={"workflow_status": event.status})
        if event.failure is not None:
            finish.fields |= {"error": failure_to_json(event.failure), "error_path": event.cause or ""}
        elif self._state.result is not None:
            finish.values["result"] = self._state.result
        if event.status is not RunStatus.CANCELED:
            return [finish]
        reason: dict[str, JsonValue] = {} if self._cancel_reason is None else {"reason": self._cancel_reason}
        return [_Draft(type="workflow-canceled", fields=reason), finish]

    def _entry(self, seq: int, entry: StreamEntry | EntriesRemoved) -> _Draft:
        """Tell what a body said, or that it is not kept any more."""
        if isinstance(entry, EntriesRemoved):
            return _Draft(type="workflow-output-removed")
        call = self._calls.get(entry.path)
        fields = _subject(entry.path) | {"attempt": entry.attempt}
        if call is not None:
            fields["step_call_id"] = _call_id(entry.path, call)
        match entry:
            case ChunkWritten():
                values: dict[str, Ref] = {"output": Recorded(seq)}
                return _Draft(type="workflow-step-output", fields=fields, values=values, is_by_user=True)
            case DataEmitted(name=name):
                return _Draft(type=name, fields=fields, values={"data": Recorded(seq)}, is_by_user=True)
            case ProgressMade(done=done, total=total, message=message):
                fields |= {"completed_count": done, "total_count": total, "message": message}
                return _Draft(type="workflow-step-progress", fields=fields, is_by_user=True)
            case _:
                assert_never(entry)

    def _draft(self, type: str, path: str, frame: Frame | None) -> _Draft:
        """Begin an event about a node with what all of them tell."""
        call = self._calls.get(path)
        draft = _Draft(type=type, fields=_subject(path))
        if call is not None:
            draft.fields["started_at_ms"] = call.started_at_ms
            if not isinstance(frame, ForeachFrame):
                draft.fields["step_call_id"] = _call_id(path, call)
        if frame is not None:
            draft.values["payload"] = frame.input
        if isinstance(frame, LeafFrame) and call is not None:
            draft.fields["attempt"] = call.attempt
            if call.resumed_at_ms is not None:
                draft.fields["resumed_at_ms"] = call.resumed_at_ms
            if frame.resumption is not None and frame.resumption.resume_data is not None:
                draft.values["resume_payload"] = frame.resumption.resume_data
        return draft


def _subject(path: str) -> dict[str, JsonValue]:
    """Name a node: passes of a loop have the id of the loop, and say which pass they are."""
    passes = _PASS.findall(path)
    subject: dict[str, JsonValue] = {"id": _PASS.sub("", path), "path": path}
    if passes:
        subject["metadata"] = {"iteration_count": int(passes[-1])}
    return subject


def _call_id(path: str, call: _Call) -> str:
    return f"{path}@{call.seq}"


def _at_rest(status: RunStatus) -> list[_Draft]:
    """Tell that nothing happens until somebody from outside acts; this ends a stream, as the end of a run does."""
    finish = _Draft(type="workflow-finish", fields={"workflow_status": status})
    return [_Draft(type="workflow-paused"), finish] if status is RunStatus.PAUSED else [finish]


def _is_own_failure(frame: LoopFrame) -> bool:
    """Say whether a loop failed by itself: its last pass ended well, and its condition or its limit did not."""
    cause = frame.cause
    return cause is not None and cause.path in (frame.path, f"{frame.path}#{frame.passes}?condition")


def _blocked_around(frame: Frame) -> Sequence[Frame]:
    """Return the nested workflows and foreach around a suspended node that wait for nothing else, inner first."""
    found: list[Frame] = []
    parent = frame.parent
    while parent is not None:
        if isinstance(parent, ForeachFrame | GroupFrame) and parent.blocked < parent.running:
            break
        if isinstance(parent, ForeachFrame) or (isinstance(parent, ScopeFrame) and parent.parent is not None):
            found.append(parent)
        parent = parent.parent
    return found


def _progress(frame: Frame, status: StepStatus) -> list[_Draft]:
    """Tell how far a foreach is, when something became of an item."""
    block = frame.parent
    if not isinstance(block, ForeachFrame):
        return []
    draft = _Draft(
        type="workflow-step-progress",
        fields={
            **_subject(block.path),
            "completed_count": block.cursor - block.running,
            "total_count": len(block.outputs),
            "current_index": frame.slot,
            "iteration_status": status,
        },
    )
    if frame.output is not None:
        draft.values["iteration_output"] = frame.output
    return [draft]
