"""Faults at the commit seam: the places where a crash makes a difference, hit one by one and never by chance.

Run a scenario once with `CountCommits`, then once for every commit and every mode with `KillAt`, each time open the
store again and compare. What survives all of them survives every crash between two commits.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Literal, TypeAlias

__all__ = ["CountCommits", "FaultMode", "KillAt", "Killed"]

FaultMode: TypeAlias = Literal["before", "after", "lost", "refused"]
"""Where to strike: the process dies `before` the commit is durable or `after` it; or it lives on, and only the answer
is `lost`, or the commit is `refused`, as by a full disk."""


class Killed(BaseException):
    """Stands for the death of the process that commits. Not an `Exception`: nothing may go on after it."""


class CountCommits:
    """A commit seam that only counts. Safe to use from any thread."""

    def __init__(self) -> None:
        self.commits = 0
        """How many commits were tried so far."""
        self._lock = threading.Lock()

    @property
    def struck(self) -> bool:
        """Always False: this seam does no harm."""
        return False

    def before_commit(self) -> None:
        """Count."""
        with self._lock:
            self.commits += 1

    def after_commit(self) -> None:
        """Do nothing."""


class KillAt:
    """A commit seam that strikes once, at the n-th commit. Safe to use from any thread."""

    def __init__(self, commit: int, mode: FaultMode, *, on_strike: Callable[[], object] | None = None) -> None:
        self.on_strike = on_strike
        """Called at the strike, on the thread that commits, just before the exception is raised. It must not call the
        store."""
        self._commit = commit
        self._mode: FaultMode = mode
        self._commits = 0
        self._struck = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Render as it was made, for the names of test cases."""
        return f"KillAt({self._commit}, {self._mode!r})"

    @property
    def commits(self) -> int:
        """How many commits were tried so far."""
        return self._commits

    @property
    def is_deadly(self) -> bool:
        """Whether the process dies of it; else it lives on."""
        return self._mode in ("before", "after")

    @property
    def calls_again(self) -> bool:
        """Whether an outcome may be gone, so that its body is called once more."""
        return self._mode != "lost"

    @property
    def struck(self) -> bool:
        """Whether the fault has happened."""
        return self._struck

    def before_commit(self) -> None:
        """Count, and strike if it is time.

        Raises:
            Killed: The process dies before the n-th commit is durable.
            OSError: The n-th commit is refused, and the process lives on.
        """
        with self._lock:
            self._commits += 1
        if self._mode == "before" and self._is_due():
            raise Killed(f"killed before commit {self._commit}")
        if self._mode == "refused" and self._is_due():
            raise OSError(errno.ENOSPC, f"no room for commit {self._commit}")

    def after_commit(self) -> None:
        """Strike if it is time.

        Raises:
            Killed: The process dies once the n-th commit is durable.
            OSError: The answer to the n-th commit is lost, and the process lives on.
        """
        if self._mode in ("before", "refused") or not self._is_due():
            return
        if self._mode == "lost":
            raise OSError(f"answer to commit {self._commit} lost")
        raise Killed(f"killed after commit {self._commit}")

    def _is_due(self) -> bool:
        with self._lock:
            if self._struck or self._commits != self._commit:
                return False
            self._struck = True
        if self.on_strike is not None:
            self.on_strike()
        return True
