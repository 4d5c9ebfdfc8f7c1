"""How long runs are kept: deleting them, forgetting that they were there, and giving room back."""

from __future__ import annotations

from typing import Protocol

from outlast.core.status import RunStatus
from outlast.errors import OutlastError, RunNotFoundError, RunStateError
from outlast.immutable import immutable

__all__ = ["RunKeeper", "Sweep", "refuse_to_delete"]


@immutable(kw_only=True)
class Sweep:
    """What one step of a sweep did."""

    deleted: int = 0
    """How many runs it deleted."""
    forgotten: int = 0
    """How many ids of deleted runs it set free."""
    silenced: int = 0
    """How many events it removed that bodies of kept runs had said."""
    freed_bytes: int = 0
    """By how much it made the store smaller."""
    is_done: bool = False
    """Whether nothing is left to do for now."""


class RunKeeper(Protocol):
    """What a store does to keep no more than it must.

    A deleted run leaves its id behind: no read finds the run, `post` raises `RunNotFoundError`, and `insert` settles
    with `RunExistsError`, until a sweep forgets the id. Its idempotency key is held until then or its own end.
    """

    async def delete_run(self, run_id: str, *, now_ms: int) -> None:
        """Delete a run that has ended: its journal, inbox and tags. Durable when it returns.

        Guarantees:
            From the commit on, nobody finds the run. Whoever still holds it for something else can write nothing.

        Raises:
            RunNotFoundError: No run has this id.
            RunStateError: The run has not ended, something is asked of it, or its outbox is not empty. Nothing was
                changed.
            StoreUnavailableError: Nothing was changed, or it is not known; try again.
        """
        ...

    async def sweep(
        self,
        *,
        ended_before_ms: int | None,
        deleted_before_ms: int,
        said_before_ms: int | None = None,
        now_ms: int,
    ) -> Sweep | None:
        """Do one small step of what is left to do: delete old runs, forget ids, remove what was said, give room back.

        Guarantees:
            At most one open store on this machine sweeps, from its first step until it is closed or its process ends;
            the others get None. No step holds up other writes for longer than a few milliseconds of work. A run is
            deleted only if its latest event is older than `ended_before_ms` (None: no run is), it has ended, nothing is
            asked of it, no idempotency key is held for it at `now_ms`, and its outbox is empty. An id is forgotten only
            if its run was deleted before `deleted_before_ms`. What bodies of a run said is removed only if nobody owns
            the run and its latest event is older than `said_before_ms` (None: it is kept as long as its run). In the
            place of the last event that was removed stands `removal_of` it, so that every reader sees that something is
            missing; facts stay, and no event changes its place.

        Raises:
            StoreUnavailableError: This step did nothing, or it is not known; the next one goes on.
        """
        ...


def refuse_to_delete(run_id: str, status: RunStatus | None, *, is_asked: bool, has_outbox: bool) -> OutlastError | None:
    """Return why a run cannot be deleted; None if it can. `status` is None if there is no such run."""
    if status is None:
        return RunNotFoundError(run_id)
    if not status.is_terminal:
        return RunStateError(run_id, "delete", status.value, "cancel it first")
    if is_asked:
        return RunStateError(run_id, "delete", status.value, "something is asked of it; wait until that is done")
    if has_outbox:
        return RunStateError(run_id, "delete", status.value, "its hooks are not done; wait for them")
    return None
