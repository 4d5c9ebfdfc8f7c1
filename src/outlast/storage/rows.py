"""What goes into a store and what comes out of it: the values of the contract in `base.py`, which names them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.errors import OutlastError
from outlast.immutable import immutable, new_list
from outlast.storage.flow import Flow
from outlast.storage.keys import GraphKey, InboxKey, RunKey, WorkerKey
from outlast.storage.outbox import NewDelivery

__all__ = [
    "Append",
    "ClaimedRun",
    "Ending",
    "GraphKey",
    "GraphRow",
    "Head",
    "InboxKey",
    "InboxRow",
    "NewRun",
    "Receipt",
    "Reopening",
    "RunKey",
    "RunRow",
    "Settle",
    "WorkerKey",
    "WorkerRow",
]


class NewRun(NamedTuple):
    """A run about to be recorded. A tuple, as `Receipt`, because it is made in half the time of a frozen dataclass."""

    run_id: str
    """Id that callers know it by; unique in the store for ever."""
    workflow_id: str
    """Id of its workflow."""
    graph: GraphKey
    """Graph document that it runs on, from `ensure_graph`."""
    resource_id: str | None
    """Whose run it is, for filters and access; the caller's word."""
    created_at_ms: int
    """When it was started."""
    status: RunStatus
    """Status to begin with: `pending`, or `running` if `owner` is set."""
    owner: WorkerKey | None
    """Worker that takes it at once, or None to leave it to whoever claims it."""
    records: Sequence[Record]
    """Journal to begin with: `seq` from 1, at least one."""
    ready_at_ms: int | None = None
    """Without an owner: when it may be claimed first; None for at once."""
    tags: Sequence[str] = ()
    """Words of the caller to find it by, each once."""
    start_by_ms: int | None = None
    """Until when somebody has to append to its journal, see `list_late_starts`; None for whenever."""
    flow: Flow | None = None
    """Its priority and limits; None for a run that needs nothing but a worker. With it the run begins without owner."""


@dataclass(slots=True)
class Append:
    """What one owner writes to one of its runs, in one piece."""

    run: RunKey
    """The run."""
    owner: WorkerKey
    """The worker that writes."""
    epoch: int
    """The run's epoch when the worker took it."""
    records: list[Record]
    """Events that follow the journal's head without a gap; may be empty when only the row changes."""
    status: RunStatus
    """Status after these events."""
    execution: int = 0
    """Execution after these events."""
    is_released: bool = False
    """Whether the owner gives the run up with this write."""
    ready_at_ms: int | None = None
    """With `is_released`: when it may be claimed again; None if only its inbox can wake it."""
    inbox_taken: list[InboxKey] = field(default_factory=new_list)
    """Inbox rows that became events with this write: they are never listed again."""
    outbox: Sequence[NewDelivery] = ()
    """What must be delivered because of these events."""
    is_limited: bool = False
    """Whether the run is under flow control, as `ClaimedRun.is_limited` said."""
    inbox_seen: Sequence[InboxKey] = ()
    """With `is_released`: inbox rows that stay, and that do not make the run claimable."""
    hold: str | None = None
    """Why nothing is done about the run for now, in words, for `RunStore.find_hold`."""


@immutable(kw_only=True)
class Ending:
    """The end of a run that nobody owns, written by somebody who read it: no worker is needed to end what rests."""

    run: RunKey
    """The run."""
    epoch: int
    """The run's epoch as it was read."""
    head: int
    """`seq` of its latest event as it was read."""
    records: Sequence[Record]
    """Events that follow the head without a gap; at least one."""
    status: RunStatus
    """How the run ended."""
    inbox_taken: Sequence[InboxKey] = ()
    """Inbox rows that these events answer: they are never listed again."""
    outbox: Sequence[NewDelivery] = ()
    """What must be delivered because of these events."""
    is_limited: bool = False
    """Whether the run is under flow control, as its row said."""


