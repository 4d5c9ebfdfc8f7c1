"""A run as a function of what reaches it (rules 12.1, 20): its workflow, those that it goes on in, and readers agree.

Random graphs are driven without a server: bodies end in any order, are lost, called again and speak meanwhile; resumes
come twice, timers ring, somebody cancels. `OUTLAST_EXAMPLES` sets how many runs are tried.
"""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from outlast.core.chunk import ChunkWritten
from outlast.core.commands import Evaluate, RunMap, RunStep
from outlast.core.events import RunRewound
from outlast.core.frames import LeafFrame
from outlast.core.past import fold_past
from outlast.core.ref import Ref
from outlast.core.rewind import RewindRequest, plan_rewind
from outlast.core.snapshot import state_to_json
from outlast.core.status import RunStatus
from outlast.core.view import fold_state, fold_view
from outlast.engines.outcomes import Calling
from outlast.engines.perform import Answered, Bailed, Outcome, Raised, Returned, Suspended
from outlast.engines.temporal import ledger as ledger_module
from outlast.engines.temporal.inbound import Canceled, Heard, Inbound, Lost, Rang, Requested, Told, rank_of
from outlast.engines.temporal.ledger import Ledger
from outlast.engines.temporal.messages import Asks, Reply, Request, Start
from outlast.engines.temporal.opening import records_of
from outlast.engines.temporal.packing import LARGEST_MESSAGE
from outlast.engines.temporal.questions import Asking
from outlast.engines.temporal.reopening import next_start
from outlast.engines.temporal.said import Said, Uttered
from outlast.failures import FailureInfo
from outlast.graph.document import graph_to_json
from outlast.graph.nodes import Graph
from outlast.values import JsonValue, decode, encode
from property.graphs import graphs
from property.meaning import Nature, World
from simulated import a_graph, a_map, a_parallel, a_sleep, a_step, a_workflow

EXAMPLES = int(os.environ.get("OUTLAST_EXAMPLES", settings().max_examples))


