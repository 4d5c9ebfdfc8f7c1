"""The bodies of requests. What they say of themselves is the OpenAPI description, too."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = ["CancelBody", "CreateBody", "IdempotencyBody", "ResumeBody", "StartBody"]

Step: TypeAlias = str | Annotated[list[str], Field(min_length=1, max_length=64)]


Milliseconds: TypeAlias = Annotated[int, Field(ge=0, le=100_000_000_000_000)]


class _Body(BaseModel):
    """Keys in camelCase; others are dropped."""

    model_config = ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True, frozen=True)


class CreateBody(_Body):
    """Who a new run belongs to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"resourceId": "customer-7"}]})

    resource_id: str | None = None
    """Whose run it is."""


class _Options(_Body):
    """Options of the reference that are not there yet: what would be ignored is refused."""

    per_step: Literal[False] | None = None
    """Stopping after each step is not supported yet."""
    tracing_options: None = None
    """Tracing is not supported yet."""


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


class StartBody(_Options):
    """What a run is started with."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputData": {"name": "Ada"}}, {"inputData": 3, "resourceId": "customer-7"}]}
    )

    input_data: Any = None
    """The input; checked against the workflow's `inputSchema`."""
    initial_state: Any = None
    """The state to begin with; checked against the workflow's `stateSchema`."""
    request_context: dict[str, Any] | None = None
    """What all steps can read."""
    resource_id: str | None = None
    """Whose run it is."""
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
    idempotency: IdempotencyBody | None = None
    """What the key in the header `Idempotency-Key` means; it has defaults."""


class ResumeBody(_Options):
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
    request_context: dict[str, Any] | None = None
    """Entries that win over those given before."""


class CancelBody(_Body):
    """Why a run is canceled."""

    reason: str | None = None
    """In words."""
