"""What callers hand over, as bodies of requests. What JSON cannot say is refused here; the rest the server checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, cast

from outlast.addressing import outputs_of, path_of
from outlast.beginning import OutputOptions
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import JSON, Schema
from outlast.graph.step import Step
from outlast.sealing import IN_CLEAR, disclosing
from outlast.starting import Idempotency, check_flag, encode_value, milliseconds_of
from outlast.trace import Tracing
from outlast.tracing import TracingOptions, check_tracing
from outlast.values import JsonValue, decode

__all__ = ["AnyWorkflow", "query_of", "resume_body", "start_body", "travel_body"]

AnyWorkflow: TypeAlias = CommittedWorkflow[Any, Any] | str
"""A workflow, or the id of one that this program does not have."""


def start_body(  # noqa: PLR0913 - the options of a start, all by name
    workflow: AnyWorkflow,
    *,
    resource_id: str | None,
    input_data: object,
    initial_state: object,
    request_context: object,
    output_options: OutputOptions | None,
    tags: Sequence[str],
    delay: timedelta | float | None,
    start_at: datetime | None,
    start_within: timedelta | float | None,
    priority: int,
    idempotency: Idempotency | None,
    per_step: bool,
    tracing_options: TracingOptions | None,
) -> dict[str, JsonValue]:
    """Return the body of a start; what is not given is left out.

    Raises:
        InputError: Something is no JSON, or does not fit the workflow's type; names each path.
    """
    check_flag(per_step, "per_step")
    known = workflow if isinstance(workflow, CommittedWorkflow) else None
    body: dict[str, JsonValue] = {
        "inputData": _as_json(known.input if known else JSON, input_data, "input_data"),
        "resourceId": resource_id,
        "tags": list(tags) or None,
        "includeState": True if output_options is not None and output_options.include_state else None,
        "delayMs": None if delay is None else milliseconds_of(delay, "delay"),
        "perStep": True if per_step else None,
        "startAt": None if start_at is None else start_at.isoformat(),
        "startWithinMs": None if start_within is None else milliseconds_of(start_within, "start_within"),
        "priority": priority or None,
    }
    if initial_state is not None:
        schema = known.state.schema if known else JSON
        body["initialState"] = _as_json(schema, initial_state, "initial_state")
    if request_context is not None:
        schema = known.request_context if known else JSON
        body["requestContext"] = _as_json(schema, request_context, "request_context")
    if tracing_options is not None:
        body["tracingOptions"] = _tracing(check_tracing(tracing_options))
    if idempotency is not None:
        body["idempotency"] = {
            "scope": idempotency.scope,
            "keepMs": idempotency.keep // timedelta(milliseconds=1),
            "whileRunning": idempotency.while_running,
            "whenFinished": idempotency.when_finished,
        }
    return {key: value for key, value in body.items() if value is not None}


def _tracing(tracing: Tracing) -> dict[str, JsonValue]:
    given: dict[str, JsonValue] = {
        "traceId": tracing.trace_id,
        "parentSpanId": tracing.parent_span_id,
        "metadata": dict(tracing.metadata),
        "tags": list(tracing.tags),
        "rootSpanName": tracing.root_span_name,
        "requestContextKeys": list(tracing.request_context_keys),
        "hideInput": tracing.hide_input,
        "hideOutput": tracing.hide_output,
        "isSampled": None if tracing.is_sampled else False,
    }
    return {key: value for key, value in given.items() if value not in (None, [], {})}


def resume_body(
    resume_data: object,
    *,
    step: object = None,
    label: str | None = None,
    index: int | None = None,
    request_context: object = None,
) -> dict[str, JsonValue]:
    """Return the body of a resume; what is not given is left out.

    Raises:
        InputError: The data is no JSON, or does not fit the type of the step that is named; names each path.
    """
    last = _last_of(step)
    schema = last.function.resume if isinstance(last, Step) else JSON
    body: dict[str, JsonValue] = {
        "step": None if step is None else path_of(step),
        "label": label,
        "forEachIndex": index,
        "requestContext": None if request_context is None else _as_json(JSON, request_context, "request_context"),
    }
    given = {key: value for key, value in body.items() if value is not None}
    return {"resumeData": _as_json(schema, resume_data, "resume_data"), **given}


def _last_of(step: object) -> object:
    is_path = isinstance(step, list | tuple)
    return list(cast("Sequence[object]", step) or [None])[-1] if is_path else step


def travel_body(
    step: object,
    *,
    input_data: object = None,
    resume_data: object = None,
    initial_state: object = None,
    context: Mapping[str, object] | None = None,
    request_context: object = None,
    per_step: bool = False,
) -> dict[str, JsonValue]:
    """Return the body of a time travel; what is not given is left out.

    Raises:
        InputError: Something is no JSON, or does not fit the type of the step that is named; names each path.
    """
    check_flag(per_step, "per_step")
    last = _last_of(step)
    function = last.function if isinstance(last, Step) else None
    given: dict[str, JsonValue] = {"step": path_of(step), "perStep": per_step}
    if input_data is not None:
        given["inputData"] = _as_json(function.input if function else JSON, input_data, "input_data")
    if resume_data is not None:
        given["resumeData"] = _as_json(function.resume if function else JSON, resume_data, "resume_data")
    if initial_state is not None:
        given["initialState"] = _as_json(JSON, initial_state, "initial_state")
    if request_context is not None:
        given["requestContext"] = _as_json(JSON, request_context, "request_context")
    if outputs := outputs_of(context):
        given["context"] = {path: {"output": _as_json(JSON, value, path)} for path, value in outputs.items()}
    return given


def _as_json(schema: Schema[Any], value: object, subject: str) -> JsonValue:
    """Return a value as JSON of its declared type.

    Raises:
        InputError: It does not fit; names each path.
    """
    with disclosing(IN_CLEAR):  # the server seals what is sensitive
        return decode(encode_value(schema, value, subject))


def query_of(**fields: str | Sequence[str] | datetime | float | None) -> Mapping[str, str | list[str]]:
    """Return a query; what is not given is left out."""
    query: dict[str, str | list[str]] = {}
    for key, value in fields.items():
        match value:
            case None | () | []:
                pass
            case datetime():
                query[key] = value.isoformat()
            case str() | int() | float():
                query[key] = str(value)
            case _:
                query[key] = [str(each) for each in value]
    return query
