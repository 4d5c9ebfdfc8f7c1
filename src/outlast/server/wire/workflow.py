"""The shapes of answers that describe workflows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, RootModel

from outlast.server.wire.answer import Answer, JsonObject

__all__ = ["Definition", "WorkflowInfo", "WorkflowList"]


class Limit(Answer):
    """A limit of a workflow's runs."""

    name: str
    """What it limits, in words."""
    limit: int
    """How many runs, for each value of its key if it has one."""
    per_ms: int | None = None
    """In which time so many may begin; left out if so many may go on at a time."""
    burst: int | None = None
    """How many may begin at once after a pause."""
    key: str | None = None
    """The field of the input whose values are counted apart."""


class WorkflowInfo(Answer):
    """A workflow."""

    name: str
    """Its id."""
    description: str = ""
    """The author's words."""
    metadata: JsonObject = Field(default_factory=dict)
    """The author's data."""
    origin: Literal["code", "dynamic"]
    """Where it was defined."""
    steps: JsonObject
    """Its steps by id."""
    all_steps: JsonObject
    """Its steps and those of nested workflows, by path."""
    step_graph: list[JsonObject]
    """What follows what."""
    options: JsonObject
    """How it runs."""
    limits: list[Limit] = Field(default_factory=list["Limit"])
    """How many of its runs go on, or begin; left out if there are none."""
    input_schema: str = ""
    """JSON Schema of the input, as text."""
    output_schema: str = ""
    """JSON Schema of the result, as text."""
    state_schema: str = ""
    """JSON Schema of the state, as text."""
    request_context_schema: str = ""
    """JSON Schema of the request context, as text."""
    step_count: int = 0
    """In a short list: how many steps there are."""


class WorkflowList(RootModel[dict[str, WorkflowInfo]]):
    """Workflows by id."""


class Definition(Answer):
    """A workflow in our own form."""

    workflow_id: str
    """Its id."""
    description: str
    """The author's words."""
    input: str
    """Name of the type of its input."""
    output: str
    """Name of the type of its result."""
    fingerprint: str
    """Tells whether two graphs are the same."""
    state: str = ""
    """Name of the type of its state."""
    request_context: str = ""
    """Name of the type of its request context."""
    input_schema: JsonObject = Field(default_factory=dict)
    """JSON Schema of the input."""
    output_schema: JsonObject = Field(default_factory=dict)
    """JSON Schema of the result."""
    state_schema: JsonObject = Field(default_factory=dict)
    """JSON Schema of the state."""
    request_context_schema: JsonObject = Field(default_factory=dict)
    """JSON Schema of the request context."""
    limits: list[Limit] = Field(default_factory=list["Limit"])
    """How many of its runs go on, or begin; left out if there are none."""
    graph: JsonObject
    """Its graph."""
