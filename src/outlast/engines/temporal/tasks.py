"""What a step's body needs, as a message for its activity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from outlast.core.commands import RunHook, RunStep
from outlast.core.events import RunStarted
from outlast.core.frames import LeafFrame
from outlast.core.ref import Ref
from outlast.core.state import RunState
from outlast.engines.outcomes import Calling
from outlast.engines.temporal.hearing import Hearing
from outlast.engines.temporal.messages import Start, Task
from outlast.graph.nodes import StepNode
from outlast.values import JsonValue, decode, encode

__all__ = [
    "Source",
    "activity_id_of",
    "crashes_left",
    "make_hook_task",
    "make_task",
    "path_of",
    "start_event",
    "with_entries",
]


class Source(Protocol):
    """A run, as far as messages are made of it."""

    start: Start
    """What it was started with."""
    state: RunState
    """The fold of its journal."""
    request_context: bytes
    """What the caller, and those who resumed it, tell all steps."""
    hearing: Hearing
    """What is known of calls in flight."""

    def resolve(self, ref: Ref) -> bytes:
        """Return a recorded value as JSON."""
        ...


def activity_id_of(command: Calling) -> str:
    """Return the id of the activity that does a call: the path, which has no colon, and the attempt after the first."""
    return f"{command.path}:{command.attempt}" if isinstance(command, RunStep) and command.attempt else command.path


def path_of(activity_id: str) -> str:
    """Return the path in the id of an activity."""
    return activity_id.partition(":")[0]


def crashes_left(run: Source) -> int:
    """Return how often a process may still end by itself while it calls a function of the run."""
    return max(0, run.start.max_recoveries - run.state.crashes)


def with_entries(request_context: bytes, entries: Mapping[str, JsonValue]) -> bytes:
    """Return what all steps are told when entries win over what they were told before."""
    if not entries:
        return request_context
    known = decode(request_context)
    return encode({**(known if isinstance(known, dict) else {}), **entries})


def start_event(start: Start, timeout_ms: int | None, at_ms: int) -> RunStarted:
    """Return the first event of a run; its payload is the input."""
    starts_at_ms, within_ms = at_ms + start.delay_ms, start.start_within_ms
    return RunStarted(
        at_ms,
        start.request_context,
        start.state,
        start.include_state,
        deadline_ms=None if timeout_ms is None else starts_at_ms + timeout_ms,
        per_step=start.per_step,
        start_deadline_ms=None if within_ms is None else starts_at_ms + within_ms,
        tracing=start.tracing,
    )


def make_task(run: Source, command: RunStep) -> bytes:
    """Return the message with which a body is called."""
    frame = run.state.frame(command.path)
    node = frame.node if isinstance(frame, LeafFrame) else None
    resumption = command.resumption
    resume_data = None if resumption is None else resumption.resume_data
    scope = run.state.scope_of(command.path)
    is_last = frame.parent is scope and frame.slot == len(scope.node.nodes) - 1
    return Task(
        run_id=run.start.run_id,
        workflow=run.state.graph.workflow_id,
        scope=scope.node.workflow,
        resource_id=run.start.resource_id,
        path=command.path,
        function=command.function,
        attempt=command.attempt,
        timeout_ms=node.timeout_ms if isinstance(node, StepNode) else None,
        grace_ms=run.start.grace_ms,
        crashes_left=crashes_left(run),
        input=run.resolve(command.input),
        state=encode(dict(run.state.data)),
        request_context=run.request_context,
        suspend_data=None if resumption is None else run.resolve(resumption.suspend_payload),
        resume_data=None if resume_data is None else run.resolve(resume_data),
        suspensions=frame.suspensions if isinstance(frame, LeafFrame) else 0,
        said=run.hearing.said,
        tracing=run.start.tracing,
        execution=run.state.execution,
        is_last=is_last and scope.node.info.output is not None,
    ).to_bytes()


def make_hook_task(run: Source, command: RunHook) -> bytes:
    """Return the message with which `on_start` is called."""
    workflow = run.state.graph.workflow_id
    return Task(
        run_id=run.start.run_id,
        workflow=workflow,
        scope=workflow,
        resource_id=run.start.resource_id,
        path=command.path,
        function=command.function,
        attempt=0,
        timeout_ms=None,
        grace_ms=0,
        crashes_left=crashes_left(run),
        input=run.resolve(command.input),
        state=encode(dict(run.state.data)),
        request_context=run.request_context,
        tracing=run.start.tracing,
        execution=run.state.execution,
    ).to_bytes()
