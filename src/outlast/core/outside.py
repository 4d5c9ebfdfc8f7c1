"""How a run that nobody drives is ended from outside: the facts that its owner would have recorded."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.advance import apply, decide
from outlast.core.commands import FinishRun, RunMap, RunStep
from outlast.core.events import Event, Fact, StepCanceled
from outlast.core.flow.ending import finish_early
from outlast.core.state import JournalMismatchError, RunState

__all__ = ["end_from_outside"]


def end_from_outside(state: RunState, facts: Iterable[Fact]) -> list[Fact] | None:
    """Fold facts into the state of a run, and return them with all that follows; None if they do not end the run.

    Nobody drives the run, so what it had begun is not waited for. Each fact is folded before the next one is asked for.

    Raises:
        JournalMismatchError: They do not fit the run.
    """
    recorded: list[Fact] = []
    for fact in facts:
        _fold(state, fact, recorded)
    if not state.is_canceling:
        return None
    while state.finished is None:
        command = next(iter(state.open.values()))
        event: Event | None = None
        if isinstance(command, RunStep | RunMap):
            attempt = command.attempt if isinstance(command, RunStep) else 0
            event = StepCanceled(state.last_at_ms, command.path, attempt)
        elif isinstance(command, FinishRun):
            event = finish_early(command, state.last_at_ms)
        if event is None:
            message = f"'{command.path}' is open in a run that is to end"
            raise JournalMismatchError(message)
        _fold(state, (event, None), recorded)
    return recorded


def _fold(state: RunState, fact: Fact, recorded: list[Fact]) -> None:
    apply(state, state.last_seq + 1, fact[0])
    decide(state)
    recorded.append(fact)
