"""Commands that are answered at once, without calling user code, and how the answers of user code are read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, Protocol, TypeAlias, assert_never

from outlast.core.commands import CloseBlock, FinishRun, OpenBlock, Purpose
from outlast.core.events import BlockFailed, BlockOpened, BlockSucceeded, Event, RunFinished
from outlast.core.flow.ending import finish_early
from outlast.core.frames import ForeachFrame
from outlast.core.ref import Recorded, Ref
from outlast.core.status import RunStatus
from outlast.engines.outcomes import Driven
from outlast.engines.unawaited import why_unawaited
from outlast.errors import InputError
from outlast.failures import FailureInfo, describe_exception
from outlast.instant import to_ms
from outlast.values import InvalidValueError

__all__ = ["Answering", "Side", "close_block", "converter", "finish", "open_block"]

_LONGEST_S = 1e11
"""How many seconds a sleep may last at most: 3,000 years, as in a definition."""

Side: TypeAlias = Literal["input", "output"]
"""Which declared type of a workflow is meant."""


class Lists(Protocol):
    """Recorded lists."""

    def length(self, ref: Ref) -> int:
        """Return how many items a list has; the items are kept until `forget`."""
        ...

    def forget(self, ref: Ref) -> None:
        """Let go of the items of a list."""
        ...


class Answering(Driven, Protocol):
    """A run that an engine drives, as far as it takes to answer commands without calling user code."""

    @property
    def values(self) -> Lists:
        """Its recorded values."""
        ...

    def why_misfit(self, workflow_id: str, side: Side, value: Ref, subject: str) -> FailureInfo | None:
        """Return why a recorded value does not fit a declared type of a workflow; None if it does."""
        ...


def open_block(run: Answering, command: OpenBlock, now_ms: int) -> Event:
    """Measure the list of a foreach, or check the input of a nested workflow."""
    if command.concurrency is not None:
        try:
            length = run.values.length(command.input)
        except InvalidValueError as error:
            problem = InputError(f"input of foreach '{command.path}'", error.problems)
            return BlockFailed(now_ms, command.path, None, describe_exception(problem, is_retryable=False))
        return BlockOpened(now_ms, command.path, length, command.concurrency)
    if command.workflow is None:
        return BlockOpened(now_ms, command.path)
    subject = f"input of workflow '{command.path}'"
    failed = run.why_misfit(command.workflow, "input", command.input, subject)
    return BlockOpened(now_ms, command.path) if failed is None else BlockFailed(now_ms, command.path, None, failed)


def close_block(run: Answering, command: CloseBlock, now_ms: int) -> Event:
    """End a block, and check the output of a nested workflow."""
    frame = run.state.frames.get(command.path)
    if isinstance(frame, ForeachFrame):
        run.values.forget(frame.input)
    if command.cause is not None:
        if command.cause.path == command.path:
            return BlockFailed(now_ms, command.path, None, command.cause.failure)
        return BlockFailed(now_ms, command.path, command.cause.path, None)
    if command.workflow is None:
        return BlockSucceeded(now_ms, command.path)
    failed = None
    if command.output is not None:
        failed = run.why_misfit(command.workflow, "output", command.output, f"output of workflow '{command.path}'")
    return BlockSucceeded(now_ms, command.path) if failed is None else BlockFailed(now_ms, command.path, None, failed)


def finish(run: Answering, command: FinishRun, now_ms: int) -> Event:
    """End the run, and check its result."""
    early = finish_early(command, now_ms)
    if early is not None:
        return early
    failed = None
    if command.output is not None:
        failed = run.why_misfit(run.state.graph.workflow_id, "output", command.output, "result of the workflow")
    if failed is not None:
        return RunFinished(now_ms, RunStatus.FAILED, None, failed)
    output_seq = command.output.seq if isinstance(command.output, Recorded) else None
    return RunFinished(now_ms, RunStatus.SUCCESS, None, None, output_seq)


def converter(purpose: Purpose, now_ms: int) -> Callable[[object], int]:
    """Return what reads the answer of a function, for its purpose."""
    match purpose:
        case "condition":
            return _truth_of
        case "duration":
            return partial(_due_after, now_ms)
        case "until":
            return _due_at
        case "concurrency":
            return _at_least_one
        case _:
            assert_never(purpose)


def _truth_of(value: object) -> bool:
    if reason := why_unawaited(value):
        message = f"what a condition gives to await would count as true: {reason}"
        raise TypeError(message)
    return bool(value)


def _due_after(now_ms: int, value: object) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds < _LONGEST_S:
        message = f"a duration is seconds or a timedelta below 3,000 years, not {_shown(value)}"
        raise ValueError(message)
    return now_ms + round(max(0.0, seconds) * 1000)


def _due_at(value: object) -> int:
    if not isinstance(value, datetime) or value.tzinfo is None:
        message = f"an instant is a datetime with a time zone, not {_shown(value)}"
        raise ValueError(message)
    return to_ms(value)


def _at_least_one(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        message = f"concurrency is a whole number of at least 1, not {_shown(value)}"
        raise ValueError(message)
    return value


def _shown(value: object) -> str:
    reason = why_unawaited(value)
    return f"{value!r:.60}" if reason is None else f"this: {reason}"
