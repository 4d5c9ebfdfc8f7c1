"""The rows of the memory store, and the queue of the runs that nobody owns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, merge
from itertools import islice
from operator import itemgetter
from typing import TypeAlias

from outlast.core.chunk import ENTRIES_REMOVED, removal_of
from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.immutable import new_dict, new_list, new_set
from outlast.storage.base import ClaimedRun, GraphKey, InboxKey, InboxRow, Receipt, RunKey, RunRow, WorkerKey
from outlast.storage.flow import Flow
from outlast.storage.listing import RunSummary

__all__ = ["Life", "ReadyQueue", "Row", "Run", "cut"]

Row: TypeAlias = tuple[int | str | bytes | None, ...]
"""A `Record` as a plain tuple. Plain tuples of plain values drop out of the garbage collector's rounds; named tuples
stay in them, and long journals of those halve the speed of everything else."""

_SLACK = 64
"""Outdated entries that a queue may hold whatever its size."""


@dataclass(slots=True, eq=False)
class Run:
    """A run, its journal and its inbox."""

    key: RunKey
    """The run's number."""
    run_id: str
    """Id that callers know it by."""
    workflow_id: str
    """Id of its workflow."""
    graph: GraphKey
    """Graph document that it runs on."""
    resource_id: str | None
    """Whose run it is."""
    created_at_ms: int
    """When it was started."""
    status: RunStatus
    """Its status."""
    tags: tuple[str, ...]
    """Words to find it by."""
    flow: Flow | None
    """Its priority and limits."""
    needs_worker_only: bool
    """Whether it needs nothing but a worker to go on: it has no limits, holds its gates, or has ended."""
    receipt: Receipt = field(init=False)
    """What a write that leaves the owner alone is answered with; made once per owner, not once per write."""
    facts: list[Row] = field(default_factory=new_list)
    """The facts of its journal."""
    said: list[Row] | None = None
    """The other events of its journal, which only streams read; None if there never was one."""
    head: int = 0
    """`seq` of its latest event."""
    updated_at_ms: int = 0
    """When its latest event was recorded."""
    execution: int = 0
    """Its latest execution."""
    epoch: int = 0
    """How often somebody became its owner."""
    owner: WorkerKey | None = None
    """Worker that drives it."""
    has_crashed: bool = False
    """Whether nobody took it since its owner's store was closed without giving it up."""
    ready_at_ms: int | None = None
    """When it may be claimed, if it has no owner."""
    inbox: dict[InboxKey, InboxRow] = field(default_factory=new_dict)
    """Requests not taken yet, oldest first."""
    topics: set[str] | None = None
    """Topics of all requests there ever were; None if there never was one."""
    has_begun: bool = False
    """With a flow: whether it ever went on, so that rates do not count it again."""
    lane: int | None = None
    """The lane in which it waits."""
    hold: tuple[int, int, str] | None = None
    """Why nothing was to be done about it, and epoch and head at that time."""

    def find_hold(self) -> str | None:
        """Return why nothing is done about it, if it is still as it was then."""
        return self.hold[2] if self.hold is not None and self.hold[:2] == (self.epoch, self.head) else None

    def renew_receipt(self) -> None:
        """Make the receipt anew: its owner has changed."""
        self.receipt = Receipt(self.key, self.epoch, self.owner is not None)

    def add(self, records: Sequence[Record]) -> None:
        """Add events that follow the head."""
        for record in records:
            if record.is_fact:
                self.facts.append(tuple(record))
            elif self.said is None:
                self.said = [tuple(record)]
            else:
                self.said.append(tuple(record))
        if records:
            self.head, self.updated_at_ms = records[-1].seq, records[-1].at_ms

    def add_topic(self, topic: str) -> None:
        """Remember the topic of a request."""
        if self.topics is None:
            self.topics = set()
        self.topics.add(topic)

    def has_topic(self, topic: str) -> bool:
        """Say whether there ever was a request on a topic."""
        return self.topics is not None and topic in self.topics

    def silence(self) -> int:
        """Remove what its bodies said, but for a notice; return how many events that were."""
        if not self.said:
            return 0
        removed = sum(row[3] != ENTRIES_REMOVED for row in self.said)
        self.said = [tuple(removal_of(Record._make(self.said[-1])))]
        return removed

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing that `silence` would remove."""
        return self.said is None or all(row[3] == ENTRIES_REMOVED for row in self.said)

    def load(self, *, after: int, until: int | None, limit: int | None, facts_only: bool) -> list[Record]:
        """Return events with `after < seq <= until`, in order, at most `limit`."""
        rows = _between(self.facts, after, until, limit)
        if not facts_only and self.said:
            rows = list(islice(merge(rows, _between(self.said, after, until, limit), key=itemgetter(0)), limit))
        return [Record._make(row) for row in rows]

    def to_claimed(self) -> ClaimedRun:
        """Return what its new owner must know."""
        return ClaimedRun(
            key=self.key,
            run_id=self.run_id,
            workflow_id=self.workflow_id,
            graph=self.graph,
            resource_id=self.resource_id,
            epoch=self.epoch,
            head=self.head,
            has_crashed=self.has_crashed,
            is_limited=self.flow is not None,
        )

    def to_summary(self) -> RunSummary:
        """Return what lists show of it."""
        return RunSummary(
            run_id=self.run_id,
            workflow_id=self.workflow_id,
            resource_id=self.resource_id,
            status=self.status,
            execution=self.execution,
            created_at_ms=self.created_at_ms,
            updated_at_ms=self.updated_at_ms,
            tags=tuple(sorted(self.tags)),
        )

    def to_row(self) -> RunRow:
        """Return what others may know of it."""
        return RunRow(
            key=self.key,
            run_id=self.run_id,
            workflow_id=self.workflow_id,
            graph=self.graph,
            resource_id=self.resource_id,
            status=self.status,
            execution=self.execution,
            epoch=self.epoch,
            owner=self.owner,
            head=self.head,
            ready_at_ms=self.ready_at_ms,
            created_at_ms=self.created_at_ms,
            updated_at_ms=self.updated_at_ms,
            is_limited=self.flow is not None,
        )


def cut(records: list[Record], most_bytes: int) -> list[Record]:
    """Return the records up to the one with which they reach this size."""
    for index, record in enumerate(records, start=1):
        most_bytes -= len(record.body or b"") + len(record.payload or b"")
        if most_bytes <= 0:
            return records[:index]
    return records


def _between(rows: Sequence[Row], after: int, until: int | None, limit: int | None) -> Sequence[Row]:
    start = bisect_right(rows, after, key=itemgetter(0))
    end = len(rows) if until is None else bisect_right(rows, until, key=itemgetter(0))
    return rows[start : end if limit is None else min(end, start + limit)]


@dataclass(slots=True, kw_only=True, eq=False)
class Life:
    """One life of a worker."""

    key: WorkerKey
    """Its number."""
    pid: int
    """Its process."""
    workflows: tuple[str, ...]
    """Ids of the workflows whose runs it takes."""
    graphs: tuple[GraphKey, ...]
    """The graphs of these workflows as its own code makes them."""
    lease_end: float
    """When its lease is over, on `time.monotonic`."""
    is_held: bool = True
    """Whether the store that registered it is open: what a lock held by a process is for a file."""
    runs: set[RunKey] = field(default_factory=new_set)
    """The runs that it owns."""

    def is_alive(self, now: float) -> bool:
        """Say whether its store is open and its lease is not over."""
        return self.is_held and now < self.lease_end


class ReadyQueue:
    """The unowned runs of one graph by the time when they may be claimed, then by number.

    A heap whose outdated entries stay until they come up or outnumber the valid ones, so that every operation costs
    O(log n) however many runs wait.
    """

    def __init__(self) -> None:
        self._ready_at: dict[RunKey, int] = {}
        self._heap: list[tuple[int, RunKey]] = []

    def put(self, run: RunKey, ready_at_ms: int) -> None:
        """Add a run, or change its time."""
        self._ready_at[run] = ready_at_ms
        heappush(self._heap, (ready_at_ms, run))
        if len(self._heap) > 2 * len(self._ready_at) + _SLACK:
            self._heap = [(at, key) for key, at in self._ready_at.items()]
            heapify(self._heap)

    def discard(self, run: RunKey) -> None:
        """Forget a run, if it is there."""
        self._ready_at.pop(run, None)

    def peek(self) -> tuple[int, RunKey] | None:
        """Return the time and number of the run that comes first; None if there is none."""
        heap, ready_at = self._heap, self._ready_at
        while heap:
            at, run = heap[0]
            if ready_at.get(run) == at:
                return heap[0]
            heappop(heap)
        return None

    def first(self, count: int) -> list[tuple[int, RunKey]]:
        """Return the times and numbers of the runs that come first."""
        found: list[tuple[int, RunKey]] = []
        while len(found) < count and (head := self.peek()) is not None:
            found.append(head)
            while self._heap and self._heap[0] == head:  # one entry may be there twice
                heappop(self._heap)
        for entry in found:
            heappush(self._heap, entry)
        return found

    def count_before(self, ready_at_ms: int, run: RunKey) -> int:
        """Return how many runs come before this one."""
        return sum((at, key) < (ready_at_ms, run) for key, at in self._ready_at.items())
