"""The outbox: what must happen after a commit, recorded by that commit. A part of the contract of `base.py`.

A row is *due* until it is delivered, which removes it, or given up, which keeps it with the reason. A due row belongs
to nobody or to the worker that delivers it. Of one run only the first due row is ever given out, so that the deliveries
of a run happen in order and one at a time. A run with due rows must be kept.

A row is *lost* whose worker's life ended while it delivered it: the delivery may have been why. A lost row is delivered
alone, so that the next crash is counted as a try of the one that was delivered then, and of no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from outlast.immutable import immutable
from outlast.storage.keys import DeliveryKey, GraphKey, RunKey, WorkerKey

__all__ = ["Delivery", "DeliveryRow", "NewDelivery", "OutboxStore", "first_to_deliver"]

T = TypeVar("T")


class NewDelivery(NamedTuple):
    """A delivery that a write asks for."""

    kind: str
    """What is to be delivered, as `on_finish`."""
    seq: int
    """The event that it tells of: it shows the run as it was then."""
    execution: int
    """Which execution of the run that was."""
    due_at_ms: int
    """When it may first be tried."""


@immutable
class Delivery:
    """A delivery that the claiming worker makes now."""

    key: DeliveryKey
    """The row's number."""
    run: RunKey
    """The run."""
    run_id: str
    """Id that callers know it by."""
    workflow_id: str
    """Id of its workflow."""
    graph: GraphKey
    """Graph document that it runs on."""
    resource_id: str | None
    """Whose run it is."""
    created_at_ms: int
    """When the run was started."""
    kind: str
    """What is to be delivered."""
    seq: int
    """The event that it tells of."""
    execution: int
    """Which execution of the run that was."""
    tries: int
    """How often it was given out, this time included."""


@immutable
class DeliveryRow:
    """A delivery that has not succeeded."""

    key: DeliveryKey
    """The row's number."""
    kind: str
    """What is to be delivered."""
    seq: int
    """The event that it tells of."""
    execution: int
    """Which execution of the run that was."""
    tries: int
    """How often it was given out."""
    due_at_ms: int | None
    """When it may be tried (again); None if it was given up."""
    owner: WorkerKey | None
    """The worker that delivers it now."""
    failure: bytes | None
    """Why the latest try failed, as JSON; None if that is not known, because the life of its worker ended with it."""


def first_to_deliver(due: Sequence[T], *, is_lost: Sequence[bool], owned: int, is_lost_owned: bool) -> Sequence[T]:
    """Choose those that a worker may deliver now, of the due ones in their order: those before a lost one, or it alone.

    Args:
        due: Those that are due.
        is_lost: For each of them, whether its worker's life ended while it delivered it.
        owned: How many the worker delivers now.
        is_lost_owned: Whether one of these is a lost one.
    """
    if is_lost_owned:
        return ()
    place = next((place for place, is_one in enumerate(is_lost) if is_one), len(due))
    return due[: 1 if place == 0 and not owned else place]


class OutboxStore(Protocol):
    """Deliveries. They are recorded by `RunStore.append`, together with the events that they tell of."""

    async def claim_deliveries(
        self, worker: WorkerKey, *, graphs: Sequence[GraphKey], now_ms: int, limit: int
    ) -> list[Delivery]:
        """Take due deliveries of runs of the given graphs that nobody makes now, those due for the longest time first.

        Guarantees:
            A delivery is given to one worker only, also when processes race, and counts as tried from then on. Of a run
            only the first one that is due is given out. Durable when it returns. An empty list if the worker's life is
            over. When the life of a worker ends, its deliveries may be claimed at once, and so may those that a call
            took that was canceled; each of them alone: by a worker that makes no other, and until it has ended, this
            worker gets none.
        """
        ...

    async def end_delivery(
        self, worker: WorkerKey, delivery: DeliveryKey, *, failure: bytes | None, due_at_ms: int | None
    ) -> bool:
        """Record what became of a delivery that this worker makes. Durable when it returns.

        Guarantees:
            Without `failure` it is done, and its row is gone. With it, the row belongs to nobody again and may be
            claimed from `due_at_ms` on; None gives it up, and the row stays. False, and nothing is changed, if the
            delivery is not this worker's (any more).
        """
        ...

    async def next_delivery_at(self, graphs: Sequence[GraphKey]) -> int | None:
        """Return when the earliest delivery of these graphs may be claimed that nobody makes now; None without any."""
        ...

    async def list_deliveries(self, run: RunKey) -> list[DeliveryRow]:
        """Return the deliveries of a run that have not succeeded, in the order in which they were recorded."""
        ...
