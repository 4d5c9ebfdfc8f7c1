"""Exit codes: a promise to scripts, written down in docs/reference/cli.md."""

from __future__ import annotations

from enum import IntEnum

from outlast.core.status import RunStatus

__all__ = ["Exit", "exit_of"]


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    """It did what was asked; a run that was waited for succeeded."""
    FAULT = 1
    """A fault in Outlast, or a signal of the shell: nothing that the caller could mend."""
    USAGE = 2
    """The command line is wrong, or the app that it names cannot be loaded."""
    NOT_FOUND = 3
    """There is no such run, workflow, schedule or file."""
    REFUSED = 4
    """The verb does not fit: of the run's status, of a taken id, or because somebody else was faster."""
    INVALID = 5
    """Data that was handed over does not fit; nothing was recorded."""
    UNAVAILABLE = 6
    """The store or the server cannot be used, or did not answer."""
    NOT_INSTALLED = 7
    """An optional part of Outlast is not installed."""
    FINDINGS = 8
    """`check` found runs that the new code would not carry on as before."""
    FAILED = 10
    """The run that was waited for failed."""
    CANCELED = 11
    """The run that was waited for was canceled."""
    SUSPENDED = 12
    """The run that was waited for waits to be resumed."""
    PAUSED = 13
    """The run that was waited for is paused between two steps."""
    NOT_ENDED = 14
    """The time to wait was over before the run came to rest. It goes on."""
    INTERRUPTED = 130
    """Ctrl-C. A run that was waited for goes on."""
    BROKEN_PIPE = 141
    """Whoever read the output went away."""


def exit_of(status: RunStatus) -> Exit:
    """Return the exit code of a command that waited for a run."""
    return {
        RunStatus.SUCCESS: Exit.DONE,
        RunStatus.FAILED: Exit.FAILED,
        RunStatus.CANCELED: Exit.CANCELED,
        RunStatus.SUSPENDED: Exit.SUSPENDED,
        RunStatus.PAUSED: Exit.PAUSED,
    }.get(status, Exit.NOT_ENDED)
