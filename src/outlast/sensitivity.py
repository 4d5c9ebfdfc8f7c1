"""Which workflows of a program have sensitive types, and what seals their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.errors import ConfigurationError, DefinitionError
from outlast.graph.committed import CommittedWorkflow
from outlast.keys import KEYS_VARIABLE, Keyring
from outlast.sealing import Sealer

__all__ = ["sealers_of"]


def sealers_of(workflows: Mapping[str, CommittedWorkflow[Any, Any]], keys: Keyring | None) -> Mapping[str, Sealer]:
    """Return what seals the values of those workflows that have sensitive ones.

    Raises:
        ConfigurationError: There are such workflows, and no keys.
    """
    names = [name for name, workflow in workflows.items() if workflow.is_sensitive]
    if not names:
        return {}
    for name in names:
        _check_context(workflows[name])
    keys = keys or Keyring.from_environment()
    if keys is None:
        message = (
            f"workflow '{names[0]}' declares sensitive types, and there are no keys to encrypt them with; "
            f"give Outlast([...], keys=Keyring({{'2026-05': key}})) or set {KEYS_VARIABLE}=2026-05:<key>, "
            f"and make a key with Keyring.new_key()"
        )
        raise ConfigurationError(message)
    return keys.sealers(names)


def _check_context(workflow: CommittedWorkflow[Any, Any]) -> None:
    """Refuse a step that takes a sensitive part of a request context that the workflow lets in as plain JSON."""
    takers = [
        name
        for name, function in workflow.functions.items()
        if function.request_context is not None and function.request_context.is_sensitive
    ]
    if takers and not workflow.request_context.is_sensitive:
        message = (
            f"'{takers[0]}' takes sensitive parts of the request context, which workflow '{workflow.id}' records in "
            f"clear; declare a type with the same sensitive parts there: Workflow(..., request_context=...)"
        )
        raise DefinitionError(message)
