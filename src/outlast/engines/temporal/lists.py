"""Lists of runs, from what the server makes visible: it follows what happens by some milliseconds, or seconds."""

from __future__ import annotations

import asyncio
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from temporalio.api.enums.v1 import WorkflowExecutionStatus as Closing
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowExecution
from temporalio.common import TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from outlast.core.status import RunStatus
from outlast.engines.base import StartRequest
from outlast.engines.capability import Capability
from outlast.engines.temporal.attributes import (
    CREATED,
    EXECUTION,
    GRAPH,
    REGISTERED,
    RESOURCE,
    STATUS,
    TAGS,
    attributes_of,
    later,
    plain,
    read_plain,
)
from outlast.engines.temporal.lacks import unavailable
from outlast.engines.temporal.messages import Start
from outlast.engines.temporal.rpc import RPC_TIMEOUT, translated
from outlast.errors import InputError, Problem
from outlast.graph.document import fingerprint_of
from outlast.instant import from_ms, to_ms
from outlast.storage.listing import COUNTED, RunCount, RunListing, RunQuery, RunSummary

__all__ = ["Lists", "is_about_attributes"]

_log = logging.getLogger("outlast")

_PAGE: Final = 1_000
_IDS: Final = 50
"""How many ids one query names at most."""
_LOOK_AGAIN: Final = 0.05
_LOOKS: Final = 60
"""How often a process looks whether what it registered is known: servers keep names for a moment."""
_ENDED: Final = {
    RunStatus.SUCCESS: "ExecutionStatus = 'Completed'",
    RunStatus.FAILED: (
        "ExecutionStatus = 'Terminated' OR ExecutionStatus = 'TimedOut'"
        f" OR (ExecutionStatus = 'Failed' AND {STATUS.name} != 'canceled')"
    ),
    RunStatus.CANCELED: (
        f"ExecutionStatus = 'Canceled' OR (ExecutionStatus = 'Failed' AND {STATUS.name} = 'canceled')"
    ),
}
"""What the workflows of ended runs look like. One that a body aborted has failed for Temporal: nobody canceled it."""


def is_about_attributes(error: RPCError) -> bool:
    """Say whether a server refuses a start because it does not know a search attribute (yet, or any more)."""
    return error.status is RPCStatusCode.INVALID_ARGUMENT and "search attribute" in error.message.lower()


