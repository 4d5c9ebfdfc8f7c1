"""Lifecycle hooks: functions of a workflow that are told of its runs (rule 13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from outlast.errors import DefinitionError
from outlast.graph.function import Function, inspect_hook
from outlast.graph.nodes import Hooks
from outlast.immutable import frozen
from outlast.values import JsonValue

__all__ = ["HOOK_NAMES", "HookFunction", "HookName", "StartInfo", "inspect_hooks", "name_hooks"]

HookName: TypeAlias = Literal["on_start", "on_finish", "on_error"]
"""The moments at which a hook is called."""

HOOK_NAMES: Final[tuple[HookName, ...]] = ("on_start", "on_finish", "on_error")
"""All of them."""

HookFunction: TypeAlias = "Callable[[Any], object] | None"
"""A sync or async function of one value, or none."""


@frozen
class StartInfo:
    """What `on_start` is told: the run that is about to begin."""

    run_id: str
    """Id of the run."""
    workflow_id: str
    """Id of its workflow."""
    resource_id: str | None
    """Whose run it is, as given to `create_run`."""
    input: Any
    """The validated input, decoded as the workflow's declared type; nobody else holds this object. None if nobody gave
    any, because the run begins in the middle."""
    state: Any
    """The initial state, decoded as the workflow's declared type; a copy."""
    request_context: Mapping[str, JsonValue]
    """What the caller tells all steps; a copy."""


def inspect_hooks(workflow_id: str, hooks: Mapping[HookName, object]) -> Mapping[HookName, Function]:
    """Read the signatures of the hooks that were given.

    Raises:
        DefinitionError: One of them is no function of one value; the message names it.
    """
    inspected: dict[HookName, Function] = {}
    for name, function in hooks.items():
        if function is None:
            continue
        if not callable(function):
            message = f"workflow '{workflow_id}' has {name}={function!r}; give a sync or async function of one value"
            raise DefinitionError(message)
        inspected[name] = inspect_hook(function, f"{name} of workflow '{workflow_id}'")
    return inspected


def name_hooks(workflow_id: str, hooks: Mapping[HookName, Function]) -> tuple[Hooks | None, dict[str, Function]]:
    """Return the hooks as the graph names them, and the functions by those names."""
    if not hooks:
        return None, {}
    references = {name: f"{workflow_id}?{name}" for name in hooks}
    named = Hooks(
        on_start=references.get("on_start"),
        on_finish=references.get("on_finish"),
        on_error=references.get("on_error"),
    )
    return named, {references[name]: function for name, function in hooks.items()}
