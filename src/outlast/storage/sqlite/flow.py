"""Flow control in an SQLite file: the tables behind `storage/flow.py`, read and written inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from outlast.storage.base import GraphKey, NewRun, RunKey
from outlast.storage.flow import (
    Flow,
    Gate,
    GateState,
    Lane,
    Levels,
    Limit,
    Line,
    Wait,
    gates_from_text,
    gates_to_text,
    next_due,
    state_of,
)
from outlast.storage.sqlite.sql import many, one

__all__ = ["SqlQueue", "begin", "lane_of_new", "let_go", "place", "read_next_ready", "read_wait"]

_AT_REST: Final = -1
"""Instead of the number of a lane: the run has to enter one when something wakes it."""

_PROMOTED: Final = 1_000
"""How many lanes of a line enter the ring at once: more than a claim can serve."""
_HOLDERS: Final = 5
_COUNTED: Final = 10_000


class SqlQueue:
    """Implements `outlast.storage.flow.Queue`; the meaning of its methods is written there."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def limits(self) -> Mapping[str, Limit]:
        """Return the declared limits by name."""
        return {row[0]: Limit(*row) for row in self._connection.execute(one("select_limits")).fetchall()}

    def lines(self, graphs: Sequence[GraphKey]) -> Sequence[Line]:
        """Return the lines of these graphs."""
        rows = self._connection.execute(many("select_lines", len(graphs)), graphs).fetchall()
        return [Line(key, gates_from_text(gates)) for key, gates in rows]

    def promote(self, lines: Sequence[int], now_ms: int) -> None:
        """Put lanes whose time has come at the end of the ring; forget rates of the past."""
        for line in lines:
            for (lane,) in self._connection.execute(one("select_due_lanes"), (line, now_ms, _PROMOTED)).fetchall():
                self.serve(lane)
        self._connection.execute(one("forget_rates"), (now_ms * 1000,))

    def in_line(self, line: int, levels: Levels, count: int) -> Sequence[Lane]:
        """Return the first lanes of the ring, highest priority first."""
        rows = self._connection.execute(one("select_ring"), (line, *levels, count)).fetchall()
        return [Lane(key, line, priority, turn, gates_from_text(gates)) for key, line, priority, turn, gates in rows]

    def waiting(self, lane: int, count: int) -> Sequence[tuple[int, RunKey]]:
        """Return when runs of a lane are ready, and their keys, the earliest first."""
        return self._connection.execute(one("select_waiting"), (lane, count)).fetchall()

    def held(self, gate: Gate, most: int) -> int:
        """Return how many runs hold a gate, counting up to `most`."""
        return int(self._connection.execute(one("count_slots"), (_text(gate), most)).fetchone()[0])

    def theoretical_us(self, gate: Gate) -> int:
        """Return when the next run would begin if all began evenly."""
        row = self._connection.execute(one("find_rate"), (_text(gate),)).fetchone()
        return 0 if row is None else int(row[0])

    def hold(self, run: RunKey, gates: Sequence[Gate]) -> None:
        """Take a run from its lane, and note which gates it holds until it rests."""
        self._connection.execute(one("place_run"), (None, run))
        self._connection.execute(one("begin_flow"), (run,))
        for gate in gates:
            self._connection.execute(one("take_slot"), (run, _text(gate)))

    def set_theoretical_us(self, gate: Gate, at_us: int) -> None:
        """Change what `theoretical_us` returns."""
        self._connection.execute(one("set_rate"), (_text(gate), at_us))

    def serve(self, lane: int) -> None:
        """Put a lane at the end of the ring."""
        (last,) = self._connection.execute(one("last_turn")).fetchone()
        self._connection.execute(one("turn_lane"), (last + 1, lane))

    def close(self, lane: int, gate: Gate) -> None:
        """Take a lane out of the ring until a run lets go of the gate."""
        self._connection.execute(one("close_lane"), (_text(gate), lane))

    def postpone(self, lane: int, due_at_ms: int, *, is_closed: bool) -> None:
        """Take a lane out of the ring until a time."""
        self._connection.execute(one("postpone_lane"), (due_at_ms, due_at_ms if is_closed else 0, lane))

    def drop(self, lane: int) -> None:
        """Forget a lane in which nothing waits."""
        self._connection.execute(one("drop_lane"), (lane,))

    def earliest(self, line: int) -> int | None:
        """Return when the first lane of a line is to be looked at."""
        at_ms: int | None = self._connection.execute(one("next_lane_at"), (line,)).fetchone()[0]
        return at_ms

    def holders(self, state: GateState) -> GateState:
        """Add ids of runs that hold the gate."""
        rows = self._connection.execute(one("list_holders"), (_text(state.gate), _HOLDERS)).fetchall()
        return state._replace(holders=tuple(run_id for (run_id,) in rows))


