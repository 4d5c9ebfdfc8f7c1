"""What an engine knows of a call when it makes the context of it."""

from __future__ import annotations

from outlast.graph.cancel_flag import CancelFlag
from outlast.immutable import immutable
from outlast.trace import UNTRACED, Tracing

__all__ = ["AttemptFacts", "RunFacts"]


@immutable(kw_only=True)
class RunFacts:
    """What is the same for all contexts of one run in one workflow."""

    run_id: str
    """Id of the run."""
    workflow_id: str
    """Id of the workflow in which the node stands; of the nested one inside it."""
    resource_id: str | None
    """Whose run it is."""
    execution: int
    """Which execution of the run."""
    request_context: bytes
    """What the caller told all steps, as JSON."""
    tracing: Tracing = UNTRACED
    """What the caller asked of the trace."""
    is_sampled: bool = True
    """Whether the spans of the run are exported."""


@immutable(kw_only=True)
class AttemptFacts:
    """What is particular to one call of a body."""

    attempt: int
    """0 for the first try."""
    is_recovered: bool
    """Whether this attempt had started before and its worker was lost."""
    canceled: CancelFlag
    """Whether the run is being canceled."""
    is_resumed: bool = False
    """Whether it is called because somebody resumed it."""
    is_timed_out: bool = False
    """Whether it is called because its suspension timed out."""
    suspensions: int = 0
    """How often the step was suspended before."""
    suspend_data: bytes | None = None
    """What it told when it suspended, as JSON."""
    resume_data: bytes | None = None
    """What it was resumed with, as JSON."""
