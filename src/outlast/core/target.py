"""Which suspension a resumer means (rule 7.3): never a guess."""

from __future__ import annotations

from outlast.core.commands import AwaitResume
from outlast.core.state import RunState

__all__ = ["TargetUnclearError", "choose_suspensions"]


class TargetUnclearError(Exception):
    """No suspension, or more than one, is meant; the message lists those that there are."""


def choose_suspensions(
    state: RunState, *, path: str | None = None, label: str | None = None, index: int | None = None
) -> list[AwaitResume]:
    """Return the suspensions that are meant: by label, else by path, else the only ones; narrowed by an item's index.

    The suspended items of one foreach count as one: without an index all of them are meant.

    Raises:
        TargetUnclearError: None fits, or several that do not belong to one foreach.
    """
    suspended = state.suspensions()
    if label is not None:
        chosen = [each for each in suspended if each.label == label]
        wanted = f"the label '{label}'"
    elif path is not None:
        chosen = [each for each in suspended if _is_at(each.path, path)]
        wanted = f"'{path}'"
    else:
        chosen, wanted = suspended, "any"
    if index is not None:
        chosen = [each for each in chosen if f"[{index}]" in each.path]
        wanted = f"{wanted} with index {index}"
    if not chosen:
        message = f"nothing that is suspended has {wanted}; {_listed(suspended)}"
        raise TargetUnclearError(message)
    if len({_owner(each.path) for each in chosen}) > 1:
        message = f"more than one suspension is meant; name one with step=, label= or index=: {_listed(chosen)}"
        raise TargetUnclearError(message)
    return chosen


def _is_at(path: str, target: str) -> bool:
    return path == target or (path.startswith(target) and path[len(target)] in ".[#")


def _owner(path: str) -> str:
    """Return what items of one foreach have in common, and what is a suspension's own otherwise."""
    return path.partition("[")[0] + "[" if "[" in path else path


def _listed(suspended: list[AwaitResume]) -> str:
    if not suspended:
        return "nothing is suspended"
    names = (f"'{each.path}'" + (f" (label '{each.label}')" if each.label else "") for each in suspended)
    return "suspended: " + ", ".join(names)
