"""Graphs as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

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

__all__ = ["to_mermaid"]


def to_mermaid(graph: Graph) -> str:
    """Return a Mermaid flowchart, top to bottom; nested workflows and blocks are drawn as boxes around their nodes."""
    lines = ["flowchart TD", "  start((start))", "  finish((end))"]
    lines += _scope(graph.root, prefix="", indent="  ", before="start", after="finish")
    return "\n".join(lines) + "\n"


def _scope(scope: WorkflowNode, *, prefix: str, indent: str, before: str, after: str | None) -> Iterator[str]:
    previous = before
    for node in scope.nodes:
        name = prefix + node.id
        yield from _draw(node, name=name, indent=indent)
        if previous:
            yield f"{indent}{previous} --> {name}"
        previous = name
    if after:
        yield f"{indent}{previous} --> {after}"


def _draw(node: Node, *, name: str, indent: str) -> Iterator[str]:
    match node:
        case StepNode():
            yield f'{indent}{name}["{node.id}"]'
        case MapNode():
            yield f'{indent}{name}[/"{node.id}"/]'
        case SleepNode():
            yield f'{indent}{name}(["{node.id}"])'
        case WaitNode():
            yield f'{indent}{name}{{{{"{node.id}: waits"}}}}'
        case BranchNode():
            what = "the first true one" if node.is_first_only else "all that are true"
            yield f'{indent}subgraph {name}["{node.id}: {what}"]'
            for child in node.children:
                yield from _draw(child, name=f"{name}__{child.id}", indent=indent + "  ")
            yield f"{indent}end"
        case LoopNode():
            yield f'{indent}subgraph {name}["{node.id}: again {"until" if node.is_until else "while"}"]'
            yield from _draw(node.body, name=f"{name}__pass", indent=indent + "  ")
            yield f"{indent}end"
        case ForeachNode():
            many = "some" if isinstance(node.concurrency, str) else node.concurrency
            yield f'{indent}subgraph {name}["{node.id}: each item, {many} at a time"]'
            yield from _draw(node.body, name=f"{name}__item", indent=indent + "  ")
            yield f"{indent}end"
        case ParallelNode():
            yield f'{indent}subgraph {name}["{node.id}: all at once"]'
            for child in node.children:
                yield from _draw(child, name=f"{name}__{child.id}", indent=indent + "  ")
            yield f"{indent}end"
        case WorkflowNode():
            yield f'{indent}subgraph {name}["{node.id}"]'
            yield from _scope(node, prefix=f"{name}__", indent=indent + "  ", before="", after=None)
            yield f"{indent}end"
        case _:
            assert_never(node)
