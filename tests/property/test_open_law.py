"""The law of the core: at every prefix of every journal, what was given and neither answered nor given up is open.

Random graphs are run by an engine that answers open commands in random order with random outcomes, cancels and crashes
now and then, and goes on with what it folds from the journal. `OUTLAST_EXAMPLES` sets how many runs are tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from outlast.core.advance import reissue
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
    RunTimedOut,
    SleepStarted,
    StartTimedOut,
    StepCanceled,
    StepFailed,
    StepResumed,
    StepStarted,
    StepSucceeded,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.flow.ending import DEADLINE_PATH, START_PATH
from outlast.core.frames import LeafFrame
from outlast.core.ref import Item, Recorded
from outlast.core.rewind import RewindRequest
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state, fold_view
from outlast.failures import FailureInfo
from outlast.graph.document import graph_from_json, graph_to_json
from outlast.graph.merge import merge
from outlast.graph.nodes import ForeachNode, Graph, WaitNode, walk
from outlast.values import JsonValue, decode, encode
from property.graphs import graphs
from property.meaning import Ended, HealedWorld, Meaning, Nature, World, slot_of
from simulated import SimulatedJournal

EXAMPLES = int(os.environ.get("OUTLAST_EXAMPLES", settings().max_examples))
MANY_EXAMPLES = max(EXAMPLES, 500)
_MOST_EXECUTIONS = 3
MANY = 120
"""In a journal longer than this only some prefixes are folded from scratch."""


class RandomEngine(SimulatedJournal):
    """Drives one run, answering what is open in random order."""

    def __init__(
        self, graph: Graph, world: World, random: Random, *, canceling: float = 0.0, rewinding: float = 0.0
    ) -> None:
        super().__init__(graph, now_ms=1_000)
        self.world = world
        self.random = random
        self.canceling = canceling
        self.rewinding = rewinding
        """How likely a run that rests is rewound: at its end, or while nothing but waits is open."""
        self.given: dict[str, Command] = {}
        """Commands given, less those answered and those given up, as an engine sees it."""
        self.data: Mapping[str, JsonValue] = {}
        """The state of the run, as the patches say in the order of the journal."""

    def run(self, value: JsonValue, check: Callable[[RandomEngine], None]) -> None:
        event = RunStarted(
            self.now_ms,
            deadline_ms=self.draw_deadline(80),
            per_step=self.random.random() < self.rewinding,
            start_deadline_ms=self.draw_deadline(3),
        )
        self.record(event, value)
        self.drive(check)

    def draw_deadline(self, most: int) -> int | None:
        """Draw one now and then, where a run may end before its graph does."""
        return self.now_ms + 60 * self.random.randrange(1, most) if self.random.random() < self.canceling * 20 else None

    def drive(self, check: Callable[[RandomEngine], None]) -> None:
        """Go on until the run has ended and nobody rewinds it any more."""
        check(self)
        while self.given or self.is_to_be_rewound():
            self.now_ms += self.random.randrange(60)
            if self.is_to_be_rewound():
                self.rewind()
            elif self.random.random() < self.canceling:
                self.record(CancelRequested(self.now_ms))
            else:
                self.record(*self.answer(self.choose()))
            check(self)

    def is_to_be_rewound(self) -> bool:
        if self.execution >= _MOST_EXECUTIONS or not self.rewinding or not self.state.status().is_rest:
            return False
        return Random(repr((self.world.seed, len(self.records)))).random() < self.rewinding

    def rewind(self) -> None:
        """Restart the run, or let it go on from a node that ran, with or without a changed input."""
        target = self.random.choice(["", *fold_view(self.graph, self.records).steps])
        self.rewind_to(target, self.random.choice([None, [1, 2]]) if target else None)

    def rewind_to(self, target: str, given: JsonValue | None = None) -> None:
        input = None if given is None else Item(Recorded(self.state.last_seq + 1), 0)
        per_step = self.random.random() < 0.3
        self.record(self.plan_next_execution(RewindRequest(target, input), [given], per_step=per_step), [given])

    def choose(self) -> Command:
        """Take any command that is open, but resume what is suspended seldom while there is something else to do."""
        commands = list(self.given.values())
        busy = [command for command in commands if not isinstance(command, AwaitResume | AwaitStep | AwaitDeadline)]
        return self.random.choice(busy if busy and self.random.random() < 0.8 else commands)

    def record(self, event: Event, payload: JsonValue | None = None) -> None:
        raw = encode(payload) if _has_payload(event) else self._slot(event)
        self._note_answer(event)
        if isinstance(event, StepSucceeded | StepSuspended):
            self.data = merge(self.data, event.patch)
        elif isinstance(event, RunRewound):
            self.data = event.state
        commands = self.record_one(event, raw)
        for path in self.state.abandoned:
            given = self.given.pop(path, None)
            assert given is None or isinstance(given, AwaitResume) or path == START_PATH, "what can still go on"
        for command in commands:
            assert command.path not in self.given, "two open commands for one path"
            self.given[command.path] = command

    def _note_answer(self, event: Event) -> None:
        match event:
            case RunStarted():
                pass
            case RunRewound():
                self.given.clear()
            case RunFinished():
                self.given.pop(DEADLINE_PATH, None)
                del self.given[""]
            case CancelRequested() | RunTimedOut() | StartTimedOut():
                self.given = {path: command for path, command in self.given.items() if _is_in_flight(command)}
            case StepStarted(path=path):
                command = self.given[path]
                assert isinstance(command, RunStep | RunMap)
                self.given[path] = replace(command, was_started=True)
            case SleepStarted(path=path):
                assert isinstance(self.given[path], Sleep)
                self.given[path] = Sleep(path, event.due_at_ms, was_started=True)
            case _:
                del self.given[event.path]

    def _slot(self, event: Event) -> bytes | None:
        """Return what a failed item leaves in the output of a collecting foreach."""
        if not isinstance(event, StepFailed | BlockFailed) or (isinstance(event, StepFailed) and event.retry_at_ms):
            return None
        if not self.is_collected(event.path):
            return None
        command, failure = self.state.open[event.path], event.failure
        if isinstance(command, CloseBlock) and command.cause is not None:
            failure = command.cause.failure
        assert failure is not None
        return encode(slot_of(failure.type))

    def answer(self, command: Command) -> tuple[Event, JsonValue | None]:
        now, path = self.now_ms, command.path
        match command:
            case RunStep() | RunMap():
                return self._call(command)
            case Evaluate():
                return self._evaluate(command), None
            case StartTimer(due_at_ms=due):
                self.now_ms = max(now, due)
                return TimerFired(self.now_ms, path), None
            case Sleep():
                due = command.due_from(now)
                if not command.was_started and self.random.random() < 0.9:
                    return SleepStarted(now, path, due), None
                self.now_ms = max(now, due)
                return TimerFired(self.now_ms, path), None
            case Suspend(timeout_ms=timeout_ms):
                due = None if timeout_ms is None else now + timeout_ms
                return StepSuspended(now, path, 0, None, due), command.payload
            case AwaitResume():
                return self._resume(command)
            case OpenBlock():
                return self._open(command), None
            case CloseBlock():
                return self._close(command), None
            case Pause() | AwaitStep() | AwaitDeadline() | FinishRun():
                return self._answer_for_run(command), None

    def _answer_for_run(self, command: Pause | AwaitStep | AwaitDeadline | FinishRun) -> Event:
        match command:
            case Pause(path=path):
                return RunPaused(self.now_ms, path)
            case AwaitStep(path=path):
                return RunContinued(self.now_ms, path, per_step=self.random.random() < 0.7)
            case AwaitDeadline(path=path, due_at_ms=due):
                self.now_ms = max(self.now_ms, due)
                return (StartTimedOut if path == START_PATH else RunTimedOut)(self.now_ms, path)
            case FinishRun():
                return self._finish(command)

    def _call(self, command: RunStep | RunMap) -> tuple[Event, JsonValue | None]:
        now, path = self.now_ms, command.path
        attempt = command.attempt if isinstance(command, RunStep) else 0
        if not command.was_started and self.random.random() < 0.9:
            return StepStarted(now, path, attempt), None
        if self.state.is_canceling and self.random.random() < 0.3:
            return StepCanceled(now, path, attempt), None
        frame = self.state.frame(path)
        assert isinstance(frame, LeafFrame)
        if isinstance(command, RunStep) and frame.suspensions < self.world.suspensions(path):
            due = self.random.choice([None, now + 100])
            return StepSuspended(now, path, attempt, None, due, self.world.patch(path)), path
        outcome = self.world.outcome(path, attempt)
        if not isinstance(outcome, FailureInfo):
            is_bail = isinstance(command, RunStep) and self.world.is_bail(path)
            return StepSucceeded(now, path, attempt, is_bail, self.world.patch(path)), outcome
        return StepFailed(now, path, attempt, outcome, self.due_of(path, attempt, outcome)), None

    def _evaluate(self, command: Evaluate) -> Event:
        is_condition = command.purpose == "condition"
        found = self.world.verdict(command.path) if is_condition else self.world.number(command.path)
        if isinstance(found, FailureInfo):
            return EvaluationFailed(self.now_ms, command.path, found)
        is_time = command.purpose in ("duration", "until")
        return Evaluated(self.now_ms, command.path, self.now_ms + found if is_time else int(found))

    def _resume(self, command: AwaitResume) -> tuple[Event, JsonValue | None]:
        path, due = command.path, command.due_at_ms
        node = self.state.frame(path).node
        is_late = self.world.times_out(path, due) if isinstance(node, WaitNode) else self.random.random() < 0.3
        if is_late and due is not None:
            self.now_ms = max(self.now_ms, due)
            return SuspensionTimedOut(self.now_ms, path), None
        return StepResumed(self.now_ms, path), self.world.resume_data(path)

    def _open(self, command: OpenBlock) -> Event:
        now, path = self.now_ms, command.path
        if command.concurrency is not None:
            value = self.value(command.input)
            if isinstance(value, list):
                return BlockOpened(now, path, len(value), command.concurrency)
            return BlockFailed(now, path, None, FailureInfo(type="InputError", message="not a list"))
        misfit = self.world.misfit("input", path) if command.workflow is not None else None
        return BlockOpened(now, path) if misfit is None else BlockFailed(now, path, None, misfit)

    def _close(self, command: CloseBlock) -> Event:
        now, path = self.now_ms, command.path
        if command.cause is not None:
            return BlockFailed(now, path, command.cause.path, None)
        misfit = self.world.misfit("output", path) if command.workflow is not None else None
        return BlockSucceeded(now, path) if misfit is None else BlockFailed(now, path, None, misfit)

    def _finish(self, command: FinishRun) -> Event:
        if command.is_canceled:
            return RunFinished(self.now_ms, RunStatus.CANCELED)
        if command.cause is not None:
            return RunFinished(self.now_ms, RunStatus.FAILED, command.cause.path, command.cause.failure)
        misfit = self.world.misfit("result", "")
        return RunFinished(self.now_ms, RunStatus.SUCCESS if misfit is None else RunStatus.FAILED, None, misfit)

    @property
    def end(self) -> Ended:
        assert self.state.status().is_terminal
        assert not self.state.open
        if self.state.result is not None:
            return Ended(self.value(self.state.result))
        failure = self.view.failure
        assert failure is not None
        return Ended(failed_at=failure.path, kind=failure.failure.type)


def _has_payload(event: Event) -> bool:
    return isinstance(event, RunStarted | RunRewound | StepSucceeded | StepSuspended | StepResumed)


def _is_in_flight(command: Command) -> bool:
    return isinstance(command, RunStep | RunMap) and command.was_started


NATURES = st.builds(
    Nature,
    failing=st.sampled_from([0.02, 0.1, 0.3, 0.0]),
    bailing=st.sampled_from([0.0, 0.05, 0.2]),
    suspending=st.sampled_from([0.0, 0.1, 0.4]),
)
RUNS = given(graph=graphs(), seed=st.integers(0, 2**32), nature=NATURES, value=st.lists(st.integers(0, 9), max_size=5))
SOME_RUNS = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def nothing(engine: RandomEngine) -> None:
    pass


@SOME_RUNS
@RUNS
def test_commands_given_and_neither_answered_nor_given_up_are_the_open_ones(graph, seed, nature, value):
    def law(engine: RandomEngine) -> None:
        assert list(engine.given) == list(engine.state.open)
        assert list(engine.given.values()) == reissue(engine.state)
        assert engine.data == engine.state.data

    RandomEngine(graph, World(seed, nature), Random(seed), canceling=0.01, rewinding=0.3).run(value, law)


@SOME_RUNS
@RUNS
@pytest.mark.slow
def test_prefix_folded_from_scratch_is_the_live_state(graph, seed, nature, value):
    stored = graph_from_json(decode(encode(graph_to_json(graph))))

    def same(engine: RandomEngine) -> None:
        if len(engine.records) > MANY and engine.random.random() > 0.1:
            return
        folded = fold_state(stored, engine.records)
        assert list(folded.open.items()) == list(engine.state.open.items())
        assert folded.status() is engine.state.status()
        assert folded.next_due() == engine.state.next_due()
        assert folded.data == engine.state.data
        assert folded.frames.keys() == engine.state.frames.keys()
        assert (folded.last_seq, folded.result) == (engine.state.last_seq, engine.state.result)

    RandomEngine(graph, World(seed, nature), Random(seed), canceling=0.01, rewinding=0.3).run(value, same)


@SOME_RUNS
@RUNS
def test_run_ends_as_its_graph_means_whatever_the_order(graph, seed, nature, value):
    world = World(seed, nature)
    engine = RandomEngine(graph, world, Random(seed))
    meaning = Meaning(graph, world, value)

    engine.run(value, nothing)

    event(f"certain: {meaning.is_certain}, {engine.state.status()}")
    assert not meaning.is_certain or engine.end == meaning.end


@SOME_RUNS
@RUNS
def test_run_ends_the_same_when_its_worker_crashes_at_any_prefix(graph, seed, nature, value):
    world = World(seed, nature)
    engine = RandomEngine(graph, world, Random(seed))
    meaning = Meaning(graph, world, value)

    def crash(engine: RandomEngine) -> None:
        if engine.random.random() < 0.15 and len(engine.records) <= MANY:
            engine.state = fold_state(graph, engine.records)
            engine.given = {command.path: command for command in reissue(engine.state)}

    engine.run(value, crash)

    assert not meaning.is_certain or engine.end == meaning.end


@SOME_RUNS
@RUNS
def test_repaired_run_ends_as_its_graph_means_wherever_it_goes_on(graph, seed, nature, value):
    """12.3: earlier results are kept, the rest runs again; so after a repair it is as if nothing had ever failed."""
    assume(not any(isinstance(node, ForeachNode) and node.is_collecting for node in walk(graph.root)))
    world = World(seed, nature)
    healed = HealedWorld(world)
    engine = RandomEngine(graph, world, Random(seed), canceling=0.02)
    meaning = Meaning(graph, healed, value)
    engine.run(value, nothing)
    is_broken = engine.state.status() is not RunStatus.SUCCESS
    engine.canceling, engine.world = 0.0, healed

    for _ in range(2):
        steps = list(fold_view(graph, engine.records).steps)
        target = "" if is_broken or not steps else engine.random.choice(steps)
        engine.rewind_to(target)
        engine.drive(nothing)
        is_broken = False

        assert not meaning.is_certain or engine.end == meaning.end

    event(f"certain: {meaning.is_certain}")


@SOME_RUNS
@RUNS
def test_canceled_run_ends_with_its_last_body(graph, seed, nature, value):
    """10: nothing starts after the request, and nobody has to be waited for but bodies in flight."""

    def law(engine: RandomEngine) -> None:
        if engine.state.is_canceling and engine.state.finished is None:
            assert [command for command in reissue(engine.state) if not _may_end_canceled(command)] == []

    engine = RandomEngine(graph, World(seed, nature), Random(seed), canceling=0.1)
    engine.run(value, law)

    if engine.state.is_canceling:
        assert engine.state.status() is (RunStatus.FAILED if engine.state.ending else RunStatus.CANCELED)


def _may_end_canceled(command: Command) -> bool:
    return _is_in_flight(command) or (isinstance(command, FinishRun) and command.output is None)


@SOME_RUNS
@RUNS
@pytest.mark.slow
def test_every_step_of_an_ended_run_has_an_end(graph, seed, nature, value):
    engine = RandomEngine(graph, World(seed, nature), Random(seed), canceling=0.005)

    engine.run(value, nothing)

    steps = fold_view(graph, engine.records).steps
    ends = {StepStatus.SUCCESS, StepStatus.FAILED, StepStatus.BAILED, StepStatus.CANCELED}
    assert {step.status for step in steps.values()} <= ends
    assert all(step.ended_at_ms is not None for step in steps.values())
    assert all(step.output is not None for step in steps.values() if step.status in _GIVING)
    assert all(step.failure is not None for step in steps.values() if step.status is StepStatus.FAILED)


@SOME_RUNS
@RUNS
def test_steps_of_a_view_stand_where_the_open_commands_say(graph, seed, nature, value):
    def same(engine: RandomEngine) -> None:
        if engine.random.random() > 0.1:
            return
        steps = fold_view(graph, engine.records).steps
        suspended = {path for path, step in steps.items() if step.status is StepStatus.SUSPENDED}
        alive = {path for path, step in steps.items() if step.ended_at_ms is None}
        if not engine.state.is_canceling:
            assert suspended == {command.path for command in engine.state.suspensions()}
            assert alive <= engine.state.frames.keys()

    RandomEngine(graph, World(seed, nature), Random(seed), canceling=0.005).run(value, same)


_GIVING = {StepStatus.SUCCESS, StepStatus.BAILED}

LAWS = [
    test_commands_given_and_neither_answered_nor_given_up_are_the_open_ones,
    test_prefix_folded_from_scratch_is_the_live_state,
    test_run_ends_as_its_graph_means_whatever_the_order,
    test_run_ends_the_same_when_its_worker_crashes_at_any_prefix,
    test_repaired_run_ends_as_its_graph_means_wherever_it_goes_on,
    test_canceled_run_ends_with_its_last_body,
    test_every_step_of_an_ended_run_has_an_end,
    test_steps_of_a_view_stand_where_the_open_commands_say,
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("test_"))
def test_law_holds_for_many_runs(law):
    settings(SOME_RUNS, max_examples=MANY_EXAMPLES)(RUNS(law.hypothesis.inner_test))()
