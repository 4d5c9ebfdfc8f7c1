"""Flow control in memory: the data behind `storage/flow.py`. Whoever calls holds the lock of the database."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from outlast.storage.base import GraphKey, RunKey
from outlast.storage.flow import Flow, Gate, GateState, Lane, Levels, Limit, Line, Wait, next_due, state_of
from outlast.storage.memory.table import ReadyQueue, Run

__all__ = ["FlowControl"]

_HOLDERS = 5
_LaneName: TypeAlias = tuple[int, int, tuple[Gate, ...]]
"""Line, priority and gates with keys."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Lane:
    """A lane in which runs wait, in the ring or out of it."""

    key: int
    name: _LaneName
    runs: ReadyQueue = field(default_factory=ReadyQueue)
    turn: int | None = None
    due_at_ms: int | None = None
    closed_until_ms: int = 0
    gate: Gate | None = None

    @property
    def line(self) -> int:
        return self.name[0]

    @property
    def place(self) -> tuple[int, int, int]:
        """Its place in the ring of its line."""
        return (-self.name[1], self.turn or 0, self.key)


class FlowControl:
    """Implements `outlast.storage.flow.Queue`; the meaning of its methods is written there."""

    def __init__(self, runs: Mapping[RunKey, Run]) -> None:
        self._runs = runs
        self._limits: dict[str, Limit] = {}
        self._line_keys: dict[tuple[GraphKey, tuple[Gate, ...]], int] = {}
        self._lanes: dict[int, _Lane] = {}
        self._lane_keys: dict[_LaneName, int] = {}
        self._rings: dict[int, list[tuple[int, int, int]]] = {}
        self._timed: dict[int, ReadyQueue] = {}
        self._closed: dict[Gate, dict[int, None]] = {}
        self._held: dict[Gate, dict[RunKey, None]] = {}
        self._gates: dict[RunKey, tuple[Gate, ...]] = {}
        self._rates: dict[Gate, int] = {}
        self._last_lane = 0
        self._last_turn = 0

    @property
    def has_lanes(self) -> bool:
        """Whether runs may wait under limits."""
        return bool(self._lanes)

    def limits(self) -> Mapping[str, Limit]:
        """Return the declared limits by name."""
        return self._limits

    def would_declare(self, limits: Iterable[Limit]) -> bool:
        """Say whether `declare` would change something."""
        return any(self._limits.get(limit.name) != limit for limit in limits)

    def declare(self, limits: Sequence[Limit]) -> None:
        """Make limits what an app says they are; then whoever waits may go on."""
        if self.would_declare(limits):
            self._limits |= {limit.name: limit for limit in limits}
            for lane in self._lanes.values():
                if lane.turn is None:
                    self._set_out(lane, 0)

    def lines(self, graphs: Sequence[GraphKey]) -> Sequence[Line]:
        """Return the lines of these graphs."""
        return [Line(key, gates) for (graph, gates), key in self._line_keys.items() if graph in graphs]

    def promote(self, lines: Sequence[int], now_ms: int) -> None:
        """Put lanes whose time has come at the end of the ring; forget rates of the past."""
        for line in lines:
            timed = self._timed.get(line)
            while timed is not None and (first := timed.peek()) is not None and first[0] <= now_ms:
                self.serve(first[1])
        for gate in [gate for gate, at_us in self._rates.items() if at_us < now_ms * 1000]:
            del self._rates[gate]

    def in_line(self, line: int, levels: Levels, count: int) -> Sequence[Lane]:
        """Return the first lanes of the ring, highest priority first."""
        found: list[Lane] = []
        for priority, turn, key in self._rings.get(line, ()):
            if len(found) == count:
                break
            if levels.lowest <= -priority <= levels.highest:
                found.append(Lane(key, line, -priority, turn, self._lanes[key].name[2]))
        return found

    def waiting(self, lane: int, count: int) -> Sequence[tuple[int, RunKey]]:
        """Return when runs of a lane are ready, and their keys, the earliest first."""
        return self._lanes[lane].runs.first(count)

    def held(self, gate: Gate, most: int) -> int:
        """Return how many runs hold a gate."""
        return len(self._held.get(gate, ()))

    def theoretical_us(self, gate: Gate) -> int:
        """Return when the next run would begin if all began evenly."""
        return self._rates.get(gate, 0)

    def hold(self, run: RunKey, gates: Sequence[Gate]) -> None:
        """Take a run from its lane, and note which gates it holds until it rests."""
        self.leave(self._runs[run])
        self._runs[run].has_begun = self._runs[run].needs_worker_only = True
        self._gates[run] = tuple(gates)
        for gate in gates:
            self._held.setdefault(gate, {})[run] = None

    def set_theoretical_us(self, gate: Gate, at_us: int) -> None:
        """Change what `theoretical_us` returns."""
        self._rates[gate] = at_us

    def serve(self, lane: int) -> None:
        """Put a lane at the end of the ring."""
        known = self._lanes[lane]
        self._take_out(known)
        self._last_turn += 1
        known.turn = self._last_turn
        insort(self._rings.setdefault(known.line, []), known.place)

    def close(self, lane: int, gate: Gate) -> None:
        """Take a lane out of the ring until a run lets go of the gate."""
        known = self._lanes[lane]
        self._take_out(known)
        known.gate = gate
        self._closed.setdefault(gate, {})[lane] = None

    def postpone(self, lane: int, due_at_ms: int, *, is_closed: bool) -> None:
        """Take a lane out of the ring until a time."""
        known = self._lanes[lane]
        known.closed_until_ms = due_at_ms if is_closed else 0
        self._set_out(known, due_at_ms)

    def drop(self, lane: int) -> None:
        """Forget a lane in which nothing waits."""
        known = self._lanes.pop(lane)
        self._take_out(known)
        del self._lane_keys[known.name]

    def earliest(self, line: int) -> int | None:
        """Return when the first lane of a line is to be looked at."""
        if self._rings.get(line):
            return 0
        first = self._timed[line].peek() if line in self._timed else None
        return None if first is None else first[0]

    def next_ready_at(self, graphs: Sequence[GraphKey]) -> int | None:
        """Return when the first run of these graphs may go on."""
        return next_due(self, graphs) if self._lanes else None

    def enter(self, run: Run, flow: Flow, ready_at_ms: int) -> None:
        """Let a run wait in its lane until it is ready."""
        gates = flow.resuming() if run.has_begun else flow.gates
        shared = tuple(gate for gate in gates if gate.key is None)
        line = self._line_keys.setdefault((run.graph, shared), len(self._line_keys) + 1)
        lane = self._find_lane((line, flow.priority, tuple(gate for gate in gates if gate.key is not None)))
        lane.runs.put(run.key, ready_at_ms)
        run.lane = lane.key
        if lane.turn is None and lane.gate is None:
            due_at_ms = ready_at_ms if lane.due_at_ms is None else min(lane.due_at_ms, ready_at_ms)
            self._set_out(lane, max(lane.closed_until_ms, due_at_ms))

    def leave(self, run: Run) -> None:
        """Take a run out of its lane."""
        if run.lane is not None and run.lane in self._lanes:
            self._lanes[run.lane].runs.discard(run.key)
        run.lane = None

    def let_go(self, run: Run) -> None:
        """Let a run hold nothing any more; the lanes that wait for what it held are looked at."""
        for gate in self._gates.pop(run.key, ()):
            del self._held[gate][run.key]
            if not self._held[gate]:
                del self._held[gate]
            for lane in [self._lanes[key] for key in self._closed.get(gate, ())]:
                self._set_out(lane, lane.closed_until_ms)

    def find_wait(self, run: Run) -> Wait | None:
        """Return what a run waits for under its limits."""
        lane = None if run.lane is None else self._lanes.get(run.lane)
        if lane is None or run.flow is None or run.ready_at_ms is None:
            return None
        gates = run.flow.resuming() if run.has_begun else run.flow.gates
        states = [state_of(self, gate, self._limits) for gate in gates]
        others = sum(other.line == lane.line for other in self._lanes.values()) - 1
        return Wait(
            priority=run.flow.priority,
            gates=tuple(self._with_holders(state) for state in states if state is not None),
            ahead=lane.runs.count_before(run.ready_at_ms, run.key),
            lanes=others,
        )

    def _with_holders(self, state: GateState) -> GateState:
        holders = sorted(self._held.get(state.gate, ()))[:_HOLDERS]
        return state._replace(holders=tuple(self._runs[key].run_id for key in holders))

    def _find_lane(self, name: _LaneName) -> _Lane:
        key = self._lane_keys.get(name)
        if key is None:
            self._last_lane = key = self._last_lane + 1
            self._lane_keys[name] = key
            self._lanes[key] = _Lane(key=key, name=name)
        return self._lanes[key]

    def _set_out(self, lane: _Lane, due_at_ms: int) -> None:
        self._take_out(lane)
        lane.due_at_ms = due_at_ms
        self._timed.setdefault(lane.line, ReadyQueue()).put(RunKey(lane.key), due_at_ms)

    def _take_out(self, lane: _Lane) -> None:
        if lane.turn is not None:
            ring = self._rings[lane.line]
            del ring[bisect_left(ring, lane.place)]
            lane.turn = None
        if lane.gate is not None:
            waiting = self._closed[lane.gate]
            del waiting[lane.key]
            if not waiting:
                del self._closed[lane.gate]
            lane.gate = None
        if lane.due_at_ms is not None:
            self._timed[lane.line].discard(RunKey(lane.key))
            lane.due_at_ms = None
