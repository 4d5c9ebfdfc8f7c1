"""Rule 10: nothing new starts; bodies in flight end; what only waits ends at once."""

from __future__ import annotations

import pytest

from outlast.core.commands import Cause, FinishRun
from outlast.core.events import CancelRequested, RunCrashed, RunStarted, RunTimedOut, StepStarted
from outlast.core.state import JournalMismatchError
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state
from outlast.failures import FailureInfo
from outlast.graph.nodes import Graph
from simulated import (
    BOOM,
    T0,
    SimulatedRun,
    a_branch,
    a_foreach,
    a_graph,
    a_loop,
    a_parallel,
    a_sleep,
    a_step,
    a_wait,
    paths,
)

TWO = a_graph(a_parallel(a_step("a", limit=2), a_step("b")), a_step("after"))


def in_flight() -> SimulatedRun:
    """The body of `a` runs, `b` may start."""
    run = SimulatedRun(TWO)
    run.start()
    run.begin("a")
    return run


ENDS_AT_ONCE = {
    "not begun": a_graph(a_step("a")),
    "asleep": a_graph(a_sleep(duration_ms=5)),
    "waiting for somebody": a_graph(a_wait()),
    "asking a condition": a_graph(a_branch(a_step("big"))),
    "asking how long": a_graph(a_sleep(function="w/nap")),
    "asking how many": a_graph(a_foreach(a_step("each"), concurrency="w/each?concurrency")),
}


@pytest.mark.parametrize("graph", ENDS_AT_ONCE.values(), ids=ENDS_AT_ONCE.keys())
def test_what_runs_no_body_ends_at_once(graph: Graph):
    run = SimulatedRun(graph, [1])
    run.start()

    run.cancel()

    assert run.state.status() is RunStatus.CANCELED
    assert run.open_paths == []


def test_run_that_waits_for_a_retry_ends_at_once():
    run = SimulatedRun(a_graph(a_step("a", limit=1, delay_ms=5)))
    run.start()
    run.fail("a")

    run.cancel()

    assert run.state.status() is RunStatus.CANCELED


def test_suspended_step_ends_at_once():
    run = SimulatedRun(TWO)
    run.start()
    run.suspend("a")

    run.cancel()

    assert run.state.status() is RunStatus.CANCELED


def test_run_that_is_about_to_end_is_canceled():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))))
    run.record_one(RunStarted(T0), b"[]")

    commands = run.record_one(CancelRequested(T0))

    assert commands == [FinishRun("", None, None, is_canceled=True)]


def test_everything_that_is_not_in_flight_is_dropped():
    run = in_flight()

    assert run.cancel() == []
    assert run.open_paths == ["a"]


def test_step_whose_command_was_dropped_cannot_start():
    run = in_flight()
    run.cancel()

    with pytest.raises(JournalMismatchError):
        run.record_one(StepStarted(T0, "b", 0))


@pytest.mark.parametrize("end", ["succeed", "fail", "suspend", "bail", "give_up"])
def test_run_ends_when_the_last_body_ends_however_it_does(end):
    run = in_flight()
    run.begin("b")
    run.cancel()
    run.give_up("b")

    assert run.state.status() is RunStatus.RUNNING
    getattr(run, end)("a")

    assert run.state.status() is RunStatus.CANCELED
    assert run.open_paths == []


def test_nothing_is_tried_again_after_a_cancel():
    run = SimulatedRun(a_graph(a_parallel(a_step("a", limit=2), a_step("b"))))
    run.start()
    run.begin("a")
    run.begin("b")
    run.cancel()

    assert run.fail("a") == []
    assert run.open_paths == ["b"]


def test_no_condition_is_asked_after_a_cancel():
    run = SimulatedRun(a_graph(a_loop(a_step("poll"))))
    run.start()
    run.begin("poll#1")
    run.cancel()

    run.succeed("poll#1")

    assert run.state.status() is RunStatus.CANCELED


def test_result_of_a_body_that_ended_after_the_cancel_is_kept():
    run = in_flight()
    run.cancel()
    run.succeed("a", 1)

    step = run.view.steps["a"]

    assert (step.status, run.value(step.output)) == (StepStatus.SUCCESS, 1)
    assert run.state.result is None


def test_second_cancel_changes_nothing():
    run = in_flight()
    run.cancel()

    assert run.cancel() == []
    assert run.open_paths == ["a"]


def test_recovery_of_a_canceled_run_knows_that_it_is():
    run = in_flight()
    run.cancel()

    state = fold_state(run.state.graph, run.records)

    assert state.is_canceling
    assert list(state.open) == ["a"]


def test_reason_is_kept():
    run = in_flight()
    run.cancel("too late")

    assert run.view.cancel_reason == "too late"


def test_steps_without_an_end_are_shown_as_canceled():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b"), a_step("c", limit=1, delay_ms=9))))
    run.start()
    run.suspend("b")
    run.fail("c")
    run.begin("a")
    run.now_ms += 4
    run.cancel()
    run.give_up("a")

    ends = {path: (step.status, step.ended_at_ms) for path, step in run.view.steps.items()}

    assert ends == dict.fromkeys("abc", (StepStatus.CANCELED, T0 + 4))


def test_canceled_run_has_no_failure():
    run = in_flight()
    run.cancel()
    run.fail("a")

    assert run.view.failure is None


def test_run_out_of_time_ends_failed_when_its_bodies_have_ended():
    """9.3: it stops like a canceled one."""
    run = SimulatedRun(TWO)
    run.record(RunStarted(T0, deadline_ms=T0 + 9), 7, has_payload=True)
    run.begin("a")

    assert run.record(RunTimedOut(T0 + 9, "?deadline")) == []
    assert run.open_paths == ["a"]
    run.succeed("a")

    message = "the run did not end until 2026-01-01T00:00:00.009+00:00"
    failure = FailureInfo(type="RunTimedOutError", message=message, is_retryable=False)
    assert run.view.failure == Cause("", failure)


def test_deadline_is_open_as_long_as_the_run():
    run = SimulatedRun(a_graph(a_wait()))

    commands = run.record(RunStarted(T0, deadline_ms=T0 + 9), 7, has_payload=True)

    assert sorted(paths(commands)) == ["?deadline", "approve"]
    assert (run.state.status(), run.state.next_due()) == (RunStatus.SUSPENDED, T0 + 9)
    run.resume("approve")
    assert run.open_paths == []


def test_crash_alone_changes_nothing():
    run = in_flight()

    assert run.record(RunCrashed(T0, is_poison=False)) == []
    assert (run.open_paths, run.state.crashes) == (["a", "b"], 1)


def test_run_that_crashes_too_often_fails_without_calling_its_bodies_again():
    """9.6."""
    run = in_flight()

    run.record(RunCrashed(T0, is_poison=True))

    assert run.state.status() is RunStatus.FAILED
    assert run.view.failure is not None
    assert (run.view.failure.path, run.view.failure.failure.type) == ("a", "PoisonRunError")


def test_failure_before_the_cancel_is_shown_at_its_step():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b"))))
    run.start()
    run.begin("b")
    run.fail("a")
    run.cancel()
    run.give_up("b")

    assert (run.view.steps["a"].failure, run.state.status()) == (BOOM, RunStatus.CANCELED)
