"""Every error that Outlast raises, grouped by who can act on it.

::

    OutlastError
    ├── DefinitionError                 the author changes code (at commit or registration, never mid-run)
    │   ├── StepSignatureError
    │   ├── UnsupportedByEngineError
    │   └── UnattachedWorkflowError
    ├── InputError                      the caller changes data; names each path
    │   └── PayloadTooLargeError
    ├── OutputError                     the author changes a body: what it returned is not what it declares
    ├── StreamWriteError                the author changes a body: what it says while it runs cannot be taken
    ├── RunError                        about one run; carries its id
    │   ├── RunNotFoundError
    │   ├── RunExistsError
    │   ├── IdempotencyConflictError
    │   ├── UnreadableRunError
    │   ├── RunStateError
    │   ├── ResumeConflictError
    │   ├── ResumeTargetError
    │   ├── StepFailedError
    │   ├── RunCanceledError
    │   ├── RunTimedOutError
    │   ├── StartDeadlineError
    │   ├── NeverStartedError
    │   ├── PoisonRunError
    │   └── RunSuspendedError
    ├── ScheduleError                   about one schedule; carries its id
    │   ├── ScheduleNotFoundError
    │   ├── ScheduleExistsError
    │   └── ScheduleStateError
    ├── NonRetryableError               raised by authors: do not try this step again
    ├── StoreError                      the operator acts
    │   ├── StoreUnavailableError       may be tried again
    │   ├── SchemaVersionError
    │   ├── NetworkFilesystemError
    │   └── StaleRunError               internal: another worker owns the run now
    ├── ClientError                     a server refused, or its answer makes no sense
    │   └── ServerUnavailableError      may be tried again
    ├── DoorError
    ├── ForkedAppError
    ├── SealError                       sensitive data cannot be read here; the operator acts on the keys
    │   ├── MissingKeyError
    │   └── SealBrokenError
    └── ConfigurationError

Attributes come first and the message is derived from them, so that an error can be logged, compared and carried over
process boundaries. Recorded failures are never these objects: they are `FailureInfo` values (see `failures.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from outlast.shown import shown

__all__ = [
    "ClientError",
    "ConfigurationError",
    "DefinitionError",
    "DoorError",
    "ForkedAppError",
    "IdempotencyConflictError",
    "InputError",
    "MissingKeyError",
    "NetworkFilesystemError",
    "NeverStartedError",
    "NonRetryableError",
    "OutlastError",
    "OutputError",
    "PayloadTooLargeError",
    "PoisonRunError",
    "Problem",
    "ResumeConflictError",
    "ResumeTargetError",
    "RunCanceledError",
    "RunError",
    "RunExistsError",
    "RunNotFoundError",
    "RunStateError",
    "RunSuspendedError",
    "RunTimedOutError",
    "ScheduleError",
    "ScheduleExistsError",
    "ScheduleNotFoundError",
    "ScheduleStateError",
    "SchemaVersionError",
    "SealBrokenError",
    "SealError",
    "ServerUnavailableError",
    "StaleRunError",
    "StartDeadlineError",
    "StepFailedError",
    "StepSignatureError",
    "StoreError",
    "StoreUnavailableError",
    "StreamWriteError",
    "UnattachedWorkflowError",
    "UnreadableRunError",
    "UnsupportedByEngineError",
    "code_of",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a value."""

    path: str
    """Where in the value, as `items[2].price`; empty for the value as a whole."""
    reason: str
    """What is wrong there, as a lower-case clause without a full stop."""

    def __str__(self) -> str:
        """Render as `path: reason`, or the bare reason for the value as a whole."""
        return f"{shown(self.path)}: {self.reason}" if self.path else self.reason


class OutlastError(Exception):
    """Base of everything that Outlast raises on purpose."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without anybody changing anything."""


class DefinitionError(OutlastError):
    """A workflow or step is declared in a way that cannot work. Raised at commit or registration, never mid-run."""


class StepSignatureError(DefinitionError):
    """A function cannot be a step because of its parameters."""


class UnsupportedByEngineError(DefinitionError):
    """The engine lacks a capability that the workflow or the call needs."""

    def __init__(self, engine: str, capability: str, reason: str) -> None:
        super().__init__(engine, capability, reason)
        self.engine = engine
        """The engine, as `Temporal`."""
        self.capability = capability
        """What it lacks: a value of `Capability`."""
        self.reason = reason
        """Why, and what to do instead."""

    def __str__(self) -> str:
        """Render all three."""
        return f"the {self.engine} engine lacks '{self.capability}': {self.reason}"


class UnattachedWorkflowError(DefinitionError):
    """A workflow was used that no open app knows."""


