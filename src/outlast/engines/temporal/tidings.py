"""Which rests of a run its hooks, and a tracing system, must be told of (rules 13, 15): a function of its journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from outlast.core.flow.hook import told_at
from outlast.core.state import RunState
from outlast.core.status import RunStatus
from outlast.immutable import immutable
from outlast.values import decode, encode

__all__ = ["MOST_TRIES", "SPANS", "Errand", "Tiding", "Tidings"]

SPANS: Final = "spans"
"""Kind of the tiding that tells a tracing system what of a run has ended."""

MOST_TRIES: Final = 5
"""How often a hook is called to be told of one rest."""


@immutable
class Tiding:
    """A hook to be told of a rest."""

    kind: str
    """The hook, as `on_finish`."""
    seq: int
    """The event with which the run came to rest: it is shown as it was then."""
    execution: int
    """Which execution of the run that was."""
    at_ms: int
    """When that was."""
    after: int = 0
    """For spans: the event up to which they were told before."""


@immutable
class Errand:
    """What the activity that calls a hook is told."""

    run_id: str
    """Id of the run."""
    kind: str
    """The hook."""
    seq: int
    """The event with which the run came to rest."""
    pause_ms: int
    """How long after its first failed call it is called again; four times as long each time after."""
    after: int = 0
    """For spans: the event up to which they were told before."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        return encode(
            {
                "run_id": self.run_id,
                "kind": self.kind,
                "seq": self.seq,
                "pause_ms": self.pause_ms,
                "after": self.after,
            }
        )

    @classmethod
    def from_bytes(cls, message: bytes) -> Errand:
        """Return what `to_bytes` wrote."""
        fields = cast("dict[str, Any]", decode(message))
        return cls(
            str(fields["run_id"]),
            str(fields["kind"]),
            int(fields["seq"]),
            int(fields["pause_ms"]),
            int(fields.get("after", 0)),
        )


class Tidings:
    """Notes the rests of a run."""

    def __init__(self, state: RunState, *, is_traced: bool = False, told_until: int = 0) -> None:
        self._noted: int = state.last_seq
        self._is_traced = is_traced
        self.told_until: int = told_until
        """The last event whose spans were told."""
        self.all: list[Tiding] = []
        """All so far, in order."""

    def note(self, state: RunState, status: RunStatus) -> None:
        """Note how the run is left when all that reached it is folded; asked twice, it notes nothing new."""
        hooks = state.graph.hooks
        if (hooks is None and not self._is_traced) or state.last_seq == self._noted:
            return
        self._noted = state.last_seq
        if self._is_traced and status.is_rest:
            self.all.append(Tiding(SPANS, state.last_seq, state.execution, state.last_at_ms, self.told_until))
            self.told_until = state.last_seq
        for kind in () if hooks is None else told_at(hooks, status):
            self.all.append(Tiding(kind, state.last_seq, state.execution, state.last_at_ms))

    def since(self, count: int) -> Sequence[Tiding]:
        """Return those after the first so many."""
        return self.all[count:]