class Pair:
    """The workflow that drives a run, now and then another one, and somebody who reads all their histories."""

    def __init__(self, graph: Graph, world: World, random: Random, value: JsonValue) -> None:
        self.graph, self.world, self.random = graph, world, random
        self.now_ms = 1_000
        start = start_of(graph, value)
        self.driving = Ledger(Start.from_bytes(start.to_bytes()))
        self.reading = Ledger(start, is_read=True)
        self.calls: dict[str, Calling] = {}
        self.requests: list[Request] = []
        self.heard: list[Said] = []
        self.moves = 0

    @property
    def both(self) -> tuple[Ledger, Ledger]:
        return self.driving, self.reading

    def run(self) -> None:
        for ledger in self.both:
            ledger.open(self.now_ms)
        self.drive()

    def drive(self) -> None:
        for ledger in self.both:
            ledger.begin(self.now_ms)
        self.follow_up()
        while not self.driving.is_over:
            self.now_ms += self.random.randrange(60)
            batch, is_full = self.draw_batch(), self.random.random() < 0.3
            self.driving.absorb(batch, self.now_ms, is_full=is_full)
            self.reading.absorb(sorted(batch, key=rank_of, reverse=True), self.now_ms, is_full=is_full)
            self.follow_up()
            self.move()

    def follow_up(self) -> None:
        """Do what the ledgers say, as the workflow does it."""
        self.issue()
        while (asks := self.driving.next_asks()) is not None:
            assert self.reading.next_asks() == asks
            replies = [Reply(self.now_ms, self.answer(each.command)).to_bytes() for each in self.driving.asked]
            for ledger in self.both:
                ledger.settle([Reply.from_bytes(each) for each in replies])
            self.issue()
        self.issue()
        for ledger in self.both:
            ledger.note_rest()
        self.check()

    def issue(self) -> None:
        calls = self.driving.take_calls()
        assert self.reading.take_calls() == calls
        self.calls |= {command.path: command for command, _ in calls}

    def move(self) -> None:
        message = self.driving.try_to_move()
        assert self.reading.try_to_move() == message
        if message is not None:
            assert not self.calls
            self.heard.clear()  # batches name the workflow that they are for: no other one gets them
            self.moves += 1
            self.driving = Ledger(Start.from_bytes(message))
            self.reading.move()
            for ledger in self.both:
                ledger.begin(self.now_ms)
            self.follow_up()

    def reopen(self) -> None:
        """Let the next execution begin, as whoever has read the run asks for it."""
        facts = [record for record in self.reading.records if record.is_fact]
        is_whole = self.driving.state.finished is RunStatus.SUCCESS
        target = self.random.choice(["", *fold_view(self.graph, facts).steps]) if is_whole else ""
        past = fold_past(self.graph, facts)
        seed = plan_rewind(past, RewindRequest(target), measure=self.measure)
        execution = self.driving.state.execution + 1
        rewound = RunRewound(self.now_ms, execution, target, seed, past.state_after(seed))
        opening = records_of([(rewound, encode([]))], after=self.driving.head, execution=execution)
        start = next_start(deepcopy(self.reading), opening)
        assert not self.calls
        self.heard.clear()
        self.driving = Ledger(Start.from_bytes(start.to_bytes()))
        self.reading.reopen(opening)
        self.drive()

    def measure(self, ref: Ref) -> int | None:
        value = decode(self.reading.resolve(ref))
        return len(value) if isinstance(value, list) else None

    def check(self) -> None:
        assert state_to_json(self.driving.state) == state_to_json(self.reading.state)
        assert self.driving.head == self.reading.head == len(self.reading.records)
        assert self.driving.hearing.said == self.reading.hearing.said
        assert self.driving.request_context == self.reading.request_context
        assert (self.driving.status, self.driving.next_due()) == (self.reading.status, self.reading.next_due())
        assert self.driving.tidings.told_until == self.reading.tidings.told_until
        assert self.calls.keys() == self.driving.calling.keys() == self.reading.calling.keys()

    def draw_batch(self) -> list[Inbound]:
        batch = [self.draw() for _ in range(self.random.choice([1, 1, 2, 3]))]
        return batch if self.random.random() < 0.9 else [*batch, Rang()]

    def draw(self) -> Inbound:
        if self.random.random() < 0.1:
            return self.draw_trouble()
        due_at_ms, waiting = self.driving.next_due(), self.driving.state.suspensions()
        if self.calls and self.random.random() < 0.8:
            return self.draw_outcome(self.random.choice(list(self.calls)))
        if waiting and (due_at_ms is None or self.random.random() < 0.5):
            return Requested(self.draw_resume())
        if due_at_ms is not None:
            self.now_ms = max(self.now_ms, due_at_ms)
            return Rang()
        return self.draw_outcome(self.random.choice(list(self.calls))) if self.calls else Rang()

    def draw_trouble(self) -> Inbound:
        kinds = ["cancel", "repeated"]
        kinds += ["lost", "said", "said"] if self.calls else []
        kinds += ["heard"] if self.heard else []
        path = self.random.choice(list(self.calls)) if self.calls else ""
        match self.random.choice(kinds):
            case "lost":
                del self.calls[path]
                return Lost(path)
            case "said":
                return Heard(self.draw_said(path))
            case "heard":
                return Heard(self.random.choice(self.heard))
            case "repeated" if self.requests:
                return Requested(self.random.choice(self.requests))
            case _:
                return Canceled("enough") if self.random.random() < 0.2 else Rang()

    def draw_said(self, path: str) -> Said:
        command = self.calls[path]
        attempt = command.attempt if isinstance(command, RunStep) else 0
        restarts = self.random.choice([0, 0, 1])
        uttered = Uttered.of(ChunkWritten(self.now_ms, path, attempt), b'"said"', restarts=restarts, crashes=0)
        self.heard.append(Said(f"process of workflow {self.moves}", len(self.heard), [uttered]))
        return self.heard[-1]

    def draw_outcome(self, path: str) -> Told:
        command = self.calls.pop(path)
        restarts = 1 if self.random.random() < 0.1 else 0
        outcome = self.answer(command)
        return Told(path, Reply(self.now_ms, outcome, restarts, self.random.randrange(restarts + 1)))

    def draw_resume(self) -> Request:
        command = self.random.choice(self.driving.state.suspensions())
        fields: JsonValue = {
            "path": command.path,
            "number": command.number,
            "execution": self.driving.state.execution,
            "data": self.world.resume_data(command.path),
            "request_context": {"resumed": command.path} if self.random.random() < 0.3 else {},
        }
        self.requests.append(Request(str(len(self.requests)), "resume", command.path, encode(fields)))
        return self.requests[-1]

    def answer(self, command: Asking | Calling) -> Outcome:
        world, path = self.world, command.path
        if isinstance(command, Evaluate):
            found = world.verdict(path) if command.purpose == "condition" else world.number(path)
            if isinstance(found, FailureInfo):
                return Raised(found)
            return Answered(self.now_ms + found if command.purpose in ("duration", "until") else int(found))
        assert isinstance(command, RunStep | RunMap)
        if isinstance(command, RunMap):
            outcome = world.outcome(path, 0)
            return Raised(outcome) if isinstance(outcome, FailureInfo) else Returned(encode(outcome), ())
        frame = self.driving.state.frame(path)
        assert isinstance(frame, LeafFrame)
        if frame.suspensions < world.suspensions(path):
            return Suspended(encode(path), None, None, world.patch(path))
        outcome = world.outcome(path, command.attempt)
        if isinstance(outcome, FailureInfo):
            return Raised(outcome)
        return (Bailed if world.is_bail(path) else Returned)(encode(outcome), world.patch(path))


