"""What must happen next: imperative, and open until the fact that answers it is applied.

There is at most one open command per path. The fact that answers each kind is named in its docstring.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from outlast.core.ref import Ref
from outlast.failures import FailureInfo
from outlast.immutable import immutable
from outlast.values import JsonValue

__all__ = [
    "AwaitDeadline",
    "AwaitResume",
    "AwaitStep",
    "Cause",
    "CloseBlock",
    "Command",
    "Evaluate",
    "FinishRun",
    "OpenBlock",
    "Pause",
    "Purpose",
    "Resumption",
    "RunHook",
    "RunMap",
    "RunStep",
    "Sleep",
    "StartTimer",
    "Suspend",
]


Purpose: TypeAlias = Literal["condition", "duration", "until", "concurrency"]
"""How the answer of a function is read: as a truth value, a length of time, an instant, or a number of at least 1."""


@immutable
class Cause:
    """Whose failure it is."""

    path: str
    """Path of the node that failed; empty for the run as a whole."""
    failure: FailureInfo
    """What is recorded of it."""


@immutable
class Resumption:
    """What a body learns when it is called again after it was suspended."""

    suspend_payload: Ref
    """What it told when it suspended."""
    resume_data: Ref | None
    """What it was resumed with; None if the suspension timed out."""


@immutable
class RunStep:
    """Record `StepStarted`, then call the body.

    Answered by `StepSucceeded`, `StepFailed` or `StepSuspended`; after `CancelRequested` also by `StepCanceled`.
    """

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
    resumption: Resumption | None = None
    """Why it is called once more after a suspension; None if it is not."""


@immutable
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


@immutable
class RunHook:
    """Record `HookStarted`, then call the hook `on_start`. Answered by `HookEnded`."""

    path: str
    """Always `?on_start`."""
    function: str
    """Reference of the hook."""
    input: Ref
    """Input of the run."""
    was_started: bool = False
    """Whether it is recorded as started."""


@immutable
class OpenBlock:
    """Check the input of a foreach, loop or nested workflow. Answered by `BlockOpened` or `BlockFailed`."""

    path: str
    """The block."""
    input: Ref
    """Its input."""
    workflow: str | None
    """Id of the nested workflow whose input type must fit; None for a foreach or loop."""
    concurrency: int | None
    """How many items of a foreach, whose input must be a list, may run at a time; None for a loop or workflow."""


@immutable
class CloseBlock:
    """End a foreach, loop or nested workflow. Answered by `BlockSucceeded` or `BlockFailed`."""

    path: str
    """The block."""
    output: Ref | None
    """Its output; None if it failed."""
    cause: Cause | None
    """Why it failed; None if it did not."""
    workflow: str | None
    """Id of the nested workflow whose output type must fit; None for a foreach or loop."""


@immutable
class Evaluate:
    """Call a function whose answer steers the run. Answered by `Evaluated` or `EvaluationFailed`."""

    path: str
    """The node and what of it, as `route?big`."""
    node_path: str
    """The node."""
    function: str
    """Reference of the function."""
    input: Ref
    """What it gets as `ctx.input`."""
    purpose: Purpose
    """How its answer is read."""
    iteration_count: int = 0
    """For the condition of a loop: how many passes are done; else 0."""


@immutable
class Sleep:
    """Record `SleepStarted` with the due time, and wait for it. Answered by `TimerFired`."""

    path: str
    """The node."""
    due_at_ms: int | None
    """When, in milliseconds since 1970, UTC; None if that depends on when it begins."""
    duration_ms: int = 0
    """How long it takes from its beginning, if no due time is known."""
    was_started: bool = False
    """Whether it is recorded as started."""

    def due_from(self, now_ms: int) -> int:
        """Return when it is due if it begins now, unless it began before."""
        return now_ms + self.duration_ms if self.due_at_ms is None else self.due_at_ms


@immutable
class Suspend:
    """Record that the node waits to be resumed. Answered by `StepSuspended`."""

    path: str
    """The node."""
    payload: JsonValue
    """What it tells those who ask."""
    timeout_ms: int | None
    """How long it waits from now on; None for ever."""


@immutable
class AwaitResume:
    """Do nothing until somebody resumes it or its time is over. Answered by `StepResumed` or `SuspensionTimedOut`."""

    path: str
    """The node."""
    number: int
    """Which suspension of this node it is: 0 for the first. Path and number name a suspension for ever."""
    due_at_ms: int | None
    """When it times out; None for never."""
    label: str | None
    """A name by which it can be resumed."""
    payload: Ref
    """What it tells those who ask."""


@immutable
class StartTimer:
    """Do nothing until the due time. Answered by `TimerFired`."""

    path: str
    """The node that waits."""
    due_at_ms: int
    """When, in milliseconds since 1970, UTC."""


@immutable
class AwaitDeadline:
    """Do nothing until a deadline of the run as a whole.

    That of its end is answered by `RunTimedOut`, or by the end of the run. That of its start is answered by
    `StartTimedOut`; else by `RunStarted` if somebody has to start it, or by the first event after that if a worker has
    to begin it.
    """

    path: str
    """`?deadline` or `?start`."""
    due_at_ms: int
    """When, in milliseconds since 1970, UTC."""


@immutable
class Pause:
    """Record that the run stops between two nodes. Answered by `RunPaused`."""

    path: str
    """Always `?pause`."""
    number: int
    """Index of the node of the workflow that comes next."""
    following: str
    """Its path."""


@immutable
class AwaitStep:
    """Do nothing until somebody lets the run go on. Answered by `RunContinued`."""

    path: str
    """Always `?pause`."""
    number: int
    """Index of the node of the workflow that comes next; names the pause in its execution."""
    following: str
    """Its path."""


@immutable
class FinishRun:
    """End the run. Answered by `RunFinished`."""

    path: str
    """Always empty: the run as a whole."""
    output: Ref | None
    """Its result; None if it failed."""
    cause: Cause | None
    """Why it failed; None if it did not."""
    is_canceled: bool = False
    """Whether it ends because somebody canceled it."""


Command: TypeAlias = (
    RunStep
    | RunMap
    | RunHook
    | Evaluate
    | OpenBlock
    | CloseBlock
    | StartTimer
    | Sleep
    | Suspend
    | AwaitResume
    | AwaitDeadline
    | Pause
    | AwaitStep
    | FinishRun
)
"""Closed on purpose: a new member breaks the type check until every engine handles it."""
