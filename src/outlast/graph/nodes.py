"""The nodes of a graph: immutable data that says WHAT is declared. No functions live here, only their references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TypeAlias, assert_never

from outlast.graph.retry import RetryRule
from outlast.graph.source import Source
from outlast.immutable import immutable, new_dict
from outlast.values import JsonValue

__all__ = [
    "BranchNode",
    "ForeachNode",
    "Graph",
    "Hooks",
    "LoopNode",
    "MapNode",
    "Node",
    "NodeInfo",
    "ParallelNode",
    "SleepNode",
    "StepNode",
    "Task",
    "WaitNode",
    "WorkflowNode",
    "references_of",
    "walk",
]


@immutable(kw_only=True)
class NodeInfo:
    """What people and tools want to know of a node; no engine looks at it."""

    description: str = ""
    """The author's words."""
    metadata: Mapping[str, JsonValue] = field(default_factory=new_dict)
    """The author's data."""
    input: JsonValue = None
    """JSON Schema of the input, None if it is not declared."""
    output: JsonValue = None
    """JSON Schema of the output, None if it is not declared."""
    code: str = ""
    """Qualified name and hash of the function, to tell that it changed; never to decide."""


@immutable(kw_only=True)
class StepNode:
    """One step."""

    id: str
    """Id of the node, unique in its workflow."""
    function: str
    """Reference of the body, as `order/fetch`."""
    retry: RetryRule = field(default_factory=RetryRule)
    """When it is tried again."""
    timeout_ms: int | None = None
    """How long one attempt may take; None for ever."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


@immutable(kw_only=True)
class MapNode:
    """A function between two nodes that shapes data; it is not tried again."""

    id: str
    """Id of the node, unique in its workflow."""
    function: str
    """Reference of the function, as `order/total?map`."""
    sources: tuple[tuple[str, Source], ...] = ()
    """Where each key of its output comes from; empty if the function says it."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


@immutable(kw_only=True)
class WorkflowNode:
    """A whole workflow: the root of a graph, or one used as a step (rule 5.7)."""

    id: str
    """Id of the node; for the root, of the workflow."""
    workflow: str
    """Id of the workflow."""
    nodes: tuple[Node, ...]
    """What runs one after the other; at least one."""
    state: JsonValue = None
    """JSON Schema of the state that it declares, None if it declares none."""
    timeout_ms: int | None = None
    """How long a run of it may take; None for ever. Means nothing where it is used as a step."""
    max_recoveries: int | None = None
    """How often processes may die of a run of it; None for as often as the app says. As for `timeout_ms`."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


@immutable(kw_only=True)
class ForeachNode:
    """One body for each item of a list, at most `concurrency` at a time (rule 5.5)."""

    id: str
    """Id of the node, unique in its workflow."""
    body: Task
    """What runs for each item, under the path `id[index]`."""
    concurrency: int | str
    """How many items may run at a time, at least 1; or the reference of a function that says so."""
    is_collecting: bool = False
    """Whether a failed item leaves its error in the output instead of failing the node."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


@immutable(kw_only=True)
class ParallelNode:
    """Several bodies with the same input, all at once (rule 5.2)."""

    id: str
    """Id of the node, unique in its workflow."""
    children: tuple[Task, ...]
    """What runs, in declaration order; at least one."""
    limit: int | None = None
    """How many of them may run at a time; None for all."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


@immutable(kw_only=True)
class BranchNode:
    """Several bodies with the same input, each with a condition that decides whether it runs (rule 5.3)."""

    id: str
    """Id of the node, unique in its workflow."""
    conditions: tuple[str, ...]
    """References of the conditions, one for each child."""
    children: tuple[Task, ...]
    """What may run, in declaration order; at least one."""
    is_first_only: bool = False
    """Whether only the first child whose condition is true runs."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


