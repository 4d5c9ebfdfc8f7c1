"""Delivers what the outbox holds: tells hooks of the ends and suspensions of runs, at least once (rule 13).

A delivery is claimed, made, and ended, each with a commit of its own. So a process that dies in between leaves a row
that somebody else takes over, and a hook may be told twice. A claim counts as a try, whatever becomes of it: a hook
that kills its process again and again is given up like one that raises.

Other code may cancel the task of a delivery, as `asyncio.all_tasks()` tempts it to. Then the row would stay with this
worker for as long as it lives, so another task records what became of it: what the hook came to if that is known, else
a failed try.

One that was lost with its process may have ended it, so it is made alone the next time: the store sees to that. A hook
that kills its process then uses up its own tries, and not those of the hooks of other runs that were told beside it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from outlast.core.flow.hook import told_at
from outlast.core.history import History
from outlast.core.status import RunStatus
from outlast.core.view import fold_state
from outlast.engines.hook_calls import HookCalls
from outlast.engines.local.program import ProgramShelf
from outlast.engines.options import DriveOptions
from outlast.errors import StoreError
from outlast.failures import FailureInfo, describe_exception, failure_to_json
from outlast.graph.nodes import Graph
from outlast.results import RunResult, read_result
from outlast.sealing import Disclosure
from outlast.storage.base import Store, WorkerKey
from outlast.storage.outbox import Delivery, NewDelivery
from outlast.values import encode

__all__ = ["Deliveries", "deliveries_of"]

_log = logging.getLogger("outlast.worker")

_AT_A_TIME = 16
_MAX_TRIES = 5
_STORE_PAUSE = 0.1
_LONGEST_STORE_PAUSE = 5.0
_CANCELED_PAUSE = 0.1


def deliveries_of(graph: Graph, status: RunStatus, *, seq: int, execution: int, now_ms: int) -> Sequence[NewDelivery]:
    """Say who must be told that a run came to this status with this event; to be recorded together with it."""
    if graph.hooks is None:
        return ()
    return [NewDelivery(kind, seq, execution, now_ms) for kind in told_at(graph.hooks, status)]


@dataclass(slots=True, eq=False)
class _Delivering:
    """A delivery that is this worker's, and what became of it."""

    worker: WorkerKey
    delivery: Delivery
    is_made: bool = False
    failure: FailureInfo | None = None
    timer: asyncio.TimerHandle | None = None