class _ValueError(OutlastError):
    """Shared shape of the errors about one value: what it is, and what is wrong at which path."""

    def __init__(self, subject: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(subject, problems)
        self.subject = subject
        """What the value is, as `input_data` or `output of step 'resize'`."""
        self.problems = problems
        """Everything that is wrong with it, at least one."""

    def __str__(self) -> str:
        """Render all problems, each with its path."""
        return f"{self.subject} is not valid: " + "; ".join(str(problem) for problem in self.problems)


class InputError(_ValueError):
    """The caller handed over data that does not fit. Nothing was written."""


class PayloadTooLargeError(InputError):
    """A value is larger than the limit. Keep large data elsewhere and pass a reference to it."""

    def __init__(self, subject: str, size: int, limit: int) -> None:
        reason = f"{size:,} bytes as JSON, over the limit of {limit:,}; store it elsewhere and pass a reference"
        super().__init__(subject, (Problem("", reason),))
        self.args = (subject, size, limit)
        self.size = size
        """Size of the value as JSON, in bytes."""
        self.limit = limit
        """The limit, in bytes."""


class StreamWriteError(OutlastError):
    """What a body says with `ctx.write`, `ctx.progress` or `ctx.emit` cannot be taken; the message says why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        """Path of the step."""
        self.reason = reason
        """Why it cannot be taken."""

    def __str__(self) -> str:
        """Render both."""
        return f"step '{self.path}': {self.reason}"


class OutputError(_ValueError):
    """A body returned what its declaration does not allow, or what JSON cannot hold."""


class RunError(OutlastError):
    """About one run."""

    def __init__(self, run_id: str, message: str) -> None:
        super().__init__(run_id, message)
        self.run_id = run_id
        """Id of the run."""
        self.message = message
        """What happened and what to do, without the run id."""

    def __str__(self) -> str:
        """Render with the run id first."""
        return f"run {shown(self.run_id)}: {self.message}"


class RunNotFoundError(RunError):
    """No kept run has this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, "no such run in this store; check the id and that both sides use the same store")
        self.args = (run_id,)


class UnreadableRunError(RunError):
    """What is recorded of the run cannot be read by this process; the run itself is not affected."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(run_id, f"this version of outlast cannot read the run: {reason}")
        self.args = (run_id, reason)
        self.reason = reason
        """What cannot be read, and what to do."""


class RunExistsError(RunError):
    """A run with this id was started before. The first one is untouched."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, "already started; a run id can be started once. Read it with app.run(run_id)")
        self.args = (run_id,)


class IdempotencyConflictError(RunError):
    """The idempotency key stands for a run with other input. Nothing was recorded."""

    def __init__(self, run_id: str, key: str) -> None:
        super().__init__(run_id, f"holds the idempotency key '{key}' for other input; use another key for another wish")
        self.args = (run_id, key)
        self.key = key
        """The key."""


class RunStateError(RunError):
    """The verb does not fit the run's status."""

    def __init__(self, run_id: str, verb: str, status: str, advice: str = "") -> None:
        super().__init__(run_id, f"cannot {verb} while the run is {status}" + (f": {advice}" if advice else ""))
        self.args = (run_id, verb, status, advice)
        self.verb = verb
        """What was asked for."""
        self.status = status
        """The run's status at that moment."""
        self.advice = advice
        """What to do; may be empty."""


class StepFailedError(RunError):
    """The run ended `failed`. Raised by `RunResult.unwrap()`; the recorded failure is in `failure`."""

    def __init__(self, run_id: str, path: str, failure_type: str, failure_message: str) -> None:
        at = f"step '{path}'" if path else "the run"
        super().__init__(run_id, f"{at} failed with {failure_type}: {failure_message}")
        self.args = (run_id, path, failure_type, failure_message)
        self.path = path
        """Path of the node that failed; empty if the run failed as a whole."""
        self.failure_type = failure_type
        """Type name of the recorded failure."""
        self.failure_message = failure_message
        """Message of the recorded failure."""


class ResumeConflictError(RunError):
    """Somebody else resumed this suspension first; their data counts."""

    def __init__(self, run_id: str, path: str) -> None:
        super().__init__(run_id, f"'{path}' was resumed by somebody else first; read the run to see what became of it")
        self.args = (run_id, path)
        self.path = path
        """The suspended node."""


class ResumeTargetError(RunError):
    """It is not clear which suspension is meant, or there is none like that. Nothing was changed."""

    def __init__(self, run_id: str, message: str, is_ambiguous: bool = False) -> None:  # noqa: FBT001, FBT002 - kept in args
        super().__init__(run_id, message)
        self.args = (run_id, message, is_ambiguous)
        self.is_ambiguous = is_ambiguous
        """Whether there are several and the call did not say which one."""


