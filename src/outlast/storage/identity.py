"""Idempotency keys: what a key is held for, and what a second start under it leads to. One table for all stores."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from outlast.core.status import RunStatus
from outlast.errors import IdempotencyConflictError, OutlastError, RunExistsError
from outlast.immutable import immutable
from outlast.values import encode

__all__ = ["Admission", "Held", "Identity", "Verdict", "WhenFinished", "WhileRunning", "judge", "request_to_cancel"]

WhileRunning: TypeAlias = Literal["return", "reject", "replace"]
"""What a start leads to while the run that holds the key has not ended."""
WhenFinished: TypeAlias = Literal["return", "reject", "rerun", "rerun_if_failed"]
"""What a start leads to when the run that holds the key has ended."""
Verdict: TypeAlias = Literal["start", "replace", "return"]
"""Record the new run; that, and cancel the one that holds the key; or hand out the one that holds it."""


@immutable(kw_only=True)
class Identity:
    """A key that stands for one run at a time."""

    scope: str
    """Within what the key is unique."""
    key: str
    """The key."""
    input_hash: bytes
    """What the same key must mean: a hash of what is to be run."""
    keep_ms: int
    """How long after the start the key is held at least."""
    while_running: WhileRunning = "return"
    """What to do if the run that holds the key has not ended."""
    when_finished: WhenFinished = "return"
    """What to do if it has."""


class Held(NamedTuple):
    """A key in the store, and the run that it stands for."""

    run_id: str
    """Id of the run."""
    status: RunStatus | None
    """Its status; None if it was deleted."""
    input_hash: bytes
    """What the key means."""
    expires_at_ms: int
    """Until when it is held."""


class Admission(NamedTuple):
    """What a start under a key led to."""

    run_id: str
    """The run that the key stands for now."""
    is_new: bool
    """Whether it was recorded by this call."""
    replaced: str | None = None
    """Id of the run that is to be canceled for it."""


def judge(held: Held | None, wanted: Identity, now_ms: int) -> Verdict | OutlastError:
    """Decide what a start leads to.

    A key is held for its time, and beyond that as long as its run has not ended.
    """
    if held is None:
        return "start"
    is_active = held.status is not None and not held.status.is_terminal
    if not is_active and held.expires_at_ms <= now_ms:
        return "start"
    if held.input_hash != wanted.input_hash:
        return IdempotencyConflictError(held.run_id, wanted.key)
    policy = wanted.while_running if is_active else wanted.when_finished
    if held.status is None or policy == "reject":
        return RunExistsError(held.run_id)
    if policy == "replace":
        return "replace"
    is_rerun = policy == "rerun" or (policy == "rerun_if_failed" and held.status is not RunStatus.SUCCESS)
    return "start" if is_rerun else "return"


def request_to_cancel(*, execution: int, run_id: str) -> tuple[str, bytes]:
    """Return topic and body of the inbox row that cancels a run because another one replaces it."""
    return f"cancel:{execution}", encode({"reason": f"replaced by run {run_id} under the same idempotency key"})
