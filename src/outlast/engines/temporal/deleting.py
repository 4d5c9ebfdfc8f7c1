"""Deleting a run: the server deletes each of its workflows, in the background."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from outlast.engines.temporal.apart import delete_objects
from outlast.engines.temporal.place import Place
from outlast.engines.temporal.reading import Reading
from outlast.engines.temporal.rpc import RPC_TIMEOUT, is_missing, translated
from outlast.errors import RunNotFoundError, StoreUnavailableError
from outlast.storage.keeping import refuse_to_delete

__all__ = ["delete_read", "is_known"]

_LOOK: Final = 0.05
"""Seconds between two looks whether a run is deleted."""
_LOOKS: Final = 1_200
"""How many of them there are: servers let ten seconds go by before they delete."""


async def delete_read(client: Client, place: Place, run_id: str, reading: Reading) -> None:
    """Delete a run that was just read, with all the workflows in which it went on.

    Raises:
        RunNotFoundError: It is no run.
        RunStateError: It has not ended, or its hooks are not told.
        StoreUnavailableError: It is not known to be gone; the same call again is safe.
    """
    history = reading.history()
    if history is None:
        raise RunNotFoundError(run_id)
    refusal = refuse_to_delete(run_id, history.status, is_asked=False, has_outbox=not reading.is_closed)
    if refusal is not None:
        raise refusal
    for part in reading.parts:
        request = DeleteWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=place.prefix + run_id, run_id=part),
        )
        with translated(run_id), suppress(RunNotFoundError):  # somebody else did
            await client.workflow_service.delete_workflow_execution(request, timeout=RPC_TIMEOUT)
    await delete_objects(client, place.prefix + run_id)
    for _ in range(_LOOKS):
        if not await is_known(client, place, run_id):
            return
        await asyncio.sleep(_LOOK)
    raise StoreUnavailableError(f"Temporal has not deleted run {run_id} yet; try again")


async def is_known(client: Client, place: Place, run_id: str) -> bool:
    """Say whether the server knows a run."""
    with translated(run_id):
        try:
            await client.get_workflow_handle(place.prefix + run_id).describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if is_missing(error):
                return False
            raise
    return True
