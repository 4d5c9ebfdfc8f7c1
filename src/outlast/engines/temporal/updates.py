"""Asking something of a run by an update: a worker that drives it answers at once whether it was taken."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final, cast

from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from outlast.engines.temporal.flow import NOT_AWAITED, TAKE
from outlast.engines.temporal.payloads import raw_value
from outlast.engines.temporal.rpc import is_missing

__all__ = ["Asker", "ask_directly"]

_PATIENCE: Final = timedelta(seconds=3)
"""How long a worker may take to answer: one that died is noticed after two seconds by those that live."""
_SILENCE: Final = 10.0
"""Seconds for which nobody is asked any more when there was no answer: a hundred items are not asked one by one."""


class Asker:
    """Asks, and remembers that nobody answers."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    async def ask(self, handle: WorkflowHandle[Any, Any], request_id: str, message: bytes) -> bool | None:
        """Ask as `ask_directly` does, unless there was no answer a moment ago: then return None at once.

        Raises:
            RPCError: There is no such workflow that is open.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until:
            return None
        was_taken = await ask_directly(handle, request_id, message)
        if was_taken is None:
            self._silent_until = loop.time() + _SILENCE
        return was_taken


async def ask_directly(
    handle: WorkflowHandle[Any, Any], request_id: str, message: bytes, *, name: str = TAKE
) -> bool | None:
    """Ask by the update of this name, and return whether it was taken; None if no worker answered.

    Then it must be left as a signal.

    A worker may take it although nobody hears of that. A signal with the same id that comes later changes nothing: of
    several requests under one topic the first counts, and it has this id.

    Raises:
        RPCError: There is no such workflow that is open.
    """
    asking = asyncio.create_task(
        cast("Any", handle).execute_update(
            name, raw_value(message), id=request_id, result_type=RawValue, rpc_timeout=_PATIENCE
        ),
        name="outlast ask",
    )
    try:
        # The SDK tries again by itself, and takes a cancel of the caller for silence of the server.
        await asyncio.wait([asking], timeout=_PATIENCE.total_seconds())
    finally:
        asking.cancel()
        await asyncio.wait([asking])
    try:
        await asking
    except WorkflowUpdateFailedError as error:
        # Anything else comes from a worker that does not know this update.
        return False if isinstance(error.cause, ApplicationError) and error.cause.type == NOT_AWAITED else None
    except (WorkflowUpdateRPCTimeoutOrCancelledError, asyncio.CancelledError):
        return None
    except RPCError as error:
        if is_missing(error):
            raise
        return None  # too many are asking at once, or asked before
    return True
