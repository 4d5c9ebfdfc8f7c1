"""Facts that happened to a run: past tense, immutable, readable for ever (`codec.py` upcasts old shapes).

An event carries no user value. Where one belongs to it (an input, an output), the value lies beside it in the journal
and the core refers to it by the event's `seq`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from outlast.values import JsonValue

__all__ = [
    "BlockFailed",
    "BlockOpened",
    "BlockSucceeded",
    "Event",
    "RunFinished",
    "RunStarted",
    "StepFailed",
    "StepStarted",
    "StepSucceeded",
    "TimerFired",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run was recorded. Its payload is the validated input."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    request_context: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """What the caller tells all steps. The engine hands it on; the core does not keep it."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    """An attempt of a step or map is about to run; durable before its body is called."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """0 for the first try."""
    is_recovered: bool = False
    """Whether this attempt had started before and its worker was lost."""


@dataclass(frozen=True, slots=True)
class StepSucceeded:
    """A step or map returned. Its payload is the output."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """0 for the first try."""


@dataclass(frozen=True, slots=True)
class StepFailed:
    """An attempt of a step or map raised, or what it returned could not be recorded."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """0 for the first try."""
    failure: FailureInfo
    """What is kept of the exception."""
    retry_at_ms: int | None
    """When the next attempt is due; None if there is none, and the step has failed for good."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A recorded due time has come."""

    at_ms: int
    """When, in milliseconds since 1970, UTC; never before the due time."""
    path: str
    """The node that waited."""


@dataclass(frozen=True, slots=True)
class BlockOpened:
    """A foreach or a nested workflow began: its input fits."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The block."""
    length: int | None = None
    """Items of a foreach; None for a workflow."""
    concurrency: int | None = None
    """How many items of a foreach may run at a time; None for a workflow."""


@dataclass(frozen=True, slots=True)
class BlockSucceeded:
    """A foreach or nested workflow ended well. Its output is put together from what is recorded."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The block."""


@dataclass(frozen=True, slots=True)
class BlockFailed:
    """A foreach or nested workflow failed: because of a node in it, or because its own input or output does not fit."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The block."""
    cause: str | None
    """Path of the node whose failure this is; None if the block itself is at fault."""
    failure: FailureInfo | None
    """The block's own failure; None if `cause` has it."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """This execution of the run has ended."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    status: RunStatus
    """How: `success` or `failed`."""
    cause: str | None = None
    """Path of the node whose failure this is, if it failed because of one."""
    failure: FailureInfo | None = None
    """Why it failed; also given when `cause` is, so that the last event alone tells."""


Event: TypeAlias = (
    RunStarted
    | StepStarted
    | StepSucceeded
    | StepFailed
    | TimerFired
    | BlockOpened
    | BlockSucceeded
    | BlockFailed
    | RunFinished
)
"""Closed on purpose: a new member breaks the type check until `advance.apply` and the codec handle it."""
