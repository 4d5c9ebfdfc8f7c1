"""The shell around the core: facts in, records and calls out. It executes commands and never decides what comes next.

Order of effects: a body is called only when the fact that it starts is durable; the start of a step travels in the same
commit as the outcome that led to it; nobody outside sees an outcome before its commit is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, assert_never

from outlast.core.advance import apply, decide, reissue
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
from outlast.core.retry import retry_at
from outlast.core.state import ForeachFrame
from outlast.core.status import RunStatus
from outlast.engines.local.bodies import Bodies, Call
from outlast.engines.local.live import LiveRun
from outlast.engines.local.options import LocalOptions
from outlast.engines.perform import Outcome, Raised, Returned, check_value
from outlast.errors import InputError, OutlastError
from outlast.failures import FailureInfo, describe_exception
from outlast.graph.nodes import RetryRule, StepNode
from outlast.storage.base import Append, Receipt, RunStore, WorkerKey
from outlast.values import InvalidValueError

__all__ = ["Driver"]

_RESIDENT_WAIT_MS = 1_000
"""A run that only waits, and longer than this, is given back to the store: asleep it costs a row and nothing else."""

_Fact: TypeAlias = tuple[Event, bytes | None]


class Driver:
    """Drives the live runs of one worker. Everything here happens on the event loop, one call at a time."""

    def __init__(
        self,
        store: RunStore,
        *,
        options: LocalOptions,
        on_released: Callable[[LiveRun], None],
        on_refused: Callable[[LiveRun, OutlastError], None],
        on_broken: Callable[[LiveRun, Exception], None],
    ) -> None:
        self._store = store
        self._now_ms = options.now_ms
        self._loop = asyncio.get_running_loop()
        self._on_released = on_released
        self._on_refused = on_refused
        self._on_broken = on_broken
        self.bodies = Bodies(options, report=self._body_ended)
        self.worker = WorkerKey(0)
        """The worker in whose name is written."""
        self.is_draining = False
        """Whether no body is started any more and runs are given back as soon as they rest."""

    def begin(self, run: LiveRun, event: RunStarted, payload: bytes) -> Sequence[Record]:
        """Fold the first event of a new run and return the records to insert; `go_on` is called when they are durable.

        A first step starts within the same commit. Anything else that comes first may take long and waits.
        """
        run.request_context = event.request_context
        facts: deque[_Fact] = deque()
        for command in self._fold(run, event, payload):
            if isinstance(command, RunStep) and not self.is_draining and self.bodies.take_slot():
                self._announce(run, command, facts)
        while facts:
            self._fold(run, *facts.popleft())
        records, run.fresh = run.fresh, []
        return records

    def go_on(self, run: LiveRun) -> None:
        """Call what was started with the insert, and take the commands that waited for it."""
        run.became_durable(run.state.last_seq)
        started = {command.path for command in run.starting}
        self._call_started(run, run.starting)
        run.starting = []
        self._take_all(run, [command for command in reissue(run.state) if command.path not in started])

    def recover(self, run: LiveRun) -> None:
        """Do what is still open in a run that was folded from its journal."""
        run.became_durable(run.state.last_seq)
        self._take_all(run, reissue(run.state))

    def absorb(self, run: LiveRun, event: Event, payload: bytes | None = None) -> None:
        """Record a fact and all that follows from it at once, in one write."""
        if not run.is_gone:
            self._absorb(run, deque(((event, payload),)))

    def discard(self, run: LiveRun) -> None:
        """Stop touching a run: its bodies are canceled, and what they still do is ignored."""
        run.is_gone = True
        for timer in run.timers.values():
            timer.cancel()
        run.timers.clear()
        slots = sum(isinstance(command, RunStep) for command in run.starting)
        run.starting = []
        slots += sum(1 for path in run.bodies if isinstance(run.state.open.get(path), RunStep))
        self.bodies.discard(run)
        for _ in range(slots):
            self._slot_came_free()

    def rest_if_idle(self, run: LiveRun) -> None:
        """While draining: give a run back if none of its bodies is in flight."""
        if not run.is_gone:
            self._absorb(run, deque())

    def _take_all(self, run: LiveRun, commands: Sequence[Command]) -> None:
        facts: deque[_Fact] = deque()
        for command in commands:
            self._take(run, command, facts)
        self._absorb(run, facts)

    def _absorb(self, run: LiveRun, facts: deque[_Fact]) -> None:
        try:
            while facts:
                for command in self._fold(run, *facts.popleft()):
                    self._take(run, command, facts)
        except Exception as error:  # noqa: BLE001 - the worker's outer loop: one broken run must not stop the others
            self._on_broken(run, error)
        else:
            self._write(run)

    def _fold(self, run: LiveRun, event: Event, payload: bytes | None) -> Sequence[Command]:
        seq = run.record(event, payload)
        apply(run.state, seq, event)
        return decide(run.state)

    def _take(self, run: LiveRun, command: Command, facts: deque[_Fact]) -> None:
        """Turn a command into facts now, or into something that will report one."""
        match command:
            case RunStep():
                self._take_step(run, command, facts)
            case RunMap():
                self._take_map(run, command, facts)
            case OpenBlock():
                facts.append((self._open_block(run, command), None))
            case CloseBlock():
                facts.append((self._close_block(run, command), None))
            case StartTimer():
                delay = max(0, command.due_at_ms - self._now_ms()) / 1000
                run.timers[command.path] = self._loop.call_later(delay, self._timer_fired, run, command)
            case FinishRun():
                facts.append((self._finish(run, command), None))
            case _:
                assert_never(command)

    def _take_step(self, run: LiveRun, command: RunStep, facts: deque[_Fact]) -> None:
        if self.is_draining:
            return
        if self.bodies.take_slot():
            self._announce(run, command, facts)
        else:
            self.bodies.queue(run, command)

    def _announce(self, run: LiveRun, command: RunStep, facts: deque[_Fact]) -> None:
        facts.append((StepStarted(self._now_ms(), command.path, command.attempt, command.was_started), None))
        run.starting.append(command)

    def _take_map(self, run: LiveRun, command: RunMap, facts: deque[_Fact]) -> None:
        if self.is_draining:
            return
        facts.append((StepStarted(self._now_ms(), command.path, 0, command.was_started), None))
        function = run.program.functions[command.function]
        if function.is_async:
            run.starting.append(command)
        else:
            facts.append(self._fact_of(run, command, self.bodies.evaluate(run, command, function)))

    def _open_block(self, run: LiveRun, command: OpenBlock) -> Event:
        now = self._now_ms()
        if command.workflow is None:
            try:
                items = run.resolver.split(command.input)
            except InvalidValueError as error:
                failure = describe_exception(InputError(f"input of foreach '{command.path}'", error.problems))
                return BlockFailed(now, command.path, None, failure)
            return BlockOpened(now, command.path, len(items), command.concurrency)
        subject = f"input of workflow '{command.path}'"
        raw = run.resolver.resolve(command.input)
        failed = check_value(raw, subject, run.program.types[command.workflow].input.decode)
        return BlockOpened(now, command.path) if failed is None else BlockFailed(now, command.path, None, failed)

    def _close_block(self, run: LiveRun, command: CloseBlock) -> Event:
        now = self._now_ms()
        frame = run.state.frames.get(command.path)
        if isinstance(frame, ForeachFrame):
            run.resolver.forget(frame.input)
        if command.output is None:
            return BlockFailed(now, command.path, command.cause.path if command.cause else None, None)
        if command.workflow is None:
            return BlockSucceeded(now, command.path)
        subject = f"output of workflow '{command.path}'"
        failed = self._check_output(run, command, command.workflow, subject)
        return BlockSucceeded(now, command.path) if failed is None else BlockFailed(now, command.path, None, failed)

    def _finish(self, run: LiveRun, command: FinishRun) -> Event:
        now = self._now_ms()
        if command.cause is not None:
            return RunFinished(now, RunStatus.FAILED, command.cause.path, command.cause.failure)
        failed = self._check_output(run, command, run.workflow_id, "result of the workflow")
        if failed is not None:
            return RunFinished(now, RunStatus.FAILED, None, failed)
        return RunFinished(now, RunStatus.SUCCESS)

    def _check_output(
        self, run: LiveRun, command: CloseBlock | FinishRun, workflow_id: str, subject: str
    ) -> FailureInfo | None:
        schema = run.program.types[workflow_id].output
        if schema.is_json or command.output is None:
            return None
        return check_value(run.resolver.resolve(command.output), subject, schema.decode)

    def _timer_fired(self, run: LiveRun, command: StartTimer) -> None:
        run.timers.pop(command.path, None)
        self.absorb(run, TimerFired(max(self._now_ms(), command.due_at_ms), command.path))

    def _body_ended(self, run: LiveRun, command: Call, outcome: Outcome) -> None:
        if isinstance(command, RunStep):
            self._slot_came_free()
        event, payload = self._fact_of(run, command, outcome)
        self.absorb(run, event, payload)

    def _slot_came_free(self) -> None:
        following = self.bodies.give_slot()
        if following is not None:
            run, command = following
            facts: deque[_Fact] = deque()
            self._announce(run, command, facts)
            self._absorb(run, facts)

    def _fact_of(self, run: LiveRun, command: Call, outcome: Outcome) -> _Fact:
        now = self._now_ms()
        attempt = command.attempt if isinstance(command, RunStep) else 0
        match outcome:
            case Returned(payload=payload):
                return StepSucceeded(now, command.path, attempt), payload
            case Raised(failure=failure):
                node = run.state.frame(command.path).node
                rule = node.retry if isinstance(node, StepNode) else RetryRule()
                due = retry_at(rule, attempt=attempt, failure=failure, at_ms=now)
                return StepFailed(now, command.path, attempt, failure, due), None
            case _:
                assert_never(outcome)

    def _write(self, run: LiveRun) -> None:
        """Hand over what is fresh, and give the run up with it if it ended or has nothing to do for long."""
        status = run.state.status()
        ready_at_ms, is_released = self._release(run, status)
        if not run.fresh and not is_released:
            return
        write = Append(
            run=run.key,
            owner=self.worker,
            epoch=run.epoch,
            records=run.fresh,
            status=status,
            execution=run.execution,
            is_released=is_released,
            ready_at_ms=ready_at_ms,
        )
        starting, run.starting, run.fresh = run.starting, [], []
        run.is_gone = is_released
        self._store.append(write, partial(self._settled, run, starting, run.state.last_seq))

    def _release(self, run: LiveRun, status: RunStatus) -> tuple[int | None, bool]:
        """Say when somebody may take the run again, and whether this worker gives it up now."""
        if status.is_terminal:
            return None, True
        if run.bodies or run.starting:
            return None, False
        if status is RunStatus.WAITING:
            due = run.state.next_due() or 0
            if self.is_draining or due - self._now_ms() > _RESIDENT_WAIT_MS:
                return due, True
        elif self.is_draining:
            return self._now_ms(), True
        return None, False

    def _settled(self, run: LiveRun, starting: Sequence[Call], seq: int, result: Receipt | OutlastError) -> None:
        if isinstance(result, OutlastError):
            run.starting.extend(starting)  # so that `discard` gives their slots back
            self._on_refused(run, result)
            return
        run.became_durable(seq)
        if run.is_gone:
            for timer in run.timers.values():
                timer.cancel()
            self._on_released(run)
        else:
            self._call_started(run, starting)

    def _call_started(self, run: LiveRun, starting: Sequence[Call]) -> None:
        for command in starting:
            self.bodies.start(run, command)
