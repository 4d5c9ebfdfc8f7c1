"""Random graphs, for any property of the core or of the graph's document."""

from __future__ import annotations

from itertools import count

from hypothesis import strategies as st

from outlast.graph.nodes import (
    ForeachNode,
    Graph,
    MapNode,
    Node,
    ParallelNode,
    StepNode,
    Task,
    WorkflowNode,
)
from outlast.graph.retry import RetryRule

MAX_DEPTH = 4

_KINDS = st.sampled_from(["foreach", "parallel", "workflow", "step", "map"])
_WIDTHS = st.sampled_from([2, 3, 1, 4])
_RETRIES = st.builds(RetryRule, limit=st.sampled_from([2, 1, 0]), delay_ms=st.sampled_from([100, 0]))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A root workflow with up to four levels of workflows in it."""
    return Graph(root=_workflow(draw, "w", MAX_DEPTH))


def _workflow(draw: st.DrawFn, id: str, depth: int) -> WorkflowNode:
    names = count()
    nodes = tuple(_node(draw, names, depth) for _ in range(draw(_WIDTHS)))
    return WorkflowNode(id=id, workflow=f"{id}-at-{depth}", nodes=nodes)


def _node(draw: st.DrawFn, names: count[int], depth: int) -> Node:
    name = f"n{next(names)}"
    match draw(_KINDS):
        case "map":
            return MapNode(id=name, function=f"w/{name}?map")
        case "foreach":
            return ForeachNode(id=name, body=_task(draw, name, depth), concurrency=draw(st.integers(1, 4)))
        case "parallel":
            children = tuple(_task(draw, f"n{next(names)}", depth) for _ in range(draw(_WIDTHS)))
            return ParallelNode(id=name, children=children)
        case "workflow" if depth > 0:
            return _workflow(draw, name, depth - 1)
        case _:
            return _step(draw, name)


def _task(draw: st.DrawFn, id: str, depth: int) -> Task:
    return _workflow(draw, id, depth - 1) if depth > 0 and draw(st.booleans()) else _step(draw, id)


def _step(draw: st.DrawFn, id: str) -> StepNode:
    return StepNode(id=id, function=f"w/{id}", retry=draw(_RETRIES))
