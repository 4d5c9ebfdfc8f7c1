"""Starting a run under an idempotency key: the server has one open workflow of each id, and so one holder of a key.

A key is reserved before its run is started. Whoever dies between the two leaves a reservation whose run is not there
yet; the next caller with the same key starts that run. So of any number of callers who race, all start the same one.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from outlast.core.status import RunStatus
from outlast.engines.base import StartRequest
from outlast.engines.temporal.holding import HOLD, STARTED, Reservation
from outlast.engines.temporal.payloads import raw_value, read_payloads
from outlast.engines.temporal.place import Place
from outlast.engines.temporal.rpc import RPC_TIMEOUT, is_missing, translated
from outlast.errors import OutlastError, RunExistsError, RunNotFoundError, StoreUnavailableError
from outlast.storage.identity import Held, Identity, judge

__all__ = ["Keys"]

_TRIES: Final = 100
"""How often a key may change hands while a caller tries to take it."""


class _Found(NamedTuple):
    """A key, as its latest holder has it."""

    reservation: Reservation
    """For which run it is held."""
    part: str
    """Id that Temporal gave the workflow that holds it."""
    is_started: bool
    """Whether the run is known to have been started."""


class Keys:
    """The idempotency keys of an app."""

    def __init__(
        self,
        client: Client,
        place: Place,
        *,
        start: Callable[[StartRequest], Awaitable[None]],
        cancel: Callable[[str, str], Awaitable[None]],
        find_status: Callable[[str], Awaitable[RunStatus | None]],
        now_ms: Callable[[], int],
    ) -> None:
        """Say how runs are handled.

        Args:
            client: The server.
            place: The names that the app uses there.
            start: Starts a run.
            cancel: Cancels the first run because the second one replaces it.
            find_status: Returns the status of a run; None if the server does not know it.
            now_ms: The time.
        """
        self._client = client
        self._place = place
        self._start = start
        self._cancel = cancel
        self._find_status = find_status
        self._now_ms = now_ms

    async def start_once(self, request: StartRequest, identity: Identity) -> str:
        """Start a run under its key, or find the run that the key stands for; return its id.

        Raises:
            IdempotencyConflictError: The key stands for a run with other input.
            RunExistsError: A policy of the key rejects the start, the run of the key was deleted, or there is a run
                with this id.
            StoreUnavailableError: It is not known whether it was started; the same start again is safe.
        """
        for _ in range(_TRIES):
            found = await self._find(identity)
            held = None if found is None else await self._held(found, request, identity)
            verdict = judge(held, identity, self._now_ms())
            if isinstance(verdict, OutlastError):
                raise verdict
            if held is not None and verdict == "return":
                return held.run_id
            if await self._find_status(request.run_id) is not None:
                raise RunExistsError(request.run_id)
            reservation = Reservation(
                request.run_id,
                self._place.prefix + request.run_id,
                identity.input_hash.hex(),
                self._now_ms() + identity.keep_ms,
                replaced=held.run_id if held is not None and verdict == "replace" else None,
            )
            part = await self._reserve(found, identity, reservation)
            if part is not None:
                await self._begin(_Found(reservation, part, is_started=False), request, identity)
                return request.run_id
        raise StoreUnavailableError("others start runs under the same key all the time; try again")

    async def _held(self, found: _Found, request: StartRequest, identity: Identity) -> Held:
        """Return what the key stands for. If its run is not there yet, start that."""
        reservation = found.reservation
        means = bytes.fromhex(reservation.input_hash)
        status = await self._find_status(reservation.run_id)
        if status is None and not found.is_started:
            status = RunStatus.PENDING
            if means == identity.input_hash:
                await self._begin(found, replace(request, run_id=reservation.run_id), identity)
        return Held(reservation.run_id, status, means, reservation.until_ms)

    async def _begin(self, found: _Found, request: StartRequest, identity: Identity) -> None:
        """Do what a reservation is for; what others have done of it is done."""
        replaced = found.reservation.replaced
        if replaced is not None:
            with suppress(RunNotFoundError):
                await self._cancel(replaced, request.run_id)
        with suppress(RunExistsError):
            await self._start(request)
        with translated(request.run_id), suppress(RunNotFoundError):  # the key may be held for another run by now
            holder = self._client.get_workflow_handle(self._id_of(identity), run_id=found.part)
            await holder.signal(STARTED, rpc_timeout=RPC_TIMEOUT)

    async def _find(self, identity: Identity) -> _Found | None:
        """Return who held the key last; None if nobody did, or the server has forgotten it."""
        holder: WorkflowHandle[Any, Any] = self._client.get_workflow_handle(self._id_of(identity))
        reservation: Reservation | None = None
        part, is_started = "", False
        with translated():
            try:
                async for event in holder.fetch_history_events():
                    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                        attributes = event.workflow_execution_started_event_attributes
                        part = attributes.original_execution_run_id
                        [message] = await read_payloads(self._client.data_converter, attributes.input.payloads)
                        reservation = Reservation.from_bytes(message)
                        is_started = reservation.is_started
                    elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                        is_started = True
            except RPCError as error:
                if is_missing(error):
                    return None
                raise
        return None if reservation is None else _Found(reservation, part, is_started)

    async def _reserve(self, found: _Found | None, identity: Identity, reservation: Reservation) -> str | None:
        """Take the key from who held it; return the id of the workflow that holds it, None if somebody was faster.

        Only the holder that was found is ended: another one that came after it makes the start fail.
        """
        name = self._id_of(identity)
        with translated(name):
            if found is not None:
                former = self._client.get_workflow_handle(name, run_id=found.part)
                with suppress(RunNotFoundError), translated(name):  # it was ended before
                    await former.terminate(reason=f"held for run {reservation.run_id} now", rpc_timeout=RPC_TIMEOUT)
            try:
                holder = await self._client.start_workflow(
                    HOLD,
                    raw_value(reservation.to_bytes()),
                    id=name,
                    task_queue=self._place.task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    rpc_timeout=RPC_TIMEOUT,
                )
            except WorkflowAlreadyStartedError:
                return None
        return holder.first_execution_run_id

    def _id_of(self, identity: Identity) -> str:
        """Return the id of the workflow that holds a key: any text can be a key, and not any text can be an id."""
        digest = sha256(json.dumps([identity.scope, identity.key]).encode()).hexdigest()
        return f"{self._place.prefix}outlast-key:{digest[:40]}"
