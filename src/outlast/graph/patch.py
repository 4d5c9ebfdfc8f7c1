"""Patches of the state as data: what is recorded of `set_state` (rule 8).

The wire form is a list of operations in the order in which they apply, each `[field, operation, value]`:

    [["status", "replace", "paid"], ["log", "append", "charged"], ["draft", "delete", null]]

What is done stands beside the value and never in it, so that no value of a user's can be taken for an instruction. An
operation says itself how it merges: whoever folds the journal needs neither the declared types nor the graph, and what
was validated as one item of a list is never merged as a whole list by newer code.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

from outlast.errors import Problem
from outlast.immutable import immutable
from outlast.values import InvalidValueError, JsonValue, child_path

__all__ = ["Operation", "Patch", "PatchVerb", "patch_from_json", "patch_to_json"]


class PatchVerb(StrEnum):
    """What an operation does to its field; written into journals, so members are never renamed."""

    REPLACE = "replace"
    """The value takes the place of what is there."""
    DELETE = "delete"
    """The field is removed; the value is null."""
    APPEND = "append"
    """The value becomes the last item of the list."""
    EXTEND = "extend"
    """The items of the value follow those of the list."""
    ADD = "add"
    """The value is added to the number."""
    MAX = "max"
    """The greater number stays."""
    MIN = "min"
    """The lesser number stays."""
    UNION = "union"
    """The items of the value that the list has not yet follow it."""
    MERGE_DICT = "merge_dict"
    """The keys of the value are set in the object; other keys stay."""


@immutable
class Operation:
    """One change of one field. `value` belongs to the operation: nobody changes it."""

    field: str
    """Key of the field in the state."""
    verb: PatchVerb
    """What is done."""
    value: JsonValue = None
    """With what."""


_VERBS: Final = {verb.value: verb for verb in PatchVerb}

Patch: TypeAlias = tuple[Operation, ...]
"""What one or several `set_state` calls do, in order."""


def patch_to_json(patch: Patch) -> list[JsonValue]:
    """Return the patch in its wire form."""
    return [[operation.field, operation.verb.value, operation.value] for operation in patch]


def patch_from_json(data: JsonValue) -> Patch:
    """Return the patch that `patch_to_json` wrote.

    Raises:
        InvalidValueError: It is not one, or a newer version wrote it; leave the run to a worker that knows it.
    """
    if not isinstance(data, list):
        raise InvalidValueError([Problem("", "a patch is a list of operations")])
    return tuple(_operation(index, item) for index, item in enumerate(data))


def _operation(index: int, item: JsonValue) -> Operation:
    match item:
        case [str(field), str(verb), value] if verb in _VERBS:
            return Operation(field, _VERBS[verb], value)
        case [str(), str(verb), _]:
            reason = f"operation {verb!r} is unknown to this version of outlast; upgrade it"
        case _:
            reason = "an operation is [field, operation, value]"
    raise InvalidValueError([Problem(child_path("", index), reason)])
