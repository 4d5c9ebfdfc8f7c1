"""When a failed attempt is made again (rules 9.1 and 9.2)."""

from __future__ import annotations

from outlast.failures import FailureInfo
from outlast.graph.nodes import RetryRule

__all__ = ["retry_at"]


def retry_at(rule: RetryRule, *, attempt: int, failure: FailureInfo, at_ms: int) -> int | None:
    """Return when the attempt after this failed one is due, in milliseconds; None if there is none.

    The answer is recorded with the failure, so that a crash or a restart never computes it again.
    """
    if not failure.is_retryable or attempt >= rule.limit:
        return None
    return at_ms + rule.delay_ms
