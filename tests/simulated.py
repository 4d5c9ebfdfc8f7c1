"""Runs without an engine: facts in, commands out, and the journal that a store would keep.

A `SimulatedRun` answers blocks and the end of the run by itself, as an engine does whose workflows declare no types.
What steps and maps do, and when timers fire, is for the test to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from outlast.core.advance import apply, decide
from outlast.core.backoff import retry_at
from outlast.core.codec import encode_event
from outlast.core.commands import CloseBlock, Command, FinishRun, OpenBlock, RunMap, RunStep, StartTimer
from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    Event,
    RunFinished,
    RunStarted,
    StepFailed,
    StepStarted,
    StepSucceeded,
    TimerFired,
)
from outlast.core.record import Record
from outlast.core.ref import Ref, Resolver
from outlast.core.state import RunState
from outlast.core.status import RunStatus
from outlast.core.view import RunView, fold_view
from outlast.failures import FailureInfo
from outlast.graph.nodes import (
    ForeachNode,
    Graph,
    MapNode,
    Node,
    ParallelNode,
    StepNode,
    Task,
    WorkflowNode,
)
from outlast.graph.retry import RetryRule
from outlast.values import InvalidValueError, JsonValue, decode, encode

BOOM = FailureInfo(type="ValueError", message="boom")
T0 = 1_767_225_600_000
"""2026-01-01T00:00:00Z, when every simulated run starts."""


def a_step(id: str, *, limit: int = 0, delay_ms: int = 0) -> StepNode:
    return StepNode(id=id, function=f"w/{id}", retry=RetryRule(limit=limit, delay_ms=delay_ms))


def a_map(id: str) -> MapNode:
    return MapNode(id=id, function=f"w/{id}?map")


def a_foreach(body: Task, *, concurrency: int = 1) -> ForeachNode:
    return ForeachNode(id=body.id, body=body, concurrency=concurrency)


def a_parallel(*children: Task, id: str = "parallel") -> ParallelNode:
    return ParallelNode(id=id, children=children)


def a_workflow(id: str, *nodes: Node) -> WorkflowNode:
    return WorkflowNode(id=id, workflow=f"{id}-workflow", nodes=nodes)


def a_graph(*nodes: Node) -> Graph:
    return Graph(root=WorkflowNode(id="w", workflow="w", nodes=nodes))


class SimulatedRun:
    """One run. Each method records one fact and returns the commands that follow for steps, maps and timers."""

    def __init__(self, graph: Graph, input: JsonValue = None) -> None:
        self.state = RunState(graph)
        self.records: list[Record] = []
        self.payloads: dict[int, bytes] = {}
        self.now_ms = T0
        self.input = input

    def start(self) -> list[Command]:
        return self.record(RunStarted(self.now_ms), self.input, has_payload=True)

    def begin(self, path: str, *, is_recovered: bool = False) -> list[Command]:
        return self.record(StepStarted(self.now_ms, path, self.attempt_of(path), is_recovered))

    def succeed(self, path: str, output: JsonValue = None) -> list[Command]:
        self._begin_unless_begun(path)
        return self.record(StepSucceeded(self.now_ms, path, self.attempt_of(path)), output, has_payload=True)

    def fail(self, path: str, failure: FailureInfo = BOOM) -> list[Command]:
        self._begin_unless_begun(path)
        node, attempt = self.state.frame(path).node, self.attempt_of(path)
        rule = node.retry if isinstance(node, StepNode) else RetryRule()
        due = retry_at(
            rule,
            run_id="r",
            path=path,
            attempt=attempt,
            first_at_ms=self.now_ms,
            at_ms=self.now_ms,
            failure=failure,
        )
        return self.record(StepFailed(self.now_ms, path, attempt, failure, due))

    def fire(self, path: str) -> list[Command]:
        command = self.state.open[path]
        assert isinstance(command, StartTimer)
        self.now_ms = max(self.now_ms, command.due_at_ms)
        return self.record(TimerFired(self.now_ms, path))

    def record(self, event: Event, payload: JsonValue = None, *, has_payload: bool = False) -> list[Command]:
        """Record a fact and then what an engine answers to blocks; return the commands that are left."""
        left: list[Command] = []
        issued = self.record_one(event, encode(payload) if has_payload else None)
        while issued:
            command = issued.pop(0)
            answer = self.answer(command)
            if answer is None:
                left.append(command)
            else:
                issued += self.record_one(answer)
        return left

    def record_one(self, event: Event, payload: bytes | None = None) -> list[Command]:
        """Record a fact and nothing else; return all commands that follow."""
        seq = self.state.last_seq + 1
        self.records.append(encode_event(event, seq=seq, execution=0, payload=payload))
        if payload is not None:
            self.payloads[seq] = payload
        apply(self.state, seq, event)
        return decide(self.state)

    def answer(self, command: Command) -> Event | None:
        """Return what an engine answers at once; None if the answer takes user code or time."""
        now = self.now_ms
        match command:
            case OpenBlock(workflow=None):
                try:
                    length = len(Resolver(self.payloads).split(command.input))
                except InvalidValueError as error:
                    return BlockFailed(now, command.path, None, FailureInfo(type="InputError", message=str(error)))
                return BlockOpened(now, command.path, length, command.concurrency)
            case OpenBlock():
                return BlockOpened(now, command.path)
            case CloseBlock(cause=None):
                return BlockSucceeded(now, command.path)
            case CloseBlock(cause=cause):
                return BlockFailed(now, command.path, cause.path, None)
            case FinishRun(cause=None):
                return RunFinished(now, RunStatus.SUCCESS)
            case FinishRun(cause=cause):
                return RunFinished(now, RunStatus.FAILED, cause.path, cause.failure)
            case RunStep() | RunMap() | StartTimer():
                return None

    def attempt_of(self, path: str) -> int:
        command = self.state.open[path]
        return command.attempt if isinstance(command, RunStep) else 0

    def value(self, ref: Ref | None) -> JsonValue:
        assert ref is not None
        return decode(Resolver(self.payloads).resolve(ref))

    @property
    def result(self) -> JsonValue:
        return self.value(self.state.result)

    @property
    def view(self) -> RunView:
        return fold_view(self.state.graph, self.records)

    @property
    def open_paths(self) -> list[str]:
        return list(self.state.open)

    def _begin_unless_begun(self, path: str) -> None:
        command = self.state.open[path]
        assert isinstance(command, RunStep | RunMap)
        if not command.was_started:
            assert not self.begin(path)


def paths(commands: list[Command]) -> list[str]:
    return [command.path for command in commands]


def nodes_of(node: Node) -> Iterator[Node]:
    """Yield a node and all that stand in it."""
    yield node
    match node:
        case WorkflowNode(nodes=nodes):
            inner: tuple[Node, ...] = nodes
        case ParallelNode(children=children):
            inner = children
        case ForeachNode(body=body):
            inner = (body,)
        case _:
            inner = ()
    for each in inner:
        yield from nodes_of(each)
