"""Rule 5.4: the body runs at least once; its output feeds the next pass and the condition."""

from __future__ import annotations

import pytest

from outlast.core.advance import reissue
from outlast.core.commands import Cause, CloseBlock, Evaluate, OpenBlock, RunStep
from outlast.core.events import BlockOpened, Evaluated, RunStarted, StepSucceeded
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state
from outlast.failures import FailureInfo
from simulated import BOOM, T0, SimulatedRun, a_graph, a_loop, a_map, a_step, a_workflow, paths


def poll(*, is_until: bool = True, max_iterations: int | None = None, limit: int = 0) -> SimulatedRun:
    loop = a_loop(a_step("poll", limit=limit), is_until=is_until, max_iterations=max_iterations)
    run = SimulatedRun(a_graph(loop), 7)
    run.start()
    return run


def test_loop_is_opened_without_a_length():
    run = SimulatedRun(a_graph(a_loop(a_step("poll"))))

    commands = run.record_one(RunStarted(T0), b"7")

    assert commands == [OpenBlock("poll", Recorded(1), None, None)]


def test_body_runs_at_least_once_with_the_input():
    run = SimulatedRun(a_graph(a_loop(a_step("poll"))))
    run.record_one(RunStarted(T0), b"7")

    commands = run.record_one(BlockOpened(T0, "poll"))

    assert commands == [RunStep("poll#1", "w/poll", 0, Recorded(1))]


def test_condition_gets_the_output_of_the_pass_and_its_count():
    run = poll()
    run.begin("poll#1")

    commands = run.record_one(StepSucceeded(T0, "poll#1", 0), b"8")

    assert commands == [
        Evaluate("poll#1?condition", "poll", "w/poll?condition", Recorded(4), "condition", iteration_count=1)
    ]


def test_output_feeds_the_next_pass():
    run = poll()
    run.succeed("poll#1", 8)

    (command,) = run.evaluate("poll#1?condition", 0)

    assert isinstance(command, RunStep)
    assert (command.path, run.value(command.input)) == ("poll#2", 8)


def test_passes_are_counted_from_one():
    run = poll()

    counts = []
    for number in (1, 2, 3):
        (command,) = run.succeed(f"poll#{number}")
        assert isinstance(command, Evaluate)
        counts.append(command.iteration_count)
        run.evaluate(f"poll#{number}?condition", 0)

    assert counts == [1, 2, 3]


@pytest.mark.parametrize(("is_until", "verdict", "goes_on"), [(True, 1, False), (True, 0, True), (False, 1, True)])
def test_until_ends_when_true_and_while_when_false(is_until, verdict, goes_on):
    run = poll(is_until=is_until)
    run.succeed("poll#1", 8)

    run.evaluate("poll#1?condition", verdict)

    assert run.state.status() is (RunStatus.RUNNING if goes_on else RunStatus.SUCCESS)


def test_output_is_that_of_the_last_pass():
    run = poll(is_until=False)
    run.succeed("poll#1", 8)
    run.evaluate("poll#1?condition", 1)
    run.succeed("poll#2", 9)

    run.evaluate("poll#2?condition", 0)

    assert run.result == 9


def test_loop_is_closed_with_the_reference_of_the_last_pass():
    run = poll()
    run.succeed("poll#1", 8)

    commands = run.record_one(Evaluated(T0, "poll#1?condition", 1))

    assert commands == [CloseBlock("poll", Recorded(4), None, None)]


def test_max_iterations_reached_fails_the_node():
    """21."""
    run = poll(max_iterations=2)
    for number in (1, 2):
        run.succeed(f"poll#{number}")
        run.evaluate(f"poll#{number}?condition", 0)

    assert run.view.failure == Cause(
        "poll",
        FailureInfo(
            type="MaxIterationsError",
            message="'poll' made 2 passes and its condition still says to go on (max_iterations)",
            is_retryable=False,
        ),
    )


