"""The local engine: runs live in a store on this machine that several processes may start, drive and read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from outlast.core.events import Fact
from outlast.engines.asking import execution_asked
from outlast.engines.background import Background
from outlast.engines.base import CreateRequest, GraphInFlight, History, SeededStart, Standing, StartRequest
from outlast.engines.local.bystander import Bystander
from outlast.engines.local.complaint import Complaint
from outlast.engines.local.deliveries import Deliveries
from outlast.engines.local.desk import LocalDesk
from outlast.engines.local.finishing import Finishing
from outlast.engines.local.history import read_history
from outlast.engines.local.housekeeper import Housekeeper
from outlast.engines.local.limits import AppLimits
from outlast.engines.local.measuring import Measuring
from outlast.engines.local.metered import metered
from outlast.engines.local.pending import pending_run
from outlast.engines.local.program import ProgramShelf
from outlast.engines.local.recorded import start_of_recorded
from outlast.engines.local.rests import Rests
from outlast.engines.local.seeding import reopen, seeded_run
from outlast.engines.local.standing import standing_of
from outlast.engines.local.timing import Timing
from outlast.engines.local.trail import trails
from outlast.engines.local.watching import LocalJournal, Watch
from outlast.engines.local.worker import Worker
from outlast.engines.metrics import Meter
from outlast.engines.options import DriveOptions
from outlast.engines.telemetry import Tracer
from outlast.errors import (
    OutlastError,
    RunExistsError,
    RunNotFoundError,
    StoreError,
    StoreUnavailableError,
    UnreadableRunError,
)
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.document import UnknownGraphError
from outlast.graph.nodes import Graph
from outlast.loops import Loop
from outlast.sealing import Sealer
from outlast.storage.base import GraphKey, NewRun, Receipt, RunRow, Store
from outlast.storage.flow import Flow
from outlast.storage.listing import RunCount, RunListing, RunQuery, RunSummary
from outlast.storage.outbox import DeliveryRow

__all__ = ["LocalEngine"]

_log = logging.getLogger("outlast.worker")

_BUSY_LOOK = 0.02
_IDLE_LOOK = 0.1
_ROUND_EVERY = 0.25
_MAX_UNSETTLED_STARTS = 5_000
_MAX_STARTS_AT_ONCE = 1_000


class LocalEngine:
    """Drives runs on the running event loop, over a store that several processes of this machine may share."""

    def __init__(
        self, store: Store, workflows: Sequence[CommittedWorkflow[Any, Any]], options: DriveOptions | None = None
    ) -> None:
        self._store = store
        self._workflows = workflows
        self._options = options or DriveOptions()
        self._now_ms = self._options.now_ms
        self.loop: Loop | None = None
        """The event loop on which it was opened."""
        self.sealers: Mapping[str, Sealer] = self._options.sealers
        """What seals the values of the workflows that have sensitive types, by their ids."""
        self.unstored_context: frozenset[str] = self._options.unstored_context
        """Keys of request contexts that must not be recorded."""
        self._shelf = ProgramShelf(store, workflows, self._options.sealers)
        self._bystander = Bystander(store, self._shelf, self._now_ms)
        self._limits = AppLimits(workflows, self._options.concurrency)
        self._tracer: Tracer | None = None
        self._meter: Meter | None = None
        self._worker: Worker | None = None
        self._deliveries: Deliveries | None = None
        self._background = Background()
        self._housekeeper = Housekeeper(
            store,
            retention=self._options.retention,
            stream_retention=self._options.stream_retention,
            identity_ttl=self._options.identity_ttl,
            now_ms=self._now_ms,
        )
        self._is_stale = True
        self._is_looking = False
        self._next_ready_at: int | None = None
        self._last_round = 0.0
        self._start_places = asyncio.Semaphore(_MAX_UNSETTLED_STARTS)
        self._rests = Rests(
            store,
            look_up=self._look_up,
            load=self.load_history,
            is_live=self._is_live,
            patience=self._bystander.patience,
        )
        self._watch = Watch(store)
        self._desk = LocalDesk(store, self._shelf, self._options, self._limits, look_up=self._look_up, wake=self._wake)
        self._timing = Timing(
            store,
            self._shelf,
            self._options.clock,
            rests=self._rests,
            watch=self._watch,
            desk=self._desk,
            is_looking=lambda: self._is_stale or self._is_looking,
            jumped=self._time_jumped,
        )

    async def open(self) -> None:
        """Open the store, register as a worker unless told otherwise, and take over what is claimable."""
        self.loop = self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._tracer = self._bystander.tracer = self._options.find_tracer()
        self._meter = self._bystander.meter = self._desk.meter = self._options.find_meter()
        if self._meter is not None:
            self._store = metered(self._store, self._meter)
        await self._store.open()
        try:
            await self._begin()
        except BaseException:
            await self._leaving().aclose()
            raise

    async def _begin(self) -> None:
        ids = [workflow.id for workflow in self._workflows]
        await self._shelf.open()
        await self._store.declare_limits(self._limits.declared)
        if self._options.is_worker:
            self._worker = self._make_worker()
            self._deliveries = Deliveries(self._store, self._shelf, self._options, wake=self._wake)
            self._timing.worker, self._timing.deliveries = self._worker, self._deliveries
            self._desk.worker = self._worker
            await self._worker.begin_life(ids)
            self._background.begin(self._housekeeper.work_for_ever, name="outlast-housekeeper")
        self._background.begin(self._look_for_ever, name="outlast-look")
        if self._meter is not None:
            measuring = Measuring(self._store, self._meter, worker=self._worker, of=ids, now_ms=self._now_ms)
            self._background.begin(measuring.work_for_ever, name="outlast-measuring")
        self._options.clock.attach(self._timing)

    async def close(self) -> int:
        """Give everything back in good order and return how many runs of this process are left unfinished."""
        try:
            return await self._drain()
        finally:
            await self._leaving().aclose()

    def _leaving(self) -> AsyncExitStack:
        """Return what ends all that was begun: from the last on, and each also if one before it was canceled."""
        leaving = AsyncExitStack()
        leaving.callback(self._send_waiters_away)
        leaving.push_async_callback(self._store.close)
        leaving.push_async_callback(self._retire)
        leaving.push_async_callback(self._options.clock.detach, self._timing)
        leaving.push_async_callback(self._background.stop)
        if self._worker is not None and self._deliveries is not None:
            leaving.push_async_callback(self._deliveries.close)
            leaving.push_async_callback(self._worker.abandon_runs)
        return leaving

    async def _drain(self) -> int:
        """Let what is in flight end; return how many runs are left."""
        if self._worker is None:
            return 0
        if self._options.on_exit == "finish":
            await self._finishing(self._worker).until_done(within=self._options.drain)
        until = self._loop.time() + self._options.drain.total_seconds()
        left = await self._worker.drain()
        if self._deliveries is not None:
            with suppress(StoreError):  # a sibling makes what is left, or whoever comes next
                await self._deliveries.drain(self._worker.key, until=until)
        return left

    async def _retire(self) -> None:
        if self._worker is not None:
            with suppress(StoreError):  # a sibling takes the runs over as soon as this process is gone
                await self._worker.end_life()
                await self._bystander.take_left_cancels()

    def _send_waiters_away(self) -> None:
        closed = StoreUnavailableError("the app was closed while waiting; the run is not affected")
        self._rests.close(closed)
        self._watch.close(closed)

    @property
    def schedules(self) -> LocalDesk:
        """What keeps schedules and takes the runs that they start."""
        return self._desk

    async def until_idle(self) -> None:
        """Return once this worker drives no run, and nothing is left that it could take or must tell now."""
        if self._worker is not None:
            await self._finishing(self._worker).until_idle()

    def _finishing(self, worker: Worker) -> Finishing:
        return Finishing(worker, self._deliveries, self._store, self._shelf, self._now_ms)

    async def create(self, request: CreateRequest) -> None:
        """Record a run that somebody starts later."""
        await self._record(self._pending(request))

    async def start(self, request: StartRequest) -> None:
        """Record a run; this process drives it at once if it is a worker with a free slot, else whoever claims it."""
        request = self._placed(request)
        await self._start_places.acquire()
        try:
            settled = self._start_new(request)
        except Exception:
            self._start_places.release()
            raise
        try:
            with self._timing.asking:
                await settled
        except RunExistsError:
            if not await self._start_created(request):
                raise

    async def _start_created(self, request: StartRequest) -> bool:
        """Start a run that was recorded to be started, unless somebody did already. The inbox decides a race."""
        history = await self.load_history(request.run_id)
        if history is None or history.workflow_id != request.workflow.id:
            return False
        body = start_of_recorded(request, history)
        if body is None:
            return False
        return await self.post(request.run_id, kind="start", topic="start", body=body, flow=request.flow)

    def _start_new(self, request: StartRequest) -> asyncio.Future[None]:
        settled: asyncio.Future[None] = self._loop.create_future()
        settle = partial(self._start_settled, settled)
        if request.is_immediate and request.flow is None and self._worker is not None and self._worker.free > 0:
            self._worker.start(request, settle)
        else:
            self._insert(self._pending(request), settle)
        return settled

    async def start_once(self, request: StartRequest) -> str:
        """Record a run under its idempotency key, or find the run that the key stands for; return its id."""
        if request.identity is None:
            await self.start(request)
            return request.run_id
        new = self._pending(self._placed(request))
        async with self._start_places:
            with self._timing.asking:
                admission = await self._store.insert_once(new, request.identity)
        await self._desk.notice(() if admission.replaced is None else (admission.replaced,))
        return admission.run_id

    async def start_many(self, requests: Sequence[StartRequest], *, named: Sequence[str] = ()) -> list[str]:
        """Record many runs without owner: all that are handed over in one turn share their commits."""
        for run_id in named:
            if await self._store.find_run(run_id) is not None:
                raise RunExistsError(run_id)
        ids: list[str] = []
        for first in range(0, len(requests), _MAX_STARTS_AT_ONCE):
            some = requests[first : first + _MAX_STARTS_AT_ONCE]
            outcomes = await asyncio.gather(*map(self._start_one_of_many, some), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                ids.append(outcome)
        return ids

    async def _start_one_of_many(self, request: StartRequest) -> str:
        if request.identity is not None:
            return await self.start_once(request)
        await self._record(self._pending(self._placed(request)))
        return request.run_id

    def _placed(self, request: StartRequest) -> StartRequest:
        """Let the run join the trace of whoever starts it, unless it is given one, and obey the app's limits."""
        request = self._limits.applied_to(request)
        return request if self._tracer is None else request.placed(self._tracer.current())

    async def load_history(self, run_id: str) -> History | None:
        """Return what is recorded of a run, or None if its id is not known."""
        row = await self._look_up(run_id)
        if row is None:
            return None
        return await read_history(row, store=self._store, load_graph=self._load_graph)

    async def open_journal(self, run_id: str) -> LocalJournal:
        """Return what reads the journal of a run."""
        row = await self._look_up(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        graph = await self._load_graph(run_id, row.graph)
        return LocalJournal(row, graph, store=self._store, watch=self._watch, look_up=self._look_up)

    async def post(self, run_id: str, *, kind: str, topic: str, body: bytes, flow: Flow | None = None) -> bool:
        """Put a request into the run's inbox, and look at it at once if the run is ours or nobody's.

        A run that nobody drives is canceled here and now: that takes no worker. A `flow` holds from then on.
        """
        is_foreign_cancel = kind == "cancel" and not self._is_live(run_id)
        if is_foreign_cancel and await self._bystander.cancel(run_id, body):
            self._wake()
            return True
        with self._timing.asking:
            now = self._now_ms()
            is_first = await self._store.post(
                run_id, kind=kind, topic=topic, at_ms=now, body=body, flow=flow, execution=execution_asked(kind, body)
            )
        if kind == "cancel" and self._worker is not None and self._is_live(run_id):
            await self._worker.look_into_inbox()  # before it returns: nothing new may start from then on
        elif is_foreign_cancel:
            await self._look_up(run_id)  # its owner may have let go of it meanwhile
        self._wake()
        return is_first

    async def reopen(self, history: History, facts: Callable[[int], Sequence[Fact]], *, execution: int) -> bool:
        """Open the next execution of a run that rests; it is claimable at once."""
        with self._timing.asking:
            opening = facts(self._now_ms())
            was_reopened = await reopen(
                self._store, history, opening, execution=execution, tracer=self._tracer, meter=self._meter
            )
        self._wake()
        return was_reopened

    async def start_seeded(self, request: SeededStart) -> None:
        """Record a run that begins at another place than the start, for whoever claims it."""
        await self._record(await seeded_run(self._store, request, self._now_ms(), self._limits))

    async def wait_for_rest(self, run_id: str, *, after: int = 0) -> History:
        """Return the history of a run once nothing happens until somebody from outside acts."""
        return await self._rests.wait(run_id, after=after)

    async def delete_run(self, run_id: str) -> None:
        """Delete a run that has ended: everything but its id."""
        await self._store.delete_run(run_id, now_ms=self._now_ms())

    async def list_runs(self, query: RunQuery) -> RunListing:
        """Return a page of the runs that match, those recorded last first."""
        return await self._store.list_runs(query)

    async def summarize_run(self, run_id: str) -> RunSummary | None:
        """Return what lists show of one run, or None if its id is not known."""
        await self._look_up(run_id)
        return await self._store.summarize_run(run_id)

    async def count_runs(self, workflow_id: str | None = None) -> Sequence[RunCount]:
        """Return how many runs there are, by workflow and status."""
        return await self._store.count_runs(workflow_id)

    async def list_in_flight(self) -> Sequence[GraphInFlight]:
        """Return the graphs on which runs are that have not ended, with the number of these."""
        return await self._shelf.list_in_flight(self._store)

    async def list_deliveries(self, run_id: str) -> Sequence[DeliveryRow]:
        """Return the calls of a run's hooks that have not succeeded."""
        row = await self._store.find_run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        return await self._store.list_deliveries(row.key)

    async def load_standing(self, run_id: str) -> Standing:
        """Return who works, or could work, on a run."""
        row = await self._store.find_run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        return await standing_of(row, store=self._store, shelf=self._shelf, worker=self._worker, now_ms=self._now_ms())

    def _make_worker(self) -> Worker:
        return Worker(
            self._store,
            self._shelf,
            self._options,
            on_rest=self._rests.came_to_rest,
            on_recorded=self._watch.recorded,
            wake=self._wake,
            make_trail=trails(self._tracer, self._meter),
        )

    async def _record(self, new: NewRun) -> None:
        """Record a run for whoever claims it."""
        await self._start_places.acquire()
        settled: asyncio.Future[None] = self._loop.create_future()
        self._insert(new, partial(self._start_settled, settled))
        with self._timing.asking:
            await settled

    def _insert(self, new: NewRun, settle: Callable[[OutlastError | None], None]) -> None:
        def settled(result: Receipt | OutlastError) -> None:
            self._wake()
            settle(result if isinstance(result, OutlastError) else None)

        self._store.insert(new, settled)

    def _pending(self, request: StartRequest | CreateRequest) -> NewRun:
        return pending_run(request, self._shelf.current(request.workflow.id).key, self._now_ms())

    def _start_settled(self, settled: asyncio.Future[None], error: OutlastError | None) -> None:
        self._start_places.release()
        if settled.done():
            return
        if error is None:
            settled.set_result(None)
        else:
            settled.set_exception(error)

    def _is_live(self, run_id: str) -> bool:
        return self._worker is not None and run_id in self._worker.live

    async def _load_graph(self, run_id: str, key: GraphKey) -> Graph:
        try:
            return await self._shelf.load_graph(key)
        except UnknownGraphError as error:
            raise UnreadableRunError(run_id, str(error)) from error

    async def _look_up(self, run_id: str) -> RunRow | None:
        """Return the row of a run; one that is to end and that nobody drives is ended first."""
        row = await self._store.find_run(run_id)
        if row is not None and await self._bystander.settle(row):
            self._wake()
            row = await self._store.find_run(run_id)
        return row

    def _wake(self) -> None:
        """Look at the store at once: something of our own changed there."""
        self._timing.turns += 1
        self._is_stale = True
        self._woken.set()

    def _time_jumped(self) -> None:
        self._last_round = -_ROUND_EVERY
        self._bystander.is_stale = True
        self._rests.look_again()
        self._desk.note_change()
        self._wake()

    async def _look_for_ever(self) -> None:
        complaint = Complaint(self._loop.time)
        self._is_stale = True  # it may begin anew, because other code canceled it while it dealt with a change
        while True:
            self._is_looking = True
            try:
                await self._look()
                complaint.end()
            except StoreError as error:
                complaint.note(error)
                self._is_stale = True  # the change that led here is not dealt with, and the store tells of it once
                await asyncio.sleep(_IDLE_LOOK)
            except Exception:  # noqa: BLE001 - the worker's outer loop: it must go on whatever happened
                _log.exception("a fault in the engine; the worker goes on")
                self._is_stale = True
                await asyncio.sleep(_IDLE_LOOK)
            self._is_looking = False
            is_watched = self._rests.is_watching or self._watch.is_watching
            is_busy = is_watched or (self._worker is not None and self._worker.is_busy)
            with suppress(TimeoutError):
                async with asyncio.timeout(_BUSY_LOOK if is_busy else _IDLE_LOOK):
                    await self._woken.wait()
            self._woken.clear()

    async def _look(self) -> None:
        has_changed = self._store.has_changed() or self._is_stale
        if has_changed:
            self._is_stale = False
            self._bystander.is_stale = True
            self._desk.note_change()
            await self._shelf.look_for_new()
            self._next_ready_at = await self._store.next_ready_at(self._shelf.keys)
            await self._rests.look()
            await self._watch.look()
        is_round_due = self._loop.time() - self._last_round > _ROUND_EVERY
        if is_round_due:
            self._last_round = self._loop.time()
            self._desk.tell()
            if await self._bystander.end_late_starts():
                self._wake()
        if self._worker is None:
            return
        if is_round_due:
            self._worker.look_for_lost_bodies()
            if await self._store.bury_dead_workers(now_ms=self._now_ms()):
                self._next_ready_at = await self._store.next_ready_at(self._shelf.keys)
        if has_changed:
            await self._worker.look_into_inbox()
        is_due = self._next_ready_at is not None and self._next_ready_at <= self._now_ms()
        await self._worker.look(next_ready_at=self._next_ready_at)
        if is_due and self._worker.free > 0:
            self._next_ready_at = await self._store.next_ready_at(self._shelf.keys)
        if self._deliveries is not None:
            await self._deliveries.look(self._worker.key, has_changed=has_changed)