def start_of(graph: Graph, value: JsonValue) -> Start:
    return Start(
        run_id="run",
        resource_id=None,
        request_context={"who": "ada"},
        state={},
        include_state=False,
        max_recoveries=1_000,
        grace_ms=0,
        lease_ms=1_000,
        delay_ms=0,
        start_within_ms=None,
        per_step=False,
        tags=(),
        hook_delay_ms=1,
        is_traced=True,
        graph=encode(graph_to_json(graph)),
        input=encode(value),
    )


NATURES = st.builds(
    Nature,
    failing=st.sampled_from([0.02, 0.1, 0.0]),
    bailing=st.sampled_from([0.0, 0.05]),
    suspending=st.sampled_from([0.1, 0.3]),
)
SOME_RUNS = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def pair_of(graph: Graph, seed: int, nature: Nature, value: JsonValue) -> Pair:
    return Pair(graph, World(seed, nature), Random(seed), value)


RUNS = given(
    pair=st.builds(pair_of, graphs(), st.integers(0, 2**32), NATURES, st.lists(st.integers(0, 9), max_size=4)),
    most_calls=st.sampled_from([1, 3, 500]),
)


@SOME_RUNS
@RUNS
def test_workflows_in_which_a_run_goes_on_and_readers_come_to_one_journal(pair: Pair, most_calls: int) -> None:
    """14.3, 20: whoever folds what reached the run is where its workflow is, and says the same to activities."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ledger_module, "MOST_CALLS", most_calls)
        pair.run()

    event(f"moves: {min(pair.moves, 5)}, {pair.driving.status}")
    folded = fold_state(pair.graph, [record for record in pair.reading.records if record.is_fact])
    assert (folded.finished, folded.data) == (pair.driving.state.finished, pair.driving.state.data)
    assert [record.seq for record in pair.reading.records] == list(range(1, pair.driving.head + 1))


@SOME_RUNS
@RUNS
def test_next_execution_is_for_its_workflow_what_it_is_for_readers(pair: Pair, most_calls: int) -> None:
    """12.3: it begins with one message, from whoever has read the run; nothing of before is folded again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ledger_module, "MOST_CALLS", most_calls)
        pair.run()
        for _ in range(2):
            pair.reopen()

    event(f"moves: {min(pair.moves, 5)}, {pair.driving.status}")
    told = [(0, 0), *((each.after, each.seq) for each in pair.reading.tidings.all)]
    assert [after for after, _ in told[1:]] == [seq for _, seq in told[:-1]], "each part of the journal is told once"
    executions = [record.execution for record in pair.reading.records]
    assert (executions, executions[-1]) == (sorted(executions), 2)


