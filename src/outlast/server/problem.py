"""What goes wrong, as answers: a status, a text, a stable code, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from fastapi import HTTPException
from starlette.responses import Response

from outlast.errors import (
    ForkedAppError,
    InputError,
    OutlastError,
    PayloadTooLargeError,
    Problem,
    ResumeConflictError,
    ResumeTargetError,
    RunError,
    RunExistsError,
    RunNotFoundError,
    ScheduleError,
    ScheduleNotFoundError,
    StoreError,
    UnattachedWorkflowError,
    UnsupportedByEngineError,
    code_of,
)
from outlast.shown import shown
from outlast.values import InvalidValueError, JsonValue, encode

__all__ = ["Refusal", "answer_problem", "issues_of", "problem_of", "render_body"]


T = TypeVar("T")


class Refusal(HTTPException):
    """A request is refused, in the one form that refusals have.

    An `HTTPException`, because while a body is read FastAPI lets only these through.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        code: str,
        hint: str = "",
        issues: Sequence[Problem] = (),
        details: JsonValue = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, text, headers)
        self.text = text
        """What happened, for people."""
        self.code = code
        """What happened, for programs; never changes."""
        self.hint = hint
        """What to do."""
        self.issues = issues
        """What is wrong at which place of the request."""
        self.details = details
        """What else a client needs to raise the same error."""


_STATUSES: Final[Mapping[type[OutlastError], int]] = {
    PayloadTooLargeError: 413,
    InputError: 400,
    RunNotFoundError: 404,
    RunError: 409,
    ScheduleNotFoundError: 404,
    ScheduleError: 409,
    UnsupportedByEngineError: 400,
    UnattachedWorkflowError: 503,
    ForkedAppError: 503,
    StoreError: 503,
}
_HINTS: Final[Mapping[type[OutlastError], str]] = {
    PayloadTooLargeError: "store large data elsewhere and pass a reference to it",
    RunExistsError: "a run id can be started once; observe the run, or start another one",
    ResumeConflictError: "read the run to see what became of it",
    StoreError: "try again",
}
_SUBJECTS: Final[Mapping[str, str]] = {
    "input_data": "input data",
    "initial_state": "initial data",
    "resume_data": "resume data",
    "request_context": "request context",
}


def problem_of(error: OutlastError) -> Refusal | None:
    """Return how an error of the app is answered; None if it is a fault of the server and its text stays here."""
    status = _of_class(_STATUSES, error)
    if status is None:
        return None
    if isinstance(error, ResumeTargetError) and error.is_ambiguous:
        status = 400
    return Refusal(
        status,
        _text_of(error),
        code=code_of(type(error)),
        hint=_of_class(_HINTS, error) or "",
        issues=error.problems if isinstance(error, InputError) else (),
        details=_details_of(error),
    )


def answer_problem(refusal: Refusal, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer."""
    headers = refusal.headers if headers is None else headers
    return Response(render_body(refusal), refusal.status_code, headers=headers, media_type="application/json")


def render_body(refusal: Refusal) -> bytes:
    """Return the body of the answer. Keys without a value are left out."""
    body: dict[str, JsonValue] = {"error": refusal.text, "code": refusal.code}
    if refusal.issues:
        body["issues"] = issues_of(refusal.issues)
    if refusal.hint:
        body["hint"] = refusal.hint
    if refusal.details is not None:
        body["details"] = refusal.details
    try:
        return encode(body)
    except InvalidValueError:  # it quotes what is no text; as escapes JSON can say even that
        return json.dumps(body).encode()


def issues_of(problems: Sequence[Problem]) -> list[JsonValue]:
    """Return problems as the wire has them."""
    return [{"field": shown(each.path) or "root", "message": each.reason} for each in problems]


def _text_of(error: OutlastError) -> str:
    if isinstance(error, RunNotFoundError):
        return "Workflow run not found"
    if isinstance(error, ScheduleNotFoundError):
        return "Schedule not found"
    if isinstance(error, InputError) and not isinstance(error, PayloadTooLargeError):
        lines = (f"- {shown(each.path) or 'root'}: {each.reason}" for each in error.problems)
        return f"Invalid {_SUBJECTS.get(error.subject, error.subject)}: \n" + "\n".join(lines)
    return str(error)


def _details_of(error: OutlastError) -> JsonValue:
    """Return what makes the same error again, in the order of its arguments."""
    if isinstance(error, InputError) and not isinstance(error, PayloadTooLargeError):
        problems: list[JsonValue] = [[each.path, each.reason] for each in error.problems]
        return [error.subject, problems]
    return list(error.args)


def _of_class(table: Mapping[type[OutlastError], T], error: OutlastError) -> T | None:
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)
