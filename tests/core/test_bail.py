"""Rule 5.8: `bail` ends the nearest workflow with success; in a parallel or branch only its child."""

from __future__ import annotations

import itertools

import pytest

from outlast.core.commands import Cause
from outlast.core.status import RunStatus, StepStatus
from simulated import BOOM, SimulatedRun, a_branch, a_foreach, a_graph, a_loop, a_parallel, a_step, a_workflow, paths


def items(count: int, *, is_collecting: bool = False) -> SimulatedRun:
    each = a_foreach(a_step("each"), concurrency=count, is_collecting=is_collecting)
    run = SimulatedRun(a_graph(each, a_step("after")), list(range(count)))
    run.start()
    return run


def test_bail_in_a_plain_step_ends_the_run_with_its_value():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))
    run.start()

    assert run.bail("a", "enough") == []
    assert run.state.status() is RunStatus.SUCCESS
    assert run.result == "enough"


def test_step_that_bailed_is_shown_as_bailed():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))
    run.start()
    run.bail("a", "enough")

    assert [(path, step.status) for path, step in run.view.steps.items()] == [("a", StepStatus.BAILED)]
    assert run.value(run.view.steps["a"].output) == "enough"


def test_bail_in_a_nested_workflow_ends_only_it():
    """5.7."""
    run = SimulatedRun(a_graph(a_workflow("child", a_step("x"), a_step("y")), a_step("after")))
    run.start()

    commands = run.bail("child.x", 3)

    assert paths(commands) == ["after"]
    assert run.value(run.state.frame("after").input) == 3
    assert run.view.steps["child"].status is StepStatus.SUCCESS


def test_bail_in_a_parallel_child_ends_that_child_only():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b")), a_step("after")))
    run.start()

    assert run.bail("a", 1) == []
    assert paths(run.succeed("b", 2)) == ["after"]
    assert run.value(run.state.frame("after").input) == {"a": 1, "b": 2}
    assert run.view.steps["a"].status is StepStatus.BAILED


def test_bail_in_a_branch_child_ends_that_child_only():
    run = SimulatedRun(a_graph(a_branch(a_step("big")), a_step("after")))
    run.start()
    run.evaluate("route?big", 1)

    assert paths(run.bail("big", 1)) == ["after"]


def test_bail_in_a_loop_body_ends_the_workflow_without_asking():
    run = SimulatedRun(a_graph(a_loop(a_step("poll")), a_step("after")))
    run.start()

    assert run.bail("poll#1", 1) == []
    assert run.result == 1


def test_bail_in_the_nested_body_of_a_loop_ends_that_pass_only():
    run = SimulatedRun(a_graph(a_loop(a_workflow("poll", a_step("x"), a_step("y")))))
    run.start()

    assert paths(run.bail("poll#1.x", 1)) == ["poll#1?condition"]


def test_bail_in_a_foreach_item_ends_the_workflow_that_holds_the_foreach():
    """21."""
    run = SimulatedRun(a_graph(a_foreach(a_step("each")), a_step("after")), [1, 2, 3])
    run.start()

    assert run.bail("each[0]", "enough") == []
    assert run.result == "enough"


def test_bail_in_a_foreach_of_a_nested_workflow_ends_only_that_workflow():
    run = SimulatedRun(a_graph(a_workflow("child", a_foreach(a_step("each")), a_step("y")), a_step("after")), [1, 2])
    run.start()

    assert paths(run.bail("child.each[0]", 1)) == ["after"]


def test_items_in_flight_end_before_a_bail_counts():
    run = items(2)

    assert run.bail("each[0]", "enough") == []
    assert run.open_paths == ["each[1]"]
    assert run.succeed("each[1]") == []
    assert run.result == "enough"


def test_bail_does_not_wait_for_suspended_items():
    run = items(2)
    run.suspend("each[1]")

    run.bail("each[0]", "enough")

    assert run.result == "enough"
    assert run.view.steps["each[1]"].status is StepStatus.CANCELED


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
def test_lowest_item_that_bailed_decides_whatever_the_order(order):
    run = items(3)

    for index in order:
        _ = run.succeed("each[0]") if index == 0 else run.bail(f"each[{index}]", f"of {index}")

    assert run.result == "of 1"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_bail_of_a_lower_item_wins_over_a_failure(order):
    """As if the items ran one after the other: the later one would not have begun."""
    run = items(2)

    for index in order:
        _ = run.bail("each[0]", "enough") if index == 0 else run.fail("each[1]")

    assert run.result == "enough"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_failure_of_a_lower_item_wins_over_a_bail(order):
    run = items(2)

    for index in order:
        _ = run.fail("each[0]") if index == 0 else run.bail("each[1]", "enough")

    assert run.view.failure == Cause("each[0]", BOOM)


def test_bail_ends_a_collecting_foreach_too():
    run = items(2, is_collecting=True)
    run.fail("each[0]")

    run.bail("each[1]", "enough")

    assert run.result == "enough"
