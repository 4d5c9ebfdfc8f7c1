"""Watching a run: its events, in order, each once, from any place in them, while it runs or after it (rule 14)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeVar

from outlast.core.codec import UnknownEventError
from outlast.core.projection import Projection
from outlast.core.public import PublicEvent, record_seq
from outlast.core.record import Record
from outlast.core.ref import Ref
from outlast.core.state import JournalMismatchError
from outlast.engines.base import Engine, Journal
from outlast.engines.values import RunValues
from outlast.errors import InputError, Problem, RunNotFoundError, UnreadableRunError
from outlast.immutable import frozen, immutable
from outlast.instant import from_ms, to_ms
from outlast.loops import refuse_other_loop
from outlast.results import RunResult
from outlast.sealing import masked
from outlast.values import JsonValue, decode
from outlast.waiting import check_until, seconds_to_wait

__all__ = ["RunStream", "StreamEvent", "View", "show_run"]

Out_co = TypeVar("Out_co", covariant=True)

_PAGE: Final = 256
_PAGE_BYTES: Final = 1024 * 1024
_KEPT_BYTES: Final = 1024 * 1024
_LAST: Final = 2**63 - 1
"""No event has a larger number."""


@frozen
class StreamEvent:
    """One event of a run, as its readers see it."""

    seq: int
    """Its number: larger than that of every event before it, the same for every reader, for ever. Numbers have gaps."""
    at: datetime
    """When it was observed (aware, UTC). Order is `seq`, never time."""
    type: str
    """What happened: `workflow-start`, `workflow-step-result`, ..., or the `data-...` name that a step gave."""
    run_id: str
    """Id of the run."""
    execution: int
    """Which execution of the run it belongs to: 0 for the first."""
    source: Literal["workflow", "user"]
    """Who says it: the engine, or the code of a step (`ctx.write`, `ctx.progress`, `ctx.emit`)."""
    payload: Mapping[str, JsonValue]
    """The details as JSON; times end in `_ms` and are milliseconds since 1970, UTC."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the wire form: JSON with camelCase keys, `source` as `from` and in capitals."""
        payload = {_WIRE_NAMES.get(name, name): value for name, value in self.payload.items()}
        if "id" in payload:
            payload["stepName"] = payload["id"]
        if isinstance(metadata := payload.get("metadata"), dict):
            payload["metadata"] = {_WIRE_NAMES.get(name, name): value for name, value in metadata.items()}
        if isinstance(error := payload.get("error"), dict):
            payload["error"] = {**error, "name": error.get("type")}
        wire: dict[str, JsonValue] = {
            "type": self.type,
            "seq": self.seq,
            "at": to_ms(self.at),
            "runId": self.run_id,
            "execution": self.execution,
            "from": self.source.upper(),
        }
        if self.type.startswith("data-"):
            wire["data"] = payload.pop("data", None)
        elif self.type == "workflow-step-output":
            payload["runId"] = self.run_id
        elif self.type == "workflow-finish":
            payload = _finish_payload(payload)
        return {**wire, "payload": payload}


