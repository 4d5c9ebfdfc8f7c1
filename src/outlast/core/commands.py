"""What must happen next: imperative, and open until the fact that answers it is applied.

There is at most one open command per path. The fact that answers each kind is named in its docstring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from outlast.core.ref import Ref
from outlast.failures import FailureInfo

__all__ = ["Cause", "CloseBlock", "Command", "FinishRun", "OpenBlock", "RunMap", "RunStep", "StartTimer"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Whose failure it is."""

    path: str
    """Path of the node that failed; empty for the run as a whole."""
    failure: FailureInfo
    """What is recorded of it."""


@dataclass(frozen=True, slots=True)
class RunStep:
    """Record `StepStarted`, then call the body. Answered by `StepSucceeded` or `StepFailed`."""

    path: str
    """The step."""
    function: str
    """Reference of its body."""
    attempt: int
    """0 for the first try."""
    input: Ref
    """Its input."""
    was_started: bool = False
    """Whether this attempt is recorded as started: then calling it again is a recovery."""


@dataclass(frozen=True, slots=True)
class RunMap:
    """Like `RunStep`, for a function that is not tried again and may join the commit that led to it."""

    path: str
    """The map."""
    function: str
    """Reference of the function."""
    input: Ref
    """Its input."""
    was_started: bool = False
    """Whether it is recorded as started."""


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """Check the input of a foreach or nested workflow. Answered by `BlockOpened` or `BlockFailed`."""

    path: str
    """The block."""
    input: Ref
    """Its input."""
    workflow: str | None
    """Id of the nested workflow whose input type must fit; None for a foreach, whose input must be a list."""
    concurrency: int | None
    """How many items of a foreach may run at a time; None for a workflow."""


@dataclass(frozen=True, slots=True)
class CloseBlock:
    """End a foreach or nested workflow. Answered by `BlockSucceeded` or `BlockFailed`."""

    path: str
    """The block."""
    output: Ref | None
    """Its output; None if it failed."""
    cause: Cause | None
    """Why it failed; None if it did not."""
    workflow: str | None
    """Id of the nested workflow whose output type must fit; None for a foreach."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Do nothing until the due time. Answered by `TimerFired`."""

    path: str
    """The node that waits."""
    due_at_ms: int
    """When, in milliseconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class FinishRun:
    """End the run. Answered by `RunFinished`."""

    path: str
    """Always empty: the run as a whole."""
    output: Ref | None
    """Its result; None if it failed."""
    cause: Cause | None
    """Why it failed; None if it did not."""


Command: TypeAlias = RunStep | RunMap | OpenBlock | CloseBlock | StartTimer | FinishRun
"""Closed on purpose: a new member breaks the type check until every engine handles it."""
