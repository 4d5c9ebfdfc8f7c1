"""Nodes one after the other: steps and maps, their outcomes, and the end of the run."""

from __future__ import annotations

from outlast.core.commands import Cause, FinishRun, RunMap, RunStep
from outlast.core.events import RunFinished, RunStarted, StepStarted, StepSucceeded
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from simulated import BOOM, T0, SimulatedRun, a_graph, a_map, a_step, paths


def test_start_asks_for_the_first_step_with_the_workflow_input():
    """5.1: the first input is the validated workflow input."""
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))

    commands = run.record_one(RunStarted(T0), b"1")

    assert commands == [RunStep("a", "w/a", 0, Recorded(1))]


def test_started_step_asks_for_nothing():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()

    commands = run.record_one(StepStarted(T0, "a", 0))

    assert commands == []


def test_started_step_stays_open_and_remembers_that_it_started():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()

    run.begin("a")

    assert list(run.state.open.values()) == [RunStep("a", "w/a", 0, Recorded(1), was_started=True)]


def test_start_recorded_twice_after_a_recovery_changes_nothing_more():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.begin("a")

    commands = run.begin("a", is_recovered=True)

    assert commands == []
    assert list(run.state.open.values()) == [RunStep("a", "w/a", 0, Recorded(1), was_started=True)]


def test_next_input_is_the_previous_output():
    """5.1."""
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))
    run.start()
    run.begin("a")

    commands = run.record_one(StepSucceeded(T0, "a", 0), b'"of a"')

    assert commands == [RunStep("b", "w/b", 0, Recorded(3))]


def test_outcome_without_a_recorded_start_is_taken():
    """What is recorded has happened: a map may join the commit that led to it."""
    run = SimulatedRun(a_graph(a_map("m"), a_step("b")))
    run.start()

    commands = run.record_one(StepSucceeded(T0, "m", 0), b"2")

    assert commands == [RunStep("b", "w/b", 0, Recorded(2))]


def test_map_asks_for_its_function():
    run = SimulatedRun(a_graph(a_step("a"), a_map("m")))
    run.start()

    commands = run.succeed("a", 1)

    assert commands == [RunMap("m", "w/m?map", Recorded(3))]


def test_map_that_fails_is_not_tried_again():
    """5.6."""
    run = SimulatedRun(a_graph(a_map("m"), a_step("b")))
    run.start()

    commands = run.fail("m")

    assert commands == []
    assert run.state.status() is RunStatus.FAILED


def test_last_output_finishes_the_run():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.begin("a")

    commands = run.record_one(StepSucceeded(T0, "a", 0), b"1")

    assert commands == [FinishRun("", Recorded(3), None)]


def test_finished_run_has_the_last_output_as_result():
    run = SimulatedRun(a_graph(a_step("a"), a_map("m")))
    run.start()
    run.succeed("a", 1)

    run.succeed("m", {"total": 2})

    assert run.state.status() is RunStatus.SUCCESS
    assert run.result == {"total": 2}
    assert run.state.open == {}


def test_failed_step_finishes_the_run_and_starts_nothing_more():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))
    run.start()

    run.fail("a")

    assert run.state.status() is RunStatus.FAILED
    assert run.state.result is None
    assert paths(list(run.state.open.values())) == []


def test_finish_of_a_failed_run_names_the_failed_node():
    """9.5: the failure is recorded with its path."""
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))
    run.start()
    run.succeed("a")

    run.fail("b")

    assert run.view.failure == Cause("b", BOOM)


def test_result_that_does_not_fit_fails_the_run_as_a_whole():
    """5.10, for the workflow's result."""
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.begin("a")
    run.record_one(StepSucceeded(T0, "a", 0), b"1")
    failure = FailureInfo(type="InputError", message="result of the workflow is not valid: a string is needed")

    run.record_one(RunFinished(T0, RunStatus.FAILED, None, failure))

    assert run.state.status() is RunStatus.FAILED
    assert run.state.result is None
    assert run.view.failure == Cause("", failure)


def test_frames_are_gone_with_the_run():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()

    run.succeed("a")

    assert run.state.frames == {}


def test_outputs_of_ended_nodes_are_known_in_their_workflow():
    """6: `get_step_result` reads them."""
    run = SimulatedRun(a_graph(a_step("a"), a_map("m"), a_step("b")))
    run.start()
    run.succeed("a", 1)
    run.succeed("m", 2)

    outputs = run.state.scope_of("b").outputs

    assert {name: run.value(ref) for name, ref in outputs.items()} == {"a": 1, "m": 2}
