"""The law of the core: at every prefix of every journal, commands given minus commands answered is `state.open`.

Random graphs are run by an engine that answers open commands in random order with random outcomes, crashes now and
then, and goes on with what it folds from the journal. `OUTLAST_EXAMPLES` sets how many runs are tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlast.core.advance import apply, decide, reissue
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
from outlast.core.ref import Resolver
from outlast.core.state import RunState
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state, fold_view
from outlast.failures import FailureInfo
from outlast.graph.document import graph_from_json, graph_to_json
from outlast.graph.nodes import ForeachNode, Graph, MapNode, Node, ParallelNode, StepNode, WorkflowNode
from outlast.graph.retry import RetryRule
from outlast.values import JsonValue, decode, encode
from property.graphs import graphs

EXAMPLES = int(os.environ.get("OUTLAST_EXAMPLES", "100"))
MANY = 120
"""In a journal longer than this only some prefixes are folded from scratch."""


@dataclass(frozen=True)
class Ended:
    """How a node or run ended."""

    value: JsonValue = None
    failed_at: str | None = None
    message: str = ""


Outcome: TypeAlias = JsonValue | FailureInfo


class World:
    """What user code does: a function of path and attempt alone, so that no order of answers changes it."""

    def __init__(self, seed: int, failing: float) -> None:
        self.seed = seed
        self.failing = failing

    def outcome(self, path: str, attempt: int) -> Outcome:
        random = self._random("outcome", path, attempt)
        if random.random() < self.failing:
            return FailureInfo(type="ValueError", message=f"{path}#{attempt}", is_retryable=random.random() < 0.7)
        return self._value(random)

    def misfit(self, moment: str, path: str) -> FailureInfo | None:
        """What an engine finds wrong with the input or output of a workflow."""
        if self._random(moment, path).random() < self.failing / 6:
            return FailureInfo(type="InputError", message=f"{moment} of {path}")
        return None

    def _value(self, random: Random) -> JsonValue:
        if random.random() < 0.05:
            return random.choice([None, 7, "text", {"a": 1}])
        return [random.randrange(100) for _ in range(random.choice([0, 1, 2, 2, 3, 3, 6]))]

    def _random(self, *key: object) -> Random:
        return Random(repr((self.seed, *key)))


def interpret(graph: Graph, world: World, value: JsonValue) -> Ended:
    """Say how a run must end: the meaning of a graph, one node after the other, without events or commands."""
    ended = _interpret(graph.root, "", world, value)
    misfit = world.misfit("result", "")
    if ended.failed_at is None and misfit is not None:
        return Ended(failed_at="", message=misfit.message)
    return ended


def _interpret(node: Node, path: str, world: World, value: JsonValue) -> Ended:
    match node:
        case StepNode() | MapNode():
            return _interpret_leaf(node, path, world)
        case WorkflowNode():
            return _interpret_workflow(node, path, world, value)
        case ForeachNode():
            if not isinstance(value, list):
                return Ended(failed_at=path, message="not a list")
            items = [_interpret(node.body, f"{path}[{index}]", world, item) for index, item in enumerate(value)]
            failed = next((item for item in items if item.failed_at is not None), None)
            return failed or Ended([item.value for item in items])
        case ParallelNode():
            scope = path.rpartition(".")[0]
            ends = {child.id: _interpret(child, _under(scope, child.id), world, value) for child in node.children}
            failed = next((end for end in ends.values() if end.failed_at is not None), None)
            return failed or Ended({name: end.value for name, end in ends.items()})


def _interpret_leaf(node: StepNode | MapNode, path: str, world: World) -> Ended:
    limit = node.retry.limit if isinstance(node, StepNode) else 0
    for attempt in count():
        outcome = world.outcome(path, attempt)
        if not isinstance(outcome, FailureInfo):
            return Ended(outcome)
        if attempt == limit or not outcome.is_retryable:
            return Ended(failed_at=path, message=outcome.message)
    raise AssertionError


def _interpret_workflow(node: WorkflowNode, path: str, world: World, value: JsonValue) -> Ended:
    if path and (misfit := world.misfit("input", path)) is not None:
        return Ended(failed_at=path, message=misfit.message)
    for child in node.nodes:
        ended = _interpret(child, _under(path, child.id), world, value)
        if ended.failed_at is not None:
            return ended
        value = ended.value
    if path and (misfit := world.misfit("output", path)) is not None:
        return Ended(failed_at=path, message=misfit.message)
    return Ended(value)


def _under(scope: str, id: str) -> str:
    return f"{scope}.{id}" if scope else id


class RandomEngine:
    """Drives one run, answering what is open in random order."""

    def __init__(self, graph: Graph, world: World, random: Random) -> None:
        self.graph = graph
        self.world = world
        self.random = random
        self.state = RunState(graph)
        self.records: list[Record] = []
        self.payloads: dict[int, bytes] = {}
        self.given: dict[str, Command] = {}
        """Commands given minus commands answered, as an engine sees it."""
        self.now_ms = 1_000

    def run(self, value: JsonValue, check: Callable[[RandomEngine], None]) -> None:
        self.record(RunStarted(self.now_ms), value)
        check(self)
        while self.given:
            self.now_ms += self.random.randrange(60)
            self.record(*self.answer(self.random.choice(list(self.given.values()))))
            check(self)

    def record(self, event: Event, payload: Outcome = None) -> None:
        seq = self.state.last_seq + 1
        raw = encode(payload) if isinstance(event, RunStarted | StepSucceeded) else None
        self.records.append(encode_event(event, seq=seq, execution=0, payload=raw))
        if raw is not None:
            self.payloads[seq] = raw
        self._note_answer(event)
        apply(self.state, seq, event)
        for command in decide(self.state):
            assert command.path not in self.given, "two open commands for one path"
            self.given[command.path] = command

    def _note_answer(self, event: Event) -> None:
        match event:
            case RunStarted():
                pass
            case RunFinished():
                del self.given[""]
            case StepStarted(path=path):
                command = self.given[path]
                assert isinstance(command, RunStep | RunMap)
                self.given[path] = replace(command, was_started=True)
            case _:
                del self.given[event.path]

    def answer(self, command: Command) -> tuple[Event, Outcome]:
        now, path = self.now_ms, command.path
        match command:
            case RunStep() | RunMap():
                return self._call(command)
            case StartTimer(due_at_ms=due):
                self.now_ms = max(now, due)
                return TimerFired(self.now_ms, path), None
            case OpenBlock(workflow=None):
                value = decode(Resolver(self.payloads).resolve(command.input))
                if isinstance(value, list):
                    return BlockOpened(now, path, len(value), command.concurrency), None
                return BlockFailed(now, path, None, FailureInfo(type="InputError", message="not a list")), None
            case OpenBlock():
                misfit = self.world.misfit("input", path)
                return (BlockOpened(now, path) if misfit is None else BlockFailed(now, path, None, misfit)), None
            case CloseBlock(cause=None):
                misfit = self.world.misfit("output", path) if command.workflow is not None else None
                return (BlockSucceeded(now, path) if misfit is None else BlockFailed(now, path, None, misfit)), None
            case CloseBlock(cause=cause):
                return BlockFailed(now, path, cause.path, None), None
            case FinishRun(cause=None):
                misfit = self.world.misfit("result", "")
                status = RunStatus.SUCCESS if misfit is None else RunStatus.FAILED
                return RunFinished(now, status, None, misfit), None
            case FinishRun(cause=cause):
                return RunFinished(now, RunStatus.FAILED, cause.path, cause.failure), None

    def _call(self, command: RunStep | RunMap) -> tuple[Event, Outcome]:
        attempt = command.attempt if isinstance(command, RunStep) else 0
        if not command.was_started and self.random.random() < 0.9:
            return StepStarted(self.now_ms, command.path, attempt), None
        outcome = self.world.outcome(command.path, attempt)
        if not isinstance(outcome, FailureInfo):
            return StepSucceeded(self.now_ms, command.path, attempt), outcome
        node = self.state.frame(command.path).node
        rule = node.retry if isinstance(node, StepNode) else RetryRule()
        due = retry_at(
            rule,
            run_id="r",
            path="p",
            attempt=attempt,
            first_at_ms=self.now_ms,
            at_ms=self.now_ms,
            failure=outcome,
        )
        return StepFailed(self.now_ms, command.path, attempt, outcome, due), None


RUNS = given(
    graph=graphs(),
    seed=st.integers(0, 2**32),
    failing=st.sampled_from([0.02, 0.1, 0.3, 0.0]),
    length=st.sampled_from([3, 6, 1, 0]),
)
MANY_RUNS = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])


def nothing(engine: RandomEngine) -> None:
    pass


@MANY_RUNS
@RUNS
def test_commands_given_minus_commands_answered_are_the_open_ones(graph, seed, failing, length):
    def law(engine: RandomEngine) -> None:
        assert list(engine.given) == list(engine.state.open)
        assert list(engine.given.values()) == reissue(engine.state)

    RandomEngine(graph, World(seed, failing), Random(seed)).run(list(range(length)), law)


@MANY_RUNS
@RUNS
def test_prefix_folded_from_scratch_is_the_live_state(graph, seed, failing, length):
    stored = graph_from_json(decode(encode(graph_to_json(graph))))

    def same(engine: RandomEngine) -> None:
        if len(engine.records) > MANY and engine.random.random() > 0.1:
            return
        folded = fold_state(stored, engine.records)
        assert list(folded.open.items()) == list(engine.state.open.items())
        assert folded.status() is engine.state.status()
        assert folded.next_due() == engine.state.next_due()
        assert folded.frames.keys() == engine.state.frames.keys()
        assert (folded.last_seq, folded.result) == (engine.state.last_seq, engine.state.result)

    RandomEngine(graph, World(seed, failing), Random(seed)).run(list(range(length)), same)


@MANY_RUNS
@RUNS
def test_run_ends_as_its_graph_means_whatever_the_order(graph, seed, failing, length):
    world = World(seed, failing)
    engine = RandomEngine(graph, world, Random(seed))

    engine.run(list(range(length)), nothing)

    assert _end_of(engine) == interpret(graph, world, list(range(length)))


@MANY_RUNS
@RUNS
def test_run_ends_the_same_when_its_worker_crashes_at_any_prefix(graph, seed, failing, length):
    world = World(seed, failing)
    engine = RandomEngine(graph, world, Random(seed))

    def crash(engine: RandomEngine) -> None:
        if engine.random.random() < 0.15 and len(engine.records) <= MANY:
            engine.state = fold_state(graph, engine.records)
            engine.given = {command.path: command for command in reissue(engine.state)}

    engine.run(list(range(length)), crash)

    assert _end_of(engine) == interpret(graph, world, list(range(length)))


@MANY_RUNS
@RUNS
def test_every_step_of_an_ended_run_has_an_end(graph, seed, failing, length):
    engine = RandomEngine(graph, World(seed, failing), Random(seed))

    engine.run(list(range(length)), nothing)

    view = fold_view(graph, engine.records)
    assert {step.status for step in view.steps.values()} <= {StepStatus.SUCCESS, StepStatus.FAILED}
    assert all(step.ended_at_ms is not None for step in view.steps.values())
    assert all((step.output is not None) == (step.status is StepStatus.SUCCESS) for step in view.steps.values())


def _end_of(engine: RandomEngine) -> Ended:
    assert engine.state.status().is_terminal
    assert not engine.state.open
    if engine.state.result is not None:
        return Ended(decode(Resolver(engine.payloads).resolve(engine.state.result)))
    failure = fold_view(engine.graph, engine.records).failure
    assert failure is not None
    return Ended(failed_at=failure.path, message=failure.failure.message)
