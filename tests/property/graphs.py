"""Random graphs, for any property of the core or of the graph's document."""

from __future__ import annotations

from itertools import count

from hypothesis import strategies as st

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
    Task,
    WaitNode,
    WorkflowNode,
)
from outlast.graph.retry import RetryRule

MAX_DEPTH = 4

_KINDS = st.sampled_from(["foreach", "parallel", "workflow", "step", "branch", "loop", "wait", "sleep", "map"])
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
            concurrency = draw(st.sampled_from([1, 2, 3, 4, f"w/{name}?concurrency"]))
            body = _task(draw, name, depth)
            return ForeachNode(id=name, body=body, concurrency=concurrency, is_collecting=draw(st.booleans()))
        case "parallel":
            return ParallelNode(id=name, children=_tasks(draw, names, depth), limit=draw(st.sampled_from([None, 1, 2])))
        case "branch":
            children = _tasks(draw, names, depth)
            conditions = tuple(f"w/{name}?{child.id}" for child in children)
            return BranchNode(id=name, conditions=conditions, children=children, is_first_only=draw(st.booleans()))
        case "loop":
            return _loop(draw, name, depth)
        case "sleep":
            return _sleep(draw, name)
        case "wait":
            return _wait(draw, name)
        case "workflow" if depth > 0:
            return _workflow(draw, name, depth - 1)
        case _:
            return _step(draw, name)


def _loop(draw: st.DrawFn, name: str, depth: int) -> LoopNode:
    return LoopNode(
        id=name,
        body=_task(draw, name, depth),
        condition=f"w/{name}?condition",
        is_until=draw(st.booleans()),
        max_iterations=draw(st.sampled_from([None, 3, 1])),
    )


def _sleep(draw: st.DrawFn, name: str) -> SleepNode:
    match draw(st.sampled_from(["duration", "until", "evaluated duration", "evaluated until"])):
        case "duration":
            return SleepNode(id=name, duration_ms=draw(st.sampled_from([100, 1])))
        case "until":
            return SleepNode(id=name, until_ms=draw(st.sampled_from([1_500, 1])), is_until=True)
        case "evaluated duration":
            return SleepNode(id=name, function=f"w/{name}?duration")
        case _:
            return SleepNode(id=name, function=f"w/{name}?until", is_until=True)


def _wait(draw: st.DrawFn, name: str) -> WaitNode:
    timeout_ms = draw(st.sampled_from([None, 200]))
    default = draw(st.sampled_from([(), ([1, 2],)])) if timeout_ms is not None else ()
    return WaitNode(id=name, function=f"w/{name}", payload={"ask": name}, timeout_ms=timeout_ms, default=default)


def _tasks(draw: st.DrawFn, names: count[int], depth: int) -> tuple[Task, ...]:
    return tuple(_task(draw, f"n{next(names)}", depth) for _ in range(draw(_WIDTHS)))


def _task(draw: st.DrawFn, id: str, depth: int) -> Task:
    return _workflow(draw, id, depth - 1) if depth > 0 and draw(st.booleans()) else _step(draw, id)


def _step(draw: st.DrawFn, id: str) -> StepNode:
    return StepNode(id=id, function=f"w/{id}", retry=draw(_RETRIES))
