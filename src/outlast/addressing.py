"""How callers name a node of a run, and what they hand over with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from outlast.errors import InputError, Problem
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import JSON
from outlast.graph.step import Step
from outlast.starting import encode_value
from outlast.values import JsonValue, decode

__all__ = ["Target", "path_of", "plain_context"]

_Part: TypeAlias = "Step[Any, Any] | CommittedWorkflow[Any, Any] | str"
Target: TypeAlias = "_Part | Sequence[_Part]"
"""What names a node: a step or workflow, an id, a dotted path, or the parts of a path."""


def plain_context(value: object) -> dict[str, JsonValue]:
    """Return request context that a resumer gives.

    Raises:
        InputError: It is no object of JSON.
    """
    context = decode(encode_value(JSON, {} if value is None else value, "request_context"))
    if not isinstance(context, dict):
        raise InputError("request_context", (Problem("", "an object is needed"),))
    return context


def path_of(step: object) -> str:
    """Return the path that a caller names a node by.

    Raises:
        InputError: It is nothing that names a node.
    """
    if isinstance(step, str) and step:
        return step
    if isinstance(step, Step | CommittedWorkflow):
        return step.id
    parts = list(cast("Sequence[object]", step)) if isinstance(step, list | tuple) else []
    if not parts:
        reason = f"name a step by itself, its id, its path, or the parts of its path, not {step!r:.60}"
        raise InputError("step", (Problem("", reason),))
    return ".".join(path_of(part) for part in parts)
