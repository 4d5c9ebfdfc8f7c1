"""What became of user code, as facts."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, TypeAlias, assert_never

from outlast.core.backoff import retry_at
from outlast.core.commands import CloseBlock, Evaluate, RunHook, RunMap, RunStep
from outlast.core.events import (
    Evaluated,
    EvaluationFailed,
    Fact,
    HookEnded,
    StepCanceled,
    StepFailed,
    StepSucceeded,
    StepSuspended,
)
from outlast.core.frames import ForeachFrame, LeafFrame
from outlast.core.state import RunState
from outlast.engines.perform import Aborted, Answered, Bailed, Outcome, Raised, Returned, Suspended
from outlast.failures import FailureInfo
from outlast.graph.nodes import StepNode
from outlast.values import JsonValue, encode

__all__ = ["Calling", "Driven", "collected", "fact_of"]


Calling: TypeAlias = RunStep | RunMap | RunHook | Evaluate
"""A command to call user code."""


class Driven(Protocol):
    """A run that an engine drives."""

    @property
    def run_id(self) -> str:
        """Id of the run."""
        ...

    @property
    def state(self) -> RunState:
        """The fold of its journal."""
        ...


def fact_of(run: Driven, command: Calling, outcome: Outcome, now: int) -> Fact:
    """Return the fact that an outcome is, with the value that belongs to it."""
    path = command.path
    attempt = command.attempt if isinstance(command, RunStep) else 0
    match outcome:
        case Returned(payload=payload, patch=patch):
            return StepSucceeded(now, path, attempt, False, patch), payload  # noqa: FBT003 - by position, as `Append`
        case Bailed(payload=payload, patch=patch):
            return StepSucceeded(now, path, attempt, is_bail=True, patch=patch), payload
        case Suspended(payload=payload, label=label, timeout=timeout, patch=patch):
            due = None if timeout is None else now + round(timeout / timedelta(milliseconds=1))
            return StepSuspended(now, path, attempt, label, due, patch), payload
        case Answered() if isinstance(command, RunHook):
            return HookEnded(now, path, None), None
        case Answered(value=value):
            return Evaluated(now, path, value), None
        case Raised(failure=failure):
            return _failed(run, command, failure, now)
        case Aborted():
            return StepCanceled(now, path, attempt), None
        case _:
            assert_never(outcome)


def _failed(run: Driven, command: Calling, failure: FailureInfo, now: int) -> Fact:
    if isinstance(command, Evaluate):
        return EvaluationFailed(now, command.path, failure), None
    if isinstance(command, RunHook):
        return HookEnded(now, command.path, failure), None
    attempt = command.attempt if isinstance(command, RunStep) else 0
    due = None if run.state.is_canceling else _retry_at(run, command.path, attempt, failure, now)
    payload = collected(run, command.path, failure, None) if due is None else None
    return StepFailed(now, command.path, attempt, failure, due), payload


def _retry_at(run: Driven, path: str, attempt: int, failure: FailureInfo, now: int) -> int | None:
    frame = run.state.frame(path)
    if not isinstance(frame, LeafFrame) or not isinstance(frame.node, StepNode):
        return None
    return retry_at(
        frame.node.retry,
        run_id=run.run_id,
        path=path,
        attempt=attempt,
        first_at_ms=frame.begun_at_ms or now,
        at_ms=now,
        failure=failure,
    )


def collected(run: Driven, path: str, failure: FailureInfo | None, closing: CloseBlock | None) -> bytes | None:
    """Return what a failed item of a collecting foreach leaves in the output; None for everything else."""
    place = path
    if failure is None and closing is not None and closing.cause is not None:
        place, failure = closing.cause.path, closing.cause.failure
    parent = run.state.frame(path).parent
    if failure is None or not isinstance(parent, ForeachFrame) or not parent.node.is_collecting:
        return None
    # A slot is a value like any other: later steps read it, and so may everybody who sees outputs. The traceback and
    # the causes stay in the record of the node at `path`, for those who may see them.
    error: JsonValue = {
        "type": failure.type,
        "message": failure.message,
        "path": place,
        "attributes": dict(failure.attributes),
    }
    return encode({"error": error})
