"""Waiting until a run rests.

That its workflow was closed, the server tells at once. Whether it is suspended or paused must be asked. What lists show
of it is asked first: that is one small answer, whatever the length of the history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle, WorkflowHistoryEventFilterType

from outlast.core.history import History
from outlast.core.status import RunStatus
from outlast.engines.temporal.attributes import STATUS
from outlast.engines.temporal.rpc import RPC_TIMEOUT, translated
from outlast.engines.temporal.sightings import RECENT
from outlast.errors import RunNotFoundError
from outlast.values import encode

__all__ = ["until_closed", "wait_for_rest"]

_FIRST_LOOK: Final = 0.1
"""Seconds until a waiter looks for the first time."""
_SLOWER: Final = 2
"""How much longer each pause is than the one before: a rest is seen before the run has taken twice as long."""
_LONGEST_LOOK: Final = 2.0
"""Seconds between two looks at most."""
_SHARE_OF_LOOKING: Final = 10
"""A waiter looks for at most a tenth of the time."""
_BUSY: Final = frozenset(encode(status.value) for status in RunStatus if not status.is_rest)
"""What workflows show that are not worth while to be read, as JSON."""
_OPEN: Final = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING


async def wait_for_rest(
    client: Client,
    workflow_id: str,
    run_id: str,
    load: Callable[[], Awaitable[History | None]],
    *,
    goes_on: Callable[[], bool],
    after: int,
) -> History:
    """Return the history of a run once nothing happens until somebody from outside acts.

    Args:
        client: The server.
        workflow_id: Id of its workflow, of which the latest is meant.
        run_id: Its id.
        load: Reads it.
        goes_on: Says whether this process sees that the run does not rest, so that the server need not be asked.
        after: A rest counts only if the journal has grown beyond this event.

    Raises:
        RunNotFoundError: No kept run has this id.
        StoreUnavailableError: The server did not answer.
    """
    loop = asyncio.get_running_loop()
    pause = _FIRST_LOOK
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(workflow_id)
    closing = _watch(handle, run_id)
    try:
        while True:
            await asyncio.wait([closing], timeout=pause)
            began = loop.time()
            if goes_on() and not closing.done():
                pause = RECENT
                continue
            if closing.done() or await _may_rest(client, workflow_id, run_id):
                history = await load()
                if history is None:
                    raise RunNotFoundError(run_id)
                if _has_come_to_rest(history, after):
                    return history
            if closing.done():  # the run went on in another workflow, or will
                closing.result()
                closing = _watch(handle, run_id)
            pause = min(_LONGEST_LOOK, max(_SLOWER * pause, _SHARE_OF_LOOKING * (loop.time() - began)))
    finally:
        closing.cancel()
        await asyncio.wait([closing])


def _watch(handle: WorkflowHandle[Any, Any], run_id: str) -> asyncio.Task[None]:
    return asyncio.create_task(_until_closed(handle, run_id), name=f"outlast wait for {run_id}")


async def _until_closed(handle: WorkflowHandle[Any, Any], run_id: str) -> None:
    with translated(run_id):
        await until_closed(handle)


async def until_closed(handle: WorkflowHandle[Any, Any]) -> None:
    """Wait until a workflow is closed: one question to the server, however long it takes."""
    events = handle.fetch_history_events(
        wait_new_event=True, event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT
    )
    async for _ in events:
        return


async def _may_rest(client: Client, workflow_id: str, run_id: str) -> bool:
    """Ask whether it is worth while to read the run: a workflow shows each rest in the task that comes to it.

    Runs that are not listed show nothing, so they are read. The answer is taken as it comes: what the SDK would make of
    it takes longer than the request.
    """
    request = DescribeWorkflowExecutionRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id)
    )
    with translated(run_id):
        described = await client.workflow_service.describe_workflow_execution(request, retry=True, timeout=RPC_TIMEOUT)
    info = described.workflow_execution_info
    shown = info.search_attributes.indexed_fields
    return info.status != _OPEN or STATUS.name not in shown or shown[STATUS.name].data not in _BUSY


def _has_come_to_rest(history: History, after: int) -> bool:
    return history.status.is_terminal or (history.status.is_rest and history.records[-1].seq > after)
