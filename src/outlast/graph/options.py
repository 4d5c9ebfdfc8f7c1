"""Options that several signatures share: those of a workflow that do not decide its type, and those of a start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from outlast.graph.hook import StartInfo
from outlast.graph.limit import Concurrency, RateLimit
from outlast.graph.retry import Retry
from outlast.scheduling.schedule import Schedule
from outlast.values import JsonValue

if TYPE_CHECKING:
    from outlast.beginning import OutputOptions
    from outlast.results import RunResult
    from outlast.tracing import TracingOptions

__all__ = ["StartOptions", "WorkflowOptions"]


class WorkflowOptions(TypedDict, total=False):
    """The options of a workflow that do not decide its type; `Workflow` says what they mean."""

    state: object
    request_context: object
    retries: int | Retry | None
    timeout: float | timedelta | None
    max_recoveries: int | None
    on_start: Callable[[StartInfo], object] | None
    on_finish: Callable[[RunResult[Any]], object] | None
    on_error: Callable[[RunResult[Any]], object] | None
    concurrency: int | Concurrency | Sequence[Concurrency] | None
    rate_limit: RateLimit | Sequence[RateLimit] | None
    description: str
    metadata: Mapping[str, JsonValue] | None
    schedule: Schedule | Sequence[Schedule] | None


class StartOptions(TypedDict, total=False):
    """The options of a start besides its input; `Run.start_async` says what they mean."""

    initial_state: object
    request_context: object
    output_options: OutputOptions | None
    tags: Sequence[str]
    delay: timedelta | float | None
    start_at: datetime | None
    start_within: timedelta | float | None
    priority: int
    per_step: bool
    tracing_options: TracingOptions | None
