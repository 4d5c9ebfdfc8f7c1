"""The activities of keepers: they do what a schedule has to do, in a worker of today, and wait for runs to end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError, AsyncActivityHandle, Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError

from outlast.engines.temporal.desk import TemporalDesk
from outlast.engines.temporal.keeper import AWAIT_ENDS, LOOK
from outlast.engines.temporal.resting import until_closed
from outlast.engines.temporal.rpc import RPC_TIMEOUT
from outlast.engines.temporal.schedules import schedule_of
from outlast.errors import StoreError
from outlast.scheduling.plan import Memory

__all__ = ["LeftToOthers", "Looking"]

_BEAT: Final = 4.0
"""Seconds between two signs of life while runs are waited for."""
_LOOK_BEAT: Final = 1.0
"""The same while a schedule is looked at."""
_PAUSE: Final = 0.1
"""Seconds between two looks at least: a run may go on in another workflow."""
_LEFT: Final = timedelta(seconds=1)
_LOOK_AGAIN: Final = 20.0
"""Seconds after which a run is looked at whose workflow is still open: it may have ended, and tell its hooks."""


class Looking:
    """What keepers need of a worker."""

    def __init__(self, client: Client, desk: TemporalDesk) -> None:
        self._client = client
        self._desk = desk
        self._waits: set[asyncio.Task[None]] = set()

    @activity.defn(name=LOOK)
    async def look(self) -> list[Any]:
        """Do what the schedule has to do now; return its version, and in how many milliseconds it is due again."""
        beating = asyncio.create_task(_beat(), name="outlast heartbeat look")
        try:
            return list(await self._desk.look(schedule_of(activity.info().workflow_id or "")))
        except StoreError as error:
            raise _later(error) from error
        finally:
            beating.cancel()

    @activity.defn(name=AWAIT_ENDS)
    async def await_ends(self) -> None:
        """Wait until no run of the schedule is active. That takes no place of the worker: its steps need them."""
        info = activity.info()
        schedule_id = schedule_of(info.workflow_id or "")
        handle = self._client.get_async_activity_handle(task_token=info.task_token)
        wait = asyncio.create_task(self._report_ends(schedule_id, handle), name=f"outlast ends for {info.workflow_id}")
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)
        activity.raise_complete_async()

    async def close(self) -> None:
        """Leave the waiting to other workers: the server misses the signs of life, and asks one of them."""
        waits = list(self._waits)
        for wait in waits:
            wait.cancel()
        if waits:
            await asyncio.wait(waits)

    async def _report_ends(self, schedule_id: str, handle: AsyncActivityHandle) -> None:
        ends = asyncio.create_task(self._until_free(schedule_id), name=f"outlast free {schedule_id}")
        try:
            while not (await asyncio.wait([ends], timeout=_BEAT))[0]:
                await handle.heartbeat(rpc_timeout=RPC_TIMEOUT)
            ends.result()
            await handle.complete(rpc_timeout=RPC_TIMEOUT)
        except (AsyncActivityCancelledError, RPCError, StoreError):
            return  # the keeper is gone, or the server does not answer; in that case it asks again
        finally:
            ends.cancel()
            await asyncio.wait([ends])

    async def _until_free(self, schedule_id: str) -> None:
        row = await self._desk.store.find(schedule_id)
        if row is None:
            return
        for run_id in Memory.from_bytes(row.memory).active:
            while await self._desk.is_active(run_id):
                handle = self._client.get_workflow_handle(self._desk.workflow_id(run_id))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN):
                        await until_closed(handle)
                await asyncio.sleep(_PAUSE)


class LeftToOthers:
    """The same in a worker that fires no schedules: a worker of an app does it."""

    @activity.defn(name=LOOK)
    async def look(self) -> list[Any]:
        """Leave it."""
        raise _left()

    @activity.defn(name=AWAIT_ENDS)
    async def await_ends(self) -> None:
        """Leave it."""
        raise _left()


def _left() -> ApplicationError:
    message = "this worker fires no schedules; let one process that enters the app be a worker"
    return ApplicationError(message, next_retry_delay=_LEFT, category=ApplicationErrorCategory.BENIGN)


def _later(error: StoreError) -> ApplicationError:
    """Return what lets the server ask again, or another worker."""
    return ApplicationError(str(error), category=ApplicationErrorCategory.BENIGN)


async def _beat() -> None:
    while True:
        await asyncio.sleep(_LOOK_BEAT)
        activity.heartbeat()
