"""A worker: it takes runs into free slots, drives them, and gives them back."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

from outlast.core.advance import apply, decide
from outlast.core.codec import decode_event
from outlast.core.commands import RunHook, RunMap, RunStep
from outlast.core.events import RunCrashed, RunRewound, RunStarted, StepResumed
from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.engines.base import StartRequest
from outlast.engines.local.driver import Driver
from outlast.engines.local.heartbeat import Heartbeat
from outlast.engines.local.live import Body, LiveRun
from outlast.engines.local.lost import LostRuns
from outlast.engines.local.memory import collector_paused
from outlast.engines.local.program import ProgramShelf
from outlast.engines.local.suspects import Suspects
from outlast.engines.local.trail import MakeTrail
from outlast.engines.options import DriveOptions
from outlast.errors import OutlastError, StoreError, StoreUnavailableError
from outlast.storage.base import Append, ClaimedRun, InboxKey, InboxRow, NewRun, Receipt, RunKey, Store, WorkerKey

__all__ = ["Worker"]

_log = logging.getLogger("outlast.worker")

_CLAIM_AT_ONCE = 500
_PARKED_FOR_MS = 10_000
_PUT_OFF_FOR_MS = 500
_SUSPECT_FROM = 2
_LOOK_FOR_LOST_S = 0.25
_MOST_TOLD = 300
_CALLED_OR_CRASHED = ("step-started", "hook-started", "run-crashed")


class Worker:
    """One life after the other of a worker in this process."""

    def __init__(
        self,
        store: Store,
        shelf: ProgramShelf,
        options: DriveOptions,
        *,
        on_rest: Callable[[LiveRun], None],
        on_recorded: Callable[[RunKey], None],
        wake: Callable[[], None],
        make_trail: MakeTrail | None = None,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._options = options
        self._now_ms = options.now_ms
        self._on_rest = on_rest
        self._wake = wake
        self._make_trail = make_trail
        self._loop = asyncio.get_running_loop()
        self._heartbeat: Heartbeat | None = None
        self._lost_runs = LostRuns(self._loop.time)
        self._has_lost_lease = False
        self._has_backlog = False
        self._inserting = 0
        self._is_taking = False
        self._let_go = asyncio.Event()
        self._suspects = Suspects(store, drive=self._drive_suspect)
        self._workflows: list[str] = []
        self._rested_while_draining: set[str] = set()
        self.live: dict[str, LiveRun] = {}
        """Runs that this process drives, by id."""
        self.driver = Driver(
            store,
            options=options,
            on_recorded=on_recorded,
            on_released=self._released,
            on_refused=self._refused,
            on_broken=self._broken,
            on_told=wake,
        )

    @property
    def key(self) -> WorkerKey:
        """Number of this life."""
        return self.driver.worker

    @property
    def free(self) -> int:
        """How many more runs it may take."""
        if self.driver.is_draining:
            return 0
        return self._options.max_runs - len(self.live) - len(self._suspects) - self._inserting

    @property
    def slots(self) -> tuple[int, int]:
        """How many steps run at a time, and how many more wait for a place."""
        return self._options.max_steps, self.driver.bodies.queued

    @property
    def load(self) -> tuple[int, int, int]:
        """How many runs it drives, how many steps run, and how many more wait for a place. From any thread."""
        return len(self.live), self.driver.bodies.running, self.driver.bodies.queued

    @property
    def is_busy(self) -> bool:
        """Whether bodies are in flight."""
        return bool(self.live)

    @property
    def has_runs(self) -> bool:
        """Whether runs are its own, those included that it is just taking and does not drive yet."""
        is_moving = self._is_taking or self._inserting > 0 or bool(self._lost_runs)
        return bool(self.live) or is_moving or len(self._suspects) > 0 or self._suspects.has_turn

    def is_refused(self, seconds: float) -> bool:
        """Say whether the store has refused what runs of this worker write again and again for so long."""
        return self._lost_runs.has_lasted(seconds)

    def why_busy(self, is_asleep: Callable[[object], bool]) -> str | None:
        """Say what happens here just now, apart from bodies for which `is_asleep` holds; None if nothing does."""
        if self._is_taking or self._inserting or self._lost_runs or self._has_lost_lease or len(self._suspects):
            return "runs are being taken"
        for run in self.live.values():
            if not run.is_settled():
                return f"run {run.run_id} goes on"
            for path, body in run.bodies.items():
                if not is_asleep(body):
                    return f"'{path}' of run {run.run_id} is being called"
        return None

    async def begin_life(self, workflows: list[str]) -> None:
        """Register with the store and keep the lease alive from now on."""
        self._workflows = workflows
        self.driver.worker = await self._store.register_worker(
            workflows=workflows, lease=self._options.lease, graphs=self._shelf.current_keys
        )
        clock = self._options.clock
        self._heartbeat = Heartbeat(
            self._store, self.key, lease=self._options.lease, on_lost=self._lease_was_lost, clock=clock
        )
        self._heartbeat.start()

    def start(self, request: StartRequest, settle: Callable[[OutlastError | None], None]) -> None:
        """Record a run as this worker's own and drive it; tell `settle` when it is durable or refused."""
        program = self._shelf.current(request.workflow.id)
        now = self._now_ms()
        run = LiveRun(request.run_id, program, self._store, request.resource_id, now, self._make_trail)
        event = request.to_event(now)
        records = self.driver.begin(run, event, request.input)
        new = NewRun(
            run.run_id,
            run.workflow_id,
            program.key,
            run.resource_id,
            now,
            RunStatus.RUNNING,
            self.key,
            records,
            None,
            request.tags,
            event.start_deadline_ms if len(records) == 1 else None,
        )
        self._inserting += 1

        def settled(result: Receipt | OutlastError) -> None:
            self._inserting -= 1
            # Whoever started the run goes on before its first body is called: it waits for the disk alone.
            settle(result if isinstance(result, OutlastError) else None)
            if isinstance(result, Receipt) and result.is_owned and not self.driver.is_draining:
                self._adopt(run, result.run, result.epoch)
                self.driver.go_on(run)
            else:
                self.driver.discard(run)
                if isinstance(result, StoreError):
                    # It may be recorded as ours all the same.
                    self._lost_runs.add(run.run_id, has_crashed=False, reason=str(result))
                self._wake()

        self._store.insert(new, settled)

    async def look(self, *, next_ready_at: int | None) -> None:
        """Do what is due: begin a new life, reload what was refused, take what is claimable."""
        if self._heartbeat is not None:
            self._heartbeat.pulse()
        if self._has_lost_lease:
            await self._begin_again()
        for run_id in self._lost_runs.due():
            await self._reload(run_id)
        while self.free > 0 and next_ready_at is not None and next_ready_at <= self._now_ms():
            limit = min(self.free, _CLAIM_AT_ONCE)
            self._is_taking = True
            try:
                claimed = await self._store.claim(self.key, graphs=self._shelf.keys, now_ms=self._now_ms(), limit=limit)
                await self._take_over(claimed)
            finally:
                self._is_taking = False
            if len(claimed) < limit:
                self._has_backlog = False
                return
        self._has_backlog = self.free <= 0

    async def look_into_inbox(self) -> None:
        """Hand what outsiders ask of our runs to the driver."""
        if self.live:
            requests = await self._list_requests()
            for run in [each for each in self.live.values() if each.key in requests]:
                self.driver.deliver(run, requests[run.key])

    async def _list_requests(self) -> dict[RunKey, list[InboxRow]]:
        requests: dict[RunKey, list[InboxRow]] = {}
        for row in await self._store.list_inbox(self.key):
            requests.setdefault(row.run, []).append(row)
        return requests

    async def drain(self) -> int:
        """Give all runs back: at once those that rest, the others when their bodies end. It waits `drain` for that.

        Returns how many runs go on when a worker starts.
        """
        self.driver.is_draining = True
        left = {*self.live, *self._lost_runs.waiting, *(run.run_id for run in self._suspects.clear())}
        for run in list(self.live.values()):
            self.driver.rest_if_idle(run)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.drain.total_seconds()):
                while self.live:
                    self._let_go.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_FOR_LOST_S):
                            await self._let_go.wait()
                    self.look_for_lost_bodies()
        return len(left - self._rested_while_draining)

    async def abandon_runs(self) -> None:
        """Cancel the bodies that are still in flight, and drive nothing any more."""
        self.driver.is_draining = True
        for run in list(self.live.values()):
            self.driver.discard(run)
        try:
            await self.driver.bodies.close()
        finally:  # only now: a suspect keeps its turn for as long as its body may kill the process
            for run in list(self.live.values()):
                self._forget(run)

    async def end_life(self) -> None:
        """Stop the heartbeat and retire; what is still owned becomes claimable."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        await self._store.retire_worker(self.key)

    def _adopt(self, run: LiveRun, key: RunKey, epoch: int) -> None:
        run.key, run.epoch = key, epoch
        self.live[run.run_id] = run

    async def _take_over(self, claimed: Sequence[ClaimedRun]) -> None:
        """Read the journals of claimed runs and go on with them, so that what they write shares its commits."""
        if not claimed:
            return
        try:
            journals = await self._store.load_journals([each.key for each in claimed])
            requests = await self._list_requests()
        except asyncio.CancelledError:
            self._claimed_in_vain(claimed, StoreUnavailableError("reading it was canceled"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is: they are this worker's, and nobody else takes them
            self._claimed_in_vain(claimed, error)
            return
        with collector_paused():
            for each in claimed:
                try:
                    self._go_on(each, journals[each.key], requests.get(each.key, []))
                except Exception as error:  # noqa: BLE001 - the worker's outer loop, as above
                    self._claimed_in_vain([each], error)

    def _claimed_in_vain(self, claimed: Sequence[ClaimedRun], error: Exception) -> None:
        """Read runs again a little later that are this worker's and that it could not begin to drive."""
        reason = _brief(error)
        for run in [self.live[each.run_id] for each in claimed if each.run_id in self.live]:
            self.driver.discard(run)
            self._forget(run)
        news = [self._lost_runs.add(each.run_id, has_crashed=each.has_crashed, reason=reason) for each in claimed]
        if any(news):
            fault = None if isinstance(error, StoreError) else error
            _log.warning("%d claimed runs could not be read yet, trying again: %s", len(news), reason, exc_info=fault)

    def _go_on(self, claimed: ClaimedRun, records: Sequence[Record], requests: Sequence[InboxRow]) -> None:
        """Fold the journal of a claimed run and go on from there; park it if this version cannot."""
        program = self._shelf.program(claimed.graph)
        began_at_ms = records[0].at_ms
        run = LiveRun(claimed.run_id, program, self._store, claimed.resource_id, began_at_ms, self._make_trail)
        run.key, run.epoch, run.is_limited = claimed.key, claimed.epoch, claimed.is_limited
        run.execution, run.head = records[-1].execution, claimed.head
        run.said = claimed.head - len(records)
        try:
            _fold(run, records)
        except Exception as error:  # noqa: BLE001 - the worker's outer loop: one broken run must not stop the others
            self._park(run, error, {row.key for row in requests})
            return
        crash = self._count_crash(run, claimed, records)
        if crash is not None:
            run.crash_seq = run.head + 1
        if self._may_drive(run, crash):
            self._adopt(run, claimed.key, claimed.epoch)
            self.driver.recover(run, requests, crash)
        elif self._suspects.has_turn:
            self.driver.hold(run, crash)
            self._suspects.wait(run)
        else:
            seen = [row.key for row in requests]
            self.driver.hold(run, crash, ready_at_ms=self._now_ms() + _PUT_OFF_FOR_MS, seen=seen)

    def _drive_suspect(self, run: LiveRun) -> None:
        """It is the turn of a suspect that waited; what was asked of it meanwhile is looked at in this turn, too."""
        self._adopt(run, run.key, run.epoch)
        self.driver.recover(run, [], None)
        self._wake()

    def _count_crash(self, run: LiveRun, claimed: ClaimedRun, records: Sequence[Record]) -> RunCrashed | None:
        """Count it if the process that drove the run ended by itself while one of its bodies was called (rule 9.6).

        A process may also end while it only held the run: between taking a suspect and putting it off, another run
        kills it. So a body must have been called since the last crash that counted.
        """
        was_called = any(
            isinstance(each, RunStep | RunMap | RunHook) and each.was_started for each in run.state.open.values()
        )
        latest = next((each.type for each in reversed(records) if each.type in _CALLED_OR_CRASHED), "")
        if not claimed.has_crashed or not was_called or latest == "run-crashed":
            return None
        most = run.program.graph.root.max_recoveries or self._options.max_recoveries
        return RunCrashed(self._now_ms(), is_poison=run.state.crashes >= most)

    def _may_drive(self, run: LiveRun, crash: RunCrashed | None) -> bool:
        """Say whether a run may go on now: those that may kill processes go on one at a time on a machine."""
        crashes = run.state.crashes + (crash is not None)
        if crashes < _SUSPECT_FROM or (crash is not None and crash.is_poison):
            return True
        return self._suspects.take_turn(run)

    def _released(self, run: LiveRun) -> None:
        """A write that gave the run up is durable."""
        self._forget(run)
        self._lost_runs.forget(run.run_id)
        if self.driver.is_draining and run.state.status().is_rest:
            self._rested_while_draining.add(run.run_id)
        self._on_rest(run)
        if run.state.finished is None or self._has_backlog or run.is_limited:
            self._wake()

    def _refused(self, run: LiveRun, error: OutlastError) -> None:
        """A write was refused: never go on with what is in memory.

        That somebody else wrote before need not be another worker: it may be a write of ours that came late.
        """
        self.driver.discard(run)
        self._forget(run)
        self._read_again(run, str(error))

    def look_for_lost_bodies(self) -> None:
        """Drive runs anew of which other code ended the task of a body. It counts like a crash, so not for ever."""
        for body in self.driver.bodies.lost():
            if not body.run.is_gone:
                self.driver.discard(body.run)
                self._forget(body.run)
                self._read_again(body.run, f"'{body.command.path}' ended by {_end_of(body)}", has_crashed=True)

    def _read_again(self, run: LiveRun, reason: str, *, has_crashed: bool = False) -> None:
        is_uncounted = has_crashed or run.crash_seq > run.durable_seq
        if self._lost_runs.add(run.run_id, has_crashed=is_uncounted, reason=reason):
            _log.warning("run %s is read again from the journal: %s", run.run_id, reason)
        self._wake()

    def _broken(self, run: LiveRun, error: Exception) -> None:
        _log.error("a fault in the engine while it drove run %s", run.run_id, exc_info=error)
        self.driver.discard(run)
        self._forget(run)
        self._park(run, error, run.seen)

    def _park(self, run: LiveRun, error: Exception, seen: Collection[InboxKey]) -> None:
        """Give a run back that this worker cannot drive, without failing it: another one, or a newer one, may.

        What is in its inbox stays there for that one, but does not wake the run again and again.
        """
        _log.error("run %s is left to another worker for %d s: %s", run.run_id, _PARKED_FOR_MS / 1000, error)
        write = Append(
            run=run.key,
            owner=self.key,
            epoch=run.epoch,
            records=[],
            status=RunStatus.WAITING,
            execution=run.execution,
            is_released=True,
            ready_at_ms=self._now_ms() + _PARKED_FOR_MS,
            inbox_seen=list(seen),
            hold=f"worker {self.key} (process {os.getpid()}) cannot drive it and left it to others: {_brief(error)}",
            is_limited=run.is_limited,
        )
        self._store.append(write, partial(self._parked, run))

    def _parked(self, run: LiveRun, result: Receipt | OutlastError) -> None:
        """A run was given back, or may still be ours: then nobody else can take it."""
        if isinstance(result, OutlastError):
            self._read_again(run, str(result))
        else:
            self._wake()

    def _forget(self, run: LiveRun) -> None:
        if self.live.get(run.run_id) is run:
            del self.live[run.run_id]
        self._suspects.ended(run)
        self._let_go.set()

    async def _reload(self, run_id: str) -> None:
        """Look up what became of a refused write, and go on from the journal if the run is still ours."""
        try:
            row = await self._store.find_run(run_id)
        except StoreError:
            return  # the next look tries again; the first failure is logged
        has_crashed = self._lost_runs.take(run_id)
        if row is None or row.owner is None or row.status.is_terminal or run_id in self.live:
            return
        if row.owner != self.key:
            _log.warning("run %s was taken over by another worker; this one lets go of it", run_id)
        else:
            claimed = ClaimedRun(
                key=row.key,
                run_id=row.run_id,
                workflow_id=row.workflow_id,
                graph=row.graph,
                resource_id=row.resource_id,
                epoch=row.epoch,
                head=row.head,
                has_crashed=has_crashed,
                is_limited=row.is_limited,
            )
            await self._take_over([claimed])

    def _lease_was_lost(self) -> None:
        """Called by the heartbeat's thread."""
        self._loop.call_soon_threadsafe(self._note_lost_lease)

    def _note_lost_lease(self) -> None:
        _log.warning("this worker was taken for dead and its runs were taken over; it begins again with none")
        self._has_lost_lease = True
        self._suspects.clear()
        for run in list(self.live.values()):
            self.driver.discard(run)
            self._forget(run)
        self._wake()

    async def _begin_again(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
        await self.begin_life(self._workflows)
        self._has_lost_lease = False  # only now: if the store did not answer, the next look tries again


def _end_of(body: Body) -> str:
    """Say how the task of a body ended that has no outcome."""
    if body.task is None or body.task.cancelled():
        return "a cancellation that is not Outlast's"
    return type(body.task.exception()).__name__


def _brief(error: Exception) -> str:
    """Say in one line what happened; the traceback is in the log of that worker."""
    name = "" if isinstance(error, OutlastError) else f"{type(error).__name__}: "
    text = name + " ".join(str(error).split())
    return text if len(text) <= _MOST_TOLD else text[: _MOST_TOLD - 3] + "..."


def _fold(run: LiveRun, records: Sequence[Record]) -> None:
    """Bring a run to where its journal ends."""
    for record in records:
        run.keep(record)
        if record.is_fact:
            event = decode_event(record)
            if isinstance(event, RunStarted):
                run.began(event)
            apply(run.state, record.seq, event)
            commands = decide(run.state)
            if run.trail is not None:
                run.trail.note(record.seq, event, commands, is_ours=False)
            if isinstance(event, RunRewound | StepResumed):
                run.merge_request_context(event.request_context)
