"""The runs that nobody owns and that may be claimed: those that need nothing but a worker, and those under limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from outlast.storage.base import GraphKey, RunKey
from outlast.storage.flow import ABOVE, BELOW, LEVEL, Levels, admit, share
from outlast.storage.memory.flow import FlowControl
from outlast.storage.memory.table import ReadyQueue, Run

__all__ = ["Waiting"]


class Waiting:
    """Queues by graph, and the lanes of runs under flow control."""

    def __init__(self, runs: Mapping[RunKey, Run]) -> None:
        self._runs = runs
        self._queues: dict[GraphKey, ReadyQueue] = {}
        self._claims = 0
        self.limited = FlowControl(runs)
        """The runs that wait for their limits."""

    def put(self, run: Run, ready_at_ms: int | None) -> None:
        """Let a run wait until a time, or without one until something wakes it; wherever it waited before."""
        self.remove(run)
        run.ready_at_ms = ready_at_ms
        if ready_at_ms is None:
            return
        if run.flow is None or run.needs_worker_only:
            self._queues.setdefault(run.graph, ReadyQueue()).put(run.key, ready_at_ms)
        else:
            self.limited.enter(run, run.flow, ready_at_ms)

    def remove(self, run: Run) -> None:
        """Let a run wait no longer."""
        if run.lane is not None:
            self.limited.leave(run)
        if run.ready_at_ms is not None and run.graph in self._queues:
            self._queues[run.graph].discard(run.key)
        run.ready_at_ms = None

    def choose(self, graphs: Sequence[GraphKey], now_ms: int, limit: int) -> list[Run]:
        """Take the runs that go on next."""
        if not self.limited.has_lanes:
            return self._take_ready(graphs, now_ms, limit)
        self._claims += 1
        chosen = self._admit(graphs, now_ms, limit, ABOVE)
        room = limit - len(chosen)
        plain = self._take_ready(graphs, now_ms, room)
        chosen += self._admit(graphs, now_ms, share(room, len(plain), is_odd_ours=self._claims % 2 > 0), LEVEL)
        room = limit - len(chosen)
        for run in plain[room:]:
            self.put(run, run.ready_at_ms)
        chosen += plain[:room]
        return chosen + self._admit(graphs, now_ms, limit - len(chosen), BELOW)

    def next_ready_at(self, graphs: Sequence[GraphKey]) -> int | None:
        """Return the earliest time when a run of these graphs may be claimed."""
        first = self._peek(graphs)
        times = [None if first is None else first[0], self.limited.next_ready_at(graphs)]
        return min((time for time in times if time is not None), default=None)

    def _admit(self, graphs: Sequence[GraphKey], now_ms: int, limit: int, levels: Levels) -> list[Run]:
        return [self._runs[key] for key in admit(self.limited, graphs, now_ms=now_ms, limit=limit, levels=levels)]

    def _take_ready(self, graphs: Sequence[GraphKey], now_ms: int, limit: int) -> list[Run]:
        """Take runs from their queues; they keep the time when they were ready."""
        taken: list[Run] = []
        while len(taken) < limit and (first := self._peek(graphs)) is not None and first[0] <= now_ms:
            taken.append(self._runs[first[1]])
            self._queues[taken[-1].graph].discard(first[1])
        return taken

    def _peek(self, graphs: Iterable[GraphKey]) -> tuple[int, RunKey] | None:
        queues = (self._queues.get(graph) for graph in graphs)
        heads = (queue.peek() for queue in queues if queue is not None)
        return min((head for head in heads if head is not None), default=None)
