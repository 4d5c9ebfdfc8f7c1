"""Background workflows for Python that outlast the process that started them."""

from __future__ import annotations

from outlast.app import Outlast
from outlast.beginning import OutputOptions, Run
from outlast.checking import Finding, FindingKind
from outlast.core.status import RunStatus, StepStatus
from outlast.errors import (
    ClientError,
    ConfigurationError,
    DefinitionError,
    DoorError,
    ForkedAppError,
    IdempotencyConflictError,
    InputError,
    MissingKeyError,
    NetworkFilesystemError,
    NeverStartedError,
    NonRetryableError,
    OutlastError,
    OutputError,
    PayloadTooLargeError,
    PoisonRunError,
    Problem,
    ResumeConflictError,
    ResumeTargetError,
    RunCanceledError,
    RunError,
    RunExistsError,
    RunNotFoundError,
    RunStateError,
    RunSuspendedError,
    RunTimedOutError,
    ScheduleError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    ScheduleStateError,
    SchemaVersionError,
    SealBrokenError,
    SealError,
    ServerUnavailableError,
    StartDeadlineError,
    StepFailedError,
    StepSignatureError,
    StoreError,
    StoreUnavailableError,
    StreamWriteError,
    UnattachedWorkflowError,
    UnreadableRunError,
    UnsupportedByEngineError,
)
from outlast.failures import FailureInfo
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.context import ReadContext, StepContext
from outlast.graph.hook import StartInfo
from outlast.graph.limit import Concurrency, RateLimit
from outlast.graph.reducer import Add, Append, Extend, Max, MergeDict, Min, Union
from outlast.graph.retry import Retry
from outlast.graph.sensitive import Sensitive
from outlast.graph.source import from_context, from_init, from_input, from_state, from_step, template, value
from outlast.graph.state import DELETE
from outlast.graph.step import Step, step
from outlast.graph.workflow import Workflow
from outlast.keys import Keyring
from outlast.reading import RunDetails, RunInfo, RunPage
from outlast.results import CancelOutcome, HookDelivery, RunResult, StepResult
from outlast.run import RunHandle, StartedRun
from outlast.schedule_info import ScheduleInfo, SchedulePage, Trigger
from outlast.scheduling.schedule import Schedule
from outlast.starting import Idempotency
from outlast.stream import RunStream, StreamEvent
from outlast.trace import TraceContext
from outlast.tracing import TracingOptions
from outlast.values import JsonValue

__all__ = [
    "DELETE",
    "Add",
    "Append",
    "CancelOutcome",
    "ClientError",
    "CommittedWorkflow",
    "Concurrency",
    "ConfigurationError",
    "DefinitionError",
    "DoorError",
    "Extend",
    "FailureInfo",
    "Finding",
    "FindingKind",
    "ForkedAppError",
    "HookDelivery",
    "Idempotency",
    "IdempotencyConflictError",
    "InputError",
    "JsonValue",
    "Keyring",
    "Max",
    "MergeDict",
    "Min",
    "MissingKeyError",
    "NetworkFilesystemError",
    "NeverStartedError",
    "NonRetryableError",
    "Outlast",
    "OutlastError",
    "OutputError",
    "OutputOptions",
    "PayloadTooLargeError",
    "PoisonRunError",
    "Problem",
    "RateLimit",
    "ReadContext",
    "ResumeConflictError",
    "ResumeTargetError",
    "Retry",
    "Run",
    "RunCanceledError",
    "RunDetails",
    "RunError",
    "RunExistsError",
    "RunHandle",
    "RunInfo",
    "RunNotFoundError",
    "RunPage",
    "RunResult",
    "RunStateError",
    "RunStatus",
    "RunStream",
    "RunSuspendedError",
    "RunTimedOutError",
    "Schedule",
    "ScheduleError",
    "ScheduleExistsError",
    "ScheduleInfo",
    "ScheduleNotFoundError",
    "SchedulePage",
    "ScheduleStateError",
    "SchemaVersionError",
    "SealBrokenError",
    "SealError",
    "Sensitive",
    "ServerUnavailableError",
    "StartDeadlineError",
    "StartInfo",
    "StartedRun",
    "Step",
    "StepContext",
    "StepFailedError",
    "StepResult",
    "StepSignatureError",
    "StepStatus",
    "StoreError",
    "StoreUnavailableError",
    "StreamEvent",
    "StreamWriteError",
    "TraceContext",
    "TracingOptions",
    "Trigger",
    "UnattachedWorkflowError",
    "Union",
    "UnreadableRunError",
    "UnsupportedByEngineError",
    "Workflow",
    "from_context",
    "from_init",
    "from_input",
    "from_state",
    "from_step",
    "step",
    "template",
    "value",
]
