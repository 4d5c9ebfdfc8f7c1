"""What the person at the terminal can mend: one sentence, the next step, and an exit code. Never a traceback."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from outlast.cli.exits import Exit
from outlast.errors import (
    ClientError,
    ConfigurationError,
    DefinitionError,
    InputError,
    OutlastError,
    ResumeConflictError,
    ResumeTargetError,
    RunError,
    RunExistsError,
    RunNotFoundError,
    RunStateError,
    ScheduleError,
    ScheduleNotFoundError,
    ServerUnavailableError,
    StoreError,
)

__all__ = ["Complaint", "complaint_of"]


class Complaint(Exception):  # noqa: N818 - it is said to a person, and raised to say it
    """A command cannot do what was asked, and the caller can do something about it."""

    def __init__(self, message: str, *, hint: str = "", exit: Exit = Exit.USAGE, code: str = "usage") -> None:  # noqa: A002
        super().__init__(message)
        self.message = message
        """What is wrong."""
        self.hint = hint
        """The next step; may be empty if the message says it."""
        self.exit = exit
        """How the command ends."""
        self.code = code
        """What is wrong, for programs; the codes of the HTTP API, and some of the command line's own."""


_EXITS: Final[Mapping[type[OutlastError], Exit]] = {
    RunNotFoundError: Exit.NOT_FOUND,
    RunExistsError: Exit.REFUSED,
    RunStateError: Exit.REFUSED,
    ResumeConflictError: Exit.REFUSED,
    ResumeTargetError: Exit.REFUSED,
    RunError: Exit.REFUSED,
    ScheduleNotFoundError: Exit.NOT_FOUND,
    ScheduleError: Exit.REFUSED,
    InputError: Exit.INVALID,
    StoreError: Exit.UNAVAILABLE,
    ConfigurationError: Exit.UNAVAILABLE,
    ClientError: Exit.UNAVAILABLE,
    DefinitionError: Exit.USAGE,
    OutlastError: Exit.FAULT,
}


def complaint_of(error: OutlastError) -> Complaint:
    """Return how the command line says an error of the library."""
    exit_code = next(_EXITS[kind] for kind in type(error).__mro__ if kind in _EXITS)
    code = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__.removesuffix("Error")).lower()
    message = str(error)
    if isinstance(error, ClientError) and error.code == "workflow-not-found":
        hint = "see which have runs there: outlast workflow list, with the same --url"
        return Complaint("the server has no such workflow", hint=hint, exit=Exit.NOT_FOUND, code=error.code)
    if isinstance(error, RunNotFoundError):
        message = f"run {error.run_id}: no such run here"
    if isinstance(error, ScheduleNotFoundError):
        message = f"schedule {error.schedule_id}: no such schedule here"
    if isinstance(error, RunExistsError):
        message = f"run {error.run_id}: already started; a run id can be started once"
    return Complaint(message, hint=_hint(error), exit=exit_code, code=code)


def _hint(error: OutlastError) -> str:
    match error:
        case RunNotFoundError():
            return "see which runs there are: outlast run list, with the same --store, --app or --url"
        case ScheduleNotFoundError():
            return "see which schedules there are: outlast schedule list, with the same --store, --app or --url"
        case RunExistsError() | ResumeConflictError() | RunStateError(status="success" | "failed" | "canceled"):
            return f"look at it: outlast run show {error.run_id}"
        case RunStateError():
            return f"ask what it does: outlast run why {error.run_id}"
        case ResumeTargetError():
            return "name one: --step PATH, --label LABEL or --index N"
        case InputError(subject="input_data" | "initial_state" | "request_context" | "resume_data"):
            return "see what fits: outlast workflow show WORKFLOW"
        case ServerUnavailableError():
            return "check the address, and that something serves there: outlast serve APP"
        case _:
            return ""
