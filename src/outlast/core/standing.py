"""What the explanation of a run needs besides its journal: who works, or could work, on it."""

from __future__ import annotations

from typing import NamedTuple

from outlast.immutable import immutable

__all__ = ["Slots", "Standing"]


class Slots(NamedTuple):
    """The places of a worker in which steps run."""

    most: int
    """How many steps it runs at a time, its option `max_steps`."""
    queued: int
    """How many more may start and wait for a place, of all its runs."""


@immutable(kw_only=True)
class Standing:
    """Who works, or could work, on a run: what `why` needs besides the journal."""

    owner: str | None
    """The worker that drives the run, in words; None if nobody does."""
    is_owner_dead: bool = False
    """Whether that worker is known to be dead: then the run goes on when a live one has taken it over."""
    candidates: int
    """How many live workers have all that the run's graph names."""
    missing: tuple[str, ...] = ()
    """Without candidates, if live workers take runs of its workflow: what of its graph none of them has."""
    requests: tuple[str, ...] = ()
    """Kinds of what is asked of the run and not taken yet, as `cancel`."""
    starts_at_ms: int | None = None
    """When it is to start, if that is still to come."""
    hold: str | None = None
    """Why nothing is done about it for now, as the worker said that left it."""
    ready_at_ms: int | None = None
    """When a worker may take it, if it is nobody's."""
    turn: str | None = None
    """What it waits for under its limits, in words; None if it does not."""
    slots: Slots | None = None
    """The places of the worker that drives it; None where they are not known, as in another process."""

    @property
    def is_left(self) -> bool:
        """Whether nobody who lives drives the run, and nobody who lives could."""
        return (self.owner is None or self.is_owner_dead) and self.candidates == 0
