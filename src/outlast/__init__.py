"""Background workflows for Python that outlast the process that started them."""

from __future__ import annotations

from outlast.app import Outlast
from outlast.core.status import RunStatus, StepStatus
from outlast.errors import (
    ConfigurationError,
    DefinitionError,
    ForkedAppError,
    InputError,
    NetworkFilesystemError,
    NonRetryableError,
    OutlastError,
    OutputError,
    PayloadTooLargeError,
    Problem,
    ResumeConflictError,
    ResumeTargetError,
    RunCanceledError,
    RunError,
    RunExistsError,
    RunNotFoundError,
    RunStateError,
    RunSuspendedError,
    SchemaVersionError,
    StepFailedError,
    StepSignatureError,
    StoreError,
    StoreUnavailableError,
    UnattachedWorkflowError,
    UnsupportedByEngineError,
)
from outlast.failures import FailureInfo
from outlast.graph.context import ReadContext, StepContext
from outlast.graph.step import Retry, Step, step
from outlast.graph.workflow import CommittedWorkflow, Workflow
from outlast.results import CancelOutcome, RunResult, StepResult
from outlast.run import Run, RunHandle, StartedRun
from outlast.values import JsonValue

__all__ = [
    "CancelOutcome",
    "CommittedWorkflow",
    "ConfigurationError",
    "DefinitionError",
    "FailureInfo",
    "ForkedAppError",
    "InputError",
    "JsonValue",
    "NetworkFilesystemError",
    "NonRetryableError",
    "Outlast",
    "OutlastError",
    "OutputError",
    "PayloadTooLargeError",
    "Problem",
    "ReadContext",
    "ResumeConflictError",
    "ResumeTargetError",
    "Retry",
    "Run",
    "RunCanceledError",
    "RunError",
    "RunExistsError",
    "RunHandle",
    "RunNotFoundError",
    "RunResult",
    "RunStateError",
    "RunStatus",
    "RunSuspendedError",
    "SchemaVersionError",
    "StartedRun",
    "Step",
    "StepContext",
    "StepFailedError",
    "StepResult",
    "StepSignatureError",
    "StepStatus",
    "StoreError",
    "StoreUnavailableError",
    "UnattachedWorkflowError",
    "UnsupportedByEngineError",
    "Workflow",
    "step",
]
