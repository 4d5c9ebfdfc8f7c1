"""How callers name a node of a run, and what they hand over with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias, cast

from outlast.errors import InputError, Problem
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.schema import JSON
from outlast.graph.step import Step
from outlast.sealing import needed_disclosure
from outlast.starting import encode_value, without
from outlast.values import JsonValue, decode

__all__ = ["Target", "check_target", "check_words", "outputs_of", "path_of", "plain_context"]

_Part: TypeAlias = "Step[Any, Any] | CommittedWorkflow[Any, Any] | str"
Target: TypeAlias = "_Part | Sequence[_Part]"
"""What names a node: a step or workflow, an id, a dotted path, or the parts of a path."""


def plain_context(value: object, unstored: Collection[str], *, is_sensitive: bool) -> dict[str, JsonValue]:
    """Return request context that a resumer gives. It is not the whole, so it is not read as the declared type.

    Args:
        value: The entries.
        unstored: Keys that are left out, because they are not recorded.
        is_sensitive: Whether that type has sensitive parts: then each entry is sealed as a whole.

    Raises:
        InputError: It is no object of JSON.
    """
    context = decode(encode_value(JSON, {} if value is None else value, "request_context"))
    if not isinstance(context, dict):
        raise InputError("request_context", (Problem("", "an object is needed"),))
    context = without(context, unstored)
    return {key: needed_disclosure().seal(each) for key, each in context.items()} if is_sensitive else context


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


def check_target(label: object, index: object) -> None:
    """Refuse a label or an index of another type than they have: it would name nothing, or something else.

    Raises:
        InputError: It is one.
    """
    check_words(label, "label")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise InputError("index", (Problem("", f"the number of an item is needed, from 0, not {index!r:.60}"),))


def check_words(value: object, subject: str) -> None:
    """Refuse what is neither a text nor left out.

    Raises:
        InputError: It is something else.
    """
    if value is not None and not isinstance(value, str):
        raise InputError(subject, (Problem("", f"a text is needed, not {value!r:.60}"),))


def outputs_of(context: object) -> Mapping[str, object]:
    """Return the outputs that a caller gives for nodes, by path.

    Raises:
        InputError: It is no dict of paths.
    """
    if context is None:
        return {}
    paths = list(cast("Mapping[object, object]", context)) if isinstance(context, Mapping) else None
    if paths is None or not all(isinstance(path, str) for path in paths):
        reason = f"outputs by path are needed, as {{'fetch': 3}}, not {context!r:.60}"
        raise InputError("context", (Problem("", reason),))
    return cast("Mapping[str, object]", context)
