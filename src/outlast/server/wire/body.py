"""The bodies of requests. What they say of themselves is the OpenAPI description, too."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "CancelBody",
    "CreateBody",
    "ForkBody",
    "IdempotencyBody",
    "RestartBody",
    "ResumeBody",
    "ScheduleBody",
    "SchedulePatch",
    "StartBody",
    "StepBody",
    "StreamBody",
    "TimeTravelBody",
    "TracingBody",
    "without_reserved",
]

V = TypeVar("V")

Step: TypeAlias = str | Annotated[list[str], Field(min_length=1, max_length=64)]


_RESERVED: Final = "mastra__"
"""How keys of a request context begin that only a server of the reference sets."""


def without_reserved(context: dict[str, V]) -> dict[str, V]:
    """Leave out of a request context what no caller may set."""
    return {key: value for key, value in context.items() if not key.startswith(_RESERVED)}


Context: TypeAlias = Annotated[dict[str, Any], AfterValidator(without_reserved)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, le=100_000_000_000_000)]


class _Body(BaseModel):
    """Keys in camelCase; others are dropped."""

    model_config = ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True, frozen=True)


class CreateBody(_Body):
    """Who a new run belongs to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"resourceId": "customer-7"}]})

    resource_id: str | None = None
    """Whose run it is."""


class TracingBody(_Body):
    """The trace of a run. It wins over the header `traceparent`."""

    trace_id: str | None = None
    """The trace that it joins: 1 to 32 hex digits."""
    parent_span_id: str | None = None
    """The span in that trace under which it stands: 1 to 16 hex digits."""
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Attributes of the span of the run."""
    tags: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list[str])
    """Words on the span of the run."""
    root_span_name: str | None = None
    """Name of the span of the run."""
    request_context_keys: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list[str])
    """Places in the request context that become attributes of the span of the run."""
    hide_input: bool = False
    """Whether no span shows what went in."""
    hide_output: bool = False
    """Whether no span shows what came out."""
    is_sampled: bool = True
    """Whether the caller exports its part of the trace; if not, nor are the spans of the run."""


class _Traced(_Body):
    """A run keeps the trace that it was started in: what would be ignored is refused."""

    tracing_options: None = None
    """Only a start takes tracing options; the run keeps them."""


class IdempotencyBody(_Body):
    """What an idempotency key means."""

    scope: Literal["workflow", "resource"] = "workflow"
    """Within what it is unique: the workflow, or the workflow and the resource."""
    keep_ms: Milliseconds = 86_400_000
    """How long it is held at least."""
    while_running: Literal["return", "reject", "replace"] = "return"
    """What a second start leads to while the first run has not ended."""
    when_finished: Literal["return", "reject", "rerun", "rerun_if_failed"] = "return"
    """The same once it has ended."""


class StartBody(_Body):
    """What a run is started with."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputData": {"name": "Ada"}}, {"inputData": 3, "resourceId": "customer-7"}]}
    )

    input_data: Any = None
    """The input; checked against the workflow's `inputSchema`."""
    initial_state: Any = None
    """The state to begin with; checked against the workflow's `stateSchema`."""
    request_context: Context | None = None
    """What all steps can read."""
    resource_id: str | None = None
    """Whose run it is."""
    per_step: bool | None = None
    """Whether it pauses after each step of the workflow."""
    include_state: bool = False
    """Whether results of the run show its state."""
    tags: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list[str])
    """Words to find the run by."""
    delay_ms: Milliseconds | None = None
    """How long it waits before it starts."""
    start_at: datetime | None = None
    """When it starts, with a time zone; one in the past means at once."""
    start_within_ms: Milliseconds | None = None
    """How long it may take until a worker begins it; else it ends `failed`."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Of the runs that wait, those with a higher one begin first."""
    tracing_options: TracingBody | None = None
    """The trace that it joins, and what its spans show."""
    idempotency: IdempotencyBody | None = None
    """What the key in the header `Idempotency-Key` means; it has defaults."""