class RunCanceledError(RunError):
    """The run was canceled. Raised by `RunResult.unwrap()`."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(run_id, f"canceled: {reason}" if reason else "canceled")
        self.args = (run_id, reason)
        self.reason = reason
        """The words of who canceled it; may be empty."""


class RunTimedOutError(RunError):
    """The run did not end in time. Raised by `RunResult.unwrap()`."""


class StartDeadlineError(RunError):
    """No worker began the run within its `start_within`. Raised by `RunResult.unwrap()`."""


class NeverStartedError(RunError):
    """The run was recorded to be started, and nobody started it in time. Raised by `RunResult.unwrap()`."""


class PoisonRunError(RunError):
    """Processes ended by themselves too often while they called bodies of this run. Raised by `RunResult.unwrap()`."""


class RunSuspendedError(RunError):
    """The run waits to be resumed. Raised by `RunResult.unwrap()`."""

    def __init__(self, run_id: str, paths: str) -> None:
        super().__init__(run_id, f"suspended at {paths}; resume it with run.resume(...)")
        self.args = (run_id, paths)
        self.paths = paths
        """The suspended nodes."""


class ScheduleError(OutlastError):
    """About one schedule."""

    def __init__(self, schedule_id: str, message: str) -> None:
        super().__init__(schedule_id, message)
        self.schedule_id = schedule_id
        """Id of the schedule."""
        self.message = message
        """What happened and what to do, without the id."""

    def __str__(self) -> str:
        """Render with the id first."""
        return f"schedule {shown(self.schedule_id)}: {self.message}"


class ScheduleNotFoundError(ScheduleError):
    """No schedule has this id."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(schedule_id, "no such schedule in this store; app.schedules.list() shows those there are")
        self.args = (schedule_id,)


class ScheduleExistsError(ScheduleError):
    """A schedule with this id exists. It is untouched."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(schedule_id, "exists already; choose another id, or change it with app.schedules.update")
        self.args = (schedule_id,)


class ScheduleStateError(ScheduleError):
    """The verb does not fit the schedule. Nothing was changed."""

    def __init__(self, schedule_id: str, verb: str, reason: str) -> None:
        super().__init__(schedule_id, f"cannot {verb} it: {reason}")
        self.args = (schedule_id, verb, reason)
        self.verb = verb
        """What was asked for."""
        self.reason = reason
        """Why not, and what to do instead."""


class NonRetryableError(OutlastError):
    """Raise it (or a subclass) in a step to fail without further attempts."""


class StoreError(OutlastError):
    """The store cannot do what it must; the operator has to act."""


class StoreUnavailableError(StoreError):
    """The store did not answer or refused to write. The same call may succeed later."""

    retryable: ClassVar[bool] = True


class SchemaVersionError(StoreError):
    """The file was written by a version of Outlast that this one cannot work with, or is not an Outlast file."""


class NetworkFilesystemError(StoreError):
    """The file lies on a network file system, where locks cannot be trusted."""


class StaleRunError(StoreError):
    """Another worker owns the run now; what this one wanted to write was dropped. Internal to engines."""


class ClientError(OutlastError):
    """A server answered what no other error stands for: a refused token, a foreign run, an answer of another program.

    What a server says of runs and values is raised as the same error as in process.
    """

    def __init__(self, status: int, code: str, message: str, request_id: str) -> None:
        super().__init__(status, code, message, request_id)
        self.status = status
        """The HTTP status; 0 if there was no answer."""
        self.code = code
        """What happened, for programs, as `scope-too-small`; empty if the server did not say."""
        self.message = message
        """What happened, in the server's words."""
        self.request_id = request_id
        """Under which the server's log knows the request; empty if it did not say."""

    def __str__(self) -> str:
        """Render with the status first."""
        name = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status or 'no answer'}: {self.message}{name}"


class ServerUnavailableError(ClientError):
    """The server did not answer, or cannot now. The same call may succeed later; a start may have been recorded."""

    retryable: ClassVar[bool] = True


class DoorError(OutlastError):
    """A sync door was used where it cannot work: in a running event loop, or after it was closed."""


class ForkedAppError(OutlastError):
    """The app was opened in the parent of this forked process.

    Start processes by spawning, or fork before an app is opened: SQLite cannot be used on both sides of a fork.
    """


class SealError(OutlastError):
    """A sensitive value cannot be read with the keys of this process. Nothing was changed."""


class MissingKeyError(SealError):
    """A sensitive value was sealed with a key that this process does not have."""

    def __init__(self, key_id: str) -> None:
        super().__init__(key_id)
        self.key_id = key_id
        """Id of the key."""

    def __str__(self) -> str:
        """Name the key and the way out."""
        return (
            f"a sensitive value was sealed with the key '{self.key_id}', which is not in the keyring; add it behind "
            "the current one in keys=Keyring(...) or OUTLAST_KEYS, and keep it until the runs of its time are deleted"
        )


class SealBrokenError(SealError):
    """A sensitive value was changed, moved here from another workflow, or sealed with another key of the same id."""

    def __init__(self, key_id: str, workflow_id: str) -> None:
        super().__init__(key_id, workflow_id)
        self.key_id = key_id
        """Id of the key that it names."""
        self.workflow_id = workflow_id
        """The workflow as whose value it was to be read."""

    def __str__(self) -> str:
        """Name the key and the way out."""
        return (
            f"a value of workflow '{self.workflow_id}' does not open with the key '{self.key_id}': it was changed, or "
            "comes from another workflow, or the keyring has another key under this id; give each key an id of its own"
        )


class ConfigurationError(OutlastError):
    """An option of the app has a value that cannot work."""


def code_of(error: type[OutlastError]) -> str:
    """Return the stable code by which an error is known over HTTP: the name of its class, as `run-not-found`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__.removesuffix("Error")).lower()