@immutable(kw_only=True)
class LoopNode:
    """One body again and again; each pass gets what the one before it gave (rule 5.4)."""

    id: str
    """Id of the node, unique in its workflow."""
    body: Task
    """What runs, under the path `id#pass`, with passes from 1."""
    condition: str
    """Reference of the condition, evaluated after each pass."""
    is_until: bool
    """Whether the loop ends when the condition is true; else it ends when it is false."""
    max_iterations: int | None = None
    """After how many passes the node fails; None for never."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


@immutable(kw_only=True)
class SleepNode:
    """A durable pause; its output is its input (rule 11). Exactly one of the three says how long."""

    id: str
    """Id of the node, unique in its workflow."""
    duration_ms: int | None = None
    """How long, from the moment it begins."""
    until_ms: int | None = None
    """Until when, in milliseconds since 1970, UTC."""
    function: str | None = None
    """Reference of a function that says how long or until when."""
    is_until: bool = False
    """Whether that function gives an instant; else it gives a length of time."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


@immutable(kw_only=True)
class WaitNode:
    """Waits for somebody to resume it; its output is what they hand over (rule 7.5)."""

    id: str
    """Id of the node, unique in its workflow."""
    function: str
    """Reference that stands for the declared type of the resume data."""
    payload: JsonValue = None
    """What is told to those who ask what the run waits for."""
    timeout_ms: int | None = None
    """How long it waits; None for ever."""
    default: tuple[JsonValue, ...] = ()
    """Its output when the time is over; empty if it then fails."""
    info: NodeInfo = field(default_factory=NodeInfo)
    """For people and tools."""


Task: TypeAlias = StepNode | WorkflowNode
"""What can stand inside another node."""

Node: TypeAlias = (
    StepNode | MapNode | ForeachNode | ParallelNode | WorkflowNode | BranchNode | LoopNode | SleepNode | WaitNode
)
"""Closed on purpose: a new kind breaks the type check until `core/flow`, the document and the renderer handle it."""


@immutable(kw_only=True)
class Hooks:
    """The functions that are told when a run begins, rests and fails (rule 13); at least one of them."""

    on_start: str | None = None
    """Reference of the function that is called before the first step."""
    on_finish: str | None = None
    """Reference of the function that is told of every end and every suspension."""
    on_error: str | None = None
    """Reference of the function that is told of a failure."""

    @property
    def references(self) -> tuple[str, ...]:
        """The functions that there are."""
        return tuple(each for each in (self.on_start, self.on_finish, self.on_error) if each is not None)


@immutable(kw_only=True)
class Graph:
    """A committed workflow as data: what the core interprets and what travels with a run."""

    root: WorkflowNode
    """The workflow itself."""
    hooks: Hooks | None = None
    """Who is told of its runs; None for nobody. Those of nested workflows do not count: they have no runs."""
    codes: Mapping[str, str] = field(default_factory=new_dict)
    """Qualified name and hash of its hooks, conditions and the like, by reference; what `NodeInfo.code` is to steps."""
    is_sensitive: bool = False
    """Whether a declared type has parts that are recorded encrypted; only who has the types can tell which."""

    @property
    def workflow_id(self) -> str:
        """Id of the workflow."""
        return self.root.workflow


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all that stand in it, depth first."""
    yield node
    for child in _children(node):
        yield from walk(child)


def references_of(node: Node) -> tuple[str, ...]:
    """Return the functions and workflows that a node itself refers to, not those of the nodes in it."""
    match node:
        case StepNode() | WaitNode():
            return (node.function,)
        case MapNode():
            return () if node.sources else (node.function,)
        case WorkflowNode():
            return (node.workflow,)
        case LoopNode():
            return (node.condition,)
        case BranchNode():
            return node.conditions
        case ForeachNode():
            return (node.concurrency,) if isinstance(node.concurrency, str) else ()
        case SleepNode():
            return () if node.function is None else (node.function,)
        case ParallelNode():
            return ()
        case _:
            assert_never(node)


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case WorkflowNode():
            return node.nodes
        case ParallelNode() | BranchNode():
            return node.children
        case ForeachNode() | LoopNode():
            return (node.body,)
        case StepNode() | MapNode() | SleepNode() | WaitNode():
            return ()
        case _:
            assert_never(node)
