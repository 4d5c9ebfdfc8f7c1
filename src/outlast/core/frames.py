"""Frames: the part of the graph that is alive. One per node that has begun and not ended, addressed by its path."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TypeAlias

from outlast.core.commands import Cause, Resumption
from outlast.core.ref import Ref
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    LoopNode,
    MapNode,
    ParallelNode,
    SleepNode,
    StepNode,
    WaitNode,
    WorkflowNode,
)
from outlast.immutable import new_dict, new_list

__all__ = [
    "Block",
    "ForeachFrame",
    "Frame",
    "GroupFrame",
    "LeafFrame",
    "LoopFrame",
    "Parent",
    "PauseFrame",
    "ScopeFrame",
    "as_scope",
]


@dataclass(slots=True, eq=False)
class _Frame:
    """What all frames have besides their node and their parent, whose types differ."""

    path: str
    slot: int
    """Which child of its parent it is."""
    input: Ref
    _: KW_ONLY
    output: Ref | None = None
    """What it gave, once it ended well."""
    cause: Cause | None = None
    """Why it fails or failed."""
    is_bail: bool = False
    """Whether its output ends more than itself (rule 5.8)."""
    ended_seq: int = 0
    """`seq` of the event that ended it."""


@dataclass(slots=True, eq=False)
class LeafFrame(_Frame):
    """A step or map."""

    parent: Parent
    node: StepNode | MapNode
    attempt: int = 0
    """The attempt that runs, or comes next."""
    due_at_ms: int | None = None
    """When that attempt may begin; None for at once."""
    begun_at_ms: int | None = None
    """When its first attempt began."""
    suspensions: int = 0
    """How often it was suspended."""
    resumption: Resumption | None = None
    """Why it is called once more after a suspension."""


@dataclass(slots=True, eq=False)
class PauseFrame(_Frame):
    """A sleep or a wait."""

    parent: Parent
    node: SleepNode | WaitNode
    due_at_ms: int | None = None
    """When a sleep ends, once that is known."""


@dataclass(slots=True, eq=False)
class ScopeFrame(_Frame):
    """A workflow: the root, or one used as a step. Names are looked up in the nearest one."""

    parent: Parent | None
    node: WorkflowNode
    position: int = 0
    """Index of the node that runs."""
    outputs: dict[str, Ref] = field(default_factory=new_dict)
    """Outputs of the nodes that ended, by id; children of blocks included, items of a foreach not."""

    def path_of(self, node_id: str) -> str:
        """Return the path of a node in this scope."""
        return f"{self.path}.{node_id}" if self.path else node_id


@dataclass(slots=True, eq=False)
class _Block(_Frame):
    """What those have that run several children at a time, in a workflow."""

    parent: ScopeFrame
    _: KW_ONLY
    running: int = 0
    """How many children have begun and not ended."""
    blocked: int = 0
    """How many of these can do nothing until somebody resumes them."""
    outputs: list[Ref | None] = field(default_factory=new_list)
    """Outputs by slot; None where a child has none."""
    stopped_at: int = -1
    """Lowest slot of a child that failed, or that bailed out of a foreach: it decides how the block ends. -1: none."""


@dataclass(slots=True, eq=False)
class ForeachFrame(_Block):
    """A foreach."""

    node: ForeachNode
    concurrency: int = 0
    """How many items may run at a time; 0 until that is known."""
    is_open: bool = False
    """Whether its list was measured."""
    cursor: int = 0
    """Index of the next item to start."""
    bail: Ref | None = None
    """The value with which an item ends the workflow."""


@dataclass(slots=True, eq=False)
class GroupFrame(_Block):
    """A parallel or a branch."""

    node: ParallelNode | BranchNode
    verdicts: list[bool | None] = field(default_factory=new_list)
    """Answers of a branch's conditions; None where one is not known."""
    asked: int = 0
    """How many conditions were asked for an answer that is not there."""
    chosen: list[int] = field(default_factory=new_list)
    """Slots of the children that run, in declaration order."""
    is_chosen: bool = False
    """Whether it is decided which children run."""
    cursor: int = 0
    """Index in `chosen` of the next child to start."""


@dataclass(slots=True, eq=False)
class LoopFrame(_Frame):
    """A dowhile or dountil."""

    parent: ScopeFrame
    node: LoopNode
    passes: int = 0
    """How many passes have begun."""
    last: Ref | None = None
    """What the last pass gave."""
    verdict: bool | None = None
    """The condition's answer to the last pass; None if it is not known."""
    bail: Ref | None = None
    """The value with which the body ends the workflow."""


Block: TypeAlias = ForeachFrame | GroupFrame
"""What runs several children at a time."""

Parent: TypeAlias = ScopeFrame | ForeachFrame | GroupFrame | LoopFrame
"""What has children."""

Frame: TypeAlias = LeafFrame | PauseFrame | ScopeFrame | ForeachFrame | GroupFrame | LoopFrame
"""Closed on purpose, like `Node`."""


def as_scope(parent: Parent) -> ScopeFrame:
    """Narrow: by the types of the graph, only a workflow has blocks as direct children.

    Raises:
        TypeError: It is not one.
    """
    if not isinstance(parent, ScopeFrame):
        message = f"a block can stand only in a workflow, not in {type(parent).__name__}"
        raise TypeError(message)
    return parent
