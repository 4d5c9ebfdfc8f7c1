"""The options of a workflow that do not decide its type: written once for the overloads of its constructor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from outlast.graph.hook import StartInfo
from outlast.graph.retry import Retry
from outlast.values import JsonValue

if TYPE_CHECKING:
    from outlast.results import RunResult

__all__ = ["WorkflowOptions"]


class WorkflowOptions(TypedDict, total=False):
    """The options of a workflow that do not decide its type; `Workflow` says what they mean."""

    state: object
    request_context: object
    retries: int | Retry | None
    timeout: float | timedelta | None
    on_start: Callable[[StartInfo], object] | None
    on_finish: Callable[[RunResult[Any]], object] | None
    on_error: Callable[[RunResult[Any]], object] | None
    description: str
    metadata: Mapping[str, JsonValue] | None
