"""What can reach a run from the history of its Temporal workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from outlast.engines.temporal.messages import Reply, Request
from outlast.engines.temporal.said import Said
from outlast.immutable import immutable
from outlast.values import encode

__all__ = ["Canceled", "Heard", "Inbound", "Lost", "Rang", "Requested", "Told", "carried_of", "rank_of"]


@immutable
class Told:
    """A body has ended."""

    path: str
    """The step."""
    reply: Reply
    """What became of it."""


@immutable
class Heard:
    """Bodies say something."""

    said: Said
    """What."""


@immutable
class Lost:
    """The call of a body has ended without an outcome."""

    path: str
    """The step."""


@immutable
class Requested:
    """An outsider asked something of the run."""

    request: Request
    """What."""


@immutable
class Canceled:
    """Somebody canceled the workflow."""

    reason: str | None
    """In their words."""


@immutable
class Rang:
    """A timer fired: the earliest due time may have come."""


Inbound: TypeAlias = Told | Heard | Lost | Requested | Canceled | Rang
"""What can reach a run."""


def rank_of(inbound: Inbound) -> int:
    """Order what comes at one time, so that the order does not depend on how an event loop hands it over."""
    match inbound:
        case Canceled():
            return 0
        case Requested():
            return 1
        case Rang():
            return 2
        case Heard():  # before the outcomes of the bodies that said it
            return 3
        case Told() | Lost():
            return 4
        case _:
            assert_never(inbound)


def carried_of(inbound: Sequence[Inbound]) -> list[Requested]:
    """Return what is taken along when the run goes on in another workflow: what outsiders asked."""
    carried: list[Requested] = []
    for each in inbound:
        if isinstance(each, Requested):
            carried.append(each)
        elif isinstance(each, Canceled):
            carried.append(Requested(Request("", "cancel", "", encode({"reason": each.reason}))))
    return carried
