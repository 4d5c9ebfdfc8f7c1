"""Spans: parts of a run that have a beginning and an end, as tracing systems show them (rule 15.1)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from outlast.core.frames import ForeachFrame, Frame, GroupFrame, LeafFrame, LoopFrame, PauseFrame, ScopeFrame
from outlast.failures import FailureInfo
from outlast.graph.nodes import BranchNode, SleepNode, StepNode
from outlast.immutable import immutable
from outlast.instant import render_ms
from outlast.trace import TraceContext
from outlast.values import JsonValue, encode

__all__ = ["Span", "SpanKind", "describe_frame", "kind_of", "name_of"]


class SpanKind(StrEnum):
    """What a span stands for."""

    RUN = "run"
    """One execution of a run, suspensions included."""
    STEP = "step"
    """A step or nested workflow, all its attempts included."""
    ATTEMPT = "attempt"
    """One call of a body."""
    PARALLEL = "parallel"
    """A parallel."""
    CONDITIONAL = "conditional"
    """A branch."""
    LOOP = "loop"
    """A dowhile or dountil."""
    FOREACH = "foreach"
    """A foreach."""
    SLEEP = "sleep"
    """A sleep."""
    SUSPENSION = "suspension"
    """The time in which a step or wait waited to be resumed."""


@immutable
class Span:
    """A part of a run that has ended."""

    context: TraceContext
    """Its place: its trace and its own id."""
    parent_id: str | None
    """Id of the span around it, 16 hex digits; None for a run that nobody traced into."""
    kind: SpanKind
    """What it stands for."""
    name: str
    """What is shown of it first."""
    workflow_id: str
    """Workflow of the run."""
    path: str
    """The node; empty for the run."""
    node_id: str
    """Id of the node in its workflow; for the run, of the workflow."""
    started_at_ms: int
    """When it began, in milliseconds since 1970, UTC."""
    ended_at_ms: int
    """When it ended, in milliseconds since 1970, UTC."""
    status: str
    """How it ended: the status of a run or step, or `resumed`, `timed_out` or `superseded`."""
    attributes: Mapping[str, JsonValue]
    """What else is known of it, by name."""
    given: Mapping[str, JsonValue]
    """What the caller of the start wants to see on the span of the run, by name."""
    failure: FailureInfo | None = None
    """Why it failed."""


_UNNAMED: Final = frozenset({"parallel", "branch", "sleep"})
"""Ids of nodes to which the author gave none (rule 1.4)."""


def kind_of(frame: Frame) -> SpanKind | None:
    """Return what a frame is as a span. None: it has no span of its own, as a map, or others, as a wait."""
    match frame:
        case LeafFrame(node=StepNode()):
            return SpanKind.STEP
        case ScopeFrame(parent=None):
            return SpanKind.RUN
        case ScopeFrame():
            return SpanKind.STEP
        case GroupFrame(node=BranchNode()):
            return SpanKind.CONDITIONAL
        case GroupFrame():
            return SpanKind.PARALLEL
        case LoopFrame():
            return SpanKind.LOOP
        case ForeachFrame():
            return SpanKind.FOREACH
        case PauseFrame(node=SleepNode()):
            return SpanKind.SLEEP
        case _:
            return None


def name_of(frame: Frame) -> str:
    """Return the name of the span of a frame; what the author named is called so."""
    node_id = frame.node.id
    match frame:
        case ScopeFrame(parent=None):
            return f"workflow run: '{node_id}'"
        case GroupFrame(node=node):
            is_branch = isinstance(node, BranchNode)
            kind, children = ("conditional", "conditions") if is_branch else ("parallel", "branches")
            return f"{kind}: '{f'{len(node.children)} {children}' if node_id in _UNNAMED else node_id}'"
        case LoopFrame(node=loop):
            return f"loop: '{_loop_type(frame) if node_id == loop.body.id else node_id}'"
        case ForeachFrame(node=foreach):
            return f"loop: '{'foreach' if node_id == foreach.body.id else node_id}'"
        case PauseFrame(node=SleepNode() as sleep):
            return _name_of_sleep(sleep)
        case _:
            return f"workflow step: '{node_id}'"


def _name_of_sleep(node: SleepNode) -> str:
    kind = "sleepUntil" if node.is_until or node.until_ms is not None else "sleep"
    if node.id not in _UNNAMED:
        return f"{kind}: '{node.id}'"
    if node.until_ms is not None:
        return f"{kind}: {render_ms(node.until_ms)}"
    return f"{kind}: dynamic" if node.duration_ms is None else f"{kind}: {node.duration_ms}ms"


def describe_frame(frame: Frame) -> dict[str, JsonValue]:
    """Return what is particular to a frame that has ended, and what its author says of its node."""
    info = frame.node.info
    said: dict[str, JsonValue] = {}
    if info.description:
        said["description"] = info.description
    if info.metadata:
        said["metadata"] = encode(dict(info.metadata)).decode()
    match frame:
        case GroupFrame(node=BranchNode(children=children)):
            said["condition_count"] = len(children)
            said["truthy_indexes"] = [slot for slot, verdict in enumerate(frame.verdicts) if verdict]
            said["selected_steps"] = [children[slot].id for slot in frame.chosen]
        case GroupFrame(node=node):
            said["branch_count"] = len(node.children)
            said["parallel_steps"] = [child.id for child in node.children]
        case LoopFrame():
            said |= {"loop_type": _loop_type(frame), "total_iterations": frame.passes}
        case ForeachFrame():
            said |= {"loop_type": "foreach", "concurrency": frame.concurrency, "total_iterations": frame.cursor}
        case PauseFrame(node=SleepNode() as sleep):
            said["sleep_type"] = _type_of_sleep(sleep)
        case _:
            pass
    return said


def _loop_type(frame: LoopFrame) -> str:
    return "dountil" if frame.node.is_until else "dowhile"


def _type_of_sleep(node: SleepNode) -> str:
    if node.function is not None:
        return "dynamic"
    return "until" if node.until_ms is not None else "fixed"
