"""What requests say in their queries and headers, where a route reads it as a whole."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = ["CreateHeaders", "CreateQuery", "NewRunQuery", "StartHeaders", "StartQuery", "StreamHeaders"]

_Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]


class _Query(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True, frozen=True)


class CreateQuery(_Query):
    """Which run is recorded."""

    run_id: _Name | None = None
    """Id of the run; a new one if left out."""


class NewRunQuery(CreateQuery):
    """Which run is started, with what besides the body."""

    request_context: str | None = None
    """Entries over those of the body: JSON, or base64 of it."""


class StartQuery(NewRunQuery):
    """Which run is started, and whether it may be one that was not created."""

    create: bool = False
    """Start it also if no run has this id yet."""


class _Headers(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)


class CreateHeaders(_Headers):
    """What the headers of a request say that records a run."""

    key: Annotated[_Name | None, Field(alias="Idempotency-Key")] = None
    """A repeated request with the same key gets the first run."""


class StartHeaders(CreateHeaders):
    """What the headers of a start say."""

    traceparent: str | None = None
    """The trace that the request belongs to (W3C Trace Context): the run joins it."""


class StreamHeaders(StartHeaders):
    """What the headers of a start say whose events are watched."""

    accept: str = ""
    """`text/event-stream` for Server-Sent Events."""
