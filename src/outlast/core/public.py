"""Public events: what a reader of a run's stream is told. Their numbers are derived from the journal and never change.

One record of the journal may be none, one or several public events (the end of a canceled run is two). Each needs a
number of its own, because a reader that was cut off between two of them goes on after the first. So the number is the
place of the record and the place in it, as one integer: it can be told without counting what came before, and it stays
when chunks of an old run are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from outlast.core.ref import Ref
from outlast.immutable import immutable, new_dict
from outlast.values import JsonValue

__all__ = ["EVENTS_PER_RECORD", "PublicEvent", "public_seq", "record_seq"]

EVENTS_PER_RECORD: Final = 1_000
"""Distance between the numbers of two records. A suspension tells of each block around it, and blocks nest less deep
than documents may (`values.MAX_DEPTH`), so no record has as many events."""


@immutable
class PublicEvent:
    """One event of a stream; the values that belong to it are references into the journal."""

    seq: int
    """Its number: larger than that of every event before it."""
    at_ms: int
    """When it was observed, in milliseconds since 1970, UTC."""
    execution: int
    """Which execution of the run it belongs to."""
    type: str
    """Its public name, as `workflow-step-start`."""
    is_by_user: bool = False
    """Whether the author's code says it; else the engine does."""
    fields: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """The part of the payload that the journal itself holds."""
    values: Mapping[str, Ref] = field(default_factory=new_dict)
    """The part of the payload that are users' values."""


def public_seq(record: int, index: int) -> int:
    """Return the number of one of the public events of a record."""
    return record * EVENTS_PER_RECORD + index


def record_seq(public: int) -> int:
    """Return the `seq` of the record that a public event belongs to."""
    return public // EVENTS_PER_RECORD
