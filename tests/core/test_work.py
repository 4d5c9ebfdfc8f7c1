"""Work per event is that of the depth of the graph: it does not grow with the history or with the list."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import pytest

from outlast.core.advance import apply, decide
from outlast.core.events import BlockOpened, Event, RunStarted, StepStarted, StepSucceeded
from outlast.core.state import RunState
from outlast.graph.nodes import Graph
from simulated import T0, a_foreach, a_graph, a_step, a_workflow

LENGTH = 5_001
"""One more than is looked at: the end of the last item puts the list together, once."""


def calls_of(work: Callable[[], object]) -> int:
    """Count the calls of Python and C functions that some work makes."""
    count = 0

    def note(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    gc.disable()  # its callbacks would be counted
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


class Driven:
    """A foreach of which only the facts matter."""

    def __init__(self, graph: Graph, *, concurrency: int) -> None:
        self.state = RunState(graph)
        self.seq = 0
        self.fold(RunStarted(T0))
        self.fold(BlockOpened(T0, "each", LENGTH, concurrency))

    def fold(self, event: Event) -> None:
        self.seq += 1
        apply(self.state, self.seq, event)
        decide(self.state)

    def run_step(self, path: str) -> None:
        self.fold(StepStarted(T0, path, 0))
        self.fold(StepSucceeded(T0, path, 0))


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 100, LENGTH])
def test_last_thousand_items_cost_what_the_first_thousand_cost(concurrency):
    run = Driven(a_graph(a_foreach(a_step("each"), concurrency=concurrency), a_step("after")), concurrency=concurrency)

    def items(first: int, last: int) -> None:
        for index in range(first, last):
            run.run_step(f"each[{index}]")

    costs = [calls_of(lambda start=start: items(start, start + 1_000)) for start in range(0, 5_000, 1_000)]

    assert costs[-1] <= costs[0] * 1.01


def test_state_is_as_large_as_the_work_in_flight():
    run = Driven(a_graph(a_foreach(a_step("each"), concurrency=10)), concurrency=10)
    for index in range(1_000):
        run.run_step(f"each[{index}]")

    assert len(run.state.open) == 10
    assert len(run.state.frames) == 12  # the run, the foreach and its items


def test_frames_of_a_nested_workflow_go_with_it():
    run = Driven(a_graph(a_foreach(a_workflow("each", a_step("x")), concurrency=3)), concurrency=3)

    assert sorted(run.state.frames) == ["", "each", "each[0]", "each[1]", "each[2]"]
