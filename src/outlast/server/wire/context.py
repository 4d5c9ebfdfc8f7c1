"""The request context of a request: what the body says, and over it what the query says."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from outlast.values import InvalidValueError, JsonValue, decode

__all__ = ["merge_contexts", "redact"]

_SECRET: Final = re.compile(r"auth|token|secret|passw|api_?-?key|cookie|credential|session", re.IGNORECASE)
"""Keys of a request context whose values readers do not see."""
_RESERVED: Final = "mastra__"
"""Keys that only a server of the reference sets."""


def merge_contexts(body: Mapping[str, Any] | None, query: str | None) -> dict[str, JsonValue]:
    """Return all entries. A query that is neither JSON nor base64 of it counts for nothing, as in the reference."""
    merged: dict[str, JsonValue] = {**(body or {}), **(_read(query) if query else {})}
    return {key: value for key, value in merged.items() if not key.startswith(_RESERVED)}


def redact(context: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a recorded context for readers: what callers hand to steps may be what opens other doors."""
    return {key: "[redacted]" if _SECRET.search(key) else value for key, value in context.items()}


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
