"""A graph as text: one line for each node, what stands in it below."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from rich.text import Text
from rich.tree import Tree

from outlast.cli.screen import plain, span
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    Graph,
    LoopNode,
    MapNode,
    Node,
    ParallelNode,
    SleepNode,
    StepNode,
    WaitNode,
    WorkflowNode,
)
from outlast.instant import from_ms

__all__ = ["draw_tree"]


def draw_tree(graph: Graph) -> Tree:
    """Return the nodes of a graph in the order in which they run, those in others indented."""
    root = graph.root
    recoveries = "" if root.max_recoveries is None else f", recovered {_times(root.max_recoveries)}"
    tree = Tree(_label(root.workflow, f"workflow{_within(root.timeout_ms)}{recoveries}"), guide_style="dim")
    for node in root.nodes:
        _add(tree, node)
    return tree


def _add(tree: Tree, node: Node) -> None:
    branch = tree.add(_label(node.id, _describe(node)))
    match node:
        case WorkflowNode():
            children: tuple[Node, ...] = node.nodes
        case ParallelNode() | BranchNode():
            children = node.children
        case ForeachNode() | LoopNode():
            children = (node.body,)
        case StepNode() | MapNode() | SleepNode() | WaitNode():
            children = ()
        case _:
            assert_never(node)
    for child in children:
        _add(branch, child)


def _label(node_id: str, what: str) -> Text:
    return Text.assemble((plain(node_id), "bold"), "  ", (plain(what), "dim"))


def _describe(node: Node) -> str:  # one case for each kind of node
    match node:
        case StepNode():
            retries = f", tried again {_times(node.retry.limit)}" if node.retry.limit else ""
            return f"step{retries}{_within(node.timeout_ms)}"
        case MapNode():
            return "map"
        case WorkflowNode():
            return "workflow" if node.id == node.workflow else f"workflow '{node.workflow}'"
        case ForeachNode():
            many = "some" if isinstance(node.concurrency, str) else node.concurrency
            return f"foreach, {many} at a time{', failures collected' if node.is_collecting else ''}"
        case ParallelNode():
            return "parallel, all at once" if node.limit is None else f"parallel, {node.limit} at a time"
        case BranchNode():
            return f"branch, {'the first true one' if node.is_first_only else 'all that are true'}"
        case LoopNode():
            most = f", {_times(node.max_iterations)}" if node.max_iterations else ""
            return f"again {'until' if node.is_until else 'while'} {node.condition.partition('?')[2]}{most}"
        case SleepNode():
            return f"sleep{_how_long(node)}"
        case WaitNode():
            return f"waits to be resumed{_within(node.timeout_ms)}"
        case _:
            assert_never(node)


def _times(most: int) -> str:
    return "once" if most == 1 else f"up to {most:,} times"


def _within(timeout_ms: int | None) -> str:
    return "" if timeout_ms is None else f", at most {span(timedelta(milliseconds=timeout_ms))}"


def _how_long(node: SleepNode) -> str:
    if node.duration_ms is not None:
        return f", {span(timedelta(milliseconds=node.duration_ms))}"
    return "" if node.until_ms is None else f", until {from_ms(node.until_ms).isoformat(timespec='seconds')}"
