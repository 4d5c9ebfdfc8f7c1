"""Rule 5.2: several bodies with the same input at once."""

from __future__ import annotations

import itertools

import pytest

from outlast.core.commands import Cause, OpenBlock, RunStep
from outlast.core.events import RunStarted
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from simulated import T0, SimulatedRun, a_graph, a_map, a_parallel, a_step, a_workflow, paths


def three() -> SimulatedRun:
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b"), a_step("c"))), "in")
    run.start()
    return run


def test_children_start_together_with_the_same_input():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b"))))

    commands = run.record_one(RunStarted(T0), b"1")

    assert commands == [RunStep("a", "w/a", 0, Recorded(1)), RunStep("b", "w/b", 0, Recorded(1))]


def test_child_that_is_a_workflow_is_opened_beside_the_others():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_workflow("child", a_step("x")))))

    commands = run.record_one(RunStarted(T0), b"1")

    assert commands == [RunStep("a", "w/a", 0, Recorded(1)), OpenBlock("child", Recorded(1), "child-workflow", None)]


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_output_is_keyed_by_child_in_declaration_order(order):
    run = three()

    for path in order:
        run.succeed(path, f"of {path}")

    assert list(run.result.items()) == [("a", "of a"), ("b", "of b"), ("c", "of c")]


def test_block_waits_for_all_children():
    run = three()
    run.succeed("c")

    assert run.succeed("a") == []
    assert run.open_paths == ["b"]


def test_children_are_awaited_when_one_failed():
    run = three()

    assert run.fail("a") == []
    assert run.open_paths == ["b", "c"]
    assert run.state.status() is RunStatus.RUNNING


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_first_failure_in_declaration_order_is_that_of_the_block(order):
    run = three()

    for path in order:
        if path == "a":
            run.succeed(path)
        else:
            run.fail(path, FailureInfo(type="ValueError", message=f"of {path}"))

    assert run.view.failure == Cause("b", FailureInfo(type="ValueError", message="of b"))


def test_next_node_gets_the_outputs_by_child():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b")), a_map("join")))
    run.start()
    run.succeed("a", 1)

    (command,) = run.succeed("b", 2)

    assert command.path == "join"
    assert run.value(run.state.frame("join").input) == {"a": 1, "b": 2}


def test_paths_of_children_do_not_name_the_block():
    """21: paths are those of the workflow in which the block stands, also in a nested one."""
    child = a_workflow("child", a_parallel(a_step("a"), a_step("b")))
    run = SimulatedRun(a_graph(child))

    commands = run.start()

    assert paths(commands) == ["child.a", "child.b"]


def test_output_of_a_child_is_known_to_those_after_the_block():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b")), a_step("after")))
    run.start()
    run.succeed("b", 2)
    run.succeed("a", 1)

    outputs = run.state.scope_of("after").outputs

    assert {name: run.value(ref) for name, ref in outputs.items()} == {
        "b": 2,
        "a": 1,
        "parallel": {"a": 1, "b": 2},
    }


def test_block_of_one_child_gives_an_object_too():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"))))
    run.start()

    run.succeed("a", 1)

    assert run.result == {"a": 1}
