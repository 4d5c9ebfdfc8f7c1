"""Graphs as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

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


_RESERVED: Final = (
    *("call", "class", "classDef", "click", "default", "direction", "end", "flowchart", "graph", "href"),
    *("interpolate", "linkStyle", "style", "subgraph"),
)
"""Words that mean something in a flowchart, and are no names of nodes."""


def to_mermaid(graph: Graph) -> str:
    """Return a Mermaid flowchart, top to bottom; nested workflows and blocks are drawn as boxes around their nodes."""
    lines = ["flowchart TD", "  start((start))", "  finish((end))"]
    lines += _Drawing().scope(graph.root, prefix="", indent="  ", before="start", after="finish")
    return "\n".join(lines) + "\n"


class _Drawing:
    """Draws nodes, each under a name of its own."""

    def __init__(self) -> None:
        self._taken = {"start", "finish", *_RESERVED}

    def scope(self, scope: WorkflowNode, *, prefix: str, indent: str, before: str, after: str | None) -> Iterator[str]:
        """Draw the nodes of a workflow, and the arrows between them."""
        previous = before
        for node in scope.nodes:
            name = self._name(prefix + node.id)
            yield from self._draw(node, name=name, indent=indent)
            if previous:
                yield f"{indent}{previous} --> {name}"
            previous = name
        if after:
            yield f"{indent}{previous} --> {after}"

    def _name(self, wanted: str) -> str:
        """Return a name that no other node has, without dashes, which Mermaid may take for the end of a word."""
        name = wanted.replace("-", "_")
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _draw(self, node: Node, *, name: str, indent: str) -> Iterator[str]:
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
                yield from self._box(name, f"{node.id}: {what}", self._children(node.children, name, indent), indent)
            case LoopNode():
                what = f"{node.id}: again {'until' if node.is_until else 'while'}"
                body = self._draw(node.body, name=self._name(f"{name}__pass"), indent=indent + "  ")
                yield from self._box(name, what, body, indent)
            case ForeachNode():
                many = "some" if isinstance(node.concurrency, str) else node.concurrency
                body = self._draw(node.body, name=self._name(f"{name}__item"), indent=indent + "  ")
                yield from self._box(name, f"{node.id}: each item, {many} at a time", body, indent)
            case ParallelNode():
                yield from self._box(
                    name, f"{node.id}: all at once", self._children(node.children, name, indent), indent
                )
            case WorkflowNode():
                nodes = self.scope(node, prefix=f"{name}__", indent=indent + "  ", before="", after=None)
                yield from self._box(name, node.id, nodes, indent)
            case _:
                assert_never(node)

    def _children(self, children: Sequence[Node], name: str, indent: str) -> Iterator[str]:
        for child in children:
            yield from self._draw(child, name=self._name(f"{name}__{child.id}"), indent=indent + "  ")

    def _box(self, name: str, title: str, inside: Iterator[str], indent: str) -> Iterator[str]:
        yield f'{indent}subgraph {name}["{title}"]'
        yield from inside
        yield f"{indent}end"