def _find_lane(connection: sqlite3.Connection, graph: GraphKey, flow: Flow, ready_at_ms: int) -> int:
    """Return the lane of a run that is about to wait; it is looked at when the run is ready."""
    shared = gates_to_text(gate for gate in flow.gates if gate.key is None)
    keyed = gates_to_text(gate for gate in flow.gates if gate.key is not None)
    row = connection.execute(one("find_line"), (graph, shared)).fetchone()
    line = row[0] if row is not None else connection.execute(one("insert_line"), (graph, shared)).lastrowid
    connection.execute(one("enter_lane"), (line, flow.priority, keyed, ready_at_ms))
    return int(connection.execute(one("find_lane"), (line, flow.priority, keyed)).fetchone()[0])


def begin(connection: sqlite3.Connection, run: int, flow: Flow) -> None:
    """Note what a new run is subject to."""
    connection.execute(one("insert_flow"), (run, flow.priority, gates_to_text(flow.gates)))


def lane_of_new(connection: sqlite3.Connection, run: NewRun, flow: Flow) -> int:
    """Return the lane of a run that is about to be inserted."""
    ready_at_ms = run.created_at_ms if run.ready_at_ms is None else run.ready_at_ms
    return _find_lane(connection, run.graph, flow, ready_at_ms)


def place(connection: sqlite3.Connection, run: int) -> None:
    """Let a run that nobody owns wait in its lane until it is ready, or rest if only its inbox can wake it."""
    graph, ready_at_ms, priority, gates, begun = connection.execute(one("select_flow"), (run,)).fetchone()
    flow = Flow(priority, gates_from_text(gates))
    lane = _AT_REST
    if ready_at_ms is not None:
        flow = Flow(priority, flow.resuming()) if begun else flow
        lane = _find_lane(connection, graph, flow, ready_at_ms)
    connection.execute(one("place_run"), (lane, run))


def let_go(connection: sqlite3.Connection, run: int) -> None:
    """Let a run hold nothing any more; the lanes that wait for what it held are looked at."""
    for row in connection.execute(one("give_slots"), (run,)).fetchall():
        connection.execute(one("open_lanes"), row)


def read_next_ready(connection: sqlite3.Connection, graphs: Sequence[GraphKey]) -> int | None:
    """Read when the first run of these graphs may be claimed."""
    earliest, has_lanes = connection.execute(many("next_ready_at", len(graphs)), graphs).fetchone()
    times = [earliest, next_due(SqlQueue(connection), graphs) if has_lanes else None]
    return min((time for time in times if time is not None), default=None)


def read_wait(connection: sqlite3.Connection, run: RunKey) -> Wait | None:
    """Read what a run waits for under its limits."""
    row = connection.execute(one("find_wait"), (run,)).fetchone()
    if row is None:
        return None
    lane, ready_at_ms, key, priority, text, begun, line = row
    queue = SqlQueue(connection)
    limits = queue.limits()
    flow = Flow(priority, gates_from_text(text))
    states = [state_of(queue, gate, limits) for gate in (flow.resuming() if begun else flow.gates)]
    (ahead,) = connection.execute(one("count_ahead"), (lane, ready_at_ms, key, _COUNTED)).fetchone()
    (lanes,) = connection.execute(one("count_lanes"), (line, _COUNTED)).fetchone()
    return Wait(
        priority=priority,
        gates=tuple(queue.holders(state) for state in states if state is not None),
        ahead=ahead,
        lanes=lanes - 1,
    )


def _text(gate: Gate) -> str:
    return gates_to_text([gate])
