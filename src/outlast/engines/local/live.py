"""A run while this process drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from outlast.core.codec import encode_event
from outlast.core.commands import RunMap, RunStep
from outlast.core.events import Event
from outlast.core.record import Record
from outlast.core.ref import Resolver, seqs_of
from outlast.core.state import RunState
from outlast.engines.local.program import Program
from outlast.graph.context import ReadContext, RunFacts, StepContext
from outlast.storage.base import RunKey
from outlast.values import JsonValue

__all__ = ["LiveRun"]

T = TypeVar("T")

_KEPT_RECORDS = 512


class LiveRun:
    """The state of a run, the values it may need, and the bodies that are in flight. Only the driver changes it."""

    __slots__ = (
        "_durable_seq",
        "_durable_waiters",
        "_facts",
        "bodies",
        "created_at_ms",
        "epoch",
        "execution",
        "fresh",
        "is_gone",
        "key",
        "payloads",
        "program",
        "records",
        "request_context",
        "resolver",
        "resource_id",
        "run_id",
        "starting",
        "state",
        "timers",
    )

    def __init__(self, run_id: str, program: Program, *, resource_id: str | None, created_at_ms: int) -> None:
        self.run_id = run_id
        self.program = program
        self.resource_id = resource_id
        self.created_at_ms = created_at_ms
        self.key = RunKey(0)
        self.epoch = 0
        self.execution = 0
        self.state = RunState(program.graph)
        self.request_context: Mapping[str, JsonValue] = {}
        self.payloads: dict[int, bytes] = {}
        self.resolver = Resolver(self.payloads)
        self.records: list[Record] | None = []
        """The whole journal while it is short, so that its readers need no store; None once it is not."""
        self.fresh: list[Record] = []
        """Records that are not handed to the store yet."""
        self.starting: list[RunStep | RunMap] = []
        """Commands whose start is among the fresh records: called once these are durable."""
        self.bodies: dict[str, asyncio.Task[None] | None] = {}
        """Bodies in flight by path; None for one that runs in a thread."""
        self.timers: dict[str, asyncio.TimerHandle] = {}
        self.is_gone = False
        """Whether this process must not touch the run any more."""
        self._durable_seq = 0
        self._durable_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._facts: dict[str, RunFacts] = {}

    @property
    def workflow_id(self) -> str:
        """Id of its workflow."""
        return self.program.graph.workflow_id

    def record(self, event: Event, payload: bytes | None) -> int:
        """Give an event its place in the journal and return it."""
        seq = self.state.last_seq + 1
        record = encode_event(event, seq=seq, execution=self.execution, payload=payload)
        self.fresh.append(record)
        self.keep(record)
        return seq

    def keep(self, record: Record) -> None:
        """Remember a record for those who need its value."""
        if record.payload is not None:
            self.payloads[record.seq] = record.payload
        if self.records is not None:
            self.records.append(record)
            if len(self.records) > _KEPT_RECORDS:
                self.records = None

    def became_durable(self, seq: int) -> None:
        """Note that the journal is durable up to this event."""
        self._durable_seq = max(seq, self._durable_seq)
        if self._durable_waiters:
            for wanted, waiter in self._durable_waiters:
                if wanted <= self._durable_seq and not waiter.done():
                    waiter.set_result(None)
            self._durable_waiters = [each for each in self._durable_waiters if not each[1].done()]

    async def until_durable(self, seq: int) -> None:
        """Wait until an event is durable: nobody sees an outcome that could still be lost."""
        if seq > self._durable_seq:
            waiter = asyncio.get_running_loop().create_future()
            self._durable_waiters.append((seq, waiter))
            await waiter

    def context(self, path: str, value: object, lookup: Lookup) -> ReadContext[object]:
        """Make the context of a map function."""
        return ReadContext(self._facts_of(path), path, value, lookup)

    def step_context(self, command: RunStep, value: object, lookup: Lookup) -> StepContext:
        """Make the context of a step's body."""
        return StepContext(
            self._facts_of(command.path), command.path, value, lookup, command.attempt, command.was_started
        )

    def _facts_of(self, path: str) -> RunFacts:
        workflow_id = self.state.scope_of(path).node.workflow
        facts = self._facts.get(workflow_id)
        if facts is None:
            facts = self._facts[workflow_id] = RunFacts(
                run_id=self.run_id,
                workflow_id=workflow_id,
                resource_id=self.resource_id,
                execution=self.execution,
                request_context=self.request_context,
            )
        return facts


class Lookup:
    """How the contexts of one live run reach recorded values."""

    __slots__ = ("_loop", "_run")

    def __init__(self, run: LiveRun, loop: asyncio.AbstractEventLoop) -> None:
        self._run = run
        self._loop = loop

    async def init_data(self, path: str) -> object:
        """Return the input of the workflow in which the node stands, decoded as its declared type."""
        scope = self._run.state.scope_of(path)
        raw = self._run.resolver.resolve(scope.input)
        return self._run.program.types[scope.node.workflow].input.decode(raw)

    async def step_result(self, path: str, step_id: str) -> bytes | None:
        """Return the recorded output of a step of that workflow as JSON, or None unless it succeeded."""
        ref = self._run.state.scope_of(path).outputs.get(step_id)
        if ref is None:
            return None
        await self._run.until_durable(max(seqs_of(ref), default=0))
        return self._run.resolver.resolve(ref)

    def run_blocking(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's loop from the thread of a sync body, and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