def _finish_payload(payload: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Arrange the end of a run as clients of the public workflow API expect it."""
    metadata: dict[str, JsonValue] = {}
    if isinstance(error := payload.get("error"), dict):
        metadata = {"error": error, "errorMessage": error.get("message")}
    usage: dict[str, JsonValue] = dict.fromkeys(_USAGE, 0)
    return {**payload, "metadata": metadata, "output": {"usage": usage}}


_WIRE_NAMES: Final[Mapping[str, str]] = {
    "completed_count": "completedCount",
    "current_index": "currentIndex",
    "due_at_ms": "dueAt",
    "ended_at_ms": "endedAt",
    "error_path": "errorPath",
    "iteration_count": "iterationCount",
    "iteration_output": "iterationOutput",
    "iteration_status": "iterationStatus",
    "result": "finalWorkflowResult",
    "resume_payload": "resumePayload",
    "resumed_at_ms": "resumedAt",
    "started_at_ms": "startedAt",
    "step_call_id": "stepCallId",
    "suspend_payload": "suspendPayload",
    "suspended_at_ms": "suspendedAt",
    "total_count": "totalCount",
    "workflow_id": "workflowId",
    "workflow_status": "workflowStatus",
}
_USAGE: Final = (
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cachedInputTokens",
    "cacheCreationInputTokens",
    "reasoningTokens",
)


class _Watched(Protocol[Out_co]):
    """The run that a stream shows: a handle on it."""

    run_id: str
    """Id of the run."""

    async def result(
        self,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - part of the contract (rule 3.2)
        until: Literal["rest", "end"] = "rest",
    ) -> RunResult[Out_co]:
        """Wait until the run ends or rests, and return what is known of it then."""
        ...


@immutable
class View(Generic[Out_co]):
    """Where a stream begins: which run, and after which of its events."""

    run: _Watched[Out_co]
    """A handle on the run."""
    after: int
    """The event after which it begins; 0 for the first."""


class RunStream(Generic[Out_co]):
    """The events of a run: `async for event in stream`. Whatever it takes to begin happens with the first event.

    The run does not depend on its readers: one that is slow, or goes away, changes nothing. A stream may be iterated
    several times, also at the same time; each iteration begins at the same event.
    """

    def __init__(
        self,
        engine: Engine,
        run_id: str,
        begin: Callable[[], Awaitable[View[Out_co]]],
        *,
        follow: bool = False,
        is_waiting: bool = True,
    ) -> None:
        self._engine = engine
        self._begin = begin
        self._follow = follow
        self._is_waiting = is_waiting
        self._lock = asyncio.Lock()
        self._view: View[Out_co] | None = None
        self._run_id = run_id

    @property
    def run_id(self) -> str:
        """Id of the run; once it began, that of the run that an idempotency key stands for."""
        return self._run_id if self._view is None else self._view.run.run_id

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Read from the beginning of the stream."""
        return _Reader(self._open, self._engine, follow=self._follow, is_waiting=self._is_waiting)

    async def result(
        self,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - part of the contract (rule 3.2)
        until: Literal["rest", "end"] = "rest",
    ) -> RunResult[Out_co]:
        """Wait until the run ends, is suspended or paused, and return what is known of it then, read or not.

        Raises:
            TimeoutError: It took longer than `timeout` seconds. The run is not affected.
            RunNotFoundError: No kept run has this id.
            InputError: `until` or `timeout` is something else. Nothing was begun.
        """
        check_until(until)
        seconds_to_wait(timeout)
        view = await self._ensure_begun()
        return await view.run.result(timeout=timeout, until=until)

    async def _ensure_begun(self) -> View[Out_co]:
        refuse_other_loop(self._engine.loop)
        async with self._lock:
            if self._view is None:
                self._view = await self._begin()
            return self._view

    async def _open(self) -> tuple[Journal, int]:
        view = await self._ensure_begun()
        return await self._engine.open_journal(view.run.run_id), view.after

    def __repr__(self) -> str:
        """Show the id."""
        return f"{type(self).__name__}({self.run_id!r})"


class _Reader(AsyncIterator[StreamEvent]):
    """One reader: pages through the journal, and holds no more than a page of it."""

    def __init__(
        self,
        open: Callable[[], Awaitable[tuple[Journal, int]]],  # noqa: A002
        engine: Engine,
        *,
        follow: bool,
        is_waiting: bool,
    ) -> None:
        self._open = open
        self._engine = engine
        self._follow = follow
        self._is_waiting = is_waiting
        self._source: _Source | None = None
        self._pending: deque[_Told] = deque()
        self._is_over = False

    async def __anext__(self) -> StreamEvent:
        refuse_other_loop(self._engine.loop)
        if self._source is None and not self._is_over:
            self._source = _Source(*await self._open())
        while self._source is not None and not self._is_over:
            if self._pending:
                return await self._tell(self._source, self._pending[0])
            self._pending.extend(await self._source.read())
            if not self._pending and not await self._has_more(self._source):
                self._is_over = True
        raise StopAsyncIteration

    async def _has_more(self, source: _Source) -> bool:
        """Wait for more, if this reader does and more may come."""
        if source.has_unread or not self._is_waiting:
            return source.has_unread
        return await source.wait(follow=self._follow)

    async def _tell(self, source: _Source, told: _Told) -> StreamEvent:
        """Resolve the event; it counts as read only then, so that a reader that was interrupted gets it again."""
        event = await source.resolve(told)
        self._pending.popleft()
        if event.type == "workflow-finish" and self._is_waiting and not self._follow:
            self._is_over = True
        return event


class _Told(NamedTuple):
    """An event of a page, and what a body said with it: that is kept nowhere else."""

    event: PublicEvent
    said: bytes | None


class _Source:
    """The public events of a journal after one of them, and the values that they refer to."""

    def __init__(self, journal: Journal, after: int) -> None:
        self._journal = journal
        self._after = after
        self._seq = 0
        self._is_at_place = after == 0
        self._projection = Projection(journal.graph)
        self._values = RunValues(most_bytes=_KEPT_BYTES)
        self.has_unread = True
        """Whether the last page was cut, so that there may be more to read at once."""

    async def read(self) -> list[_Told]:
        """Read the next page, which may tell nothing."""
        if not self._is_at_place:
            await self._skip()
        page = await self._journal.load_records(after=self._seq, limit=_PAGE, most_bytes=_PAGE_BYTES)
        self.has_unread = bool(page)
        told = [
            _Told(event, None if record.is_fact else record.payload)
            for record in page
            for event in self._project(record)
        ]
        return [each for each in told if each.event.seq > self._after]

    async def wait(self, *, follow: bool) -> bool:
        return await self._journal.wait(after=self._seq, follow=follow)

    async def resolve(self, told: _Told) -> StreamEvent:
        """Return the event with its values.

        Raises:
            RunNotFoundError: The run was deleted meanwhile.
        """
        event, said = told
        if said is None:
            await self._load(event.values.values())
        values = {
            name: decode(masked(self._values.resolve(ref) if said is None else said))
            for name, ref in event.values.items()
        }
        if event.type == "workflow-step-result" and "payload" in event.values:
            self._values.forget(event.values["payload"])  # the items of a foreach that is over
        return StreamEvent(
            seq=event.seq,
            at=from_ms(event.at_ms),
            type=event.type,
            run_id=self._journal.run_id,
            execution=event.execution,
            source="user" if event.is_by_user else "workflow",
            payload={**event.fields, **values},
        )

    async def _load(self, refs: Iterable[Ref]) -> None:
        missing = self._values.missing(*refs)
        if missing:
            await self._values.load(missing, self._load_facts)
            if self._values.missing(*refs):
                raise RunNotFoundError(self._journal.run_id)

    async def _skip(self) -> None:
        """Fold the facts before the place where the reader begins; what bodies said there is passed over."""
        until = record_seq(self._after) - 1
        head = await self._journal.load_head()
        while page := await self._journal.load_facts(after=self._seq, until=until, limit=_PAGE, most_bytes=_PAGE_BYTES):
            for record in page:
                self._project(record)
        if until <= head:
            self._seq = max(self._seq, until)
        self._is_at_place = True

    def _project(self, record: Record) -> list[PublicEvent]:
        self._seq = record.seq
        if record.is_fact and record.payload is not None:
            self._values.keep(record.seq, record.payload)
        try:
            return self._projection.read(record)
        except (UnknownEventError, JournalMismatchError) as error:
            raise UnreadableRunError(self._journal.run_id, str(error)) from error

    async def _load_facts(self, after: int, until: int) -> list[Record]:
        records: list[Record] = []
        while page := await self._journal.load_facts(after=after, until=until, limit=_PAGE, most_bytes=_PAGE_BYTES):
            records += page
            after = page[-1].seq
        return records


def show_run(
    engine: Engine, run: _Watched[Out_co], *, after: int, follow: bool = False, is_waiting: bool = True
) -> RunStream[Out_co]:
    """Return a stream of a known run.

    Raises:
        InputError: `after` is not a whole number of at least 0.
    """
    view = View(run, _check_after(after))

    async def begin() -> View[Out_co]:
        return view

    return RunStream(engine, run.run_id, begin, follow=follow, is_waiting=is_waiting)


def _check_after(after: object) -> int:
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= _LAST:
        raise InputError("after", (Problem("", f"give the `seq` of an event, or 0 for all, not {after!r:.60}"),))
    return after
