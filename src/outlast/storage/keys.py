"""The store's own numbers. They never leave the process and are never used for anything else."""

from __future__ import annotations

from typing import NewType

__all__ = ["DeliveryKey", "GraphKey", "InboxKey", "RunKey", "ScheduleKey", "WorkerKey"]

RunKey = NewType("RunKey", int)
"""The store's own number for a run; never leaves the process."""
GraphKey = NewType("GraphKey", int)
"""The store's own number for a graph document."""
WorkerKey = NewType("WorkerKey", int)
"""The store's own number for one life of a worker; never used twice."""
InboxKey = NewType("InboxKey", int)
"""The store's own number for an inbox row; later rows have larger numbers."""
DeliveryKey = NewType("DeliveryKey", int)
"""The store's own number for an outbox row; later rows have larger numbers, and none is used twice."""
ScheduleKey = NewType("ScheduleKey", int)
"""The store's own number for a schedule; later ones have larger numbers, and none is used twice."""
