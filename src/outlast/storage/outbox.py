"""The outbox: what must happen after a commit, recorded by that commit. A part of the contract of `base.py`.

A row is *due* until it is delivered, which removes it, or given up, which keeps it with the reason. A due row belongs
to nobody or to the worker that delivers it. Of one run only the first due row is ever given out, so that the deliveries
of a run happen in order and one at a time. A run with due rows must be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from outlast.immutable import immutable
from outlast.storage.keys import DeliveryKey, GraphKey, RunKey, WorkerKey

__all__ = ["Delivery", "DeliveryRow", "NewDelivery", "OutboxStore"]


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
    """Why the latest try failed, as JSON."""


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
            took that was canceled.
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