@immutable(kw_only=True)
class Reopening:
    """The next execution of a run that nobody owns, opened by somebody who read its journal (rule 12.3)."""

    run: RunKey
    """The run."""
    head: int
    """`seq` of its latest event as it was read: whoever drove it since has recorded something."""
    records: Sequence[Record]
    """Events that follow the head without a gap; at least one. The last one belongs to the execution that it opens."""
    is_limited: bool = False
    """Whether the run is under flow control, as its row said."""


class Receipt(NamedTuple):
    """A write is durable at the store's class."""

    run: RunKey
    """The run."""
    epoch: int
    """Its epoch now."""
    is_owned: bool
    """Whether the worker named in the write owns the run now. False for a `NewRun` whose owner is no longer alive."""


Settle: TypeAlias = Callable[[Receipt | OutlastError], None]
"""Called once per write, on the event loop, after the commit is durable or refused; never from inside the call that
hands the write over, which does not raise. Errors: `RunExistsError` (this run id is taken), `StaleRunError` (not the
owner any more), `StoreUnavailableError` (nothing of this write is recorded, or it is not known whether; the journal
tells)."""


@immutable(kw_only=True)
class ClaimedRun:
    """A run that the claiming worker owns now."""

    key: RunKey
    """The run."""
    run_id: str
    """Id that callers know it by."""
    workflow_id: str
    """Id of its workflow."""
    graph: GraphKey
    """Graph document that it runs on."""
    resource_id: str | None
    """Whose run it is."""
    epoch: int
    """Its epoch from now on."""
    head: int
    """`seq` of its latest event, of either class."""
    has_crashed: bool = False
    """Whether its last owner was a process of this boot that ended without giving it up."""
    is_limited: bool = False
    """Whether it is under flow control: what its owner writes has to say so."""


@immutable(kw_only=True)
class RunRow:
    """What lists and claims know of a run without reading its journal."""

    key: RunKey
    """The run."""
    run_id: str
    """Id that callers know it by."""
    workflow_id: str
    """Id of its workflow."""
    graph: GraphKey
    """Graph document that it runs on."""
    resource_id: str | None
    """Whose run it is."""
    status: RunStatus
    """Its status."""
    execution: int
    """Its latest execution."""
    epoch: int
    """How often it changed owners."""
    owner: WorkerKey | None
    """Worker that drives it now."""
    head: int
    """`seq` of its latest event, of either class."""
    ready_at_ms: int | None
    """When it may be claimed, if it has no owner."""
    created_at_ms: int
    """When it was started."""
    updated_at_ms: int
    """When its latest event was recorded."""
    is_limited: bool = False
    """Whether it is under flow control."""


class Head(NamedTuple):
    """How far the journal of a run goes."""

    seq: int
    """`seq` of its latest event, of either class."""
    status: RunStatus
    """The run's status after it."""


@immutable(kw_only=True)
class GraphRow:
    """A graph document and the workflow it belongs to."""

    key: GraphKey
    """The document's number."""
    workflow_id: str
    """Id of the workflow."""
    fingerprint: str
    """Hash of the document."""


@immutable(kw_only=True)
class InboxRow:
    """What somebody asks of a run. The owner turns it into an event and marks it taken in the same commit."""

    key: InboxKey
    """The row's number."""
    run: RunKey
    """The run."""
    kind: str
    """What is asked, as `cancel`."""
    topic: str
    """What it is about; there is at most one row ever per run and topic, so a race has one winner."""
    at_ms: int
    """When it was asked."""
    body: bytes
    """The details as JSON."""


@immutable(kw_only=True)
class WorkerRow:
    """One life of a worker."""

    key: WorkerKey
    """Its number."""
    pid: int
    """Its process."""
    workflows: tuple[str, ...]
    """Ids of the workflows whose runs it takes."""
    graphs: tuple[GraphKey, ...]
    """The graphs of these workflows as its own code makes them: it has every function that they name."""
    is_alive: bool
    """Whether its process holds its lock and its lease is not over."""
