"""What Temporal's client raises, as the errors of this package."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from outlast.errors import RunExistsError, RunNotFoundError, StoreError, StoreUnavailableError

__all__ = ["translated"]

_TRANSIENT = frozenset(
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
        if error.status is RPCStatusCode.NOT_FOUND and run_id:
            raise RunNotFoundError(run_id) from error
        if error.status in _TRANSIENT:
            raise StoreUnavailableError(f"Temporal did not answer: {error.message}") from error
        raise StoreError(f"Temporal refused ({error.status.name.lower()}): {error.message}") from error
