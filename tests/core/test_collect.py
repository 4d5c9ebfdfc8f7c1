"""Rule 5.5: a foreach with `on_error="collect"`, and one whose window a function says."""

from __future__ import annotations

from outlast.core.advance import reissue
from outlast.core.commands import Cause, Evaluate, OpenBlock
from outlast.core.events import Evaluated, RunStarted
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state
from outlast.failures import FailureInfo, failure_to_json
from simulated import BOOM, T0, SimulatedRun, a_foreach, a_graph, a_step, a_workflow, paths

ERROR = {"error": failure_to_json(BOOM)}


def collecting(*, concurrency: int = 1, limit: int = 0) -> SimulatedRun:
    each = a_foreach(a_step("each", limit=limit), concurrency=concurrency, is_collecting=True)
    run = SimulatedRun(a_graph(each), [1, 2, 3])
    run.start()
    return run


def evaluated() -> SimulatedRun:
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency="w/each?concurrency")), [1, 2, 3])
    run.start()
    return run


def test_failed_item_leaves_its_error_in_its_place():
    """21."""
    run = collecting(concurrency=3)
    run.succeed("each[2]", "c")
    run.fail("each[1]")
    run.succeed("each[0]", "a")

    assert run.result == ["a", ERROR, "c"]


def test_items_after_a_failed_one_run():
    run = collecting()

    assert paths(run.fail("each[0]")) == ["each[1]"]


def test_all_items_may_fail():
    run = collecting()
    for index in range(3):
        run.fail(f"each[{index}]")

    assert (run.state.status(), run.result) == (RunStatus.SUCCESS, [ERROR] * 3)


def test_item_is_tried_again_before_it_leaves_its_error():
    run = collecting(limit=1)

    assert paths(run.fail("each[0]")) == ["each[0]"]
    assert paths(run.fail("each[0]")) == ["each[1]"]


def test_failed_workflow_leaves_the_error_of_its_node():
    run = SimulatedRun(a_graph(a_foreach(a_workflow("each", a_step("x")), is_collecting=True)), [1])
    run.start()
    run.fail("each[0].x")

    assert run.result == [ERROR]


def test_failed_item_is_shown_as_failed_and_the_foreach_as_success():
    run = collecting()
    run.fail("each[0]")
    run.succeed("each[1]")
    run.succeed("each[2]")

    steps = run.view.steps

    assert (steps["each[0]"].status, steps["each[0]"].failure) == (StepStatus.FAILED, BOOM)
    assert steps["each"].status is StepStatus.SUCCESS


def test_input_that_is_no_list_fails_a_collecting_foreach_too():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), is_collecting=True)), "text")

    run.start()

    assert run.state.status() is RunStatus.FAILED


def test_window_is_asked_for_before_the_list_is_measured():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency="w/each?concurrency")))

    commands = run.record_one(RunStarted(T0), b"[1]")

    assert commands == [Evaluate("each?concurrency", "each", "w/each?concurrency", Recorded(1), "concurrency")]


def test_answered_window_opens_the_foreach():
    run = evaluated()

    assert run.record_one(Evaluated(T0, "each?concurrency", 2)) == [OpenBlock("each", Recorded(1), None, 2)]


def test_items_start_up_to_the_answered_window():
    assert paths(evaluated().evaluate("each?concurrency", 2)) == ["each[0]", "each[1]"]


def test_window_is_not_asked_for_again_after_a_recovery():
    run = evaluated()
    run.evaluate("each?concurrency", 2)

    assert paths(reissue(fold_state(run.state.graph, run.records))) == ["each[0]", "each[1]"]


def test_failing_window_function_fails_the_node_and_names_itself():
    run = evaluated()
    failure = FailureInfo(type="ValueError", message="0 is below 1")

    run.fail_evaluation("each?concurrency", failure)

    assert run.view.failure == Cause("each?concurrency", failure)
    assert (run.view.steps["each"].status, run.view.steps["each"].failure) == (StepStatus.FAILED, failure)
