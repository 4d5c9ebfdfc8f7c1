"""The Temporal engine: runs are workflows of a Temporal server, and their journal is its history."""

from __future__ import annotations

import asyncio
import atexit
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from outlast.core.events import Fact, RunStarted
from outlast.core.history import History
from outlast.core.status import RunStatus
from outlast.engines.base import CreateRequest, GraphInFlight, Journal, SeededStart, Standing, StartRequest
from outlast.engines.capability import Capability
from outlast.engines.metrics import RUNS_REOPENED, RUNS_STARTED, Meter
from outlast.engines.options import DriveOptions
from outlast.engines.telemetry import Tracer
from outlast.engines.temporal.apart import largest_message
from outlast.engines.temporal.deleting import delete_read, is_known
from outlast.engines.temporal.desk import TemporalDesk
from outlast.engines.temporal.flow import REQUEST
from outlast.engines.temporal.journal import TemporalJournal
from outlast.engines.temporal.keys import Keys
from outlast.engines.temporal.lacks import lacking
from outlast.engines.temporal.launching import bare_start, checked, launch
from outlast.engines.temporal.lists import Lists
from outlast.engines.temporal.messages import Request, Start
from outlast.engines.temporal.opening import records_of
from outlast.engines.temporal.payloads import raw_value
from outlast.engines.temporal.place import Place
from outlast.engines.temporal.reading import Reading
from outlast.engines.temporal.reopening import Reopener
from outlast.engines.temporal.resting import wait_for_rest
from outlast.engines.temporal.rpc import RPC_TIMEOUT, is_missing, translated
from outlast.engines.temporal.sightings import Sightings
from outlast.engines.temporal.tries import with_tries
from outlast.engines.temporal.updates import Asker
from outlast.engines.temporal.worker import TemporalWorker
from outlast.errors import (
    PayloadTooLargeError,
    RunExistsError,
    RunNotFoundError,
    StoreUnavailableError,
)
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.document import graph_to_json
from outlast.graph.nodes import Graph
from outlast.loops import Loop
from outlast.sealing import Sealer
from outlast.storage.identity import request_to_cancel
from outlast.storage.listing import RunCount, RunListing, RunQuery, RunSummary
from outlast.storage.outbox import DeliveryRow
from outlast.values import decode, encode

__all__ = ["BoundEngine"]

_STARTS_AT_ONCE: Final = 50
_STARTS_AT: Final = "outlast-starts-at-ms"
"""Entry of the memo of a run that is to start later."""
_FRESH: Final = 60.0
"""Seconds after which a worker that has not asked for work is not counted any more."""

# Threads of the SDK crash the interpreter if it ends while one of them calls back (temporalio/sdk-python#300).
atexit.register(time.sleep, 0.02)


