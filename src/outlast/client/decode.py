"""Answers of the server as the values that a program in the same process would get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from outlast.core.status import RunStatus, StepStatus
from outlast.failures import FailureInfo, failure_from_json
from outlast.graph.schema import Schema
from outlast.instant import from_ms
from outlast.reading import RunInfo, RunPage
from outlast.results import HookDelivery, RunResult, StepResult
from outlast.trace import Tracing
from outlast.values import JsonValue, encode

__all__ = ["decode_deliveries", "decode_page", "decode_result"]


def decode_result(wire: Mapping[str, JsonValue], output: Schema[Any]) -> RunResult[Any]:
    """Return the result that `RunResult.to_dict` wrote, with what the workflow gave as its declared type.

    Raises:
        InvalidValueError: It is not of that type.
    """
    status = RunStatus(str(wire["status"]))
    is_success = status is RunStatus.SUCCESS
    suspended = cast("Sequence[str]", wire.get("suspended", []))
    return RunResult(
        run_id=str(wire["runId"]),
        workflow_id=str(wire["workflowId"]),
        resource_id=_text(wire.get("resourceId")),
        execution=int(str(wire["execution"])),
        status=status,
        input=wire["input"],
        steps={path: _step(each) for path, each in _object(wire["steps"]).items()},
        result=_result(wire["result"], output) if is_success else None,
        error=_failure(wire.get("error")),
        error_path=str(wire.get("errorPath", "")),
        suspended=suspended,
        suspend_payload=_object(wire.get("suspendPayload")),
        state=_object(wire["state"]) if wire.get("state") is not None else None,
        cancel_reason=_text(wire.get("cancelReason")),
        skipped=cast("Sequence[str]", wire.get("skipped", ())),
        tracing=Tracing(trace_id=_text(wire.get("traceId"))),
    )


def _result(value: JsonValue, output: Schema[Any]) -> object:
    """Read what a workflow gave; what is masked in it is not of its declared type any more."""
    return value if output.is_sensitive else output.decode(encode(value))


def decode_deliveries(wire: Mapping[str, JsonValue]) -> list[HookDelivery]:
    """Return the calls of hooks that have not succeeded."""
    return [
        HookDelivery(
            hook=str(each["hook"]),
            execution=int(str(each["execution"])),
            tries=int(str(each["tries"])),
            due_at=_optional_instant(each["dueAt"]),
            error=_failure(each["error"]),
        )
        for each in cast("list[Mapping[str, JsonValue]]", wire["deliveries"])
    ]


def decode_page(wire: Mapping[str, JsonValue]) -> RunPage:
    """Return the page that `RunPage.to_dict` wrote."""
    return RunPage(
        runs=[_info(_object(each)) for each in cast("list[JsonValue]", wire["runs"])],
        after=_text(wire["after"]),
        total=int(str(wire["total"])),
        is_total_exact=bool(wire["isTotalExact"]),
    )


def _info(wire: Mapping[str, JsonValue]) -> RunInfo:
    return RunInfo(
        run_id=str(wire["runId"]),
        workflow_id=str(wire["workflowId"]),
        resource_id=_text(wire["resourceId"]),
        status=RunStatus(str(wire["status"])),
        execution=int(str(wire["execution"])),
        created_at=_instant(wire["createdAt"]),
        updated_at=_instant(wire["updatedAt"]),
        tags=tuple(cast("list[str]", wire["tags"])),
    )


def _step(value: JsonValue) -> StepResult:
    wire = _object(value)
    return StepResult(
        status=StepStatus(str(wire["status"])),
        payload=wire["payload"],
        output=wire.get("output"),
        error=_failure(wire.get("error")),
        started_at=_instant(wire["startedAt"]),
        ended_at=_optional_instant(wire.get("endedAt")),
        attempts=int(str(wire["attempts"])),
        suspend_payload=wire.get("suspendPayload"),
        suspended_at=_optional_instant(wire.get("suspendedAt")),
        resume_payload=wire.get("resumePayload"),
        resumed_at=_optional_instant(wire.get("resumedAt")),
        metadata=_object(wire.get("metadata")),
    )


def _failure(value: JsonValue) -> FailureInfo | None:
    return failure_from_json(value) if isinstance(value, dict) else None


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _instant(value: JsonValue) -> datetime:
    return from_ms(int(str(value)))


def _optional_instant(value: JsonValue) -> datetime | None:
    return None if value is None else _instant(value)
