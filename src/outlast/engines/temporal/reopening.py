"""Opening the next execution of a run that rests (rule 12.3).

While the workflow of the run is open, it decides: of several who ask, one is answered with yes, and the run goes on in
another workflow. If it is closed, another one of the same id is started; its memo says where the executions before it
begin. The server allows that to anybody at any time, so it is done under a lock, behind another look at the run.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from outlast.core.history import History
from outlast.core.record import Record
from outlast.engines.temporal.flow import REOPEN
from outlast.engines.temporal.launching import checked, launch
from outlast.engines.temporal.ledger import Ledger
from outlast.engines.temporal.lists import Lists
from outlast.engines.temporal.messages import Start
from outlast.engines.temporal.moving import pack_snapshot
from outlast.engines.temporal.place import Place
from outlast.engines.temporal.reading import EARLIER, Reading
from outlast.engines.temporal.rpc import is_missing, translated
from outlast.engines.temporal.updates import ask_directly
from outlast.errors import RunNotFoundError, StoreUnavailableError

__all__ = ["Reopener", "next_start"]

_LOCK: Final = "outlast:opening"
"""Type of the workflow that is the lock. Nobody runs it: it is open for as long as somebody holds the lock."""
_LEASE: Final = timedelta(seconds=30)
"""After how long the server takes the lock away from somebody who died."""
_NEVER: Final = timedelta(days=1)
_FRESH: Final = 10.0
"""Seconds for which whoever has the lock may rely on it."""
_LOOK_AGAIN: Final = 0.05
_RPC: Final = timedelta(seconds=5)


class Reopener:
    """Opens executions of the runs of an app."""

    def __init__(
        self, client: Client, place: Place, lists: Lists, read: Callable[[str], Awaitable[Reading | None]]
    ) -> None:
        """Say where the runs are; `read` reads one, and returns None if its id is not known."""
        self._client = client
        self._place = place
        self._lists = lists
        self._read = read

    async def reopen(self, history: History, opening: Sequence[Record]) -> bool:
        """Open the next execution; False, and nothing is changed, if the run does not rest as it was read.

        Raises:
            RunNotFoundError: Its id is not known any more.
            PayloadTooLargeError: What the execution keeps does not fit into one message.
            StoreUnavailableError: It is not known whether it was opened; reading the run tells.
        """
        reading = await self._read_again(history)
        if reading is None:
            return False
        if not reading[0].is_closed:
            return await self._ask(history, checked(next_start(reading[1], opening)))
        loop = asyncio.get_running_loop()
        async with self._lock(history.run_id):
            began = loop.time()
            reading = await self._read_again(history)
            if reading is None or not reading[0].is_closed or loop.time() - began > _FRESH:
                return False
            return await self._start(reading[0].firsts, reading[1], opening)

    async def _read_again(self, history: History) -> tuple[Reading, Ledger] | None:
        """Return the run as it is now, if it rests as it was read and nothing is asked of it."""
        reading = await self._read(history.run_id)
        now = None if reading is None else reading.history()
        if reading is None or reading.ledger is None or now is None:
            raise RunNotFoundError(history.run_id)
        is_as_read = now.head == history.head and now.status.is_rest and (reading.is_closed or not reading.untaken)
        return (reading, reading.ledger) if is_as_read else None

    async def _ask(self, history: History, message: bytes) -> bool:
        """Ask the workflow, which is open."""
        handle = self._client.get_workflow_handle(self._place.prefix + history.run_id)
        with translated(history.run_id):
            try:
                was_opened = await ask_directly(handle, uuid.uuid4().hex, message, name=REOPEN)
            except RPCError as error:
                if is_missing(error):
                    return False  # it was closed meanwhile
                raise
        if was_opened is not None:
            return was_opened
        if await self._read_again(history) is None:
            return False
        why = (
            f"no worker answers that drives run {history.run_id}; only one of them can open an execution while the"
            " workflow of the run is open, and may still do so: start a worker and read the run"
        )
        raise StoreUnavailableError(why)

    async def _start(self, firsts: Sequence[str], ledger: Ledger, opening: Sequence[Record]) -> bool:
        """Start another workflow; nobody else can, as long as the lock is held."""
        start = next_start(ledger, opening)
        with translated(start.run_id):
            try:
                await launch(
                    self._client,
                    self._place,
                    start,
                    workflow_id=ledger.state.graph.workflow_id,
                    attributes=self._lists.attributes_of_next(start, ledger.created_at_ms, opening[-1].execution),
                    memo={EARLIER: list(firsts)},
                    is_next=True,
                )
            except WorkflowAlreadyStartedError:
                return False
        return True

    @asynccontextmanager
    async def _lock(self, run_id: str) -> AsyncGenerator[None, None]:
        """Hold the lock of a run: a workflow that nobody runs, which the server ends should this process die."""
        digest = sha256(run_id.encode()).hexdigest()[:40]
        name = f"{self._place.prefix}outlast-opening:{digest}"
        part: str | None = None
        with translated(name):
            while part is None:
                try:
                    part = await self._take(name)
                except WorkflowAlreadyStartedError:
                    await asyncio.sleep(_LOOK_AGAIN)
        try:
            yield
        finally:
            with suppress(RunNotFoundError), translated(name):  # the server took it away
                lock = self._client.get_workflow_handle(name, run_id=part)
                await lock.terminate(reason="opened", rpc_timeout=_RPC)

    async def _take(self, name: str) -> str | None:
        lock = await self._client.start_workflow(
            _LOCK,
            id=name,
            task_queue=self._place.task_queue,
            start_delay=_NEVER,
            execution_timeout=_LEASE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            rpc_timeout=_RPC,
        )
        return lock.first_execution_run_id


def next_start(ledger: Ledger, opening: Sequence[Record]) -> Start:
    """Return what starts an execution of a run that was read whole: where it begins, and the values that it keeps."""
    ledger.reopen(opening)
    snapshot = pack_snapshot(ledger.moved(), without=[each.seq for each in opening])
    return replace(ledger.start, snapshot=snapshot, opening=tuple(opening), carried=(), delay_ms=0)
