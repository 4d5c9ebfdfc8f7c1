"""Runs without an engine: facts in, commands out, and the journal that a store would keep.

A `SimulatedRun` answers blocks and the end of the run by itself, as an engine does whose workflows declare no types.
What steps and maps do, and when timers fire, is for the test to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from outlast.core.advance import apply, decide
from outlast.core.backoff import retry_at
from outlast.core.codec import encode_event
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
from outlast.core.events import (
    BlockFailed,
    BlockOpened,
    BlockSucceeded,
    CancelRequested,
    Evaluated,
    EvaluationFailed,
    Event,
    RunContinued,
    RunFinished,
    RunPaused,
    RunRewound,
    RunStarted,
    SleepStarted,
    StepCanceled,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.flow.scope import PAUSE_PATH
from outlast.core.frames import ForeachFrame
from outlast.core.past import fold_past
from outlast.core.record import Record
from outlast.core.ref import Item, Recorded, Ref, Resolver
from outlast.core.rewind import RewindRequest, plan_rewind
from outlast.core.state import RunState
from outlast.core.status import RunStatus
from outlast.core.view import RunView, fold_view
from outlast.failures import FailureInfo, failure_to_json
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    Graph,
    LoopNode,
    MapNode,
    Node,
    ParallelNode,
    SleepNode,
    StepNode,
    Task,
    WaitNode,
    WorkflowNode,
)
from outlast.graph.patch import Patch
from outlast.graph.retry import RetryRule
from outlast.values import InvalidValueError, JsonValue, decode, encode

BOOM = FailureInfo(type="ValueError", message="boom")
T0 = 1_767_225_600_000
"""2026-01-01T00:00:00Z, when every simulated run starts."""


def a_step(id: str, *, limit: int = 0, delay_ms: int = 0) -> StepNode:
    return StepNode(id=id, function=f"w/{id}", retry=RetryRule(limit=limit, delay_ms=delay_ms))


def a_map(id: str) -> MapNode:
    return MapNode(id=id, function=f"w/{id}?map")


def a_foreach(body: Task, *, concurrency: int | str = 1, is_collecting: bool = False) -> ForeachNode:
    return ForeachNode(id=body.id, body=body, concurrency=concurrency, is_collecting=is_collecting)


def a_parallel(*children: Task, id: str = "parallel", limit: int | None = None) -> ParallelNode:
    return ParallelNode(id=id, children=children, limit=limit)


def a_branch(*children: Task, id: str = "route", is_first_only: bool = False) -> BranchNode:
    conditions = tuple(f"w/{id}?{child.id}" for child in children)
    return BranchNode(id=id, conditions=conditions, children=children, is_first_only=is_first_only)


def a_loop(body: Task, *, is_until: bool = True, max_iterations: int | None = None) -> LoopNode:
    condition = f"w/{body.id}?condition"
    return LoopNode(id=body.id, body=body, condition=condition, is_until=is_until, max_iterations=max_iterations)


def a_sleep(
    id: str = "nap",
    *,
    duration_ms: int | None = None,
    until_ms: int | None = None,
    function: str | None = None,
    is_until: bool = False,
) -> SleepNode:
    return SleepNode(id=id, duration_ms=duration_ms, until_ms=until_ms, function=function, is_until=is_until)


def a_wait(
    id: str = "approve",
    *,
    payload: JsonValue = None,
    timeout_ms: int | None = None,
    default: tuple[JsonValue, ...] = (),
) -> WaitNode:
    return WaitNode(id=id, function=f"w/{id}", payload=payload, timeout_ms=timeout_ms, default=default)


def a_workflow(id: str, *nodes: Node) -> WorkflowNode:
    return WorkflowNode(id=id, workflow=f"{id}-workflow", nodes=nodes)


def a_graph(*nodes: Node) -> Graph:
    return Graph(root=WorkflowNode(id="w", workflow="w", nodes=nodes))


class SimulatedJournal:
    """The journal of one run, as a store would keep it, and the state that follows from it."""

    def __init__(self, graph: Graph, *, now_ms: int = T0) -> None:
        self.graph = graph
        self.state = RunState(graph)
        self.records: list[Record] = []
        self.payloads: dict[int, bytes] = {}
        self.now_ms = now_ms
        self.execution = 0

    def record_one(self, event: Event, payload: bytes | None = None) -> list[Command]:
        """Record a fact and nothing else; return all commands that follow."""
        seq = self.state.last_seq + 1
        self.records.append(encode_event(event, seq=seq, execution=self.execution, payload=payload))
        if payload is not None:
            self.payloads[seq] = payload
        apply(self.state, seq, event)
        return decide(self.state)

    def plan_next_execution(
        self,
        request: RewindRequest,
        given: list[JsonValue],
        *,
        state: dict[str, JsonValue] | None = None,
        per_step: bool = False,
    ) -> RunRewound:
        """Begin to count as the next execution, and return the event that opens it with the values that are given."""
        past = fold_past(self.graph, self.records)
        payloads = self.payloads | {self.state.last_seq + 1: encode(given)}
        seed = plan_rewind(past, request, measure=_measure_in(payloads))
        data = past.state_after(seed) if state is None else state
        self.execution += 1
        return RunRewound(self.now_ms, self.execution, request.to, seed, data, state is not None, per_step=per_step)

    def is_collected(self, path: str) -> bool:
        """Say whether a node is an item of a foreach that goes on when one fails."""
        parent = self.state.frame(path).parent
        return isinstance(parent, ForeachFrame) and parent.node.is_collecting

    def due_of(self, path: str, attempt: int, failure: FailureInfo) -> int | None:
        """Return when a step that failed just now is tried again; None if it is not."""
        node = self.state.frame(path).node
        rule = node.retry if isinstance(node, StepNode) else RetryRule()
        now = self.now_ms
        return retry_at(rule, run_id="r", path=path, attempt=attempt, first_at_ms=now, at_ms=now, failure=failure)

    def value(self, ref: Ref | None) -> JsonValue:
        """Return what a reference stands for."""
        assert ref is not None
        return decode(Resolver(self.payloads).resolve(ref))

    @property
    def view(self) -> RunView:
        """The journal, folded for readers."""
        return fold_view(self.graph, self.records)


class SimulatedRun(SimulatedJournal):
    """One run. Each method records one fact and returns the commands that follow and that blocks do not answer."""

    def __init__(self, graph: Graph, input: JsonValue = None) -> None:
        super().__init__(graph)
        self.input = input

    def start(self, *, per_step: bool = False, state: dict[str, JsonValue] | None = None) -> list[Command]:
        event = RunStarted(self.now_ms, per_step=per_step, state=state or {})
        return self.record(event, self.input, has_payload=True)

    def restart(self) -> list[Command]:
        return self.rewind()

    def rewind(
        self,
        to: str = "",
        *given: JsonValue,
        resume: JsonValue = None,
        context: dict[str, JsonValue] | None = None,
        state: dict[str, JsonValue] | None = None,
        per_step: bool = False,
    ) -> list[Command]:
        """Open the next execution. The only positional value after the target, if there is one, is its input."""
        context = context or {}
        values = [*given[:1], *([] if resume is None else [resume]), *context.values()]
        refs: list[Ref] = [Item(Recorded(self.state.last_seq + 1), index) for index in range(len(values))]
        input = refs.pop(0) if given else None
        resumed = None if resume is None else refs.pop(0)
        request = RewindRequest(to, input, resumed, dict(zip(context, refs, strict=True)))
        event = self.plan_next_execution(request, values, state=state, per_step=per_step)
        return self.record(event, values, has_payload=bool(values))

    def go_on(self, *, per_step: bool = True) -> list[Command]:
        """Let a paused run go on."""
        return self.record(RunContinued(self.now_ms, PAUSE_PATH, per_step))

    def begin(self, path: str, *, is_recovered: bool = False) -> list[Command]:
        return self.record(StepStarted(self.now_ms, path, self.attempt_of(path), is_recovered))

    def succeed(self, path: str, output: JsonValue = None, *, patch: Patch = ()) -> list[Command]:
        self._begin_unless_begun(path)
        event = StepSucceeded(self.now_ms, path, self.attempt_of(path), patch=patch)
        return self.record(event, output, has_payload=True)

    def bail(self, path: str, output: JsonValue = None) -> list[Command]:
        self._begin_unless_begun(path)
        event = StepSucceeded(self.now_ms, path, self.attempt_of(path), is_bail=True)
        return self.record(event, output, has_payload=True)

    def suspend(
        self,
        path: str,
        payload: JsonValue = None,
        *,
        label: str | None = None,
        timeout_ms: int | None = None,
        patch: Patch = (),
    ) -> list[Command]:
        self._begin_unless_begun(path)
        due = None if timeout_ms is None else self.now_ms + timeout_ms
        event = StepSuspended(self.now_ms, path, self.attempt_of(path), label, due, patch)
        return self.record(event, payload, has_payload=True)

    def resume(self, path: str, data: JsonValue = None) -> list[Command]:
        return self.record(StepResumed(self.now_ms, path), data, has_payload=True)

    def time_out(self, path: str) -> list[Command]:
        command = self.state.open[path]
        assert isinstance(command, AwaitResume)
        assert command.due_at_ms is not None
        self.now_ms = max(self.now_ms, command.due_at_ms)
        return self.record(SuspensionTimedOut(self.now_ms, path))

    def evaluate(self, path: str, value: int) -> list[Command]:
        return self.record(Evaluated(self.now_ms, path, value))

    def fail_evaluation(self, path: str, failure: FailureInfo = BOOM) -> list[Command]:
        return self.record(EvaluationFailed(self.now_ms, path, failure))

    def cancel(self, reason: str | None = None) -> list[Command]:
        return self.record(CancelRequested(self.now_ms, reason))

    def give_up(self, path: str) -> list[Command]:
        """Record that a body in flight is not waited for any more."""
        return self.record(StepCanceled(self.now_ms, path, self.attempt_of(path)))

    def fail(self, path: str, failure: FailureInfo = BOOM) -> list[Command]:
        self._begin_unless_begun(path)
        attempt = self.attempt_of(path)
        due = self.due_of(path, attempt, failure)
        issued = self.record_one(StepFailed(self.now_ms, path, attempt, failure, due), self._slot(path, failure))
        return self._settle(issued)

    def fire(self, path: str) -> list[Command]:
        command = self.state.open[path]
        assert isinstance(command, StartTimer | Sleep)
        self.now_ms = max(self.now_ms, command.due_at_ms)
        return self.record(TimerFired(self.now_ms, path))

    def record(self, event: Event, payload: JsonValue = None, *, has_payload: bool = False) -> list[Command]:
        """Record a fact and then what an engine answers to blocks; return the commands that are left."""
        return self._settle(self.record_one(event, encode(payload) if has_payload else None))

    def _settle(self, issued: list[Command]) -> list[Command]:
        left: list[Command] = []
        while issued:
            command = issued.pop(0)
            answer = self.answer(command)
            if answer is None:
                left.append(command)
            else:
                issued += self.record_one(answer, self._payload_of(command, answer))
        return left

    def answer(self, command: Command) -> Event | None:
        """Return what an engine answers at once; None if the answer takes user code or time."""
        now = self.now_ms
        match command:
            case OpenBlock(workflow=None, concurrency=int()):
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
            case FinishRun():
                return self._finish(command)
            case Sleep():
                # Its start is a fact of its own and answers nothing: the sleep stays open.
                self.record_one(SleepStarted(now, command.path, command.due_from(now)))
                return None
            case Pause():
                return RunPaused(now, command.path)
            case Suspend():
                due = None if command.timeout_ms is None else now + command.timeout_ms
                return StepSuspended(now, command.path, 0, None, due)
            case (
                RunStep()
                | RunMap()
                | RunHook()
                | StartTimer()
                | Evaluate()
                | AwaitResume()
                | AwaitDeadline()
                | AwaitStep()
            ):
                return None

    def _finish(self, command: FinishRun) -> Event:
        if command.is_canceled:
            return RunFinished(self.now_ms, RunStatus.CANCELED)
        if command.cause is None:
            return RunFinished(self.now_ms, RunStatus.SUCCESS)
        return RunFinished(self.now_ms, RunStatus.FAILED, command.cause.path, command.cause.failure)

    def _payload_of(self, command: Command, answer: Event) -> bytes | None:
        if isinstance(command, Suspend):
            return encode(command.payload)
        if isinstance(answer, BlockFailed):
            cause = command.cause if isinstance(command, CloseBlock) else None
            failure = answer.failure if cause is None else cause.failure
            return None if failure is None else self._slot(answer.path, failure)
        return None

    def _slot(self, path: str, failure: FailureInfo) -> bytes | None:
        """Return what a failed item of a collecting foreach leaves in its place; None for all other nodes."""
        return encode({"error": failure_to_json(failure)}) if self.is_collected(path) else None

    def attempt_of(self, path: str) -> int:
        command = self.state.open[path]
        return command.attempt if isinstance(command, RunStep) else 0

    @property
    def result(self) -> JsonValue:
        return self.value(self.state.result)

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
        case ParallelNode(children=children) | BranchNode(children=children):
            inner = children
        case ForeachNode(body=body) | LoopNode(body=body):
            inner = (body,)
        case _:
            inner = ()
    for each in inner:
        yield from nodes_of(each)


def _measure_in(payloads: Mapping[int, bytes]) -> Callable[[Ref], int | None]:
    """Return what says how long a list among these payloads is."""

    def measure(ref: Ref) -> int | None:
        value = decode(Resolver(payloads).resolve(ref))
        return len(value) if isinstance(value, list) else None

    return measure
