"""Rule 5.7: a workflow used as a step is one node, and its nodes have paths under it."""

from __future__ import annotations

import pytest

from outlast.core.commands import Cause, CloseBlock, OpenBlock, RunStep
from outlast.core.events import BlockFailed, BlockOpened, RunStarted, StepSucceeded
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from simulated import BOOM, T0, SimulatedRun, a_foreach, a_graph, a_parallel, a_step, a_workflow, paths

MISFIT = FailureInfo(type="InputError", message="an integer is needed")


def nested() -> SimulatedRun:
    """`before`, then `child` with `x` and `y`, then `after`."""
    return SimulatedRun(a_graph(a_step("before"), a_workflow("child", a_step("x"), a_step("y")), a_step("after")))


def test_nested_workflow_is_opened_with_its_input():
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))))

    commands = run.record_one(RunStarted(T0), b"1")

    assert commands == [OpenBlock("child", Recorded(1), "child-workflow", None)]


def test_opened_workflow_starts_its_first_node_under_its_path():
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))))
    run.record_one(RunStarted(T0), b"1")

    commands = run.record_one(BlockOpened(T0, "child"))

    assert commands == [RunStep("child.x", "w/x", 0, Recorded(1))]


def test_last_output_closes_the_nested_workflow():
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))))
    run.start()
    run.begin("child.x")

    commands = run.record_one(StepSucceeded(T0, "child.x", 0), b"2")

    assert commands == [CloseBlock("child", Recorded(4), None, "child-workflow")]


def test_node_after_a_nested_workflow_gets_its_output():
    run = nested()
    run.start()

    assert paths(run.succeed("before", 1)) == ["child.x"]
    assert paths(run.succeed("child.x", 2)) == ["child.y"]
    assert paths(run.succeed("child.y", 3)) == ["after"]
    assert run.value(run.state.frame("after").input) == 3


def test_failure_of_a_nested_workflow_is_that_of_the_parent():
    run = nested()
    run.start()
    run.succeed("before")

    run.fail("child.x")

    assert run.state.status() is RunStatus.FAILED
    assert run.view.failure == Cause("child.x", BOOM)
    assert run.view.steps["child"].failure == BOOM


def test_input_that_does_not_fit_fails_the_nested_workflow_itself():
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))))
    run.record_one(RunStarted(T0), b"1")

    run.record(BlockFailed(T0, "child", None, MISFIT))

    assert run.view.failure == Cause("child", MISFIT)
    assert "child.x" not in run.view.steps


def test_output_that_does_not_fit_fails_the_nested_workflow_itself():
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"))))
    run.start()
    run.begin("child.x")
    run.record_one(StepSucceeded(T0, "child.x", 0), b"2")

    run.record(BlockFailed(T0, "child", None, MISFIT))

    assert run.view.failure == Cause("child", MISFIT)


def test_failure_deep_inside_names_the_deepest_node():
    deep = a_workflow("one", a_workflow("two", a_workflow("three", a_step("x"))))
    run = SimulatedRun(a_graph(deep))

    assert paths(run.start()) == ["one.two.three.x"]
    run.fail("one.two.three.x")

    assert run.view.failure == Cause("one.two.three.x", BOOM)
    assert [path for path, step in run.view.steps.items() if step.status == "failed"] == [
        "one",
        "one.two",
        "one.two.three",
        "one.two.three.x",
    ]


def test_names_are_looked_up_in_the_nearest_workflow():
    """21: getters look inside the child."""
    run = nested()
    run.start()
    run.succeed("before", 1)
    run.succeed("child.x", 2)

    scope = run.state.scope_of("child.y")

    assert scope.node.workflow == "child-workflow"
    assert {name: run.value(ref) for name, ref in scope.outputs.items()} == {"x": 2}


def test_nodes_of_a_nested_workflow_are_not_names_of_the_parent():
    run = nested()
    run.start()
    run.succeed("before", 1)
    run.succeed("child.x", 2)
    run.succeed("child.y", 3)

    outputs = run.state.scope_of("after").outputs

    assert {name: run.value(ref) for name, ref in outputs.items()} == {"before": 1, "child": 3}


@pytest.mark.parametrize("path", ["each[1].a", "each[1].b"])
def test_scope_of_a_node_in_a_block_of_an_item_is_the_item(path):
    child = a_workflow("each", a_parallel(a_step("a"), a_step("b")))
    run = SimulatedRun(a_graph(a_foreach(child, concurrency=2)), [0, 1])
    run.start()

    assert run.state.scope_of(path).path == "each[1]"


def test_failure_in_an_item_stops_the_foreach_with_its_path():
    child = a_workflow("each", a_step("fetch"), a_step("resize"))
    run = SimulatedRun(a_graph(a_foreach(child, concurrency=2)), [0, 1, 2])
    run.start()
    run.succeed("each[1].fetch")
    run.fail("each[1].resize")

    assert paths(run.succeed("each[0].fetch")) == ["each[0].resize"]
    assert run.succeed("each[0].resize") == []
    assert run.view.failure == Cause("each[1].resize", BOOM)


def test_same_workflow_twice_has_paths_of_its_own_each_time():
    child = a_workflow("child", a_step("x"))
    again = a_workflow("again", a_step("x"))
    run = SimulatedRun(a_graph(child, again))
    run.start()

    assert paths(run.succeed("child.x", 1)) == ["again.x"]
