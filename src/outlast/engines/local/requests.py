"""What outsiders ask of a run, as facts."""

from __future__ import annotations

from collections.abc import Callable

from outlast.core.events import CancelRequested, Fact, RunStarted, StepResumed
from outlast.core.flow.ending import START_PATH
from outlast.engines.asking import fact_asked_for
from outlast.engines.local.live import LiveRun
from outlast.engines.local.stopping import Stopping
from outlast.engines.local.timers import Timers
from outlast.storage.base import InboxRow

__all__ = ["Requests"]


class Requests:
    """Reads the inbox rows of live runs."""

    def __init__(self, now_ms: Callable[[], int], *, timers: Timers, stopping: Stopping) -> None:
        self._now_ms = now_ms
        self._timers = timers
        self._stopping = stopping

    def facts_of(self, run: LiveRun, row: InboxRow) -> list[Fact]:
        """Read one request. What nothing waits for any more is put aside: its row is taken without a fact."""
        if row.key in run.seen:
            return []
        run.seen.add(row.key)
        run.taken.append(row.key)
        fact = fact_asked_for(run.state, row.kind, row.body, self._now_ms())
        if fact is None:
            return []
        event = fact[0]
        if isinstance(event, CancelRequested):
            self._stopping.begin(run)
        elif isinstance(event, RunStarted):
            run.began(event)
            self._timers.cancel(run, START_PATH)
        elif isinstance(event, StepResumed):
            run.merge_request_context(event.request_context)
            self._timers.cancel(run, event.path)
        return [fact]
