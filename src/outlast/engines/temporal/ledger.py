"""A run as a function of its Temporal history: the workflow drives by it, and clients read the journal with it.

Workflow and client feed the same facts in the same order, so both come to the same journal. There is no I/O here, no
clock and no event loop: all that counts comes with what is fed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from outlast.core.advance import apply, decide, reissue
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
    CancelRequested,
    Event,
    Fact,
    HookStarted,
    RunGivenUp,
    RunPaused,
    RunRewound,
    SleepStarted,
    StepCanceled,
    StepResumed,
    StepStarted,
    StepSuspended,
)
from outlast.core.record import Record
from outlast.core.ref import Ref, Resolver
from outlast.core.state import RunState
from outlast.core.status import RunStatus
from outlast.engines.answers import Side
from outlast.engines.asking import fact_asked_for
from outlast.engines.outcomes import Calling, fact_of
from outlast.engines.perform import Aborted, Raised
from outlast.engines.temporal.alarms import earliest_due
from outlast.engines.temporal.attributes import shown_status
from outlast.engines.temporal.blocks import closed
from outlast.engines.temporal.graphs import graph_of
from outlast.engines.temporal.hearing import Hearing, attempt_of, call_lost
from outlast.engines.temporal.inbound import Canceled, Heard, Inbound, Lost, Rang, Requested, Told, rank_of
from outlast.engines.temporal.messages import Reply, Request, Start
from outlast.engines.temporal.moving import Moved, pack_snapshot, unpack_snapshot
from outlast.engines.temporal.opening import facts_of
from outlast.engines.temporal.questions import Question, declares, make_asks
from outlast.engines.temporal.said import Said
from outlast.engines.temporal.tasks import make_hook_task, make_task, start_event, with_entries
from outlast.engines.temporal.tidings import Tidings
from outlast.errors import PayloadTooLargeError
from outlast.failures import FailureInfo, describe_exception
from outlast.values import encode

__all__ = ["MOST_CALLS", "Ledger"]

_STAY: Final = 1_000
"""How many events later a run that could not move tries again."""
MOST_CALLS: Final = 500
"""How many bodies of one run are in flight at most. The server refuses more than 2,000 by leaving the run stuck."""


class Ledger:
    """Folds what reaches a run into its state, and says what must be done."""

    def __init__(self, start: Start, *, is_read: bool = False) -> None:
        """Begin with what the run was started with; only for those who read it the journal is written down."""
        self.start = start
        self._is_read = is_read
        self.is_draining = False
        """Whether no body is called any more until the run goes on in another workflow."""
        self.run_id = start.run_id
        self.state = RunState(graph_of(start.graph))
        self.records: list[Record] = []
        """The journal, as far as this object wrote it; only if it is read."""
        self.head = 0
        """The `seq` of its last event."""
        self.hearing = Hearing()
        """What is known of calls in flight."""
        self.calling: dict[str, Calling] = {}
        """Calls in flight, by path."""
        self.asked: list[Question] = []
        """Questions that must be answered before anything else is fed."""
        self.request_context = encode(dict(start.request_context))
        self.created_at_ms = 0
        self.has_begun = False
        """Whether the workflow that has the run now has begun."""
        self.is_untaken = False
        """Whether no worker has taken the run since it was started, or since its next execution was opened."""
        self._payloads: dict[int, bytes] = {}
        self.values = Resolver(self._payloads)
        self._queue: deque[str] = deque()
        self._to_call: list[tuple[Calling, bytes]] = []
        self._commands: list[Command] = []
        self._postponed: list[Question] = []
        self._verdict: FailureInfo | None = None
        self._now_ms = 0
        self._stays_until = 0
        self._told_until = 0
        if start.snapshot is not None:
            self._restore(start.snapshot)
        self.tidings = Tidings(self.state, is_traced=start.is_traced, told_until=self._told_until)
        """Which hooks must be told of what."""

    @property
    def status(self) -> RunStatus:
        """What the run is doing."""
        return RunStatus.PENDING if self.is_untaken else self.state.status()

    def listed_status(self) -> RunStatus:
        """Return the status that lists show."""
        status = self.status
        return shown_status(status, wait_ms=(self.next_due() or 0) - self._now_ms if status is RunStatus.WAITING else 0)

    def awaits(self, request: Request) -> bool:
        """Say whether something waits for what an outsider asks."""
        return fact_asked_for(self.state, request.kind, request.body, self._now_ms) is not None

    def note_rest(self) -> None:
        """Note whom to tell of how the run is left; call it when nothing is asked."""
        self.tidings.note(self.state, self.status)

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.state.finished is not None

    def open(self, at_ms: int) -> None:
        """Record that the run was started."""
        start = self.start
        if start.opening:
            self.created_at_ms = start.opening[0].at_ms
            self.reopen(start.opening)
            return
        self.created_at_ms, self.is_untaken = at_ms, True
        event = start_event(start, self.state.graph.root.timeout_ms, at_ms)
        self._commands.extend(self._fold(event, start.input))

    def begin(self, now_ms: int, *, is_full: bool = False) -> None:
        """Do what comes first, because a worker has taken the run; `is_full` says that the history is long already."""
        self.take()
        self._note_fullness(is_full=is_full)
        self._now_ms = max(now_ms, self.state.last_at_ms)
        commands, self._commands = self._commands, []
        self._ring()
        facts: deque[Fact] = deque()
        for command in commands:
            if self.state.open.get(command.path) is command:
                self._take(command, facts)
        self._advance(facts)
        self._ring()

    def absorb(self, batch: Sequence[Inbound], now_ms: int, *, is_full: bool = False) -> None:
        """Fold what reached the run at one time, in a fixed order: cancels, requests, timers, outcomes."""
        self._note_fullness(is_full=is_full)
        self._now_ms = max(now_ms, self.state.last_at_ms)
        for inbound in sorted(batch, key=rank_of):
            self._advance(deque(self._facts_of(inbound)))
            self._advance(self._next_calls())
        self._ring()

    def settle(self, replies: Sequence[Reply]) -> None:
        """Fold the answers to what was asked. Questions that got none, for want of room, are asked again."""
        asked, self.asked = self.asked[: len(replies)], self.asked[len(replies) :] + self._postponed
        self._postponed = []
        for question, reply in zip(asked, replies, strict=True):
            command = question.command
            self._now_ms = max(reply.at_ms, self.state.last_at_ms)
            if isinstance(self.state.open.get(command.path), type(command)):
                self._advance(deque(self._answer(command, reply)))

    def take_calls(self) -> Sequence[tuple[Calling, bytes]]:
        """Return the functions that must be called now, with the messages for their activities.

        Must be called after each change. If the run was canceled meanwhile, none of them is called.
        """
        calls, self._to_call = self._to_call, []
        if not self.state.is_canceling:
            return calls
        for command, _ in calls:
            self._advance(deque(self._lost(command.path)))
        return []

    def try_to_move(self) -> bytes | None:
        """Return with what the run goes on in another workflow, if it should; call it when nothing is asked.

        What is in flight ends first. If the run still needs too much to take along, it stays where it is for a while.
        """
        if not self.is_draining or self.calling or self.is_over:
            return None
        message = replace(self.start, snapshot=pack_snapshot(self.moved()), opening=(), carried=()).to_bytes()
        if len(message) <= self.start.largest:
            return message
        self.is_draining = False
        self._stays_until = self.state.last_seq + _STAY
        self._advance(self._next_calls())
        return None

    def take(self) -> None:
        """Note that the workflow has begun, or has ended without."""
        self.has_begun, self.is_untaken = True, False

    def move(self) -> None:
        """Go on in another workflow: what is open and not in flight is issued once more."""
        self.is_draining = self.has_begun = False
        self._queue.clear()
        self._commands = reissue(self.state)

    def _note_fullness(self, *, is_full: bool) -> None:
        if is_full and self.state.last_seq >= self._stays_until:
            self.is_draining = True

    def _restore(self, snapshot: bytes) -> None:
        moved = unpack_snapshot(self.state.graph, snapshot, self.start.opening)
        self.state = moved.state
        self.request_context = moved.request_context
        self.created_at_ms = moved.created_at_ms
        self._told_until = moved.told_until
        self.head = moved.head
        self.hearing = Hearing(moved.said)
        self._payloads.update(moved.payloads)
        self.move()

    def moved(self) -> Moved:
        """Return with what the run goes on elsewhere."""
        told, said = self.tidings.told_until, self.hearing.said
        return Moved(self.state, self.request_context, self.created_at_ms, told, self.head, said, self._payloads)

    def reopen(self, opening: Sequence[Record]) -> None:
        """Record the events with which an execution begins elsewhere than at the start.

        Raises:
            UnknownMessageError: A newer version wrote one of them.
        """
        for event, payload in facts_of(opening):
            self._fold(event, payload)
            if isinstance(event, RunRewound):
                self.request_context = with_entries(self.request_context, event.request_context)
        self.hearing = Hearing(self.hearing.said)
        self.is_untaken = True
        self.move()

    def close(self, failure: FailureInfo | None, at_ms: int) -> None:
        """Record an end that did not come from here: somebody ended the workflow, or its code cannot go on.

        Args:
            failure: Why; None if it was canceled.
            at_ms: When.
        """
        self.asked.clear()
        self._now_ms = max(at_ms, self.state.last_at_ms)
        if failure is not None:
            self._advance(deque([(RunGivenUp(self._now_ms, failure), None)]))
            return
        self._advance(deque(self._canceled(None)))
        for path in list(self.calling):
            self._advance(deque(self._lost(path)))

    def next_asks(self) -> bytes | None:
        """Return the message with which what is asked is answered; None if there is nothing to ask.

        Questions that do not fit into one message are asked one after the other. One that fits into none fails.
        """
        while self.asked:
            message = make_asks(self, self.asked)
            if len(message) <= self.start.largest:
                return message
            first, *rest = self.asked
            self.asked, self._postponed = [first], [*rest, *self._postponed]
            if not rest:
                error = PayloadTooLargeError(f"all that '{first.command.path}' needs", len(message), self.start.largest)
                refused = Raised(describe_exception(error, is_retryable=False))
                self.settle([Reply(self._now_ms, refused)])
        return None

    def next_due(self) -> int | None:
        """Return when a timer must ring; None for never."""
        return None if self.is_over else self.state.next_due()

    def why_misfit(self, workflow_id: str, side: Side, value: Ref, subject: str) -> FailureInfo | None:
        """Return the answer that was given to this question; types are checked where the functions are."""
        return self._verdict

    def resolve(self, ref: Ref) -> bytes:
        """Return a recorded value as JSON."""
        return self.values.resolve(ref)

    def _advance(self, facts: deque[Fact]) -> None:
        while facts:
            for command in self._fold(*facts.popleft()):
                self._take(command, facts)

    def _fold(self, event: Event, payload: bytes | None) -> Sequence[Command]:
        seq = self.head = self.head + 1
        if payload is not None:
            self._payloads[seq] = payload
        if self._is_read:
            execution = event.execution if isinstance(event, RunRewound) else self.state.execution
            self.records.append(encode_event(event, seq=seq, execution=execution, payload=payload))
        apply(self.state, seq, event)
        return decide(self.state)

    def _take(self, command: Command, facts: deque[Fact]) -> None:
        """Turn a command into facts now, or into something that will report one."""
        now = self._now_ms
        match command:
            case RunStep():
                self._take_step(command, facts)
            case RunMap():
                self._take_map(command, facts)
            case Evaluate():
                self.asked.append(Question(command))
            case OpenBlock() | CloseBlock() | FinishRun():
                self._take_block(command, facts)
            case Sleep():
                if not command.was_started:
                    facts.append((SleepStarted(now, command.path, command.due_from(now)), None))
            case Suspend():
                due = None if command.timeout_ms is None else now + command.timeout_ms
                facts.append((StepSuspended(now, command.path, 0, None, due), encode(command.payload)))
            case Pause():
                facts.append((RunPaused(now, command.path), None))
            case RunHook():
                facts.append((HookStarted(now, command.path), None))
                self._send(command, make_hook_task(self, command), f"hook '{command.path}'", facts)
            case StartTimer() | AwaitResume() | AwaitDeadline() | AwaitStep():
                pass  # one timer stands for all: see `next_due`
            case _:
                assert_never(command)

    def _take_step(self, command: RunStep, facts: deque[Fact]) -> None:
        if self.state.is_canceling:
            facts.append((StepCanceled(self._now_ms, command.path, command.attempt), None))
        elif len(self.calling) < MOST_CALLS and not self.is_draining:
            self._call(command, facts)
        else:
            self._queue.append(command.path)

    def _take_map(self, command: RunMap, facts: deque[Fact]) -> None:
        if self.state.is_canceling:
            facts.append((StepCanceled(self._now_ms, command.path, 0), None))
        else:
            facts.append((StepStarted(self._now_ms, command.path, 0, command.was_started), None))
            self.asked.append(Question(command))

    def _take_block(self, command: OpenBlock | CloseBlock | FinishRun, facts: deque[Fact]) -> None:
        if declares(self.state, command) and not self.hearing.is_fitting(command):
            self.asked.append(Question(command))
        else:
            self._verdict = None
            facts.append(closed(self, command, self._now_ms))

    def _call(self, command: RunStep, facts: deque[Fact]) -> None:
        message = make_task(self, command)
        facts.append((StepStarted(self._now_ms, command.path, command.attempt, command.was_started), None))
        self.hearing.begin(command.path)
        self._send(command, message, f"step '{command.path}'", facts)

    def _send(self, command: RunStep | RunHook, message: bytes, subject: str, facts: deque[Fact]) -> None:
        if len(message) > self.start.largest:
            error = PayloadTooLargeError(f"all that {subject} needs", len(message), self.start.largest)
            failed = Raised(describe_exception(error, is_retryable=False))
            facts.append(fact_of(self, command, failed, self._now_ms))
        else:
            self.calling[command.path] = command
            self._to_call.append((command, message))

    def _answer(self, command: RunMap | Evaluate | OpenBlock | CloseBlock | FinishRun, reply: Reply) -> list[Fact]:
        outcome = reply.outcome
        if isinstance(command, RunMap | Evaluate):
            if outcome == "elsewhere":
                self.calling[command.path] = command
                self._to_call.append((command, make_asks(self, [Question(command)])))
                return []
            if isinstance(outcome, str):
                message = f"a call of '{command.path}' cannot end as {outcome}"
                raise TypeError(message)
            return [fact_of(self, command, outcome, self._now_ms)]
        self._verdict = outcome.failure if isinstance(outcome, Raised) else None
        return [closed(self, command, self._now_ms)]

    def _facts_of(self, inbound: Inbound) -> list[Fact]:
        match inbound:
            case Told():
                return self._told(inbound.path, inbound.reply)
            case Heard(said=said):
                self._hear(said)
                return []
            case Lost(path=path):
                return self._lost(path)
            case Requested(request=request):
                return self._requested(request)
            case Canceled(reason=reason):
                return self._canceled(reason)
            case Rang():
                return []
            case _:
                assert_never(inbound)

    def _told(self, path: str, reply: Reply) -> list[Fact]:
        command = self._answered(path)
        if command is None:
            return []
        at = max(reply.at_ms, self.state.last_at_ms)
        lost = self.hearing.begun_again(command, reply.restarts, reply.crashes, at, is_poison=reply.outcome == "poison")
        self._advance(deque(lost))
        for uttered in reply.uttered:
            self._note(uttered.record)
        if reply.fits:
            self.hearing.note_fit(self.state.scope_of(path), self.head + 1)
        return self._outcome(command, reply, at)

    def _hear(self, said: Said) -> None:
        """Give what bodies say its place, unless it was heard before or its call is lost."""
        for uttered in self.hearing.news(said):
            command = self.calling.get(uttered.record.path)
            if command is not None and self.hearing.belongs(uttered, command):
                at = max(uttered.record.at_ms, self.state.last_at_ms)
                again = self.hearing.begun_again(command, uttered.restarts, uttered.crashes, at)
                self._advance(deque(again))
                self._note(uttered.record)

    def _note(self, record: Record) -> None:
        self.head += 1
        self.hearing.said += 1
        if self._is_read:
            self.records.append(record._replace(seq=self.head, execution=self.state.execution))

    def _answered(self, path: str) -> Calling | None:
        """Return the call that ends; None if nobody waits for it any more."""
        command = self.calling.pop(path, None)
        return command if command is not None and isinstance(self.state.open.get(path), type(command)) else None

    def _outcome(self, command: Calling, reply: Reply, at: int) -> list[Fact]:
        canceled: Fact = (StepCanceled(at, command.path, attempt_of(command)), None)
        match reply.outcome:
            case "poison" | "fits" | "elsewhere":
                return []
            case "canceled":
                return [] if isinstance(command, Evaluate | RunHook) else [canceled]
            case Aborted():
                return [*self._canceled(f"'{command.path}' aborted it"), canceled]
            case outcome:
                return [fact_of(self, command, outcome, at)]

    def _lost(self, path: str) -> list[Fact]:
        command = self._answered(path)
        if command is None:
            return []
        if self.state.is_canceling and not isinstance(command, Evaluate | RunHook):
            return [(StepCanceled(self._now_ms, path, attempt_of(command)), None)]
        return [fact_of(self, command, call_lost(path), self._now_ms)]

    def _next_calls(self) -> deque[Fact]:
        """Call the steps that waited longest, as far as there are places."""
        facts: deque[Fact] = deque()
        while self._queue and len(self.calling) < MOST_CALLS and not self.is_draining:
            command = self.state.open.get(self._queue.popleft())
            if isinstance(command, RunStep) and not command.was_started:
                self._call(command, facts)
        return facts

    def _requested(self, request: Request) -> list[Fact]:
        """Read one request; what nothing waits for any more is put aside."""
        fact = fact_asked_for(self.state, request.kind, request.body, self._now_ms)
        if fact is None:
            return []
        if isinstance(event := fact[0], StepResumed):
            self.request_context = with_entries(self.request_context, event.request_context)
        return [fact]

    def _canceled(self, reason: str | None) -> list[Fact]:
        if self.state.is_canceling or self.is_over:
            return []
        return [(CancelRequested(self._now_ms, reason), None)]

    def _ring(self) -> None:
        """Record all due times that have come, the earliest first."""
        while (due_at_ms := self.next_due()) is not None and due_at_ms <= self._now_ms:
            event = earliest_due(self.state.open.values(), self._now_ms)
            if event is None:
                return
            self._advance(deque([(event, None)]))
