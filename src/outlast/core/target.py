"""Which suspension a resumer means (rule 7.3): never a guess."""

from __future__ import annotations

import re
from typing import Final

from outlast.core.commands import AwaitResume
from outlast.core.state import RunState
from outlast.shown import listed, shown

__all__ = ["TargetUnclearError", "choose_suspensions"]


class TargetUnclearError(Exception):
    """No suspension, or more than one, is meant; the message lists those that there are."""

    def __init__(self, message: str, *, is_ambiguous: bool) -> None:
        super().__init__(message)
        self.is_ambiguous = is_ambiguous
        """Whether more than one is meant."""


def choose_suspensions(
    state: RunState, *, path: str | None = None, label: str | None = None, index: int | None = None
) -> list[AwaitResume]:
    """Return the suspensions that are meant: those that all that is given fits.

    The suspensions of one node in several items of a foreach count as one: without an index all of them are meant.

    Args:
        path: A node, or one that it stands in. Items and passes may be left out: `each.approve` is `each[3].approve`.
        label: The name that the suspension was given.
        index: The item of a foreach, where `path` does not say it.

    Raises:
        TargetUnclearError: None fits, or several that do not count as one.
    """
    suspended = state.suspensions()
    chosen = [each for each in suspended if label is None or each.label == label]
    chosen = [each for each in chosen if _fits(each.path, path, index)]
    if not chosen:
        message = f"nothing that is suspended has {_wanted(path, label, index)}; {_listed(suspended)}"
        raise TargetUnclearError(message, is_ambiguous=False)
    nodes = {_ITEM.sub("[]", each.path) for each in chosen}
    if len(nodes) > 1 or (index is not None and len(chosen) > 1):
        message = f"more than one suspension is meant; name one with step=, label= or index=: {_listed(chosen)}"
        raise TargetUnclearError(message, is_ambiguous=True)
    return chosen


_ITEM: Final = re.compile(r"\[(\d+)\]")
_SUFFIX: Final = r"(?:\[(\d+)\]|#\d+)?"
_END: Final = r"(?=$|[.\[#])"


def _fits(path: str, target: str | None, index: int | None) -> bool:
    """Say whether it is at or in the target. The index may be that of any item that the target leaves open."""
    if target is not None and len(target) > len(path):
        return False  # and no pattern is made of a long text: a megabyte takes half a second
    named = re.match((_SUFFIX + r"\.").join(map(re.escape, target.split("."))) + _END, path) if target else None
    if target is not None and named is None:
        return False
    given, rest = (named.groups(), path[named.end() :]) if named else ((), path)
    return index is None or str(index) in (*given, *_ITEM.findall(rest))


def _wanted(path: str | None, label: str | None, index: int | None) -> str:
    """Put into words what was looked for."""
    parts = [
        "" if path is None else f"the path '{shown(path)}'",
        "" if label is None else f"the label '{shown(label)}'",
        "" if index is None else f"the index {index}",
    ]
    return " and ".join(part for part in parts if part) or "any path"


def _listed(suspended: list[AwaitResume]) -> str:
    if not suspended:
        return "nothing is suspended"
    names = [f"'{each.path}'" + (f" (label '{each.label}')" if each.label else "") for each in suspended]
    return "suspended: " + listed(names)
