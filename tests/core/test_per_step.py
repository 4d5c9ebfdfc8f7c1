"""Rule 12.6: a run in per-step mode stops after each node of its workflow."""

from __future__ import annotations

from outlast.core.commands import AwaitStep
from outlast.core.events import RunStarted, RunTimedOut
from outlast.core.status import RunStatus
from outlast.core.view import fold_state
from simulated import T0, SimulatedRun, a_graph, a_parallel, a_step, a_workflow, paths


def begun() -> SimulatedRun:
    run = SimulatedRun(
        a_graph(a_step("a"), a_workflow("child", a_step("x"), a_step("y")), a_parallel(a_step("p"), a_step("q")))
    )
    run.start(per_step=True)
    return run


def test_run_pauses_after_each_node_of_its_workflow():
    run = begun()

    commands = run.succeed("a", "A")

    assert run.state.status() is RunStatus.PAUSED
    assert commands == list(run.state.open.values()) == [AwaitStep("?pause", 1, "child")]


def test_next_node_gets_the_output_of_the_one_before_the_pause():
    run = begun()
    run.succeed("a", "A")

    (command,) = run.go_on()

    assert command.path == "child.x"
    assert run.value(run.state.frame("child.x").input) == "A"


def test_nodes_of_nested_workflows_and_blocks_do_not_pause():
    run = begun()
    run.succeed("a")
    run.go_on()

    assert paths(run.succeed("child.x")) == ["child.y"]
    assert paths(run.succeed("child.y")) == ["?pause"]
    assert paths(run.go_on()) == ["p", "q"]


def test_last_node_ends_the_run_instead_of_pausing_it():
    run = begun()
    run.succeed("a")
    run.go_on()
    run.succeed("child.x")
    run.succeed("child.y")
    run.go_on()
    run.succeed("p", 1)

    run.succeed("q", 2)

    assert (run.state.status(), run.result) == (RunStatus.SUCCESS, {"p": 1, "q": 2})


def test_run_goes_on_to_its_end_if_it_is_let_go():
    run = begun()
    run.succeed("a")
    run.go_on(per_step=False)
    run.succeed("child.x")

    commands = run.succeed("child.y")

    assert paths(commands) == ["p", "q"]


def test_paused_run_can_be_canceled():
    run = begun()
    run.succeed("a")

    run.cancel()

    assert run.state.status() is RunStatus.CANCELED


def test_paused_run_can_run_out_of_time():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))
    run.record(RunStarted(T0, deadline_ms=T0 + 5, per_step=True), has_payload=True)
    run.succeed("a")
    assert (run.state.status(), run.state.next_due()) == (RunStatus.PAUSED, T0 + 5)

    run.record(RunTimedOut(T0 + 5, "?deadline"))

    assert run.state.status() is RunStatus.FAILED


def test_next_execution_is_per_step_only_if_it_is_asked_to_be():
    run = begun()
    run.rewind("a", 1)

    commands = run.succeed("a")

    assert paths(commands) == ["child.x"]


def test_pause_is_in_the_journal():
    run = begun()
    run.succeed("a")

    assert run.records[-1].type == "run-paused"
    assert fold_state(run.state.graph, run.records).status() is RunStatus.PAUSED


def test_failure_and_bail_end_a_paused_run_at_once():
    failed, bailed = begun(), begun()

    failed.fail("a")
    bailed.bail("a", "early")

    assert (failed.state.status(), bailed.state.status()) == (RunStatus.FAILED, RunStatus.SUCCESS)


def test_time_travel_can_be_per_step():
    run = begun()
    run.succeed("a")

    run.rewind("a", 2, per_step=True)
    run.succeed("a")

    assert run.state.status() is RunStatus.PAUSED
