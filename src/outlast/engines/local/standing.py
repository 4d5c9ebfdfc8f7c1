"""Who works, or could work, on a run: what the store and this process know of it besides the journal."""

from __future__ import annotations

from outlast.core.status import RunStatus
from outlast.engines.base import Slots, Standing
from outlast.engines.local.limits import words_of
from outlast.engines.local.program import ProgramShelf
from outlast.engines.local.worker import Worker
from outlast.storage.base import RunRow, Store

__all__ = ["standing_of"]


async def standing_of(
    row: RunRow, *, store: Store, shelf: ProgramShelf, worker: Worker | None, now_ms: int
) -> Standing:
    """Gather what `why` needs.

    Args:
        row: The run.
        store: Where it is kept.
        shelf: The graphs.
        worker: The worker of this process, if it has one: of its slots nobody else knows.
        now_ms: The time.
    """
    workers = await store.list_workers()
    owner = next((each for each in workers if each.key == row.owner), None)
    words = None
    if owner is not None:
        words = f"worker {owner.key} (process {owner.pid})"
    knowing = [each for each in workers if each.is_alive and row.workflow_id in each.workflows]
    missing = await shelf.missing_of(row, knowing)
    wait = await store.find_wait(row.key) if row.is_limited else None
    is_ahead = row.status is RunStatus.PENDING and (row.ready_at_ms or 0) > now_ms
    return Standing(
        owner=words,
        is_owner_dead=owner is not None and not owner.is_alive,
        candidates=sum(not names for names in missing),
        missing=min(missing, key=len, default=()),
        requests=tuple(request.kind for request in await store.list_requests(row.key)),
        starts_at_ms=row.ready_at_ms if is_ahead else None,
        hold=await store.find_hold(row.key),
        ready_at_ms=row.ready_at_ms,
        turn=None if wait is None else words_of(wait, now_ms),
        slots=None if worker is None or worker.key != row.owner else Slots(*worker.slots),
    )