class Lists:
    """What an app finds without reading histories."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self.is_known = False
        """Whether the namespace knows the search attributes."""

    async def prepare(self) -> None:
        """Register the search attributes, unless they are or this process may not: then runs are not listed."""
        self.is_known = await self._knows()
        if self.is_known:
            return
        try:
            await self._client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=self._client.namespace, search_attributes=REGISTERED),
                timeout=RPC_TIMEOUT,
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:
                _log.warning("runs are not listed: their search attributes cannot be registered (%s)", error.message)
                return
        for _ in range(_LOOKS):
            self.is_known = await self._knows()
            if self.is_known:
                return
            await asyncio.sleep(_LOOK_AGAIN)

    def attributes_of(self, request: StartRequest, *, is_delayed: bool) -> TypedSearchAttributes | None:
        """Return what a run is started with; None if it cannot be listed.

        Raises:
            PayloadTooLargeError: It has more tags than the server takes.
        """
        if not self.is_known:
            return None
        return attributes_of(
            fingerprint=request.workflow.fingerprint,
            resource_id=request.resource_id,
            tags=request.tags,
            is_delayed=is_delayed,
        )

    def attributes_of_next(self, start: Start, created_at_ms: int, execution: int) -> TypedSearchAttributes | None:
        """Return what a later execution of a run is started with; None if it cannot be listed."""
        if not self.is_known:
            return None
        known = attributes_of(
            fingerprint=fingerprint_of(start.graph), resource_id=start.resource_id, tags=start.tags, is_delayed=False
        )
        return known.updated(*later(created_at_ms, execution))  # pyright: ignore[reportUnknownMemberType]

    async def list_runs(self, query: RunQuery) -> RunListing:
        """Return a page of the runs that match: open ones first, then those that ended, the latest first.

        Raises:
            UnsupportedByEngineError: The namespace does not know the search attributes.
            InputError: `after` is no place of a page, or `search` cannot be asked for.
        """
        self._check()
        text = self._query_of(query)
        token, left_out = _token_of(query.after), query.offset
        runs: list[RunSummary] = []
        with translated():
            counting = asyncio.create_task(
                self._client.count_workflows(text, rpc_timeout=RPC_TIMEOUT), name="outlast count"
            )
            try:
                former = await self._find_former()
                while len(runs) < query.limit:
                    size = min(_PAGE, query.limit - len(runs) + left_out)
                    rows, token = await self._page(text, size, token)
                    page = [each for each in rows if each.run_id not in former]
                    runs += [self._summary_of(each) for each in page[left_out:]]
                    left_out = max(0, left_out - len(page))
                    if not token:
                        break
                if token and not await self._has_more(text, token, former):
                    token = None
                total = (await counting).count - await self._count_former(text, former)
            finally:
                counting.cancel()
        after = None if not token else "t" + urlsafe_b64encode(token).decode().rstrip("=")
        return RunListing(runs=runs, after=after, total=min(total, COUNTED), is_total_exact=total <= COUNTED)

    async def count_runs(self, workflow_ids: Sequence[str]) -> list[RunCount]:
        """Return how many runs of these workflows there are, by workflow and status.

        Raises:
            UnsupportedByEngineError: The namespace does not know the search attributes.
        """
        self._check()
        wanted = [(workflow_id, status) for workflow_id in sorted(workflow_ids) for status in sorted(RunStatus)]
        with translated():
            former = await self._find_former()
            counts = await asyncio.gather(*(self._count(*each) for each in wanted))
        too_many = Counter((each.workflow_type, _status_of(each)) for each in former.values())
        return [
            RunCount(workflow_id=workflow_id, status=status, count=count - too_many[workflow_id, status])
            for (workflow_id, status), count in zip(wanted, counts, strict=True)
            if count > too_many[workflow_id, status]
        ]

    async def find_in_flight(self) -> dict[str, tuple[int, str]]:
        """Return how many runs have not ended, by the fingerprint of their graph, each with the id of one of them.

        Raises:
            UnsupportedByEngineError: The namespace does not know the search attributes.
        """
        self._check()
        counts: Counter[str] = Counter()
        examples: dict[str, str] = {}
        with translated():
            async for each in self._all(f"{self._ours} AND ExecutionStatus = 'Running'"):
                fingerprint = each.typed_search_attributes.get(GRAPH) or ""
                counts[fingerprint] += 1
                examples[fingerprint] = each.id.removeprefix(self._prefix)
        return {fingerprint: (count, examples[fingerprint]) for fingerprint, count in counts.items()}

    def _check(self) -> None:
        if not self.is_known:
            names = ", ".join(f"{name} ({_type_name(number)})" for name, number in REGISTERED.items())
            raise unavailable(Capability.LISTS, f"register these search attributes in the namespace: {names}")

    async def _knows(self) -> bool:
        """Ask in a way that every server and every role allows: by a query that names them all."""
        names = " AND ".join(f"{name} IS NULL" for name in REGISTERED)
        try:
            await self._client.count_workflows(f"WorkflowId = 'outlast' AND {names}", rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status in (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.PERMISSION_DENIED):
                return False
            with translated():
                raise
        return True

    async def _page(
        self, text: str, size: int, token: bytes | None
    ) -> tuple[Sequence[WorkflowExecution], bytes | None]:
        pages = self._client.list_workflows(text, page_size=size, next_page_token=token, rpc_timeout=RPC_TIMEOUT)
        try:
            await pages.fetch_next_page()
        except RPCError as error:
            if token and error.status is RPCStatusCode.INVALID_ARGUMENT:
                raise _wrong_place() from error
            raise
        return pages.current_page or (), pages.next_page_token or None

    async def _all(self, text: str) -> AsyncIterator[WorkflowExecution]:
        token: bytes | None = None
        while True:
            page, token = await self._page(text, _PAGE, token)
            for each in page:
                yield each
            if not token:
                return

    async def _find_former(self) -> dict[str, WorkflowExecution]:
        """Return the closed workflows of runs whose later executions are in others, by the ids that Temporal gave them.

        A run is listed once, as its latest execution.
        """
        reopened = {each.id: each async for each in self._all(f"{self._ours} AND {EXECUTION.name} > 0")}
        former: dict[str, WorkflowExecution] = {}
        latest: dict[str, WorkflowExecution] = {}
        async for each in self._among(self._ours, list(reopened)):
            other = latest.setdefault(each.id, each)
            if _execution_of(each) > _execution_of(other):
                latest[each.id] = each
                former[other.run_id] = other
            elif other is not each:
                former[each.run_id] = each
        return former

    async def _count_former(self, text: str, former: Mapping[str, WorkflowExecution]) -> int:
        """Return how many former workflows match a query."""
        ids = list({each.id: None for each in former.values()})
        return len([each async for each in self._among(text, ids) if each.run_id in former])

    async def _has_more(self, text: str, token: bytes, former: Mapping[str, WorkflowExecution]) -> bool:
        """Say whether a run follows."""
        rest: bytes | None = token
        while rest:
            page, rest = await self._page(text, min(_PAGE, len(former) + 1), rest)
            if any(each.run_id not in former for each in page):
                return True
        return False

    async def _among(self, text: str, ids: Sequence[str]) -> AsyncIterator[WorkflowExecution]:
        """Yield what matches a query and has one of these ids."""
        for first in range(0, len(ids), _IDS):
            some = ", ".join(_quoted(each) for each in ids[first : first + _IDS])
            async for each in self._all(f"{text} AND WorkflowId IN ({some})"):
                yield each

    async def _count(self, workflow_id: str, status: RunStatus) -> int:
        query = self._query_of(RunQuery(workflow_id=workflow_id, statuses=[status]))
        return (await self._client.count_workflows(query, rpc_timeout=RPC_TIMEOUT)).count

    @property
    def _ours(self) -> str:
        """What tells runs of this app from other workflows; a workflow in which a run went on counts once."""
        ours = f"{STATUS.name} IS NOT NULL AND ExecutionStatus != 'ContinuedAsNew'"
        return f"{ours} AND WorkflowId STARTS_WITH {_quoted(self._prefix)}" if self._prefix else ours

    def _query_of(self, query: RunQuery) -> str:
        terms = [self._ours]
        if query.workflow_id is not None:
            terms.append(f"WorkflowType = {_quoted(query.workflow_id)}")
        if query.statuses:
            terms.append(" OR ".join(_has_status(each) for each in query.statuses))
        if query.resource_id is not None:
            terms.append(f"{RESOURCE.name} = {_quoted(plain(query.resource_id))}")
        terms += [f"{TAGS.name} = {_quoted(plain(tag))}" for tag in query.tags]
        if query.from_ms is not None:
            terms.append(_since(query.from_ms, ">="))
        if query.to_ms is not None:
            terms.append(_since(query.to_ms + 1, "<"))
        if query.search is not None:
            terms.append(self._search(query.search))
        return " AND ".join(f"({term})" for term in terms)

    def _search(self, search: str) -> str:
        if '"' in search or "\\" in search:
            reason = "the lists of Temporal cannot be searched for quotation marks and backslashes"
            raise InputError("search", (Problem("", reason),))
        stored = _quoted(plain(search))
        return (
            f"WorkflowId STARTS_WITH {_quoted(self._prefix + search)}"
            f" OR {RESOURCE.name} STARTS_WITH {stored} OR {TAGS.name} = {stored}"
        )

    def _summary_of(self, row: WorkflowExecution) -> RunSummary:
        known = row.typed_search_attributes
        resource, started = known.get(RESOURCE), known.get(CREATED) or row.start_time
        return RunSummary(
            run_id=row.id.removeprefix(self._prefix),
            workflow_id=row.workflow_type,
            resource_id=None if resource is None else read_plain(resource),
            status=_status_of(row),
            execution=_execution_of(row),
            created_at_ms=to_ms(started),
            updated_at_ms=to_ms(row.close_time or row.start_time),
            tags=tuple(sorted(read_plain(tag) for tag in known.get(TAGS) or ())),
        )


def _execution_of(row: WorkflowExecution) -> int:
    return row.typed_search_attributes.get(EXECUTION) or 0


def _has_status(status: RunStatus) -> str:
    shown = f"ExecutionStatus = 'Running' AND {STATUS.name} = '{status.value}'"
    return f"({_ENDED[status]}) OR ({shown})" if status in _ENDED else f"({shown})"


def _status_of(row: WorkflowExecution) -> RunStatus:
    shown = RunStatus(row.typed_search_attributes.get(STATUS) or RunStatus.RUNNING)
    match row.raw_info.status:
        case Closing.WORKFLOW_EXECUTION_STATUS_RUNNING:
            return shown
        case Closing.WORKFLOW_EXECUTION_STATUS_COMPLETED:
            return RunStatus.SUCCESS
        case Closing.WORKFLOW_EXECUTION_STATUS_CANCELED:
            return RunStatus.CANCELED
        case Closing.WORKFLOW_EXECUTION_STATUS_FAILED if shown is RunStatus.CANCELED:
            return RunStatus.CANCELED
        case _:
            return RunStatus.FAILED


def _since(at_ms: int, sign: str) -> str:
    """Compare the time of the start: the workflow's own, unless the run went on in another one since."""
    at = f"'{from_ms(at_ms).strftime('%Y-%m-%dT%H:%M:%S')}.{at_ms % 1000:03}Z'"
    return f"({CREATED.name} IS NULL AND StartTime {sign} {at}) OR {CREATED.name} {sign} {at}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _type_name(number: int) -> str:
    return {2: "Keyword", 3: "Int", 6: "Datetime", 7: "KeywordList"}[number]


def _token_of(after: str | None) -> bytes | None:
    if after is None:
        return None
    if not after.startswith("t"):
        raise _wrong_place(after)
    try:
        return urlsafe_b64decode(after[1:].encode() + b"=" * (-len(after[1:]) % 4)) or None
    except ValueError as error:  # also what the decoders raise
        raise _wrong_place(after) from error


def _wrong_place(after: str = "") -> InputError:
    reason = f"not a place that a page of this store ended at: {after!r:.60}; pass on what `page.after` holds"
    return InputError("after", (Problem("", reason),))