class Deliveries:
    """The deliveries that this process makes."""

    def __init__(self, store: Store, shelf: ProgramShelf, options: DriveOptions, *, wake: Callable[[], None]) -> None:
        self._store = store
        self._shelf = shelf
        self._now_ms = options.now_ms
        self._delay_ms = round(options.hook_delay.total_seconds() * 1000)
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._calls = HookCalls(_AT_A_TIME, options.hook_timeout)
        self._ours: set[_Delivering] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._claiming = asyncio.Lock()
        self._next_at: int | None = None
        self._refused_since: float | None = None

    async def is_idle(self) -> bool:
        """Say whether nothing is delivered now and nothing is due."""
        graphs = self._shelf.hooked
        next_at = await self._store.next_delivery_at(graphs) if graphs else None
        return not self._claiming.locked() and not self._ours and (next_at is None or next_at > self._now_ms())

    def is_refused(self, seconds: float) -> bool:
        """Say whether the store has refused to record what became of deliveries for so long."""
        return self._refused_since is not None and self._loop.time() - self._refused_since >= seconds

    async def next_due(self) -> int | None:
        """Return when the next delivery is due; not later than now if one is being made."""
        if self._claiming.locked() or self._ours:
            return self._now_ms()
        graphs = self._shelf.hooked
        return await self._store.next_delivery_at(graphs) if graphs else None

    async def look(self, worker: WorkerKey, *, has_changed: bool) -> None:
        """Begin the deliveries that are due. Costs nothing if no workflow has such hooks."""
        graphs = self._shelf.hooked
        if not graphs:
            return
        async with self._claiming:
            if has_changed:
                self._next_at = await self._store.next_delivery_at(graphs)
            while self._next_at is not None and self._next_at <= self._now_ms() and len(self._ours) < _AT_A_TIME:
                limit = _AT_A_TIME - len(self._ours)
                now = self._now_ms()
                claimed = await self._store.claim_deliveries(worker, graphs=graphs, now_ms=now, limit=limit)
                if not claimed:
                    return  # somebody else was faster, this life is over, or a lost one is made or waits for its turn
                for each in claimed:
                    self._begin(_Delivering(worker, each))
                self._next_at = await self._store.next_delivery_at(graphs)

    async def drain(self, worker: WorkerKey, *, until: float) -> None:
        """Make the deliveries that are due now, until the loop's clock shows `until`; others make the rest."""
        while self._loop.time() < until:
            await self.look(worker, has_changed=True)
            for each in [each for each in self._ours if each.timer is not None]:
                self._begin(each)
            if not self._tasks:
                return
            left = until - self._loop.time()
            await asyncio.wait(self._tasks, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """Stop: what is being delivered now is delivered again by somebody else."""
        self._is_closing = True
        for each in self._ours:
            if each.timer is not None:
                each.timer.cancel()
        for task in self._tasks:
            task.cancel()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            await self._calls.close()

    def _begin(self, ours: _Delivering) -> None:
        self._ours.add(ours)
        if ours.timer is not None:
            ours.timer.cancel()
            ours.timer = None
        name = f"outlast {ours.delivery.run_id} {ours.delivery.kind}"
        task = self._loop.create_task(self._deliver(ours), name=name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, ours))

    def _ended(self, ours: _Delivering, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and not self._is_closing:
            self._was_canceled(ours)
        else:
            self._ours.discard(ours)
        self._wake()  # the next delivery of this run may follow

    def _was_canceled(self, ours: _Delivering) -> None:
        if not ours.is_made:  # it counts as a try, like a cancellation of the hook itself: it must not go on for ever
            message = f"other code than Outlast's canceled the task that called '{ours.delivery.kind}'"
            ours.is_made, ours.failure = True, FailureInfo(type="CancelledError", message=message)
        # Not at once: whoever cancels all tasks until none is left must come to an end.
        ours.timer = self._loop.call_later(_CANCELED_PAUSE, self._begin, ours)

    async def _deliver(self, ours: _Delivering) -> None:
        delivery = ours.delivery
        if not ours.is_made:
            try:
                failure = await self._make(delivery)
            except Exception as error:  # noqa: BLE001 - a fault of ours: the row must not stay with us for ever
                about = (delivery.kind, delivery.run_id)
                _log.exception("a fault in the engine while it told hook '%s' of run %s", *about)
                failure = describe_exception(error)
            ours.is_made, ours.failure = True, failure
        failure = ours.failure
        if failure is None:
            await self._end(ours.worker, delivery, failure=None, due_at_ms=None)
            return
        is_last = delivery.tries >= _MAX_TRIES
        due_at_ms = None if is_last else self._now_ms() + self._delay_ms * 4 ** (delivery.tries - 1)
        await self._end(ours.worker, delivery, failure=encode(failure_to_json(failure)), due_at_ms=due_at_ms)
        level = logging.ERROR if is_last else logging.WARNING
        what = "it is given up" if is_last else "it is tried again"
        _log.log(
            level,
            "hook '%s' of run %s failed (try %d of %d), %s: %s: %s",
            delivery.kind,
            delivery.run_id,
            delivery.tries,
            _MAX_TRIES,
            what,
            failure.type,
            failure.message,
        )

    async def _make(self, delivery: Delivery) -> FailureInfo | None:
        """Call the hook; return why it failed."""
        if delivery.tries > _MAX_TRIES:
            message = f"the process ended each time while it called '{delivery.kind}'"
            return FailureInfo(type="HookCrashedError", message=message)
        program = self._shelf.program(delivery.graph)
        disclosure = None if program.sealer is None else Disclosure(program.sealer)
        try:
            result = await self._load_result(delivery, disclosure)
            function = program.functions[f"{delivery.workflow_id}?{delivery.kind}"]
        except Exception as error:  # noqa: BLE001 - what cannot be read must not stop the other deliveries
            return describe_exception(error)
        return await self._calls.call(function, delivery.kind, result, disclosure)

    async def _load_result(self, delivery: Delivery, disclosure: Disclosure | None) -> RunResult[object]:
        """Read the run as it was at the event that the delivery tells of."""
        program = self._shelf.program(delivery.graph)
        records = await self._store.load_facts(delivery.run, until=delivery.seq)
        history = History(
            run_id=delivery.run_id,
            workflow_id=delivery.workflow_id,
            resource_id=delivery.resource_id,
            execution=delivery.execution,
            status=fold_state(program.graph, records).status(),
            created_at_ms=delivery.created_at_ms,
            graph=program.graph,
            head=delivery.seq,
            records=records,
        )
        output = program.types[delivery.workflow_id].output
        return read_result(history, output, with_state=True, disclosure=disclosure)

    async def _end(
        self, worker: WorkerKey, delivery: Delivery, *, failure: bytes | None, due_at_ms: int | None
    ) -> None:
        """Record what became of it, again and again until the store answers: a second time changes nothing."""
        pause = _STORE_PAUSE
        while True:
            try:
                is_ours = await self._store.end_delivery(worker, delivery.key, failure=failure, due_at_ms=due_at_ms)
            except Exception as error:  # noqa: BLE001 - also a fault of ours: the row must not stay with us for ever
                self._refused_since = self._refused_since or self._loop.time()
                if pause == _STORE_PAUSE:
                    fault = None if isinstance(error, StoreError) else error
                    about = (delivery.run_id, error)
                    _log.warning("could not record a delivery of run %s, trying again: %s", *about, exc_info=fault)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_STORE_PAUSE)
            else:
                self._refused_since = None
                if not is_ours:
                    _log.warning("hook '%s' of run %s is told by another worker too", delivery.kind, delivery.run_id)
                return
