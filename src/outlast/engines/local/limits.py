"""Limits of an app over a local store: which there are, what a run is subject to, and what it waits for, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from outlast.engines.base import StartRequest
from outlast.errors import ConfigurationError
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.limit import APP_LIMIT
from outlast.instant import render_ms
from outlast.storage.flow import Flow, Gate, GateState, Limit, Wait

__all__ = ["AppLimits", "words_of"]


class AppLimits:
    """The limits of an app's workflows, and the one for all of them."""

    def __init__(self, workflows: Iterable[CommittedWorkflow[Any, Any]], concurrency: int | None) -> None:
        """Collect them.

        Raises:
            ConfigurationError: Two workflows have different numbers for a limit of the same name.
        """
        known: dict[str, Limit] = {}
        for workflow in workflows:
            for rule in workflow.limits:
                limit = Limit(rule.name, rule.most, rule.per_ms, rule.burst)
                if known.setdefault(limit.name, limit) != limit:
                    message = f"workflows have different limits for {limit.name}; give them the same numbers"
                    raise ConfigurationError(message)
        if concurrency is not None:
            known[APP_LIMIT] = Limit(APP_LIMIT, concurrency)
        self._for_all = () if concurrency is None else (Gate(APP_LIMIT, None),)
        self.declared: Sequence[Limit] = list(known.values())
        """All of them, for the store."""

    def flow(self, flow: Flow | None) -> Flow | None:
        """Add what the app sets for all runs to what one is subject to."""
        if not self._for_all:
            return flow
        return Flow(0, self._for_all) if flow is None else flow._replace(gates=(*self._for_all, *flow.gates))

    def applied_to(self, request: StartRequest) -> StartRequest:
        """Return a start that is subject to what the app sets for all runs, too."""
        return replace(request, flow=self.flow(request.flow)) if self._for_all else request


def words_of(wait: Wait, now_ms: int) -> str:
    """Say what a run waits for under its limits, with numbers."""
    sentences = [words for state in wait.gates if (words := _closed(state, now_ms)) is not None]
    if not sentences:
        sentences = ["its limits are open"]
    if wait.ahead:
        runs = "1 run" if wait.ahead == 1 else f"{wait.ahead} runs"
        sentences.append(f"{runs} with the same limits and priority before it")
    if wait.lanes:
        keys = "1 other key takes its turn" if wait.lanes == 1 else f"{wait.lanes} other keys or priorities take turns"
        sentences.append(f"{keys} with it")
    if wait.priority:
        sentences.append(f"its priority is {wait.priority}")
    return ", ".join(sentences)


def _closed(state: GateState, now_ms: int) -> str | None:
    """Say why a gate lets no run through; None if it does."""
    limit = state.limit
    key = "" if state.gate.key is None else f" with the key {state.gate.key}"
    if limit.per_ms is not None:
        if state.free_at_ms <= now_ms:
            return None
        name = limit.name.removeprefix("rate ")
        next_at = render_ms(state.free_at_ms)
        return f"{limit.most} runs {name}{key} begin in {limit.per_ms / 1000:g} s, the next at {next_at}"
    if state.held < limit.most:
        return None
    ids = ", ".join(state.holders) + (", ..." if state.held > len(state.holders) else "")
    return f"{state.held} of {limit.most} {limit.name}{key} are running: {ids}"