class BoundEngine:
    """Drives and reads the runs of one app on a Temporal server."""

    def __init__(self, place: Place, workflows: Sequence[CommittedWorkflow[Any, Any]], options: DriveOptions) -> None:
        self._place = place
        self._workflows = workflows
        self._options = options
        self.loop: Loop | None = None
        """The event loop on which it was opened."""
        self._client: Client | None = None
        self._worker: TemporalWorker | None = None
        self._found: Lists | None = None
        self._asker = Asker()
        self._tracer: Tracer | None = None
        self._meter: Meter | None = None
        self._desk: TemporalDesk | None = None

    @property
    def sealers(self) -> Mapping[str, Sealer]:
        """What seals the values of the workflows that have sensitive types, by their ids."""
        return self._options.sealers

    @property
    def unstored_context(self) -> frozenset[str]:
        """Keys of request contexts that must not be recorded."""
        return self._options.unstored_context

    async def open(self) -> None:
        """Connect, and begin to work unless told otherwise."""
        self.loop = asyncio.get_running_loop()
        self._tracer, self._meter = self._options.find_tracer(), self._options.find_meter()
        self._client = await self._place.connect()
        self._found = Lists(self._client, self._place.prefix)
        await self._found.prepare()
        if self._options.is_worker:
            self._worker = TemporalWorker(
                self._client, self._place, self._workflows, self._options, self._tracer, self.schedules
            )
            await self._worker.start()

    async def close(self) -> int:
        """Let bodies in flight end; what is left goes on with other workers, and nobody here knows how much that is."""
        if self._worker is not None:
            await self._worker.stop()
        return 0

    async def start(self, request: StartRequest) -> None:
        """Start a workflow; the server has it on disk when this returns."""
        await self._start(request, {})

    async def _start(self, request: StartRequest, memo: Mapping[str, Any]) -> None:
        start, ready_at_ms = self._start_of(request)
        with translated(request.run_id):
            await launch(
                self._connected,
                self._place,
                start,
                workflow_id=request.workflow.id,
                attributes=self._lists.attributes_of(request, is_delayed=bool(start.delay_ms)),
                memo={**memo, _STARTS_AT: ready_at_ms} if start.delay_ms else memo or None,
            )
        if self._meter is not None:
            self._meter.add(RUNS_STARTED, 1, request.workflow.id)

    def _check(self, request: StartRequest) -> None:
        """Refuse what cannot be started, before anything is recorded.

        Raises:
            UnsupportedByEngineError: It needs what this engine lacks.
            PayloadTooLargeError: It is larger than what the server takes.
        """
        start, _ = self._start_of(request)
        checked(start)
        self._lists.attributes_of(request, is_delayed=bool(start.delay_ms))

    def _start_of(self, request: StartRequest) -> tuple[Start, int | None]:
        """Return what a run is started with, and when it may start."""
        tracer = self._tracer
        if tracer is not None:
            request = request.placed(tracer.current())
        if request.flow is not None:
            raise lacking(Capability.PRIORITIES)
        now_ms = self._options.now_ms()
        ready_at_ms = request.ready_at_ms(now_ms)
        delay_ms = 0 if ready_at_ms is None else max(0, ready_at_ms - now_ms)
        start = replace(
            self._bare_start(request.run_id, request.workflow.graph, request.workflow.document),
            resource_id=request.resource_id,
            request_context=request.request_context,
            state=request.state,
            include_state=request.include_state,
            delay_ms=delay_ms,
            start_within_ms=request.start_within_ms,
            per_step=request.per_step,
            tags=request.tags,
            tracing=request.tracing,
            is_traced=tracer is not None and tracer.is_sampled(request.run_id, request.workflow.id, request.tracing),
            input=request.input,
        )
        return start, ready_at_ms

    def _bare_start(self, run_id: str, graph: Graph, document: bytes) -> Start:
        largest = largest_message(self._connected.data_converter)
        return bare_start(self._options, run_id, graph, document, largest=largest)

    @property
    def schedules(self) -> TemporalDesk:
        """The schedules of the app."""
        if self._desk is None:
            self._desk = self._make_desk(self._options)
        return self._desk

    def _make_desk(self, options: DriveOptions) -> TemporalDesk:
        async def cancel(run_id: str, body: bytes) -> bool:
            return await self.post(run_id, kind="cancel", topic="", body=body)

        return TemporalDesk(
            self._connected,
            self._place,
            self._workflows,
            options,
            check=self._check,
            start=self._start,
            cancel=cancel,
            meter=self._meter,
            find_status=self._find_status,
        )

    async def until_idle(self) -> None:
        """Refuse: what this worker does not run, others do."""
        raise lacking(Capability.IDLENESS)

    async def create(self, request: CreateRequest) -> None:
        """Refuse: the server knows no run before it is started."""
        raise lacking(Capability.PENDING_RECORDS)

    async def start_once(self, request: StartRequest) -> str:
        """Start a run under its idempotency key, or find the run that the key stands for; return its id."""
        if request.identity is None:
            await self.start(request)
            return request.run_id
        self._check(request)
        keys = Keys(
            self._connected,
            self._place,
            start=self.start,
            cancel=self._cancel_replaced,
            find_status=self._find_status,
            now_ms=self._options.now_ms,
        )
        return await keys.start_once(request, request.identity)

    async def start_many(self, requests: Sequence[StartRequest], *, named: Sequence[str] = ()) -> list[str]:
        """Start many workflows, some at a time; the server knows no transaction over several of them.

        If an id was there beforehand, nothing is started.
        """
        for run_id in named:
            if await is_known(self._connected, self._place, run_id):
                raise RunExistsError(run_id)
        places = asyncio.Semaphore(_STARTS_AT_ONCE)

        async def start(request: StartRequest) -> str:
            async with places:
                return await self.start_once(request)

        results = await asyncio.gather(*(start(each) for each in requests), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, str)]

    async def list_runs(self, query: RunQuery) -> RunListing:
        """Return a page of the runs that match, as the server has made them visible."""
        return await self._lists.list_runs(query)

    async def count_runs(self, workflow_id: str | None = None) -> Sequence[RunCount]:
        """Return how many runs of the app's workflows there are, by workflow and status."""
        known = [workflow.id for workflow in self._workflows]
        return await self._lists.count_runs(known if workflow_id is None else [workflow_id])

    async def list_in_flight(self) -> Sequence[GraphInFlight]:
        """Return the graphs on which runs are that have not ended, with the number of these."""
        found: list[GraphInFlight] = []
        for runs, run_id in (await self._lists.find_in_flight()).values():
            history = await self.load_history(run_id)
            if history is not None:  # else it was deleted meanwhile
                found.append(GraphInFlight(workflow_id=history.workflow_id, graph=history.graph, runs=runs))
        return found

    async def summarize_run(self, run_id: str) -> RunSummary | None:
        """Return what lists show of one run, or None if its id is not known."""
        reading = await self._read(run_id)
        history = None if reading is None else reading.history()
        if reading is None or reading.ledger is None or history is None:
            return None
        return RunSummary(
            run_id=run_id,
            workflow_id=history.workflow_id,
            resource_id=history.resource_id,
            status=history.status,
            execution=history.execution,
            created_at_ms=history.created_at_ms,
            updated_at_ms=history.records[-1].at_ms,
            tags=tuple(sorted(reading.ledger.start.tags)),
        )

    async def load_history(self, run_id: str) -> History | None:
        """Return what is recorded of a run, or None if its id is not known."""
        reading = await self._read(run_id)
        return None if reading is None else reading.history()

    async def open_journal(self, run_id: str) -> Journal:
        """Return what reads the journal of a run."""
        history = await self.load_history(run_id)
        if history is None:
            raise RunNotFoundError(run_id)
        return TemporalJournal(run_id, history.graph, partial(self._reading, run_id))

    async def reopen(self, history: History, facts: Callable[[int], Sequence[Fact]], *, execution: int) -> bool:
        """Open the next execution of a run that rests."""
        opening = records_of(facts(self._options.now_ms()), after=history.head, execution=execution)
        was_opened = await Reopener(self._connected, self._place, self._lists, self._read).reopen(history, opening)
        if was_opened and self._meter is not None:
            self._meter.add(RUNS_REOPENED, 1, history.workflow_id)
        return was_opened

    async def start_seeded(self, request: SeededStart) -> None:
        """Start a workflow whose run begins at another place than the start."""
        if request.flow is not None:
            raise lacking(Capability.PRIORITIES)
        workflow_id, document = request.graph.workflow_id, encode(graph_to_json(request.graph))
        facts = request.facts(self._options.now_ms())
        began = next(event for event, _ in facts if isinstance(event, RunStarted))
        tracer = self._tracer
        start = replace(
            self._bare_start(request.run_id, request.graph, document),
            resource_id=request.resource_id,
            request_context=began.request_context,
            tracing=began.tracing,
            is_traced=tracer is not None and tracer.is_sampled(request.run_id, workflow_id, began.tracing),
            opening=records_of(facts, after=0, execution=0),
        )
        with translated(request.run_id):
            await launch(
                self._connected,
                self._place,
                start,
                workflow_id=workflow_id,
                attributes=self._lists.attributes_of_next(start, self._options.now_ms(), 0),
            )
        if self._meter is not None:
            self._meter.add(RUNS_STARTED, 1, workflow_id)

    async def delete_run(self, run_id: str) -> None:
        """Delete a run that has ended, with all the workflows in which it went on; its id can be started again."""
        reading = await self._read(run_id)
        if reading is None:
            raise RunNotFoundError(run_id)
        await delete_read(self._connected, self._place, run_id, reading)

    async def post(self, run_id: str, *, kind: str, topic: str, body: bytes) -> bool:
        """Ask something of a run: of several requests with one topic, the first one in the history counts."""
        handle = self._handle(run_id)
        if kind == "cancel":
            return await self._cancel(run_id, handle, body)
        request = Request(uuid.uuid4().hex, kind, topic, body)
        message = request.to_bytes()
        largest = largest_message(self._connected.data_converter)
        if len(message) > largest:
            raise PayloadTooLargeError(kind, len(message), largest)
        with translated(run_id):
            try:
                was_taken = await self._asker.ask(handle, request.request_id, message)
                if was_taken is not None:
                    return was_taken
                await handle.signal(REQUEST, raw_value(message), rpc_timeout=RPC_TIMEOUT)
            except RPCError as error:
                if is_missing(error) and await self.load_history(run_id) is not None:
                    return False  # it has ended meanwhile
                raise
            reading = self._reading(run_id)
            await reading.read()
        first = next((each for each in reading.requests if each.topic == topic), request)
        return first.request_id == request.request_id

    async def wait_for_rest(self, run_id: str, *, after: int = 0) -> History:
        """Return the history of a run once nothing happens until somebody from outside acts."""
        load = partial(self.load_history, run_id)
        workflow_id = self._place.prefix + run_id
        sightings = Sightings() if self._worker is None else self._worker.activities.sightings
        goes_on = partial(sightings.goes_on, workflow_id)
        with sightings.awaited(workflow_id):
            return await wait_for_rest(self._connected, workflow_id, run_id, load, goes_on=goes_on, after=after)

    async def list_deliveries(self, run_id: str) -> Sequence[DeliveryRow]:
        """Return the calls of a run's hooks that have not succeeded."""
        reading = await self._read(run_id)
        if reading is None:
            raise RunNotFoundError(run_id)
        rows = reading.deliveries()
        if all(row.due_at_ms is None for row in rows):
            return rows
        with translated(run_id):
            described = await self._handle(run_id).describe(rpc_timeout=RPC_TIMEOUT)
        return with_tries(rows, described.raw_description.pending_activities)

    async def load_standing(self, run_id: str) -> Standing:
        """Return who works, or could work, on a run."""
        handle = self._handle(run_id)
        with translated(run_id):
            described = await handle.describe(rpc_timeout=RPC_TIMEOUT)
            pollers = await self._connected.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=self._connected.namespace,
                    task_queue=TaskQueue(name=self._place.task_queue),
                    task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
                ),
                timeout=RPC_TIMEOUT,
            )
        pending = [each.last_worker_identity for each in described.raw_description.pending_activities]
        owner = next((f"worker {each}" for each in pending if each), None)
        now = time.time()
        fresh = [each for each in pollers.pollers if now - each.last_access_time.seconds < _FRESH]
        starts_at_ms = await described.memo_value(_STARTS_AT, 0, type_hint=int)
        is_waiting = starts_at_ms > now * 1000
        reading = await self._read(run_id)
        return Standing(
            owner=owner,
            candidates=len(fresh),
            requests=() if reading is None else reading.untaken,
            starts_at_ms=starts_at_ms if is_waiting else None,
        )

    async def _read(self, run_id: str) -> Reading | None:
        reading = self._reading(run_id)
        with translated(run_id):
            try:
                await reading.read()
            except RPCError as error:
                if is_missing(error):
                    return None
                raise
        return reading

    async def _find_status(self, run_id: str) -> RunStatus | None:
        """Return the status of a run; None if the server does not know it."""
        reading = await self._read(run_id)
        history = None if reading is None else reading.history()
        return None if history is None else history.status

    async def _cancel_replaced(self, run_id: str, by: str) -> None:
        _, body = request_to_cancel(execution=0, run_id=by)
        await self.post(run_id, kind="cancel", topic="", body=body)

    async def _cancel(self, run_id: str, handle: WorkflowHandle[Any, Any], body: bytes) -> bool:
        fields = decode(body)
        reason = fields.get("reason") if isinstance(fields, dict) else None
        with translated(run_id):
            try:
                await handle.cancel(reason=reason if isinstance(reason, str) else "", rpc_timeout=RPC_TIMEOUT)
            except RPCError as error:
                if is_missing(error) and await self.load_history(run_id) is not None:
                    return False  # it has ended meanwhile
                raise
        return True

    @property
    def _lists(self) -> Lists:
        if self._found is None:
            raise StoreUnavailableError("the app is not open")
        return self._found

    @property
    def _connected(self) -> Client:
        if self._client is None:
            raise StoreUnavailableError("the app is not open")
        return self._client

    def _handle(self, run_id: str) -> WorkflowHandle[Any, Any]:
        return self._connected.get_workflow_handle(self._place.prefix + run_id)

    def _reading(self, run_id: str) -> Reading:
        return Reading(self._connected, self._place.prefix + run_id)
