"""The journal of a run, read from the history of its workflow: no worker has to live for that.

A workflow task takes what reached the run since the one before. The same is done here: what a completed task covers is
fed to the ledger, at the time and in the order in which the workflow fed it. What came later is no part of the journal
yet; so no event of a journal is ever renumbered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any, Final, NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle, WorkflowHistoryEventAsyncIterator

from outlast.core.history import History
from outlast.core.record import Record
from outlast.engines.temporal.flow import REOPEN, REQUEST, RUN_CANCELED, RUN_FAILED, SAID, TAKE, TELL
from outlast.engines.temporal.inbound import Canceled, Heard, Inbound, Lost, Rang, Requested, Told, carried_of
from outlast.engines.temporal.ledger import Ledger
from outlast.engines.temporal.messages import Reply, Request, Start
from outlast.engines.temporal.packing import unpack
from outlast.engines.temporal.payloads import read_payloads
from outlast.engines.temporal.rpc import RPC_TIMEOUT
from outlast.engines.temporal.said import Said
from outlast.engines.temporal.tasks import path_of
from outlast.engines.temporal.tidings import MOST_TRIES, SPANS, Tiding
from outlast.failures import FailureInfo, failure_to_json
from outlast.instant import to_ms
from outlast.storage.keys import DeliveryKey
from outlast.storage.outbox import DeliveryRow
from outlast.values import encode

__all__ = ["CLOSED", "EARLIER", "Reading"]

EARLIER: Final = "outlast-earlier"
"""Entry of the memo of a workflow that was started for a later execution: what `firsts` was before."""

_LOST: Final = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
    }
)
CLOSED: Final = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
    }
)
"""Events with which a workflow is closed, and does not go on in another one."""
_ANSWERS: Final = "core_local_activity"
"""Name that the SDK gives to the markers of local activities."""


class _Kind:
    """The events that count. Protobuf looks up members of its enums by name, each time anew, which is slow."""

    STARTED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    TASK_STARTED: Final = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
    TASK_COMPLETED: Final = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    MARKER: Final = EventType.EVENT_TYPE_MARKER_RECORDED
    UPDATE: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    CONTINUED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
    CALL: Final = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    CALL_ENDED: Final = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    TIMER: Final = EventType.EVENT_TYPE_TIMER_FIRED
    SIGNAL: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    CANCEL: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED


class _Batch(NamedTuple):
    """What a completed workflow task covers."""

    at_ms: int
    """When the task began."""
    is_full: bool
    """Whether the server suggested then to go on in another workflow."""
    inbound: list[Inbound]
    """What reached the run since the task before."""


class Reading:
    """Reads one run. Feed it pages of history; `history()` is what they say."""

    def __init__(self, client: Client, workflow_id: str) -> None:
        self._client = client
        self._workflow_id = workflow_id
        self.ledger: Ledger | None = None
        """The run, as far as it was read; None before the first event."""
        self.requests: list[Request] = []
        """What outsiders asked of it, in order."""
        self.parts: list[str] = []
        """Ids that Temporal gave the workflows in which the run went on one after the other."""
        self.firsts: list[str] = []
        """Those of them that did not begin because the one before went on: the first one, and later executions."""
        self._pending: list[Inbound] = []
        self._cut = 0
        self._task_at_ms = 0
        self._is_full = False
        self._is_moving = False
        self._is_next = True
        self._carried: list[Inbound] = []
        self._next_run: str | None = None
        self._batches: deque[_Batch] = deque()
        self._answers: deque[Sequence[Reply]] = deque()
        self._paths: dict[int, str] = {}
        self._closing: HistoryEvent | None = None
        self._tellings: list[tuple[int, int] | None] = []
        self._tellings_ended: dict[tuple[int, int] | None, FailureInfo | None] = {}
        self._abandoned = 0

    @property
    def records(self) -> Sequence[Record]:
        """The journal, as far as it was read."""
        return [] if self.ledger is None else self.ledger.records

    @property
    def is_closed(self) -> bool:
        """Whether the last workflow of the run is closed: nothing comes any more."""
        return self._closing is not None

    @property
    def untaken(self) -> tuple[str, ...]:
        """Kinds of what outsiders asked and no worker has taken up yet."""
        waiting = [*self._pending, *(each for batch in self._batches for each in batch.inbound)]
        kinds = ["cancel" if isinstance(each, Canceled) else "" for each in waiting]
        kinds += [each.request.kind for each in waiting if isinstance(each, Requested)]
        return tuple(dict.fromkeys(kind for kind in kinds if kind))

    @property
    def untold(self) -> Sequence[Tiding]:
        """What is still to be told beside the run."""
        tidings = [] if self.ledger is None or self.is_closed else self.ledger.tidings.all
        told = [place is None or place in self._tellings_ended for place in self._tellings]
        return [each for number, each in enumerate(tidings) if number >= len(told) or not told[number]]

    def deliveries(self) -> list[DeliveryRow]:
        """Return which hooks were not told yet, or were given up."""
        tidings = [] if self.ledger is None else self.ledger.tidings.all
        rows: list[DeliveryRow] = []
        for number, tiding in enumerate(tidings):
            place = self._tellings[number] if number < len(self._tellings) else None
            is_over = place in self._tellings_ended or self.is_closed or number < self._abandoned
            failure = self._tellings_ended.get(place)
            if tiding.kind == SPANS or (is_over and failure is None and place in self._tellings_ended):
                continue
            if is_over and failure is None:
                failure = FailureInfo(type="WorkflowClosedError", message="the workflow was ended before")
            rows.append(
                DeliveryRow(
                    key=DeliveryKey(number),
                    kind=tiding.kind,
                    seq=tiding.seq,
                    execution=tiding.execution,
                    tries=MOST_TRIES if place in self._tellings_ended else 0,
                    due_at_ms=None if is_over else tiding.at_ms,
                    owner=None,
                    failure=None if failure is None else encode(failure_to_json(failure)),
                )
            )
        return rows

    async def read(self) -> None:
        """Read all that there is.

        Raises:
            RPCError: The server did not answer, or knows no such workflow.
        """
        async for _ in self._pages(wait=False):
            pass

    async def follow(self) -> AsyncGenerator[None, None]:
        """Read what there is and then what comes, page by page, until the workflow is closed.

        Raises:
            RPCError: The server did not answer, or knows no such workflow.
        """
        async for _ in self._pages(wait=True):
            yield

    def history(self) -> History | None:
        """Return the run as it is read so far."""
        ledger = self.ledger
        if ledger is None:
            return None
        return History(
            run_id=ledger.run_id,
            workflow_id=ledger.state.graph.workflow_id,
            resource_id=ledger.start.resource_id,
            execution=ledger.state.execution,
            status=ledger.status,
            created_at_ms=ledger.created_at_ms,
            graph=ledger.state.graph,
            head=ledger.head,
            records=[record for record in ledger.records if record.is_fact],
        )

    async def _pages(self, *, wait: bool) -> AsyncGenerator[None, None]:
        latest = self._fetch(None, wait=wait)
        await latest.fetch_next_page()
        for first in await self._find_firsts(latest.current_page or ()):
            self._is_next = True
            pages = latest
            if first is not None:
                pages = self._fetch(first, wait=wait)
                await pages.fetch_next_page()
            while True:
                for event in pages.current_page or ():
                    await self._feed(event)
                self._pump()
                self._close()
                yield
                if pages.next_page_token is None:
                    if self._next_run is None:
                        break
                    pages, self._next_run = self._fetch(self._next_run, wait=wait), None
                await pages.fetch_next_page()

    def _fetch(self, run_id: str | None, *, wait: bool) -> WorkflowHistoryEventAsyncIterator:
        handle: WorkflowHandle[Any, Any] = self._client.get_workflow_handle(self._workflow_id, run_id=run_id)
        return handle.fetch_history_events(wait_new_event=wait, rpc_timeout=None if wait else RPC_TIMEOUT)

    async def _find_firsts(self, page: Sequence[HistoryEvent]) -> list[str | None]:
        """Return the workflows to read from: those that did not begin because the one before went on.

        The latest one is None; for most runs there is nothing else. It says so at the beginning of its history.
        """
        attributes = page[0].workflow_execution_started_event_attributes
        first: str | None = None
        if attributes.continued_execution_run_id:
            first = attributes.first_execution_run_id
        if EARLIER not in attributes.memo.fields:
            return [first]
        [earlier] = await self._client.data_converter.decode([attributes.memo.fields[EARLIER]], [list[str]])
        return [*earlier, first]

    async def _feed(self, event: HistoryEvent) -> None:
        match event.event_type:
            case _Kind.STARTED:
                attributes = event.workflow_execution_started_event_attributes
                self.parts.append(attributes.original_execution_run_id)
                if self._is_next:  # else the run goes on here, and all that counts is known
                    await self._feed_start(event)
            case _Kind.TASK_STARTED:
                self._task_at_ms = _time_of(event)
                self._is_full = event.workflow_task_started_event_attributes.suggest_continue_as_new
                self._cut = len(self._pending)
            case _Kind.TASK_COMPLETED:
                self._batches.append(_Batch(self._task_at_ms, self._is_full, self._pending[: self._cut]))
                del self._pending[: self._cut]
                self._cut = 0
            case _Kind.MARKER:
                await self._feed_answers(event)
            case _Kind.UPDATE:
                await self._feed_update(event)
            case _Kind.CONTINUED:
                self._next_run = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
                self._pump()
                self._move()
            case kind if kind in CLOSED:
                self._closing = event
                if _is_fault(event) and self._batches:
                    self._batches.pop()  # what it could not fold is no part of the journal
            case _:
                await self._feed_inbound(event)

    async def _feed_start(self, event: HistoryEvent) -> None:
        """Begin with the run, or with the next execution that was opened when the workflow before was closed."""
        [message] = await self._messages(event.workflow_execution_started_event_attributes.input.payloads[:1])
        start = Start.from_bytes(message)
        self._is_next = False
        self.firsts.append(self.parts[-1])
        if self.ledger is None:
            self.ledger = Ledger(replace(start, snapshot=None), is_read=True)
            self.ledger.open(_time_of(event))
        else:
            self._leave()
            self.ledger.reopen(start.opening)

    async def _feed_answers(self, event: HistoryEvent) -> None:
        attributes = event.marker_recorded_event_attributes
        if attributes.marker_name == _ANSWERS:
            [message] = await self._messages(attributes.details["result"].payloads)
            self._answers.append([Reply.from_bytes(each) for each in unpack(message)[1]])

    async def _feed_update(self, event: HistoryEvent) -> None:
        """Take an update to what its task covers: histories mention it only when that task has completed."""
        asked = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        if asked.name not in (TAKE, REOPEN):
            return
        [message] = await self._messages(asked.args.payloads)
        if asked.name == TAKE:
            self._take_request(message, self._batches[-1].inbound)
        elif self.ledger is not None:
            last = self._batches.pop()
            self._pump()
            self.ledger.reopen(Start.from_bytes(message).opening)
            self._is_moving = True
            self._batches.append(last)  # what came with it is taken along

    def _take_request(self, message: bytes, inbound: list[Inbound]) -> None:
        request = Request.read(message)
        if request is not None:
            self.requests.append(request)
            inbound.append(Requested(request))

    async def _feed_inbound(self, event: HistoryEvent) -> None:
        match event.event_type:
            case _Kind.CALL:
                attributes = event.activity_task_scheduled_event_attributes
                if attributes.activity_type.name == TELL:
                    self._tellings.append((len(self.parts), event.event_id))
                else:
                    self._paths[event.event_id] = path_of(attributes.activity_id)
            case _Kind.CALL_ENDED:
                completed = event.activity_task_completed_event_attributes
                telling = (len(self.parts), completed.scheduled_event_id)
                if telling in self._tellings:
                    self._tellings_ended[telling] = None
                    return
                [message] = await self._messages(completed.result.payloads)
                path = self._paths.pop(completed.scheduled_event_id)
                self._pending.append(Told(path, Reply.from_bytes(message)))
            case _Kind.TIMER:
                self._pending.append(Rang())
            case _Kind.SIGNAL:
                await self._feed_signal(event)
            case _Kind.CANCEL:
                cause = event.workflow_execution_cancel_requested_event_attributes.cause
                self._pending.append(Canceled(cause or None))
            case kind if kind in _LOST:
                self._lose(event)
            case _:
                return

    async def _feed_signal(self, event: HistoryEvent) -> None:
        signaled = event.workflow_execution_signaled_event_attributes
        if signaled.signal_name not in (REQUEST, SAID):
            return
        [message] = await self._messages(signaled.input.payloads)
        if signaled.signal_name == REQUEST:
            self._take_request(message, self._pending)
        elif (said := Said.read(message)) is not None:
            self._pending.append(Heard(said))

    def _lose(self, event: HistoryEvent) -> None:
        scheduled = _scheduled_by(event)
        telling = (len(self.parts), scheduled)
        if telling in self._tellings:
            failure = event.activity_task_failed_event_attributes.failure
            known = failure.application_failure_info.type or "CallLostError"
            self._tellings_ended[telling] = FailureInfo(type=known, message=failure.message)
        else:
            self._pending.append(Lost(self._paths.pop(scheduled)))

    async def _messages(self, payloads: Sequence[Any]) -> list[bytes]:
        return await read_payloads(self._client.data_converter, payloads)

    def _pump(self) -> None:
        """Feed the ledger as far as the answers to its questions are known."""
        ledger = self.ledger
        while ledger is not None and not self._is_moving:
            ledger.take_calls()
            if ledger.next_asks() is not None:
                if not self._answers:
                    return
                ledger.settle(self._answers.popleft())
                continue
            ledger.note_rest()
            if ledger.try_to_move() is not None:
                self._is_moving = True
            elif self._batches:
                self._absorb(ledger, self._batches.popleft())
            else:
                return

    def _move(self) -> None:
        """The run goes on in another workflow, whose events come next."""
        left = [*(each for batch in self._batches for each in batch.inbound), *self._pending]
        if self.ledger is not None:
            self.ledger.move()
        self._clear()
        self._carried = list(carried_of(left))

    def _leave(self) -> None:
        """The next execution was opened when the last workflow of this one was closed: what it left is not folded."""
        self._clear()
        self._closing = None
        tidings = [] if self.ledger is None else self.ledger.tidings.all
        self._tellings += [None] * (len(tidings) - len(self._tellings))
        self._abandoned = len(tidings)

    def _clear(self) -> None:
        self._is_moving = False
        self._paths.clear()
        self._pending.clear()
        self._batches.clear()
        self._answers.clear()
        self._cut = 0

    def _absorb(self, ledger: Ledger, batch: _Batch) -> None:
        if ledger.is_over:
            return
        if not ledger.has_begun:
            if any(isinstance(each, Canceled) for each in batch.inbound):
                ledger.take()  # the SDK does not even begin a workflow that is canceled by then
                ledger.absorb([each for each in batch.inbound if isinstance(each, Canceled)], batch.at_ms)
                return
            ledger.begin(batch.at_ms, is_full=batch.is_full)
            if batch.inbound:
                self._batches.appendleft(batch)
            if self._carried:
                self._batches.appendleft(_Batch(0, is_full=False, inbound=self._carried))
                self._carried = []
        elif batch.inbound:
            ledger.absorb(batch.inbound, batch.at_ms, is_full=batch.is_full)

    def _close(self) -> None:
        """Let the journal of a workflow that is closed end, also if it was not its own code that closed it."""
        if self._closing is None or self.ledger is None or self.ledger.is_over:
            return
        self.ledger.take()
        self.ledger.close(_failure_of(self._closing), _time_of(self._closing))


def _is_fault(event: HistoryEvent) -> bool:
    """Say whether the workflow ended because its own code could not go on, and not because the run ended."""
    if event.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return False
    failure = event.workflow_execution_failed_event_attributes.failure
    return failure.application_failure_info.type not in (RUN_FAILED, RUN_CANCELED)


def _failure_of(event: HistoryEvent) -> FailureInfo | None:
    """Return why a workflow was closed whose run had not ended; None if it was canceled."""
    match event.event_type:
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
            return None
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
            reason = event.workflow_execution_terminated_event_attributes.reason or "no reason was given"
            return _given_up("WorkflowTerminatedError", f"the workflow was terminated: {reason}")
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
            return _given_up("WorkflowTimedOutError", "a timeout that Temporal was given for the workflow is over")
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
            failure = event.workflow_execution_failed_event_attributes.failure
            return _given_up(failure.application_failure_info.type or "WorkflowFailedError", failure.message)
        case _:
            return _given_up("WorkflowFailedError", "the workflow ended before the run did")


def _given_up(kind: str, message: str) -> FailureInfo:
    return FailureInfo(type=kind, message=message, is_retryable=False)


def _time_of(event: HistoryEvent) -> int:
    return to_ms(event.event_time.ToDatetime().replace(tzinfo=UTC))


def _scheduled_by(event: HistoryEvent) -> int:
    match event.event_type:
        case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
            return event.activity_task_failed_event_attributes.scheduled_event_id
        case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
            return event.activity_task_timed_out_event_attributes.scheduled_event_id
        case _:
            return event.activity_task_canceled_event_attributes.scheduled_event_id
