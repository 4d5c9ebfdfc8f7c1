"""When a failed attempt is made again (rules 9.1 and 9.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from outlast.failures import FailureInfo
from outlast.graph.retry import LONGEST_DELAY_MS, RetryRule

__all__ = ["retry_at"]

_MANY_ATTEMPTS = 1_000_000_000
"""More change no pause: any factor above 1 that can be written has long reached the longest one."""


def retry_at(
    rule: RetryRule,
    *,
    run_id: str,
    path: str,
    attempt: int,
    first_at_ms: int,
    at_ms: int,
    failure: FailureInfo,
) -> int | None:
    """Return when the attempt after this failed one is due, in milliseconds; None if there is none.

    The answer depends on nothing but the arguments and is recorded with the failure, so that neither a crash nor a
    restart moves it. It is never before `at_ms`.

    Args:
        run_id: With `path` and `attempt` it decides how much of the pause jitter leaves out.
        path: Path of the step.
        attempt: The attempt that failed; 0 for the first.
        first_at_ms: When the first attempt began.
        at_ms: When this one failed.
    """
    if attempt >= rule.limit or not _may_retry(rule, failure):
        return None
    due_at_ms = at_ms + _pause_ms(rule, f"{run_id}\0{path}\0{attempt}", attempt)
    if rule.max_elapsed_ms is not None and due_at_ms - first_at_ms > rule.max_elapsed_ms:
        return None
    return due_at_ms


def _may_retry(rule: RetryRule, failure: FailureInfo) -> bool:
    if not failure.is_retryable or _is_one_of(rule.stop_on, failure):
        return False
    return not rule.retry_on or _is_one_of(rule.retry_on, failure)


def _is_one_of(names: Collection[str], failure: FailureInfo) -> bool:
    """Whether `except` with these types would have caught it."""
    if failure.bases:
        return any(name in failure.bases for name in names)
    # A failure without its base classes was not raised by code, or written before they were: its own name has to do.
    return any(name == failure.type or name.endswith(f".{failure.type}") for name in names)


def _pause_ms(rule: RetryRule, seed: str, attempt: int) -> int:
    longest = LONGEST_DELAY_MS if rule.max_delay_ms is None else min(rule.max_delay_ms, LONGEST_DELAY_MS)
    if rule.delay_ms <= 0 or longest <= 0:
        return 0
    try:
        grown = rule.delay_ms * rule.backoff ** min(attempt, _MANY_ATTEMPTS)
    except OverflowError:
        grown = longest
    pause = min(longest, grown)  # also when it is infinite
    return max(0, int(pause * (1 - rule.jitter * _share_of(seed))))


def _share_of(seed: str) -> float:
    """Return a number from 0 to below 1 that looks random and is the same on each machine and at each time."""
    digest = hashlib.blake2b(seed.encode("utf-8", "replace"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
