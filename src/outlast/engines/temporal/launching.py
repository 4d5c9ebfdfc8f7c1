"""Starting the workflow of a run, or of a later execution of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from outlast.engines.options import DriveOptions
from outlast.engines.temporal.lists import is_about_attributes
from outlast.engines.temporal.messages import Start
from outlast.engines.temporal.payloads import raw_value
from outlast.engines.temporal.place import Place
from outlast.engines.temporal.rpc import RPC_TIMEOUT
from outlast.errors import PayloadTooLargeError
from outlast.graph.nodes import Graph

__all__ = ["bare_start", "checked", "launch"]

_MS: Final = timedelta(milliseconds=1)


def bare_start(options: DriveOptions, run_id: str, graph: Graph, document: bytes, *, largest: int) -> Start:
    """Return what a workflow is started with, of which only the app and the graph are known.

    `largest` is how many bytes a message may have.
    """
    return Start(
        run_id=run_id,
        resource_id=None,
        request_context={},
        state={},
        include_state=False,
        max_recoveries=graph.root.max_recoveries or options.max_recoveries,
        grace_ms=options.grace // _MS,
        lease_ms=options.lease // _MS,
        delay_ms=0,
        start_within_ms=None,
        per_step=False,
        tags=(),
        hook_delay_ms=options.hook_delay // _MS,
        graph=document,
        input=b"null",
        largest=largest,
    )


def checked(start: Start) -> bytes:
    """Return the message that starts a workflow.

    Raises:
        PayloadTooLargeError: The server would refuse it.
    """
    message = start.to_bytes()
    if len(message) > start.largest:
        subject = "what the execution keeps" if start.opening else "the start of the run, with its graph"
        raise PayloadTooLargeError(subject, len(message), start.largest)
    return message


async def launch(
    client: Client,
    place: Place,
    start: Start,
    *,
    workflow_id: str,
    attributes: TypedSearchAttributes | None,
    memo: Mapping[str, Any] | None = None,
    is_next: bool = False,
) -> None:
    """Start a workflow, without search attributes if the server does not know them: nobody must wait for lists.

    Args:
        client: The server.
        place: The names that the app uses there.
        start: What it is started with.
        workflow_id: Id of the author's workflow.
        attributes: What lists know of it.
        memo: What readers must know of it.
        is_next: Whether a workflow of this id may have been closed before; else an id can be started once.

    Raises:
        PayloadTooLargeError: The server would refuse it.
        WorkflowAlreadyStartedError: There is such a workflow.
        RPCError: The server did not answer.
    """
    message = checked(start)

    async def start_with(attributes: TypedSearchAttributes | None) -> None:
        await client.start_workflow(
            workflow_id,
            raw_value(message),
            id=place.prefix + start.run_id,
            task_queue=place.task_queue,
            id_reuse_policy=(
                WorkflowIDReusePolicy.ALLOW_DUPLICATE if is_next else WorkflowIDReusePolicy.REJECT_DUPLICATE
            ),
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            start_delay=timedelta(milliseconds=start.delay_ms) if start.delay_ms else None,
            memo=memo,
            search_attributes=attributes,
            rpc_timeout=RPC_TIMEOUT,
        )

    try:
        await start_with(attributes)
    except RPCError as error:
        if attributes is None or not is_about_attributes(error):
            raise
        await start_with(None)
