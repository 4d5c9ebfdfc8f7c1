"""The workflow that holds an idempotency key: what it was started with says for which run (rule 2.5).

Callers read that in its history, so no worker has to live for them. A worker only lets go of the key, when its time is
over and its run has ended.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, cast

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import RawValue
from temporalio.service import RPCError

from outlast.engines.temporal.payloads import raw_value
from outlast.engines.temporal.rpc import RPC_TIMEOUT, is_missing
from outlast.immutable import immutable
from outlast.instant import to_ms
from outlast.values import decode, encode

__all__ = ["HOLD", "STARTED", "HeldKey", "Holding", "Reservation"]

HOLD: Final = "outlast:key"
"""Type of the workflow."""
STARTED: Final = "outlast:started"
"""Name of the signal that says that the run was started: if it is not there any more, it was deleted."""
_HAS_ENDED: Final = "outlast:has-ended"
"""Type of the activity that looks at the run."""

_AGAIN: Final = timedelta(days=1)
"""How often a run is looked at that goes on when the time of its key is over."""
_PATIENCE: Final = timedelta(seconds=30)


@immutable
class Reservation:
    """For which run a key is held."""

    run_id: str
    """Id of the run."""
    watched: str
    """Id of its workflow."""
    input_hash: str
    """What the key means, in hexadecimal digits."""
    until_ms: int
    """Until when it is held, and longer if the run has not ended by then."""
    replaced: str | None = None
    """Id of the run that is to be canceled for it."""
    is_started: bool = False
    """Whether the run is known to have been started."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        return encode(
            {
                "run_id": self.run_id,
                "watched": self.watched,
                "input_hash": self.input_hash,
                "until_ms": self.until_ms,
                "replaced": self.replaced,
                "is_started": self.is_started,
            }
        )

    @classmethod
    def from_bytes(cls, message: bytes) -> Reservation:
        """Return what `to_bytes` wrote."""
        fields = cast("dict[str, Any]", decode(message))
        return cls(
            str(fields["run_id"]),
            str(fields["watched"]),
            str(fields["input_hash"]),
            int(fields["until_ms"]),
            fields["replaced"],
            bool(fields["is_started"]),
        )


@workflow.defn(name=HOLD, sandboxed=False)
class HeldKey:
    """Holds one key."""

    @workflow.run
    async def run(self, message: RawValue) -> None:
        """Hold it for its time, and as long as its run has not ended."""
        held = Reservation.from_bytes(message.payload.data)
        left_ms = held.until_ms - to_ms(workflow.now())
        if left_ms > 0:
            await workflow.sleep(timedelta(milliseconds=left_ms))
        while not await workflow.execute_activity(
            _HAS_ENDED, held.watched, result_type=bool, start_to_close_timeout=_PATIENCE
        ):
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(raw_value(replace(held, is_started=True).to_bytes()))
            await workflow.sleep(_AGAIN)

    @workflow.signal(name=STARTED)
    def started(self) -> None:
        """Take note by having it in the history, where callers look for it."""


class Holding:
    """What holding keys needs of the server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=_HAS_ENDED)
    async def has_ended(self, workflow_id: str) -> bool:
        """Say whether the workflow of a run is closed, or not kept any more."""
        try:
            described = await self._client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if is_missing(error):
                return True
            raise
        return described.status is not WorkflowExecutionStatus.RUNNING
