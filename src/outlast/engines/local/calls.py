"""What it takes to execute a command: the values that it needs, and the call of user code that it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, assert_never

from outlast.core.commands import (
    AwaitDeadline,
    AwaitResume,
    AwaitStep,
    CloseBlock,
    Command,
    Evaluate,
    FinishRun,
    OpenBlock,
    Pause,
    RunHook,
    RunMap,
    RunStep,
    Sleep,
    StartTimer,
    Suspend,
)
from outlast.core.frames import LeafFrame
from outlast.core.ref import DictOf, ListOf, Ref
from outlast.engines.answers import converter
from outlast.engines.local.live import LiveRun, Lookup
from outlast.engines.outcomes import Calling
from outlast.engines.perform import DEFAULT_PAYLOAD_LIMIT, Call, is_done
from outlast.errors import PayloadTooLargeError
from outlast.graph.context import ReadContext
from outlast.graph.nodes import StepNode
from outlast.sealing import Disclosure

__all__ = ["call_of", "refs_of", "timeout_of"]


def call_of(run: LiveRun, command: Calling, loop: asyncio.AbstractEventLoop, now_ms: Callable[[], int]) -> Call:
    """Return the call of user code that a command asks for."""
    function, sealer = run.program.functions[command.function], run.program.sealer
    disclosure = None if sealer is None else Disclosure(sealer)
    if isinstance(command, RunHook):
        raw, context = run.values.resolve(command.input), run.raw_request_context
        subject = "hook 'on_start'"
        return Call(function, raw, subject, context, lambda _: run.start_info(raw), is_done, disclosure=disclosure)
    make_context: Callable[[object], ReadContext[Any]] | None = None
    if function.context_keyword is not None:
        lookup = Lookup(run, loop)
        if isinstance(command, RunStep):
            facts = run.attempt_facts(command)
            make_context = partial(run.step_context, command.path, function, facts, lookup)
        else:
            make_context = partial(run.context, command, lookup)
    convert = refusal = None
    if isinstance(command, RunStep):
        subject = f"step '{command.path}'"
    elif isinstance(command, Evaluate):
        subject, convert = f"'{command.path}'", converter(command.purpose, now_ms())
    else:
        subject = f"map '{command.path}'"
    if run.values.is_joined(command.input):
        try:
            run.values.check_size(command.input, f"input of {subject}")
        except PayloadTooLargeError as error:
            refusal = error
    raw = run.values.resolve(command.input) if refusal is None else b""
    limit = DEFAULT_PAYLOAD_LIMIT
    return Call(function, raw, subject, run.raw_request_context, make_context, convert, limit, disclosure, refusal)


def timeout_of(run: LiveRun, command: Calling) -> int | None:
    """Return how long the body of a step may take, in milliseconds."""
    frame = run.state.frames.get(command.path)
    node = frame.node if isinstance(frame, LeafFrame) else None
    return node.timeout_ms if isinstance(node, StepNode) else None


def refs_of(run: LiveRun, command: Command) -> tuple[Ref | None, ...]:
    """Return the values that it takes to execute a command.

    None to find out how long a list is that was recorded in parts, and none to check what may be anything.
    """
    match command:
        case RunStep():
            resumption = command.resumption
            if resumption is None:
                return (command.input,)
            return command.input, resumption.suspend_payload, resumption.resume_data
        case RunMap() | RunHook() | Evaluate():
            return (command.input,)
        case OpenBlock(concurrency=None):
            return (command.input,) if run.has_type(command.workflow, "input") else ()
        case OpenBlock():
            return () if isinstance(command.input, ListOf | DictOf) else (command.input,)
        case CloseBlock():
            return (command.output,) if run.has_type(command.workflow, "output") else ()
        case FinishRun():
            return (command.output,) if run.has_type(run.workflow_id, "output") else ()
        case StartTimer() | Sleep() | Suspend() | AwaitResume() | AwaitDeadline() | Pause() | AwaitStep():
            return ()
        case _:
            assert_never(command)
