"""Facts that happened to a run: past tense, immutable, readable for ever (`codec.py` upcasts old shapes).

An event carries no user value. Where one belongs to it (an input, an output), the value lies beside it in the journal
and the core refers to it by the event's `seq`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TypeAlias

from outlast.core.seed import Seed
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from outlast.graph.patch import Patch
from outlast.immutable import immutable, new_dict
from outlast.trace import UNTRACED, Tracing
from outlast.values import JsonValue

__all__ = [
    "BlockFailed",
    "BlockOpened",
    "BlockSucceeded",
    "CancelRequested",
    "Evaluated",
    "EvaluationFailed",
    "Event",
    "Fact",
    "HookEnded",
    "HookStarted",
    "RunContinued",
    "RunCrashed",
    "RunCreated",
    "RunFinished",
    "RunGivenUp",
    "RunPaused",
    "RunRewound",
    "RunStarted",
    "RunTimedOut",
    "SleepStarted",
    "StartTimedOut",
    "StepCanceled",
    "StepFailed",
    "StepResumed",
    "StepStarted",
    "StepSucceeded",
    "StepSuspended",
    "SuspensionTimedOut",
    "TimerFired",
]


@immutable
class RunCreated:
    """The run was recorded so that somebody may start it later (rule 2.1)."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    due_at_ms: int
    """Until when it has to be started, in milliseconds since 1970, UTC."""


@immutable
class StartTimedOut:
    """Nobody started a run that was recorded to be started, or no worker began one in time; it ends `failed`."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """Always `?start`."""


@immutable
class RunStarted:
    """The run may begin. Its payload is the validated input. The first event, unless the run was created before."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    request_context: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """What the caller tells all steps. The engine hands it on; the core does not keep it."""
    state: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """The initial state."""
    include_state: bool = False
    """Whether results show the state."""
    deadline_ms: int | None = None
    """When the run times out, in milliseconds since 1970, UTC; None for never."""
    per_step: bool = False
    """Whether the run pauses after each node of the workflow (rule 12.6)."""
    start_deadline_ms: int | None = None
    """Until when a worker has to begin it, in milliseconds since 1970, UTC; None for whenever."""
    tracing: Tracing = UNTRACED
    """What the caller asked of its trace. The core keeps it for spans only."""


@immutable
class RunRewound:
    """The next execution begins, at another place than the start. Its payload is a list: the values that were given.

    Frames and open commands of the execution before it are forgotten; what it left is kept as far as the seed names it.
    """

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    execution: int
    """Which execution begins; 0 if it is the first of its run, which then never ran from its start."""
    to: str
    """Path of the node from which it goes on; empty for all that is not finished."""
    seed: Seed
    """What it begins with."""
    state: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """The state that it begins with."""
    is_state_given: bool = False
    """Whether the caller gave that state; else it is as the kept nodes left it."""
    request_context: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """What the caller tells all steps from now on; its entries win over the earlier ones."""
    deadline_ms: int | None = None
    """When this execution times out, in milliseconds since 1970, UTC; None for never."""
    per_step: bool = False
    """Whether it pauses after each node of the workflow."""


@immutable
class RunPaused:
    """The run stops between two nodes of its workflow until somebody lets it go on (rule 12.6)."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """Always `?pause`."""


@immutable
class RunContinued:
    """Somebody let a paused run go on."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """Always `?pause`."""
    per_step: bool
    """Whether it pauses again after the next node."""


@immutable
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


@immutable
class StepSucceeded:
    """A step or map returned. Its payload is the output."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """0 for the first try."""
    is_bail: bool = False
    """Whether it ended its workflow or block early with this value (rule 5.8)."""
    patch: Patch = ()
    """What it changed in the state."""


@immutable
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


@immutable
class StepSuspended:
    """A step asked to be resumed later, or a wait began. Its payload is what it tells those who ask."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """0 for the first try."""
    label: str | None = None
    """A name by which it can be resumed."""
    due_at_ms: int | None = None
    """When the suspension times out; None for never."""
    patch: Patch = ()
    """What it changed in the state."""


@immutable
class StepResumed:
    """Somebody resumed a suspension. Its payload is the resume data."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    request_context: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """What the resumer tells all steps from now on; its entries win over the earlier ones."""


@immutable
class SuspensionTimedOut:
    """Nobody resumed a suspension in time."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""


