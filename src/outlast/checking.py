"""What a deploy of this code would mean to the runs in flight (rule 12.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, assert_never, cast

from outlast.engines.base import GraphInFlight
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    Graph,
    LoopNode,
    MapNode,
    Node,
    NodeInfo,
    ParallelNode,
    SleepNode,
    StepNode,
    Task,
    WaitNode,
    WorkflowNode,
    references_of,
    walk,
)
from outlast.immutable import frozen

__all__ = ["Finding", "FindingKind", "check_graphs"]


class FindingKind(StrEnum):
    """What is different between this code and the runs in flight."""

    MISSING_WORKFLOW = "missing-workflow"
    """This code has no such workflow: its runs wait until a worker has it."""
    MISSING_FUNCTION = "missing-function"
    """The graph of the runs refers to a function or nested workflow that this code lacks: they wait, too."""
    UNREADABLE_GRAPH = "unreadable-graph"
    """A newer version of Outlast wrote the graph: its runs wait for a worker of that version."""
    CHANGED_CODE = "changed-code"
    """The runs go on with another body of a function than the one they were started with."""
    CHANGED_GRAPH = "changed-graph"
    """New runs have another graph; these keep theirs."""

    @property
    def is_blocking(self) -> bool:
        """Whether runs would wait that go on now."""
        return self not in (FindingKind.CHANGED_CODE, FindingKind.CHANGED_GRAPH)


@frozen
class Finding:
    """One difference, and how many runs it concerns."""

    kind: FindingKind
    """What it is."""
    workflow_id: str
    """Id of the workflow."""
    runs: int
    """How many runs in flight have this graph."""
    path: str = ""
    """Node that it is about, as it is declared: `child.fetch`; empty for the workflow as a whole."""
    reference: str = ""
    """Function or nested workflow that it is about, by the reference in the graph."""

    def __str__(self) -> str:
        """Say it in a sentence."""
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        of = f"{runs} of workflow '{self.workflow_id}'"
        at = f" at '{self.path}'" if self.path else ""
        match self.kind:
            case FindingKind.MISSING_WORKFLOW:
                return f"{of} would wait: this code has no such workflow"
            case FindingKind.MISSING_FUNCTION:
                return f"{of} would wait{at}: this code lacks '{self.reference}'"
            case FindingKind.UNREADABLE_GRAPH:
                return f"{of} would wait: a newer version of outlast wrote the graph"
            case FindingKind.CHANGED_CODE:
                return f"{of} would go on with changed code{at} ({self.reference})"
            case FindingKind.CHANGED_GRAPH:
                return f"{of} keep the graph that they were started on; new runs have another one"
            case _:
                assert_never(self.kind)


def check_graphs(
    in_flight: Sequence[GraphInFlight], workflows: Mapping[str, CommittedWorkflow[Any, Any]]
) -> list[Finding]:
    """Return what is different between the graphs of runs in flight and these workflows; blocking findings first."""
    findings = [finding for each in in_flight for finding in _check(each, workflows.get(each.workflow_id))]
    return sorted(findings, key=lambda finding: not finding.kind.is_blocking)


def _check(each: GraphInFlight, workflow: CommittedWorkflow[Any, Any] | None) -> Iterator[Finding]:
    def found(kind: FindingKind, path: str = "", reference: str = "") -> Finding:
        return Finding(kind=kind, workflow_id=each.workflow_id, runs=each.runs, path=path, reference=reference)

    if workflow is None:
        yield found(FindingKind.MISSING_WORKFLOW)
        return
    if each.graph is None:
        yield found(FindingKind.UNREADABLE_GRAPH)
        return
    functions, types = workflow.composition.functions, workflow.composition.types
    for path, node in _with_paths(each.graph):
        for reference in references_of(node):
            if reference not in functions and reference not in types:
                yield found(FindingKind.MISSING_FUNCTION, path, reference)
    hooks = () if each.graph.hooks is None else each.graph.hooks.references
    for reference in hooks:
        if reference not in functions:
            yield found(FindingKind.MISSING_FUNCTION, "", reference)
    before, now = _codes(each.graph), _codes(workflow.graph)
    used = [(path, reference) for path, node in _with_paths(each.graph) for reference in references_of(node)]
    for path, reference in (*used, *(("", hook) for hook in hooks)):
        code = before.get(reference, "")
        if code and now.get(reference, code) != code:
            yield found(FindingKind.CHANGED_CODE, path, reference)
    if _bare(each.graph.root) != _bare(workflow.graph.root):
        yield found(FindingKind.CHANGED_GRAPH)


def _with_paths(graph: Graph) -> Iterator[tuple[str, Node]]:
    """Yield the nodes of a graph with their paths as they are declared: without items and passes."""
    for node in graph.root.nodes:
        yield from _under(node, "")


def _under(node: Node, scope: str) -> Iterator[tuple[str, Node]]:
    path = f"{scope}.{node.id}" if scope else node.id
    yield path, node
    match node:
        case WorkflowNode():
            for each in node.nodes:
                yield from _under(each, path)
        case ParallelNode() | BranchNode():
            for child in node.children:
                yield from _under(child, scope)
        case ForeachNode(body=body) | LoopNode(body=body):
            yield path, body
            if isinstance(body, WorkflowNode):
                for each in body.nodes:
                    yield from _under(each, path)
        case StepNode() | MapNode() | SleepNode() | WaitNode():
            return
        case _:
            assert_never(node)


def _codes(graph: Graph) -> dict[str, str]:
    """Return the names and hashes of the functions that a graph refers to."""
    bodies = {node.function: node.info.code for node in walk(graph.root) if isinstance(node, StepNode | MapNode)}
    return bodies | dict(graph.codes)


def _bare(node: Node) -> Node:
    """Return a node without what no engine looks at, nor in the nodes in it."""
    match node:
        case WorkflowNode():
            return replace(node, info=NodeInfo(), nodes=tuple(_bare(each) for each in node.nodes))
        case ParallelNode() | BranchNode():
            return replace(node, info=NodeInfo(), children=tuple(_bare_task(each) for each in node.children))
        case ForeachNode() | LoopNode():
            return replace(node, info=NodeInfo(), body=_bare_task(node.body))
        case StepNode() | MapNode() | SleepNode() | WaitNode():
            return replace(node, info=NodeInfo())
        case _:
            assert_never(node)


def _bare_task(task: Task) -> Task:
    return cast("Task", _bare(task))