def asks_of(ledger: Ledger) -> list[str]:
    message = ledger.next_asks()
    return [] if message is None else [each.path for each in Asks.from_bytes(message).asks]


def asking(*, largest: int) -> Ledger:
    """Return a run that has three questions at one time."""
    maps = [a_workflow(f"w{number}", a_map("m")) for number in range(3)]
    ledger = Ledger(replace(start_of(a_graph(a_parallel(*maps)), "x" * 1_000), largest=largest), is_read=True)
    ledger.open(1)
    ledger.begin(1)
    return ledger


def test_questions_that_do_not_fit_into_one_message_are_asked_in_several() -> None:
    whole = asking(largest=LARGEST_MESSAGE).next_asks()
    assert whole is not None
    ledger = asking(largest=len(whole) - 1)

    asked = []
    while found := asks_of(ledger):
        asked.append(found)
        ledger.settle([Reply(2, Returned(b"1", ())) for _ in found])

    assert asked == [["w0.m"], ["w1.m", "w2.m"]]
    assert ledger.status is RunStatus.SUCCESS


def test_question_that_fits_into_no_message_fails() -> None:
    """Sent, it would leave the run stuck."""
    ledger = asking(largest=1_000)

    assert ledger.next_asks() is None
    assert ledger.status is RunStatus.FAILED
    failed = next(record for record in ledger.records if record.type == "step-failed")
    assert b"PayloadTooLargeError" in (failed.body or b"")


def test_answers_to_some_questions_leave_the_others_asked() -> None:
    """The worker that answers stops where its answers fill a message."""
    ledger = asking(largest=LARGEST_MESSAGE)

    assert asks_of(ledger) == ["w0.m", "w1.m", "w2.m"]
    ledger.settle([Reply(2, Returned(b"1", ()))])

    assert asks_of(ledger) == ["w1.m", "w2.m"]


@pytest.mark.parametrize("failure", [None, FailureInfo(type="WorkflowTerminatedError", message="enough")])
def test_run_whose_workflow_somebody_ended_has_ended(failure: FailureInfo | None) -> None:
    """4: canceled if that was asked for, else failed with the reason; what was in flight has an end, too."""
    graph = a_graph(a_parallel(a_step("a"), a_workflow("w", a_sleep("s", duration_ms=9))))
    ledger = Ledger(start_of(graph, 1), is_read=True)
    ledger.open(1)
    ledger.begin(1)

    ledger.close(failure, 5)

    assert ledger.is_over
    assert ledger.status is (RunStatus.CANCELED if failure is None else RunStatus.FAILED)
    assert not ledger.state.open


def test_bodies_over_the_bound_are_called_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has to keep too many calls of one run leaves it stuck; each end makes room for the next one."""
    monkeypatch.setattr(ledger_module, "MOST_CALLS", 2)
    ledger = Ledger(start_of(a_graph(a_parallel(*[a_step(f"s{number}") for number in range(5)])), 1))
    ledger.open(1)
    ledger.begin(1)
    called = [[command.path for command, _ in ledger.take_calls()]]

    for path in ("s1", "s0", "s2"):
        ledger.absorb([Told(path, Reply(2, Returned(b"1", ())))], 2)
        called.append([command.path for command, _ in ledger.take_calls()])

    assert called == [["s0", "s1"], ["s2"], ["s3"], ["s4"]]


def test_due_times_come_one_after_the_other_whatever_the_clock_has_missed() -> None:
    """11: a timer that rings late, as after an outage, does not change what came first."""
    naps = [a_sleep(f"n{number}", duration_ms=ms) for number, ms in enumerate((300, 100, 200))]
    sleeping = [a_workflow(f"w{each.id}", each) for each in naps]
    ledger = Ledger(start_of(a_graph(a_parallel(*sleeping)), 1), is_read=True)
    ledger.open(1)
    ledger.begin(1)

    ledger.absorb([Rang()], 1_000)

    fired = [record for record in ledger.records if record.type == "timer-fired"]
    assert [(record.path, record.at_ms) for record in fired] == [
        ("wn1.n1", 1_000),
        ("wn2.n2", 1_000),
        ("wn0.n0", 1_000),
    ]
