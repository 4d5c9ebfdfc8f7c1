"""Whether a test that crashes at each of the commits that it counted has done so."""

from __future__ import annotations

from outlast.testing.crash import most_missed

__all__ = ["check_struck"]


def check_struck(struck: int, commits: int) -> None:
    """Fail if more of the commits did not come again than `make crash` lets a workflow miss."""
    assert struck >= commits - most_missed(commits), f"struck at only {struck} of {commits} commits"
