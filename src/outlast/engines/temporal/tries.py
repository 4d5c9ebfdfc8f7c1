"""What the server knows of calls of hooks that are still to be made, and what histories do not tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC

from temporalio.api.workflow.v1 import PendingActivityInfo

from outlast.engines.temporal.flow import TELL
from outlast.failures import FailureInfo, failure_to_json
from outlast.instant import to_ms
from outlast.storage.outbox import DeliveryRow
from outlast.values import encode

__all__ = ["with_tries"]


def with_tries(rows: Sequence[DeliveryRow], pending: Iterable[PendingActivityInfo]) -> list[DeliveryRow]:
    """Return the rows with what became of the calls so far. Hooks are told one by one, so it is one of them."""
    now = next((each for each in pending if each.activity_type.name == TELL), None)
    return [_with_tries(row, now) if now is not None and _is_of(row, now) else row for row in rows]


def _is_of(row: DeliveryRow, pending: PendingActivityInfo) -> bool:
    return row.due_at_ms is not None and pending.activity_id == f"?{row.kind}:{row.seq}"


def _with_tries(row: DeliveryRow, pending: PendingActivityInfo) -> DeliveryRow:
    if not pending.HasField("last_failure"):
        return replace(row, tries=pending.attempt if pending.HasField("last_started_time") else 0)
    last = pending.last_failure
    failure = FailureInfo(type=last.application_failure_info.type or "CallLostError", message=last.message)
    due = row.due_at_ms
    if pending.HasField("next_attempt_schedule_time"):
        due = to_ms(pending.next_attempt_schedule_time.ToDatetime().replace(tzinfo=UTC))
    return replace(row, tries=pending.attempt - 1, due_at_ms=due, failure=encode(failure_to_json(failure)))