def test_condition_that_is_satisfied_at_the_last_pass_ends_the_loop_well():
    run = poll(max_iterations=1)
    run.succeed("poll#1", 8)

    run.evaluate("poll#1?condition", 1)

    assert run.result == 8


def test_failing_condition_fails_the_run_and_names_itself():
    run = poll()
    run.succeed("poll#1")

    run.fail_evaluation("poll#1?condition")

    assert run.view.failure == Cause("poll#1?condition", BOOM)


def test_failing_pass_fails_the_loop_without_asking():
    run = poll()

    assert run.fail("poll#1") == []
    assert run.view.failure == Cause("poll#1", BOOM)


def test_pass_is_tried_again_by_its_own_rule():
    run = poll(limit=1)

    commands = run.fail("poll#1")

    assert [(each.path, each.attempt) for each in commands if isinstance(each, RunStep)] == [("poll#1", 1)]


def test_condition_is_not_evaluated_again_after_a_recovery():
    run = poll()
    run.succeed("poll#1")
    run.evaluate("poll#1?condition", 0)

    assert paths(reissue(fold_state(run.state.graph, run.records))) == ["poll#2"]


def test_condition_whose_answer_was_lost_is_asked_again():
    run = poll()
    run.succeed("poll#1")

    assert paths(reissue(fold_state(run.state.graph, run.records))) == ["poll#1?condition"]


def test_nodes_of_a_nested_body_have_paths_under_the_pass():
    run = SimulatedRun(a_graph(a_loop(a_workflow("poll", a_step("ask"), a_step("judge")))))

    assert paths(run.start()) == ["poll#1.ask"]
    assert paths(run.succeed("poll#1.ask")) == ["poll#1.judge"]
    assert paths(run.succeed("poll#1.judge")) == ["poll#1?condition"]
    assert paths(run.evaluate("poll#1?condition", 0)) == ["poll#2.ask"]


def test_loop_in_a_loop_counts_by_itself():
    inner = a_workflow("outer", a_loop(a_step("inner")))
    run = SimulatedRun(a_graph(a_loop(inner)))
    run.start()
    run.succeed("outer#1.inner#1")
    run.evaluate("outer#1.inner#1?condition", 1)

    commands = run.evaluate("outer#1?condition", 0)

    assert paths(commands) == ["outer#2.inner#1"]


def test_node_after_a_loop_gets_its_output():
    run = SimulatedRun(a_graph(a_loop(a_step("poll")), a_map("after")))
    run.start()
    run.succeed("poll#1", 8)
    run.evaluate("poll#1?condition", 1)

    assert run.value(run.state.frame("after").input) == 8


def test_each_pass_has_a_record_and_that_of_the_loop_shows_the_last():
    """21."""
    run = poll(limit=1)
    run.succeed("poll#1", 8)
    run.evaluate("poll#1?condition", 0)
    run.fail("poll#2")
    run.succeed("poll#2", 9)

    steps = run.view.steps

    assert list(steps) == ["poll", "poll#1", "poll#2"]
    assert (run.value(steps["poll"].output), steps["poll"].attempts) == (9, 2)
    assert steps["poll"].status is StepStatus.RUNNING


def test_record_of_the_loop_ends_with_the_loop():
    run = poll()
    run.now_ms += 3
    run.succeed("poll#1", 8)
    run.evaluate("poll#1?condition", 1)

    step = run.view.steps["poll"]

    assert (step.status, step.ended_at_ms, run.value(step.input)) == (StepStatus.SUCCESS, T0 + 3, 7)


def test_record_of_a_failed_loop_has_the_failure_of_its_pass():
    run = poll()
    run.fail("poll#1")

    step = run.view.steps["poll"]

    assert (step.status, step.failure) == (StepStatus.FAILED, BOOM)


def test_state_of_a_loop_does_not_grow_with_its_passes():
    run = poll()
    for number in range(1, 50):
        run.succeed(f"poll#{number}")
        run.evaluate(f"poll#{number}?condition", 0)

    assert sorted(run.state.frames) == ["", "poll", "poll#50"]
