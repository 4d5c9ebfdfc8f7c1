"""A client of a server, used as an app is used in process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, cast, overload
from urllib.parse import quote

import httpx

from outlast.client.beginning import RemoteRun
from outlast.client.decode import decode_page
from outlast.client.encode import query_of
from outlast.client.handle import RemoteRunHandle
from outlast.client.scheduling import RemoteSchedules
from outlast.client.transport import Transport
from outlast.core.status import RunStatus
from outlast.errors import ConfigurationError
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import JSON
from outlast.ids import RunIds
from outlast.known import id_of
from outlast.mark import Mark
from outlast.reading import RunPage, StatusFilter, make_query
from outlast.starting import check_run_id, check_text
from outlast.values import JsonValue

__all__ = ["Client"]

In = TypeVar("In")
Out = TypeVar("Out")

_run_ids = RunIds()


class Client:
    """A client of a server: `async with Client("http://127.0.0.1:4111", token=...) as client:`.

    It has the verbs of an app. Workflows are given as in process, or by their id where this program does not have them;
    then values are plain JSON. Errors are those in process; `ClientError` stands for what only a server says.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        prefix: str = "/api",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Describe the client; nothing is opened before it is entered.

        Args:
            url: Where the server is, as `http://127.0.0.1:4111`.
            token: A bearer token, if the server asks for one.
            prefix: Where the server has its API.
            transport: How requests get there instead of over the network, for tests: `httpx.ASGITransport(app)`.

        Raises:
            ConfigurationError: The URL is none.
        """
        if not url.startswith(("http://", "https://")):
            message = f"url={url!r}: write it as 'http://127.0.0.1:4111'"
            raise ConfigurationError(message)
        self._transport = Transport(url.rstrip("/") + prefix, token=token, transport=transport)

    async def __aenter__(self) -> Self:
        """Open the connection pool; nothing is sent yet."""
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._transport.__aexit__(kind, error, trace)

    @overload
    async def create_run(
        self, workflow: CommittedWorkflow[In, Out], *, run_id: str | None = None, resource_id: str | None = None
    ) -> RemoteRun[In, Out]: ...
    @overload
    async def create_run(
        self, workflow: str, *, run_id: str | None = None, resource_id: str | None = None
    ) -> RemoteRun[Any, JsonValue]: ...
    async def create_run(
        self, workflow: CommittedWorkflow[Any, Any] | str, *, run_id: str | None = None, resource_id: str | None = None
    ) -> RemoteRun[Any, Any]:
        """Return a run that may be started. Nothing is sent or recorded yet.

        Raises:
            InputError: The run id or resource id is not a usable text.
        """
        for name, text in (("run_id", run_id), ("resource_id", resource_id)):
            if text is not None:
                check_text(text, name)
        return RemoteRun(
            self._transport,
            workflow,
            run_id=run_id or _run_ids.next(),
            is_named=run_id is not None,
            resource_id=resource_id,
        )

    @property
    def schedules(self) -> RemoteSchedules:
        """The schedules at the server, with the verbs of `app.schedules`."""
        return RemoteSchedules(self._transport)

    def run(self, run_id: str, *, mark: Mark | None = None) -> RemoteRunHandle[Any]:
        """Return a handle on a known run, without I/O. Its result is decoded as plain JSON.

        Raises:
            InputError: `run_id` is no text.
        """
        check_run_id(run_id)
        return RemoteRunHandle(self._transport, run_id, JSON, mark=mark)

    async def workflows(self) -> Mapping[str, Mapping[str, JsonValue]]:
        """Return the server's workflows by id: their steps, graphs and schemas.

        Raises:
            ServerUnavailableError: The server did not answer.
        """
        answer = await self._transport.request("GET", "/workflows", is_repeatable=True)
        return cast("Mapping[str, Mapping[str, JsonValue]]", answer)

    async def definition(self, workflow_id: str) -> Mapping[str, JsonValue]:
        """Return what the server's workflow declares: names and JSON Schemas of its types, and its graph.

        Raises:
            ClientError: The server has no such workflow; its `code` is `workflow-not-found`.
            ServerUnavailableError: The server did not answer.
        """
        path = f"/workflows/{quote(workflow_id, safe='')}/definition"
        return await self._transport.request("GET", path, is_repeatable=True)

    async def list_runs(  # noqa: PLR0913 - the conditions of a list, all by name
        self,
        workflow: CommittedWorkflow[Any, Any] | str | None = None,
        *,
        status: StatusFilter = None,
        resource_id: str | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        tags: Sequence[str] = (),
        search: str | None = None,
        after: str | None = None,
        per_page: int = 50,
    ) -> RunPage:
        """Return a page of the runs on the server, those recorded last first; see `Outlast.list_runs`.

        Raises:
            InputError: A condition cannot be meant; names it.
            UnattachedWorkflowError: `workflow` is none.
            ServerUnavailableError: The server did not answer.
        """
        wanted = make_query(
            workflow_id=id_of(workflow),
            status=status,
            resource_id=resource_id,
            from_date=from_date,
            to_date=to_date,
            tags=tags,
            search=search,
            after=after,
            per_page=per_page,
        )
        query = query_of(
            workflowId=wanted.workflow_id,
            status=wanted.statuses,
            resourceId=resource_id,
            fromDate=from_date,
            toDate=to_date,
            tags=wanted.tags,
            search=search,
            after=after,
            perPage=per_page,
        )
        return decode_page(await self._transport.request("GET", "/runs", query=query, is_repeatable=True))

    async def counts(
        self, workflow: CommittedWorkflow[Any, Any] | str | None = None
    ) -> Mapping[str, Mapping[RunStatus, int]]:
        """Return how many runs of which workflow have which status; see `Outlast.counts`.

        Raises:
            UnattachedWorkflowError: `workflow` is none.
            ServerUnavailableError: The server did not answer.
        """
        query = query_of(workflowId=id_of(workflow))
        answer = await self._transport.request("GET", "/stats", query=query, is_repeatable=True)
        counts = cast("Mapping[str, Mapping[str, int]]", answer)
        return {name: {RunStatus(status): number for status, number in each.items()} for name, each in counts.items()}
