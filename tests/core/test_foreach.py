"""Rule 5.5: one body per item, in a rolling window."""

from __future__ import annotations

import pytest

from outlast.core.commands import Cause, CloseBlock, OpenBlock, RunStep
from outlast.core.events import BlockOpened, RunStarted, StepSucceeded
from outlast.core.ref import Item, ListOf, Recorded
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from simulated import BOOM, T0, SimulatedRun, a_foreach, a_graph, a_map, a_step, a_workflow, paths


def each(concurrency: int = 1, *, length: int = 5, limit: int = 0) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_foreach(a_step("each", limit=limit), concurrency=concurrency)), list(range(length)))
    run.start()
    return run


def test_foreach_first_asks_how_long_the_list_is():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=3)))

    commands = run.record_one(RunStarted(T0), b"[1]")

    assert commands == [OpenBlock("each", Recorded(1), None, 3)]


def test_items_start_in_order_up_to_the_window():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=2)))
    run.record_one(RunStarted(T0), b"[5,6,7]")

    commands = run.record_one(BlockOpened(T0, "each", 3, 2))

    assert commands == [
        RunStep("each[0]", "w/each", 0, Item(Recorded(1), 0)),
        RunStep("each[1]", "w/each", 0, Item(Recorded(1), 1)),
    ]


def test_recorded_window_counts_and_not_the_one_of_the_graph():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=1)))
    run.record_one(RunStarted(T0), b"[5,6,7]")

    commands = run.record_one(BlockOpened(T0, "each", 3, 2))

    assert paths(commands) == ["each[0]", "each[1]"]


def test_ended_item_makes_room_for_the_next_one():
    run = each(2)

    assert paths(run.succeed("each[1]")) == ["each[2]"]
    assert paths(run.succeed("each[2]")) == ["each[3]"]
    assert paths(run.succeed("each[0]")) == ["each[4]"]
    assert run.succeed("each[3]") == []


def test_window_wider_than_the_list_starts_all():
    run = each(100)

    assert run.open_paths == [f"each[{index}]" for index in range(5)]


def test_output_is_aligned_with_the_items_whatever_the_order_of_their_ends():
    run = each(5)

    for index in (3, 0, 4, 2, 1):
        run.succeed(f"each[{index}]", f"of {index}")

    assert run.result == ["of 0", "of 1", "of 2", "of 3", "of 4"]


def test_each_item_gets_its_own_value():
    run = each(5)

    inputs = [run.value(command.input) for command in run.state.open.values() if isinstance(command, RunStep)]

    assert inputs == [0, 1, 2, 3, 4]


def test_empty_list_gives_an_empty_list():
    run = each(length=0)

    assert run.state.status() is RunStatus.SUCCESS
    assert run.result == []


@pytest.mark.parametrize("value", [None, 1, "text", {"a": 1}])
def test_input_that_is_no_list_fails_the_node(value):
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))), value)

    run.start()

    assert run.state.status() is RunStatus.FAILED
    assert run.view.failure is not None
    assert run.view.failure.path == "each"


def test_failed_item_stops_starting_items():
    run = each(2)

    assert run.fail("each[0]") == []
    assert run.open_paths == ["each[1]"]


def test_items_in_flight_may_end_after_a_failure():
    run = each(3)
    run.fail("each[1]")

    assert run.succeed("each[0]") == []
    assert run.state.status() is RunStatus.RUNNING
    assert run.succeed("each[2]") == []
    assert run.state.status() is RunStatus.FAILED
    assert run.view.steps["each[2]"].status == "success"


def test_item_in_flight_may_be_tried_again_after_a_failure():
    run = each(2, limit=1)
    run.fail("each[0]")
    run.fail("each[0]")

    commands = run.fail("each[1]")

    assert [(command.path, command.attempt) for command in commands if isinstance(command, RunStep)] == [("each[1]", 1)]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_failure_of_the_lowest_failed_index_wins(order):
    run = each(3)
    run.succeed("each[0]")

    for index in order:
        run.fail(f"each[{index}]", FailureInfo(type="ValueError", message=f"of {index}"))
    run.succeed("each[3]")

    assert run.view.failure == Cause("each[1]", FailureInfo(type="ValueError", message="of 1"))


def test_failed_foreach_is_closed_with_the_cause_and_no_output():
    run = each(1)

    run.fail("each[0]")

    assert run.view.steps["each"].failure == BOOM
    assert run.view.steps["each"].output is None


def test_success_closes_the_foreach_with_the_list_of_its_items():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))))
    run.record_one(RunStarted(T0), b"[7]")
    run.record_one(BlockOpened(T0, "each", 1, 1))
    run.begin("each[0]")

    commands = run.record_one(StepSucceeded(T0, "each[0]", 0), b"8")

    assert commands == [CloseBlock("each", ListOf((Recorded(4),)), None, None)]


def test_foreach_over_a_foreach_refers_to_the_items_without_a_detour():
    run = SimulatedRun(a_graph(a_foreach(a_step("first"), concurrency=2), a_foreach(a_step("second"))), [1, 2])
    run.start()
    run.succeed("first[1]", "b")

    (command,) = run.succeed("first[0]", "a")

    assert isinstance(command, RunStep)
    assert isinstance(command.input, Recorded)
    assert run.value(command.input) == "a"


def test_items_of_a_nested_workflow_have_paths_under_the_item():
    """0: `each[3].resize`."""
    child = a_workflow("each", a_step("fetch"), a_step("resize"))
    run = SimulatedRun(a_graph(a_foreach(child, concurrency=4)), [0, 1, 2, 3])
    run.start()

    commands = run.succeed("each[3].fetch")

    assert paths(commands) == ["each[3].resize"]


def test_node_after_a_foreach_gets_the_list():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=2), a_map("sum")), [1, 2])
    run.start()
    run.succeed("each[0]", 10)

    (command,) = run.succeed("each[1]", 20)

    assert command.path == "sum"
    assert run.value(run.state.frame("sum").input) == [10, 20]


def test_outputs_of_items_are_not_names_of_the_workflow():
    """Children of blocks are looked up by id; items of a foreach are not, only the list is."""
    run = SimulatedRun(a_graph(a_foreach(a_step("each")), a_step("after")), [1])
    run.start()
    run.succeed("each[0]", 10)

    outputs = run.state.scope_of("after").outputs

    assert {name: run.value(ref) for name, ref in outputs.items()} == {"each": [10]}
