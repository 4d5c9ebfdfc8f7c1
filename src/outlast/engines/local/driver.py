"""The shell around the core: facts in, records and calls out. It executes commands and never decides what comes next.

Order of effects: a body is called only when the fact that it starts is durable; the start of a step travels in the same
commit as the outcome that led to it; nobody outside sees an outcome before its commit is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import assert_never

from outlast.core.advance import apply, decide, reissue
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
    Event,
    Fact,
    HookStarted,
    RunCrashed,
    RunPaused,
    RunStarted,
    RunTimedOut,
    SleepStarted,
    StartTimedOut,
    StepCanceled,
    StepStarted,
    StepSuspended,
    SuspensionTimedOut,
    TimerFired,
)
from outlast.core.flow.ending import DEADLINE_PATH, START_PATH
from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.engines.answers import close_block, finish, open_block
from outlast.engines.local.bodies import Bodies
from outlast.engines.local.calls import call_of, refs_of, timeout_of
from outlast.engines.local.deliveries import deliveries_of
from outlast.engines.local.live import Body, LiveRun
from outlast.engines.local.loading import Loading
from outlast.engines.local.requests import Requests
from outlast.engines.local.stopping import Stopping
from outlast.engines.local.suspects import suspicion
from outlast.engines.local.timers import DueEvent, Timers, deadline_event
from outlast.engines.options import DriveOptions
from outlast.engines.outcomes import Calling, collected, fact_of
from outlast.engines.perform import Aborted, Call, Outcome
from outlast.errors import OutlastError
from outlast.storage.base import Append, InboxKey, InboxRow, Receipt, RunKey, RunStore, WorkerKey
from outlast.storage.outbox import NewDelivery
from outlast.values import encode

__all__ = ["Driver"]

_RESIDENT_WAIT_MS = 1_000
"""A run that only waits, and longer than this, is given back to the store: asleep it costs a row and nothing else."""
_IDLE = frozenset({RunStatus.WAITING, RunStatus.SUSPENDED, RunStatus.PAUSED, RunStatus.PENDING})
"""Statuses in which nothing is in flight and nothing may start now."""


class Driver:
    """Drives the live runs of one worker. Everything here happens on the event loop, one call at a time."""

    def __init__(
        self,
        store: RunStore,
        *,
        options: DriveOptions,
        on_recorded: Callable[[RunKey], None],
        on_released: Callable[[LiveRun], None],
        on_refused: Callable[[LiveRun, OutlastError], None],
        on_broken: Callable[[LiveRun, Exception], None],
        on_told: Callable[[], None],
    ) -> None:
        self._store = store
        self._now_ms = options.now_ms
        self._loop = asyncio.get_running_loop()
        self._on_recorded = on_recorded
        self._on_released = on_released
        self._on_refused = on_refused
        self._on_broken = on_broken
        self._on_told = on_told
        self.bodies = Bodies(options, report=self._body_ended, flush=self.absorb)
        self._timers = Timers(options.clock, on_due=self._came_due)
        self._stopping = Stopping(
            options,
            bodies=self.bodies,
            timers=self._timers,
            absorb=self.absorb,
            slot_came_free=self._slot_came_free,
        )
        self._requests = Requests(options.now_ms, timers=self._timers, stopping=self._stopping)
        self._loading = Loading(take=self._take_all, on_refused=on_refused, on_broken=on_broken)
        self.worker = WorkerKey(0)
        """The worker in whose name is written."""
        self.is_draining = False
        """Whether no body is started any more and runs are given back as soon as they rest."""

    def begin(self, run: LiveRun, event: RunStarted, payload: bytes) -> Sequence[Record]:
        """Fold the first event of a new run and return the records to insert; `go_on` is called when they are durable.

        A first step starts within the same commit. Anything else that comes first may take long and waits.
        """
        facts: deque[Fact] = deque()
        try:
            run.began(event)
            for command in self._fold(run, event, payload):
                if isinstance(command, RunStep) and not self.is_draining and self.bodies.take_slot():
                    self._announce(run, command, facts)
                elif isinstance(command, RunHook):
                    self._take_hook(run, command, facts)
            while facts:
                self._fold(run, *facts.popleft())
        except Exception:
            self.discard(run)
            raise
        records, run.fresh = run.fresh, []
        return records

    def go_on(self, run: LiveRun) -> None:
        """Call what was started with the insert, and take the commands that waited for it."""
        run.became_durable(run.head)
        starting, run.starting = run.starting, []
        self._call_started(run, starting)
        if len(starting) < len(run.state.open):
            started = {command.path for command, _ in starting}
            self._take_all(run, [command for command in reissue(run.state) if command.path not in started])

    def recover(self, run: LiveRun, requests: Sequence[InboxRow], crash: RunCrashed | None) -> None:
        """Do what is still open in a run that was folded from its journal, and what outsiders asked of it meanwhile.

        A crash that counts is recorded first: it may end the run.
        """
        run.became_durable(run.head)
        try:
            if crash is not None:
                self._advance(run, deque([(crash, None)]))
            if run.state.finished is None:
                if run.state.is_canceling:
                    run.canceled.set()
                self._advance_recovered(run, requests)
        except Exception as error:  # noqa: BLE001 - the worker's outer loop: one broken run must not stop the others
            self._on_broken(run, error)
        else:
            self._write(run)

    def _advance_recovered(self, run: LiveRun, requests: Sequence[InboxRow]) -> None:
        """Fold the requests first: a run that was canceled meanwhile must not call a body again."""
        pending = reissue(run.state)
        for row in requests:
            self._advance(run, deque(self._requests.facts_of(run, row)))
        self._end_overdue(run)
        facts: deque[Fact] = deque()
        for command in pending:
            if run.state.open.get(command.path) is command:
                self._take(run, command, facts)
        self._advance(run, facts)

    def _end_overdue(self, run: LiveRun) -> None:
        """A deadline that is over ends the run before a body is called again (rule 9.3)."""
        now = self._now_ms()
        for path in (START_PATH, DEADLINE_PATH):
            command = run.state.open.get(path)
            if isinstance(command, AwaitDeadline) and command.due_at_ms <= now:
                self._stopping.begin(run)
                self._advance(run, deque([(deadline_event(path)(now, path), None)]))

    def hold(
        self, run: LiveRun, crash: RunCrashed | None, *, ready_at_ms: int | None = None, seen: Sequence[InboxKey] = ()
    ) -> None:
        """Record that a suspect waits for its turn, and a crash that counts; nothing follows from it before that.

        Args:
            run: The suspect.
            crash: The crash that counts.
            ready_at_ms: When somebody may take it again; None to keep it meanwhile.
            seen: What is in its inbox, if it is given back; that waits for its turn, too.
        """
        if crash is not None:
            self._fold(run, crash, None)
            run.state.issued.clear()
        run.is_gone = is_released = ready_at_ms is not None
        write = Append(
            run=run.key,
            owner=self.worker,
            epoch=run.epoch,
            records=run.fresh,
            status=RunStatus.WAITING,
            execution=run.execution,
            is_released=is_released,
            ready_at_ms=ready_at_ms,
            inbox_seen=seen,
            hold=suspicion(run),
            is_limited=run.is_limited,
        )
        run.fresh = []
        self._store.append(write, partial(self._settled, run, [], run.head, is_released))

    def absorb(self, run: LiveRun, *facts: Fact) -> None:
        """Record facts and all that follows from them at once, in one write."""
        if not run.is_gone:
            self._absorb(run, deque(facts))

    def deliver(self, run: LiveRun, requests: Sequence[InboxRow]) -> None:
        """Turn what outsiders ask of a run into facts."""
        if not run.is_gone:
            self._absorb(run, deque(), requests)

    def discard(self, run: LiveRun) -> None:
        """Stop touching a run: its bodies are canceled, and what they still do is ignored."""
        run.is_gone = True
        self._timers.cancel_all(run)
        commands = [*(command for command, _ in run.starting), *(body.command for body in run.bodies.values())]
        run.starting = []
        self.bodies.discard(run)
        self._give_slots_back(commands)

    def rest_if_idle(self, run: LiveRun) -> None:
        """While draining: give a run back if none of its bodies is in flight."""
        self.absorb(run)

    def _take_all(self, run: LiveRun, commands: Sequence[Command]) -> None:
        facts: deque[Fact] = deque()
        try:
            for command in commands:
                self._take(run, command, facts)
        except Exception as error:  # noqa: BLE001 - as in `_absorb`
            self._on_broken(run, error)
        else:
            self._absorb(run, facts)

    def _absorb(self, run: LiveRun, facts: deque[Fact], requests: Sequence[InboxRow] = ()) -> None:
        try:
            if run.voice is not None:
                run.voice.hand_over()  # before the facts: no outcome is recorded before what its body said
            self._advance(run, facts)
            for row in requests:
                self._advance(run, deque(self._requests.facts_of(run, row)))
        except Exception as error:  # noqa: BLE001 - the worker's outer loop: one broken run must not stop the others
            self._on_broken(run, error)
        else:
            self._write(run)

    def _advance(self, run: LiveRun, facts: deque[Fact]) -> None:
        while facts:
            for command in self._fold(run, *facts.popleft()):
                self._take(run, command, facts)

    def _fold(self, run: LiveRun, event: Event, payload: bytes | None) -> Sequence[Command]:
        seq = run.record(event, payload)
        apply(run.state, seq, event)
        commands = decide(run.state)
        if run.trail is not None:
            run.trail.note(seq, event, commands)
        for path in run.state.abandoned:
            self._timers.cancel(run, path)
        return commands

    def _take(self, run: LiveRun, command: Command, facts: deque[Fact]) -> None:
        """Turn a command into facts now, or into something that will report one."""
        if run.values.has_evicted and (missing := run.values.to_load(*refs_of(run, command))):
            self._loading.begin(run, command, missing)
            return
        match command:
            case RunStep():
                self._take_step(run, command, facts)
            case FinishRun():
                facts.append((finish(run, command, self._now_ms()), None))
            case RunMap():
                self._take_map(run, command, facts)
            case Evaluate():
                self._take_evaluation(run, command, facts)
            case RunHook():
                self._take_hook(run, command, facts)
            case OpenBlock():
                facts.append((open_block(run, command, self._now_ms()), None))
            case CloseBlock():
                event = close_block(run, command, self._now_ms())
                facts.append((event, collected(run, command.path, getattr(event, "failure", None), command)))
            case StartTimer() | Sleep() | Suspend() | AwaitResume() | AwaitDeadline():
                self._take_wait(run, command, facts)
            case Pause():
                facts.append((RunPaused(self._now_ms(), command.path), None))
            case AwaitStep():
                pass
            case _:
                assert_never(command)

    def _take_wait(
        self, run: LiveRun, command: StartTimer | Sleep | Suspend | AwaitResume | AwaitDeadline, facts: deque[Fact]
    ) -> None:
        now = self._now_ms()
        match command:
            case StartTimer():
                self._timers.arm(run, command.path, command.due_at_ms, TimerFired)
            case Sleep():
                end = command.due_from(now)
                if not command.was_started:
                    facts.append((SleepStarted(now, command.path, end), None))
                self._timers.arm(run, command.path, end, TimerFired)
            case Suspend():
                due = None if command.timeout_ms is None else now + command.timeout_ms
                facts.append((StepSuspended(now, command.path, 0, None, due), encode(command.payload)))
            case AwaitResume():
                if command.due_at_ms is not None:
                    self._timers.arm(run, command.path, command.due_at_ms, SuspensionTimedOut)
            case AwaitDeadline():
                self._timers.arm(run, command.path, command.due_at_ms, deadline_event(command.path))
            case _:
                assert_never(command)

    def _take_step(self, run: LiveRun, command: RunStep, facts: deque[Fact]) -> None:
        if run.state.is_canceling:
            facts.append((StepCanceled(self._now_ms(), command.path, command.attempt), None))
        elif self.is_draining:
            return
        elif self.bodies.take_slot():
            self._announce(run, command, facts)
        else:
            self.bodies.queue(run, command)

    def _announce(self, run: LiveRun, command: RunStep, facts: deque[Fact]) -> None:
        """Announce a step that has a slot. One that cannot be called breaks its run, and its slot is free again."""
        try:
            call = call_of(run, command, self._loop, self._now_ms)
        except Exception:
            self._loop.call_soon(self._slot_came_free)  # not within this: the next in line may be as broken
            raise
        facts.append((StepStarted(self._now_ms(), command.path, command.attempt, command.was_started), None))
        run.starting.append((command, call))

    def _take_map(self, run: LiveRun, command: RunMap, facts: deque[Fact]) -> None:
        if run.state.is_canceling:
            facts.append((StepCanceled(self._now_ms(), command.path, 0), None))
        elif not self.is_draining:
            facts.append((StepStarted(self._now_ms(), command.path, 0, command.was_started), None))
            self._call_inline(run, command, facts)

    def _take_evaluation(self, run: LiveRun, command: Evaluate, facts: deque[Fact]) -> None:
        if not self.is_draining:
            self._call_inline(run, command, facts)

    def _take_hook(self, run: LiveRun, command: RunHook, facts: deque[Fact]) -> None:
        """Announce `on_start`; a sync one runs in a thread, because it may well wait for something."""
        if not self.is_draining:
            facts.append((HookStarted(self._now_ms(), command.path), None))
            run.starting.append((command, call_of(run, command, self._loop, self._now_ms)))

    def _call_inline(self, run: LiveRun, command: RunMap | Evaluate, facts: deque[Fact]) -> None:
        """Call a sync function now, so that its answer joins this commit; an async one when the commit is durable."""
        call = call_of(run, command, self._loop, self._now_ms)
        if call.function.is_async:
            run.starting.append((command, call))
        else:
            facts.append(fact_of(run, command, self.bodies.evaluate(call), self._now_ms()))

    def _came_due(self, run: LiveRun, event: DueEvent) -> None:
        if isinstance(event, RunTimedOut | StartTimedOut) and not run.is_gone:
            self._stopping.begin(run)
        self.absorb(run, (event, None))

    def _body_ended(self, body: Body, outcome: Outcome) -> None:
        run, command = body.run, body.command
        if isinstance(command, RunStep):
            self._slot_came_free()
        if run.is_gone:
            return
        facts: deque[Fact] = deque()
        try:
            if isinstance(outcome, Aborted):
                facts.extend(self._stopping.cancel(run, f"'{command.path}' aborted it"))
            facts.append(fact_of(run, command, outcome, self._now_ms()))
        except Exception as error:  # noqa: BLE001 - the worker's outer loop: one broken run must not stop the others
            self._on_broken(run, error)
        else:
            self._absorb(run, facts)

    def _slot_came_free(self) -> None:
        while (following := self.bodies.give_slot(is_draining=self.is_draining)) is not None:
            run, command = following
            missing = run.values.to_load(*refs_of(run, command))
            if not missing:
                facts: deque[Fact] = deque()
                try:
                    self._announce(run, command, facts)
                except Exception as error:  # noqa: BLE001 - another run than the one whose body has just ended
                    self._on_broken(run, error)
                else:
                    self._absorb(run, facts)
                return
            self._loading.begin(run, command, missing)  # evicted while it was queued; the slot goes to the next one

    def _give_slots_back(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if isinstance(command, RunStep):
                self._slot_came_free()

    def _write(self, run: LiveRun) -> None:
        """Hand over what is fresh, and give the run up with it if it ended or has nothing to do for long."""
        status = run.state.status()
        ready_at_ms, is_released = self._release(run, status)
        starting, run.starting = run.starting, []
        if not run.fresh and not run.taken and not is_released:
            self._call_started(run, starting)
            return
        write = Append(  # by position: once per step, and a class that is called by name is called through a dict
            run.key,
            self.worker,
            run.epoch,
            run.fresh,
            status,
            run.execution,
            is_released,
            ready_at_ms,
            run.taken,
            self._deliveries_of(run, status),
            run.is_limited,
        )
        run.fresh, run.taken = [], []
        run.is_gone = is_released
        self._store.append(write, partial(self._settled, run, starting, run.head, is_released))

    def _deliveries_of(self, run: LiveRun, status: RunStatus) -> Sequence[NewDelivery]:
        """Say who must be told of what is written; it is recorded with it, so that it cannot be lost."""
        graph = run.program.graph
        if graph.hooks is None or not run.fresh:
            return ()
        seq, now = run.state.last_seq, self._now_ms()
        return deliveries_of(graph, status, seq=seq, execution=run.execution, now_ms=now)

    def _release(self, run: LiveRun, status: RunStatus) -> tuple[int | None, bool]:
        """Say when somebody may take the run again, and whether this worker gives it up now."""
        if status.is_terminal:
            return None, True
        if run.bodies or run.starting or run.loading:
            return None, False
        due = run.state.next_due()
        if status in _IDLE:
            # Who waits for a rest is told when the run is given up, so a rest is no reason to keep it.
            least_ms = 0 if status.is_rest else _RESIDENT_WAIT_MS
            is_long = due is None or due - self._now_ms() > least_ms
            return due, is_long or self.is_draining
        return (self._now_ms(), True) if self.is_draining else (None, False)

    def _settled(
        self,
        run: LiveRun,
        starting: Sequence[tuple[Calling, Call]],
        seq: int,
        is_released: bool,  # noqa: FBT001 - bound by `partial`, which binds by position
        result: Receipt | OutlastError,
    ) -> None:
        if isinstance(result, OutlastError):
            run.starting.extend(starting)  # so that `discard` gives their slots back
            self._on_refused(run, result)
            return
        run.became_durable(seq)
        self._on_recorded(run.key)
        if run.program.graph.hooks is not None and run.state.status().is_rest:
            self._on_told()
        if is_released:  # not by a later write: nobody is told of an end that is not durable yet
            self._timers.cancel_all(run)
            self._on_released(run)
        if not run.is_gone:
            self._call_started(run, starting)
        elif starting:
            self._give_slots_back(command for command, _ in starting)

    def _call_started(self, run: LiveRun, starting: Sequence[tuple[Calling, Call]]) -> None:
        """Make the calls whose start is durable, except those that nobody waits for any more."""
        not_called: list[Fact] = []
        for command, call in starting:
            is_open = run.state.open.get(command.path) is not None
            if is_open and not run.state.is_canceling:
                self.bodies.start(run, command, call, timeout_of(run, command))
                continue
            if is_open and not isinstance(command, Evaluate | RunHook):
                attempt = command.attempt if isinstance(command, RunStep) else 0
                not_called.append((StepCanceled(self._now_ms(), command.path, attempt), None))
            if isinstance(command, RunStep):
                self._slot_came_free()
        if not_called:
            self.absorb(run, *not_called)