class StreamBody(StartBody):
    """What a run is started with, and how it is watched."""

    close_on_suspend: bool = True
    """Whether the stream ends when the run is suspended; else it goes on until the run ends."""


class ResumeBody(_Traced):
    """Which suspension is resumed, and with what."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"step": "approve", "resumeData": {"ok": True}}]})

    resume_data: Any = None
    """What the step or wait gets; checked against its `resumeSchema`."""
    step: Step | None = None
    """The suspended step: its id, its path (`child.approve`), or the parts of the path. Needed if there are several."""
    label: str | None = None
    """The label that it gave itself."""
    for_each_index: Annotated[int, Field(ge=0)] | None = None
    """Of a foreach, only this item."""
    request_context: Context | None = None
    """Entries that win over those given before."""
    per_step: bool | None = None
    """A run that was started step by step goes on so, and others do not; what differs from that is refused."""


class RestartBody(_Traced):
    """How a run is driven again."""

    request_context: Context | None = None
    """Entries that win over those given before."""
    per_step: bool | None = None
    """Whether it pauses after each step of the workflow."""


class TimeTravelBody(RestartBody):
    """From where a run goes on, and with what."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"step": "approve", "inputData": {"amount": 3}}]})

    step: Step
    """The step: its id, its path, or the parts of the path."""
    input_data: Any = None
    """What it receives, instead of the output before it."""
    resume_data: Any = None
    """What it is resumed with, as if it had been suspended."""
    initial_state: dict[str, Any] | None = None
    """The state to begin with."""
    context: dict[str, GivenStep] = Field(default_factory=dict)
    """Outputs of steps before it, by path."""
    nested_steps_context: dict[str, dict[str, GivenStep]] = Field(default_factory=dict)
    """The same for the steps of nested workflows, by the path of the workflow."""


class GivenStep(_Body):
    """What a step gave, as its record has it."""

    output: Any = None
    """Its output."""


class ForkBody(TimeTravelBody):
    """From where a new run goes on, and with what."""

    run_id: str | None = None
    """Id of the new run."""
    resource_id: str | None = None
    """Whose run it is; by default that of the token, or as the run that it goes on from."""


class StepBody(_Body):
    """How a paused run goes on."""

    per_step: bool = True
    """Whether it pauses again after the next step."""


Instant: TypeAlias = Annotated[int, Field(ge=0, le=100_000_000_000_000)]


class SchedulePatch(_Body):
    """What a schedule says from now on. What is not named stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"cron": "0 9 * * *"}]})

    cron: str | None = None
    """A cron expression; one of `cron`, `everyMs` and `at` is needed, and naming one takes the place of the others."""
    every_ms: Milliseconds | None = None
    """An interval."""
    at: Instant | None = None
    """The one time of a schedule that fires once, in milliseconds since 1970."""
    timezone: str | None = None
    """The IANA zone of `cron`; UTC if none is named."""
    start: Instant | None = None
    """No firing before this time, in milliseconds since 1970."""
    end: Instant | None = None
    """No firing for a time after this one."""
    jitter_ms: Milliseconds = 0
    """By less than this each firing is put off."""
    overlap: Literal["skip", "queue", "cancel", "allow"] = "skip"
    """What a firing does while the run before it has not ended."""
    catch_up: Literal["one", "all", "none"] = "one"
    """What becomes of times at which no worker lived."""
    input_data: Any = None
    """The input of its runs; checked against the workflow's `inputSchema`."""
    initial_state: Any = None
    """Their initial state."""
    request_context: Context | None = None
    """What all their steps can read."""
    resource_id: str | None = None
    """Whose runs they are."""
    tags: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list[str])
    """Words to find them by."""
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Shown with the schedule."""
    status: Literal["active", "paused"] | None = None
    """Whether it fires."""


class ScheduleBody(SchedulePatch):
    """A schedule to be made. Unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"workflowId": "report", "cron": "0 9 * * *"}]}
    )

    id: str | None = None
    """Its id; a new one if none is given."""
    workflow_id: str
    """What it starts."""


class CancelBody(_Body):
    """Why a run is canceled."""

    reason: str | None = None
    """In words."""
