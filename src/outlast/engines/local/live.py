"""A run while this process drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from outlast.core.chunk import StreamEntry, encode_entry
from outlast.core.codec import encode_event
from outlast.core.commands import Evaluate, RunMap, RunStep
from outlast.core.events import Event, RunStarted
from outlast.core.frames import LeafFrame
from outlast.core.record import Record
from outlast.core.ref import Ref, seqs_of
from outlast.core.state import RunState
from outlast.engines.answers import Side
from outlast.engines.blocking import run_blocking
from outlast.engines.clock import Timer
from outlast.engines.local.program import Program
from outlast.engines.local.trail import MakeTrail
from outlast.engines.outcomes import Calling
from outlast.engines.perform import Call, check_value, decode_init
from outlast.engines.threads import ThreadCall
from outlast.engines.values import RunValues
from outlast.engines.voice import Voice
from outlast.errors import PayloadTooLargeError
from outlast.failures import FailureInfo, describe_exception
from outlast.graph.context import AttemptFacts, CancelFlag, ReadContext, RunFacts, StepContext
from outlast.graph.function import Function
from outlast.graph.hook import StartInfo
from outlast.graph.schema import Schema
from outlast.graph.state import StateType
from outlast.sealing import opened
from outlast.storage.base import InboxKey, RunKey, RunStore
from outlast.trace import UNTRACED, TraceContext, attempt_trace, run_trace
from outlast.values import JsonValue, decode, encode

__all__ = ["Body", "LiveRun", "Lookup"]

T = TypeVar("T")

_KEPT_RECORDS = 512
_MOST_BYTES = 16 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Body:
    """One call of user code in flight."""

    run: LiveRun
    """Its run."""
    command: Calling
    """What is answered by its outcome."""
    timeout_ms: int | None
    """How long it may take."""
    task: asyncio.Task[None] | None = None
    """Its task; None for one that runs in a thread."""
    thread_call: ThreadCall | None = None
    """Its call in a thread; None for one that is a task, and while the system gives no thread."""
    timer: Timer | None = None
    """Ends it when it takes too long."""
    insistence: Timer | None = None
    """Ends it when it asked to leave and goes on."""
    has_begun: bool = False
    """Whether it waits for no thread, or has got one."""
    is_over: bool = False
    """Whether its outcome is known, or nobody waits for it any more: what it still does is ignored."""


class LiveRun:
    """The state of a run, the values it may need, and the bodies that are in flight. Only the driver changes it."""

    __slots__ = (
        "_durable_waiters",
        "_facts",
        "_store",
        "bodies",
        "canceled",
        "crash_seq",
        "created_at_ms",
        "durable_seq",
        "epoch",
        "execution",
        "fresh",
        "head",
        "is_gone",
        "is_limited",
        "key",
        "loading",
        "program",
        "raw_request_context",
        "records",
        "request_context",
        "resource_id",
        "run_id",
        "said",
        "seen",
        "starting",
        "state",
        "taken",
        "timers",
        "tracing",
        "trail",
        "values",
        "voice",
        "workflow_id",
    )

    def __init__(
        self,
        run_id: str,
        program: Program,
        store: RunStore,
        resource_id: str | None,
        created_at_ms: int,
        make_trail: MakeTrail | None = None,
    ) -> None:
        self.run_id, self.workflow_id = run_id, program.graph.workflow_id
        self.program = program
        self.resource_id, self.created_at_ms = resource_id, created_at_ms
        self.key = RunKey(0)
        self.epoch = self.execution = 0
        self.state = RunState(program.graph)
        self.said = 0
        """How many events of its journal are not facts."""
        self.voice: Voice | None = None
        """What its bodies say and is not recorded yet; None while they said nothing."""
        self.head = 0
        """`seq` of the latest event, of either class."""
        self.request_context: Mapping[str, JsonValue] = {}
        self.raw_request_context = b"{}"
        """The same as JSON."""
        self._store = store
        self.values = RunValues(_MOST_BYTES)
        """The recorded values."""
        self.records: list[Record] | None = []
        """All facts while they are few, so that their readers need no store; None once they are not."""
        self.fresh: list[Record] = []
        """Records that are not handed to the store yet."""
        self.starting: list[tuple[Calling, Call]] = []
        """Calls whose start is among the fresh records: made once these are durable."""
        self.loading: set[str] = set()
        """Paths of the commands that wait for values to be read again."""
        self.bodies: dict[str, Body] = {}
        """Bodies in flight by the path of their command."""
        self.timers: dict[str, Timer] = {}
        """Timers of this process by path."""
        self.taken: list[InboxKey] = []
        """Inbox rows that became events among the fresh records."""
        self.seen: set[InboxKey] = set()
        """Inbox rows that were read in this life of the run."""
        self.canceled = asyncio.Event()
        """Set when the run is to end canceled; bodies can see it."""
        self.is_gone = False
        """Whether this process must not touch the run any more."""
        self.is_limited = False
        """Whether it is under flow control: a write that gives it up gives up its gates, too."""
        self.durable_seq = 0
        """`seq` of the last event that is known to be durable."""
        self.crash_seq = 0
        """`seq` of the event that counts the crash of the last owner; 0 if there is none."""
        self.trail = None if make_trail is None else make_trail(self.state)
        """Tells of it; None if nobody is told."""
        self.tracing = UNTRACED
        """What its caller asked of its trace."""
        self._durable_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._facts: dict[str, RunFacts] = {}

    def is_settled(self) -> bool:
        """Say whether all that happened to it is durable, and nothing is about to happen but what bodies do."""
        is_moving = self.is_gone or self.fresh or self.taken or self.starting or self.loading
        return not is_moving and self.durable_seq >= self.head

    def record(self, event: Event, payload: bytes | None) -> int:
        """Give an event its place in the journal and return it."""
        seq = self.head = self.head + 1
        record = encode_event(event, seq=seq, execution=self.execution, payload=payload)
        self.fresh.append(record)
        self.keep(record)
        return seq

    def say(self, entry: StreamEntry, payload: bytes | None) -> int:
        """Give what a body said its place in the journal and return it."""
        seq = self.head = self.head + 1
        self.said += 1
        self.fresh.append(encode_entry(entry, seq=seq, execution=self.execution, payload=payload))
        return seq

    def keep(self, record: Record) -> None:
        """Remember a record for those who need its value."""
        if record.payload is not None:
            self.values.keep(record.seq, record.payload)
        if self.records is not None:
            self.records.append(record)
            if len(self.records) > _KEPT_RECORDS:
                self.records = None

    def began(self, event: RunStarted) -> None:
        """Note what the start of the run says to its steps and to tracing; called before the event is folded."""
        self.merge_request_context(event.request_context)
        self.tracing = event.tracing
        if self.trail is not None:
            self.trail.begin(self.run_id, event, self.state, read=self._at_hand)

    def place_of(self, command: Calling) -> TraceContext:
        """Return the span in which a call of user code happens."""
        place = run_trace(self.run_id, self.execution, self.tracing, is_sampled=self._is_sampled)
        if not isinstance(command, RunStep):
            return place
        call = (command.attempt, self._suspensions_of(command.path))
        return attempt_trace(place, self.run_id, self.execution, command.path, call=call)

    @property
    def _is_sampled(self) -> bool:
        return self.trail is None or self.trail.is_sampled

    def _suspensions_of(self, path: str) -> int:
        frame = self.state.frames.get(path)
        return frame.suspensions if isinstance(frame, LeafFrame) else 0

    def _at_hand(self, ref: Ref) -> bytes | None:
        return None if self.values.missing(ref) else self.values.resolve(ref)

    async def load_facts(self, after: int, until: int) -> Sequence[Record]:
        """Read facts of the run again, after one `seq` up to another.

        Raises:
            StoreError: The store did not answer.
        """
        return await self._store.load_facts(self.key, after=after, until=until)

    def became_durable(self, seq: int) -> None:
        """Note that the journal is durable up to this event."""
        self.durable_seq = max(seq, self.durable_seq)
        if self.voice is not None:
            self.voice.became_durable(seq)
        if self.trail is not None:
            self.trail.became_durable(self.durable_seq)
        if self._durable_waiters:
            for wanted, waiter in self._durable_waiters:
                if wanted <= self.durable_seq and not waiter.done():
                    waiter.set_result(None)
            self._durable_waiters = [each for each in self._durable_waiters if not each[1].done()]

    async def until_durable(self, seq: int) -> None:
        """Wait until an event is durable: nobody sees an outcome that could still be lost."""
        if seq > self.durable_seq:
            waiter = asyncio.get_running_loop().create_future()
            self._durable_waiters.append((seq, waiter))
            await waiter

    def context(self, command: RunMap | Evaluate, lookup: Lookup, value: object) -> ReadContext[object]:
        """Make the context of a map, condition, duration or concurrency function."""
        if isinstance(command, RunMap):
            path, iteration_count = command.path, 0
        else:
            path, iteration_count = command.node_path, command.iteration_count
        return ReadContext(
            self._facts_of(path),
            path,
            value,
            lookup,
            data=self.state.data,
            state_type=self._state_type(path),
            iteration_count=iteration_count,
        )

    def attempt_facts(self, command: RunStep) -> AttemptFacts:
        """Gather what is particular to one call of a step's body."""
        resumption = command.resumption
        return AttemptFacts(
            attempt=command.attempt,
            is_recovered=command.was_started,
            canceled=CancelFlag(self.canceled),
            is_resumed=resumption is not None and resumption.resume_data is not None,
            is_timed_out=resumption is not None and resumption.resume_data is None,
            suspensions=self._suspensions_of(command.path),
            suspend_data=self._resolve(resumption.suspend_payload if resumption else None),
            resume_data=self._resolve(resumption.resume_data if resumption else None),
        )

    def step_context(
        self, path: str, function: Function, facts: AttemptFacts, lookup: Lookup, value: object
    ) -> StepContext:
        """Make the context of a step's body."""
        return StepContext(
            self._facts_of(path),
            path,
            value,
            lookup=lookup,
            function=function,
            facts=facts,
            data=self.state.data,
            state_type=function.state or self._state_type(path),
        )

    def has_type(self, workflow_id: str | None, side: Side) -> bool:
        """Say whether a workflow declares a type, so that it takes the value itself to check it."""
        return workflow_id is not None and not self._schema_of(workflow_id, side).is_json

    def why_misfit(self, workflow_id: str, side: Side, value: Ref, subject: str) -> FailureInfo | None:
        """Return why a recorded value does not fit a declared type of a workflow; None if it does."""
        schema = self._schema_of(workflow_id, side)
        if schema.is_json and not self.values.is_joined(value):
            return None
        try:
            if not schema.is_json:
                raw = self.values.materialize(value, subject)
                return check_value(raw, subject, schema.decode, self.program.sealer)
            if side == "output" and workflow_id == self.workflow_id:  # of any type: its readers put it together
                self.values.check_size(value, subject)
        except PayloadTooLargeError as error:
            return describe_exception(error, is_retryable=False)
        return None

    def start_info(self, raw: bytes) -> StartInfo:
        """Make what the hook `on_start` is told, from the input of the run."""
        types = self.program.types[self.workflow_id]
        return StartInfo(
            run_id=self.run_id,
            workflow_id=self.workflow_id,
            resource_id=self.resource_id,
            input=decode_init(types.input, opened(raw)),
            state=types.state.decode(self.state.data),
            request_context=cast("dict[str, JsonValue]", decode(opened(self.raw_request_context))),
        )

    def _schema_of(self, workflow_id: str, side: Side) -> Schema[Any]:
        types = self.program.types[workflow_id]
        return types.input if side == "input" else types.output

    def _state_type(self, path: str) -> StateType:
        return self.program.types[self.state.scope_of(path).node.workflow].state

    def merge_request_context(self, entries: Mapping[str, JsonValue]) -> None:
        """Let the entries of a resumer win over the earlier ones."""
        if entries:
            self.request_context = {**self.request_context, **entries}
            self.raw_request_context = encode(dict(self.request_context))
            self._facts.clear()

    def _resolve(self, ref: Ref | None) -> bytes | None:
        return None if ref is None else self.values.resolve(ref)

    def _facts_of(self, path: str) -> RunFacts:
        workflow_id = self.state.scope_of(path).node.workflow
        facts = self._facts.get(workflow_id)
        if facts is None:
            facts = self._facts[workflow_id] = RunFacts(
                run_id=self.run_id,
                workflow_id=workflow_id,
                resource_id=self.resource_id,
                execution=self.execution,
                request_context=self.raw_request_context,
                tracing=self.tracing,
                is_sampled=self._is_sampled,
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
        workflow_id = self._run.state.scope_of(path).node.workflow
        return decode_init(self._run.program.types[workflow_id].input, opened(await self.init_raw(path)))

    async def init_raw(self, path: str) -> bytes:
        """Return the input of the workflow in which the node stands, as JSON."""
        return await self._resolve(self._run.state.scope_of(path).input, "input of the workflow")

    async def step_result(self, path: str, step_id: str) -> bytes | None:
        """Return the recorded output of a step of that workflow as JSON, or None unless it succeeded."""
        ref = self._run.state.scope_of(path).outputs.get(step_id)
        return None if ref is None else await self._resolve(ref, f"output of '{step_id}'")

    async def _resolve(self, ref: Ref, subject: str) -> bytes:
        run = self._run
        await run.until_durable(max(seqs_of(ref), default=0))
        while missing := run.values.to_load(ref):  # what was read again may be evicted while the rest is read
            await run.values.load(missing, run.load_facts)
        return run.values.materialize(ref, subject)

    def run_blocking(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's loop from the thread of a sync body, and wait for it."""
        return run_blocking(coroutine, self._loop)
