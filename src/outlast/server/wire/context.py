"""The request context of a request: what the body says, and over it what the query says."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, TypeVar

from outlast.sealing import masked_value
from outlast.server.wire.body import (
    ForkBody,
    RestartBody,
    ResumeBody,
    StartBody,
    StreamBody,
    TimeTravelBody,
    without_reserved,
)
from outlast.values import InvalidValueError, JsonValue, decode

__all__ = ["redact", "with_context"]

Body = TypeVar("Body", StartBody, StreamBody, ResumeBody, RestartBody, TimeTravelBody, ForkBody)

_SECRET: Final = re.compile(r"auth|token|secret|passw|api_?-?key|cookie|credential|session", re.IGNORECASE)
"""Keys of a request context whose values readers do not see."""


def with_context(body: Body, query: str | None) -> Body:
    """Return a body with all entries. A query that is neither JSON nor base64 of it counts for nothing."""
    if not query:
        return body
    merged: dict[str, JsonValue] = {**(body.request_context or {}), **without_reserved(_read(query))}
    return body.model_copy(update={"request_context": merged})


def redact(context: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a recorded context for readers: what callers hand to steps may be what opens other doors."""
    return {key: "[redacted]" if _SECRET.search(key) else masked_value(value) for key, value in context.items()}


def _read(text: str) -> dict[str, JsonValue]:
    candidates = [text.encode("utf-8", "replace")]
    with suppress(ValueError):
        candidates.append(b64decode(text, validate=True))
    for raw in candidates:
        try:
            value = decode(raw)
        except InvalidValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}
