"""The bodies of requests. What they say of themselves is the OpenAPI description, too."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = ["CancelBody", "CreateBody", "ResumeBody", "StartBody"]

Step: TypeAlias = str | Annotated[list[str], Field(min_length=1, max_length=64)]


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
