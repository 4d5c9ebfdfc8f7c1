"""Requests to the server: how long one may take, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from outlast.errors import RunExistsError, RunNotFoundError, StoreError, StoreUnavailableError

__all__ = ["RPC_TIMEOUT", "is_cut_off", "is_missing", "translated"]

RPC_TIMEOUT: Final = timedelta(seconds=10)
"""How long one request may take."""

_TRANSIENT: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)


def is_missing(error: RPCError) -> bool:
    """Say whether there is no such workflow."""
    return error.status is RPCStatusCode.NOT_FOUND


def is_cut_off(error: RPCError) -> bool:
    """Say whether the server lost the place up to which a history was read: then it is read again."""
    return error.status is RPCStatusCode.INVALID_ARGUMENT and "branch token" in error.message


@contextmanager
def translated(run_id: str = "") -> Generator[None]:
    """Raise the errors of this package for those of Temporal's client.

    Raises:
        RunExistsError: The workflow was started before.
        RunNotFoundError: There is no such workflow.
        StoreUnavailableError: The server did not answer; the same call may succeed later.
        StoreError: The server refuses; the message says why.
    """
    try:
        yield
    except WorkflowAlreadyStartedError as error:
        raise RunExistsError(run_id) from error
    except RPCError as error:
        if is_missing(error) and run_id:
            raise RunNotFoundError(run_id) from error
        if error.status in _TRANSIENT:
            raise StoreUnavailableError(f"Temporal did not answer: {error.message}") from error
        raise StoreError(f"Temporal refused ({error.status.name.lower()}): {error.message}") from error
