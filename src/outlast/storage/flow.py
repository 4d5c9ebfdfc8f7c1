"""Flow control: which of the runs that wait under limits go on next. One decision for all stores (rule 19).

Words. A *limit* says how many runs go on at a time, or how many begin in a time. A *gate* is a limit for one key, or
for all that it counts; a run that goes on *holds* the gates that count running runs. Runs with the same graph, priority
and gates wait in one *lane*, those that are ready for the longest time first; lanes that differ only in priority and in
gates with keys stand in one *line*, so that a gate which all of them need is looked at once.

Fairness. The lanes of a line are a ring: each that is served goes to its end, and so does each that begins to wait. So
between two turns of a lane, each other lane of its priority has at most as much as one turn of its own, however many
runs wait in it. A higher priority always comes first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from outlast.storage.keys import GraphKey, RunKey

__all__ = [
    "ABOVE",
    "BELOW",
    "HIGHEST_PRIORITY",
    "LEVEL",
    "Flow",
    "Gate",
    "GateState",
    "Lane",
    "Levels",
    "Limit",
    "Line",
    "Queue",
    "Wait",
    "admit",
    "gates_from_text",
    "gates_to_text",
    "next_due",
    "share",
    "state_of",
]

HIGHEST_PRIORITY: Final = 100
"""Priorities go from minus this to this; 0 is that of a run that says nothing."""

_RATE: Final = "rate "


class Gate(NamedTuple):
    """A limit, as it applies to a run."""

    limit: str
    """Name of the limit; those of rates begin with `rate `, so that nobody has to look them up."""
    key: str | None
    """The value that it counts apart, as JSON; None if it counts all together."""

    @property
    def is_rate(self) -> bool:
        """Whether it says how many begin in a time; else how many go on at a time."""
        return self.limit.startswith(_RATE)


class Flow(NamedTuple):
    """What a run is subject to from its start to its deletion."""

    priority: int
    """Higher ones come first."""
    gates: tuple[Gate, ...]
    """All of them must be open for the run to go on."""

    def resuming(self) -> tuple[Gate, ...]:
        """Return the gates of a run that has begun: a rate counts beginnings only."""
        return tuple(gate for gate in self.gates if not gate.is_rate)


class Limit(NamedTuple):
    """A limit as the latest app that has it declares it."""

    name: str
    """Its name, under which all processes over one store share it."""
    most: int
    """How many runs for each key."""
    per_ms: int | None = None
    """In which time they may begin; None: how many go on at a time."""
    burst: int = 1
    """With `per_ms`: how many may begin at once after a pause."""

    @property
    def interval_us(self) -> int:
        """The time between two beginnings, in microseconds, rounded up so that there are never too many."""
        return -(-(self.per_ms or 0) * 1000 // self.most)


class Line(NamedTuple):
    """Lanes that all need the same gates without keys."""

    key: int
    """Its number."""
    gates: tuple[Gate, ...]
    """These gates."""


class Lane(NamedTuple):
    """A lane whose turn may come."""

    key: int
    """Its number."""
    line: int
    """Number of its line."""
    priority: int
    """Priority of its runs."""
    turn: int
    """Its place in the ring; the lowest comes first."""
    gates: tuple[Gate, ...]
    """Its gates with keys."""


class Levels(NamedTuple):
    """A range of priorities, both ends included."""

    lowest: int
    highest: int


ABOVE: Final = Levels(1, HIGHEST_PRIORITY)
"""Priorities that come before runs that need nothing but a worker."""
LEVEL: Final = Levels(0, 0)
"""The priority of those."""
BELOW: Final = Levels(-HIGHEST_PRIORITY, -1)
"""Priorities that come after them."""


class GateState(NamedTuple):
    """How a gate stands, for whoever asks why a run waits."""

    gate: Gate
    """The gate."""
    limit: Limit
    """Its limit."""
    held: int = 0
    """How many runs hold it."""
    holders: tuple[str, ...] = ()
    """Ids of the first of them."""
    free_at_ms: int = 0
    """Of a rate: when the next run may begin."""


class Wait(NamedTuple):
    """What a run waits for under its limits."""

    priority: int
    """Its priority."""
    gates: tuple[GateState, ...]
    """Its gates, as far as their limits are declared."""
    ahead: int
    """How many runs of its lane are before it."""
    lanes: int
    """How many other lanes of its line wait for their turn."""


class Queue(Protocol):
    """What the decision needs of a store, inside one transaction."""

    def limits(self) -> Mapping[str, Limit]:
        """Return the declared limits by name."""
        ...

    def lines(self, graphs: Sequence[GraphKey]) -> Sequence[Line]:
        """Return the lines of these graphs."""
        ...

    def promote(self, lines: Sequence[int], now_ms: int) -> None:
        """Put lanes whose time has come at the end of the ring, those of the earliest time first."""
        ...

    def in_line(self, line: int, levels: Levels, count: int) -> Sequence[Lane]:
        """Return the first lanes of the ring, highest priority first, at most `count`."""
        ...

    def waiting(self, lane: int, count: int) -> Sequence[tuple[int, RunKey]]:
        """Return when runs of a lane are ready, and their keys, the earliest first, at most `count`."""
        ...

    def held(self, gate: Gate, most: int) -> int:
        """Return how many runs hold a gate; it need not count further than `most`."""
        ...

    def theoretical_us(self, gate: Gate) -> int:
        """Return when the next run would begin if all began evenly, in microseconds; 0 if nobody knows."""
        ...

    def hold(self, run: RunKey, gates: Sequence[Gate]) -> None:
        """Take a run from its lane, and note which gates it holds until it rests."""
        ...

    def set_theoretical_us(self, gate: Gate, at_us: int) -> None:
        """Change what `theoretical_us` returns."""
        ...

    def serve(self, lane: int) -> None:
        """Put a lane at the end of the ring."""
        ...

    def close(self, lane: int, gate: Gate) -> None:
        """Take a lane out of the ring until a run lets go of the gate."""
        ...

    def postpone(self, lane: int, due_at_ms: int, *, is_closed: bool) -> None:
        """Take a lane out of the ring until a time; `is_closed`: also if a run comes that is ready before."""
        ...

    def drop(self, lane: int) -> None:
        """Forget a lane in which nothing waits."""
        ...

    def earliest(self, line: int) -> int | None:
        """Return when the first lane of a line is to be looked at; None if nothing waits, or behind closed gates."""
        ...


def gates_to_text(gates: Iterable[Gate]) -> str:
    """Return gates as a text that is the same for the same gates."""
    return json.dumps([list(gate) for gate in gates], separators=(",", ":"))


def gates_from_text(text: str) -> tuple[Gate, ...]:
    """Read what `gates_to_text` wrote."""
    return tuple(Gate(limit, key) for limit, key in json.loads(text))


def share(room: int, plain: int, *, is_odd_ours: bool) -> int:
    """Return how many of the free places runs that wait in lanes may take, beside `plain` ready runs without limits.

    Half of them, and whatever the others leave. An odd place goes to either in turn.
    """
    return max(room - plain, (room + is_odd_ours) // 2)


def admit(queue: Queue, graphs: Sequence[GraphKey], *, now_ms: int, limit: int, levels: Levels) -> list[RunKey]:
    """Choose the runs that go on next, at most `limit`, and let them hold their gates."""
    if limit < 1:
        return []
    return _Admission(queue, graphs, now_ms).run(limit, levels)


def next_due(queue: Queue, graphs: Sequence[GraphKey]) -> int | None:
    """Return when `admit` may have something to do; None if only the end of a run can bring that about."""
    limits = queue.limits()
    times: list[int] = []
    for line in queue.lines(graphs):
        at_ms = queue.earliest(line.key)
        if at_ms is None:
            continue
        states = [state for gate in line.gates if (state := state_of(queue, gate, limits)) is not None]
        if not any(state.limit.per_ms is None and state.held >= state.limit.most for state in states):
            times.append(max(at_ms, *(state.free_at_ms for state in states), 0))
    return min(times, default=None)


def state_of(queue: Queue, gate: Gate, limits: Mapping[str, Limit]) -> GateState | None:
    """Return how a gate stands; None if no app declares its limit any more."""
    limit = limits.get(gate.limit)
    if limit is None:
        return None
    if limit.per_ms is None:
        return GateState(gate, limit, held=queue.held(gate, limit.most))
    free_at_us = queue.theoretical_us(gate) - (limit.burst - 1) * limit.interval_us
    return GateState(gate, limit, free_at_ms=-(-free_at_us // 1000))


class _Admission:
    """One decision: what is known of the gates, and what was taken of them so far."""

    def __init__(self, queue: Queue, graphs: Sequence[GraphKey], now_ms: int) -> None:
        self._queue = queue
        self._now_ms = now_ms
        self._limits = queue.limits()
        self._lines = {line.key: line.gates for line in queue.lines(graphs)}
        self._room: dict[Gate, int] = {}
        self._admitted: list[RunKey] = []
        queue.promote(list(self._lines), now_ms)

    def run(self, limit: int, levels: Levels) -> list[RunKey]:
        """Serve lanes in their turn until there is no place left or nobody who may have one."""
        open_lines = [key for key, gates in self._lines.items() if self._closed(gates) is None]
        while open_lines and len(self._admitted) < limit:
            room = limit - len(self._admitted)
            lanes = self._first_lanes(open_lines, levels, room)
            if not lanes:
                break
            each = max(1, room // len(lanes))  # fewer lanes than places: they share them out evenly
            for lane in lanes:
                if lane.line in open_lines and len(self._admitted) < limit:
                    self._serve(lane, min(each, limit - len(self._admitted)))
                    if self._closed(self._lines[lane.line]) is not None:
                        open_lines.remove(lane.line)
        return self._admitted

    def _first_lanes(self, lines: Sequence[int], levels: Levels, count: int) -> list[Lane]:
        """Return the first lanes of the highest priority that any lane has."""
        found = [lane for line in lines for lane in self._queue.in_line(line, levels, count)]
        found.sort(key=lambda lane: (-lane.priority, lane.turn))
        return [lane for lane in found if lane.priority == found[0].priority][:count]

    def _serve(self, lane: Lane, count: int) -> None:
        """Let the first runs of a lane go on; take it out of the ring if none can."""
        waiting = self._queue.waiting(lane.key, count)
        if not waiting:
            self._queue.drop(lane.key)
            return
        if waiting[0][0] > self._now_ms:
            self._queue.postpone(lane.key, waiting[0][0], is_closed=False)
            return
        gates = (*self._lines[lane.line], *lane.gates)
        for ready_at_ms, run in waiting:
            if ready_at_ms > self._now_ms:
                break
            closed = self._closed(gates)
            if closed is None:
                self._take(run, gates)
            elif closed.gate.key is None:
                break  # the same for the whole line, which is left alone from now on
            else:
                self._leave(lane, closed)
                return
        self._queue.serve(lane.key)

    def _leave(self, lane: Lane, closed: GateState) -> None:
        if closed.limit.per_ms is None:
            self._queue.close(lane.key, closed.gate)
        else:
            self._queue.postpone(lane.key, closed.free_at_ms, is_closed=True)

    def _closed(self, gates: Sequence[Gate]) -> GateState | None:
        """Return the first gate that lets no run through now."""
        for gate in gates:
            if self._room.get(gate, 0) > 0:
                continue
            state = state_of(self._queue, gate, self._limits)
            if state is None:
                continue
            if state.limit.per_ms is None:
                self._room[gate] = room = state.limit.most - state.held
                if room <= 0:
                    return state
            elif state.free_at_ms > self._now_ms:
                return state
        return None

    def _take(self, run: RunKey, gates: Sequence[Gate]) -> None:
        self._queue.hold(run, [gate for gate in gates if not gate.is_rate])
        for gate in gates:
            if gate in self._room:
                self._room[gate] -= 1
            limit = self._limits.get(gate.limit)
            if gate.is_rate and limit is not None:
                begins_us = max(self._queue.theoretical_us(gate), self._now_ms * 1000)
                self._queue.set_theoretical_us(gate, begins_us + limit.interval_us)
        self._admitted.append(run)