@immutable
class StepCanceled:
    """A body that was in flight when the run was canceled is not waited for any more."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The step."""
    attempt: int
    """0 for the first try."""


@immutable
class Evaluated:
    """A condition, duration or concurrency function answered."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The node and what of it, as `route?big` or `poll#2?condition`."""
    value: int
    """A truth value as 0 or 1, a due time in milliseconds since 1970, or a number."""


@immutable
class EvaluationFailed:
    """A condition, duration or concurrency function raised, or answered what cannot be used."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The node and what of it, as `route?big`."""
    failure: FailureInfo
    """What is kept of the exception."""


@immutable
class SleepStarted:
    """A sleep began; its due time is fixed from now on."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The node."""
    due_at_ms: int
    """When it ends, in milliseconds since 1970, UTC."""


@immutable
class CancelRequested:
    """The run is to end `canceled`; nothing new starts from here on."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    reason: str | None = None
    """The caller's words."""


@immutable
class RunTimedOut:
    """The run did not end in time; nothing new starts from here on, and it ends `failed`."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """Always `?deadline`."""


@immutable
class RunCrashed:
    """A process ended by itself while it called a body of this run (rule 9.6)."""

    at_ms: int
    """When that was noticed, in milliseconds since 1970, UTC."""
    is_poison: bool
    """Whether it happened too often: the run ends `failed`."""


@immutable
class RunGivenUp:
    """The engine cannot go on with the run; it ends `failed`, and what is in flight is not waited for."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    failure: FailureInfo
    """Why."""


@immutable
class TimerFired:
    """A recorded due time has come."""

    at_ms: int
    """When, in milliseconds since 1970, UTC; never before the due time."""
    path: str
    """The node that waited."""


@immutable
class BlockOpened:
    """A foreach, a loop or a nested workflow began: its input fits."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The block."""
    length: int | None = None
    """Items of a foreach; None for a workflow."""
    concurrency: int | None = None
    """How many items of a foreach may run at a time; None for a workflow."""


@immutable
class BlockSucceeded:
    """A foreach, loop or nested workflow ended well. Its output is put together from what is recorded."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The block."""


@immutable
class BlockFailed:
    """A foreach, loop or nested workflow failed: because of a node in it, or by itself (a type that does not fit)."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """The block."""
    cause: str | None
    """Path of the node whose failure this is; None if the block itself is at fault."""
    failure: FailureInfo | None
    """The block's own failure; None if `cause` has it."""


@immutable
class HookStarted:
    """The hook `on_start` is about to be called; durable before it is."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """Always `?on_start`."""


@immutable
class HookEnded:
    """The hook `on_start` returned, and the first node may start; or it raised, and the run fails."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    path: str
    """Always `?on_start`."""
    failure: FailureInfo | None
    """What is kept of the exception; None if it returned."""


@immutable
class RunFinished:
    """This execution of the run has ended."""

    at_ms: int
    """When, in milliseconds since 1970, UTC."""
    status: RunStatus
    """How: `success`, `failed` or `canceled`."""
    cause: str | None = None
    """Path of the node whose failure this is, if it failed because of one."""
    failure: FailureInfo | None = None
    """Why it failed; also given when `cause` is, so that the last event alone tells."""
    output_seq: int | None = None
    """Event whose payload is the result, so that the last event alone tells; None if the result is put together."""


Event: TypeAlias = (
    RunCreated
    | StartTimedOut
    | RunStarted
    | RunRewound
    | RunPaused
    | RunContinued
    | StepStarted
    | StepSucceeded
    | StepFailed
    | StepSuspended
    | StepResumed
    | SuspensionTimedOut
    | StepCanceled
    | Evaluated
    | EvaluationFailed
    | SleepStarted
    | CancelRequested
    | RunTimedOut
    | RunCrashed
    | RunGivenUp
    | TimerFired
    | BlockOpened
    | BlockSucceeded
    | BlockFailed
    | HookStarted
    | HookEnded
    | RunFinished
)
"""Closed on purpose: a new member breaks type check and tests until `advance.apply` and the codec handle it."""

Fact: TypeAlias = tuple[Event, bytes | None]
"""An event, and the value that belongs to it as JSON."""
