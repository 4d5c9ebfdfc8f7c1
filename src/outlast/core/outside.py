"""How a run that nobody drives is ended from outside: the facts that its owner would have recorded."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.advance import apply, decide
from outlast.core.commands import FinishRun, RunMap, RunStep
from outlast.core.events import Fact, StepCanceled
from outlast.core.flow.ending import finish_early
from outlast.core.state import JournalMismatchError, RunState

__all__ = ["end_from_outside"]


def end_from_outside(state: RunState, facts: Iterable[Fact]) -> list[Fact]:
    """Fold facts, the last of which ends the run, and return them with all that follows from it.

    Nobody drives the run, so what it had begun is not waited for. Each fact is folded before the next one is asked for.

    Raises:
        JournalMismatchError: They do not fit the run, or do not end it.
    """
    recorded: list[Fact] = []
    for fact in facts:
        _fold(state, fact, recorded)
    while state.finished is None:
        command = next(iter(state.open.values()))
        match command:
            case RunStep() | RunMap():
                attempt = command.attempt if isinstance(command, RunStep) else 0
                _fold(state, (StepCanceled(state.last_at_ms, command.path, attempt), None), recorded)
            case FinishRun() if (event := finish_early(command, state.last_at_ms)) is not None:
                _fold(state, (event, None), recorded)
            case _:
                message = f"'{command.path}' is open after the facts that were to end the run"
                raise JournalMismatchError(message)
    return recorded


def _fold(state: RunState, fact: Fact, recorded: list[Fact]) -> None:
    apply(state, state.last_seq + 1, fact[0])
    decide(state)
    recorded.append(fact)
