"""Rules 7.5 and 7.7: a node that suspends without user code; its output is the resume data."""

from __future__ import annotations

import pytest

from outlast.core.advance import reissue
from outlast.core.commands import AwaitResume, Cause, Suspend
from outlast.core.events import RunStarted, StepResumed, StepSuspended, SuspensionTimedOut
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state
from outlast.failures import FailureInfo
from simulated import T0, SimulatedRun, a_foreach, a_graph, a_map, a_step, a_wait, a_workflow, paths


def waiting(*, timeout_ms: int | None = None, default: tuple[object, ...] = ()) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_wait(payload={"ask": 1}, timeout_ms=timeout_ms, default=default), a_map("after")), 7)
    run.start()
    return run


def test_wait_first_records_that_it_waits():
    run = SimulatedRun(a_graph(a_wait(payload={"ask": 1}, timeout_ms=500)))

    commands = run.record_one(RunStarted(T0), b"7")

    assert commands == [Suspend("approve", {"ask": 1}, 500)]


def test_recorded_wait_waits_to_be_resumed():
    run = SimulatedRun(a_graph(a_wait()))
    run.record_one(RunStarted(T0), b"7")

    commands = run.record_one(StepSuspended(T0, "approve", 0, None, T0 + 500), b"null")

    assert commands == [AwaitResume("approve", 0, T0 + 500, None, Recorded(2))]


def test_output_is_the_resume_data():
    run = waiting()

    (command,) = run.resume("approve", {"yes": True})

    assert (command.path, run.value(run.state.frame("after").input)) == ("after", {"yes": True})


def test_null_is_resume_data_too():
    run = waiting(timeout_ms=500, default=("late",))

    run.resume("approve", None)

    assert run.value(run.state.frame("after").input) is None


def test_default_is_the_output_when_the_time_is_over():
    run = waiting(timeout_ms=500, default=("late",))

    run.time_out("approve")

    assert run.value(run.state.frame("after").input) == "late"


def test_default_that_is_a_list_can_be_gone_through():
    run = SimulatedRun(a_graph(a_wait(timeout_ms=500, default=([1, [2]],)), a_foreach(a_step("each"))))
    run.start()

    assert paths(run.time_out("approve")) == ["each[0]"]
    (command,) = run.succeed("each[0]")
    assert run.value(run.state.frame(command.path).input) == [2]


def test_wait_without_a_default_fails_when_the_time_is_over():
    run = waiting(timeout_ms=500)

    run.time_out("approve")

    message = "nobody resumed 'approve' until 2026-01-01T00:00:00.500+00:00"
    failure = FailureInfo(type="SuspensionTimeoutError", message=message, is_retryable=False)
    assert run.view.failure == Cause("approve", failure)
    assert run.view.steps["approve"].failure == failure


def test_run_that_waits_for_somebody_is_suspended_also_with_a_timeout():
    run = waiting(timeout_ms=500)

    assert run.state.status() is RunStatus.SUSPENDED
    assert run.state.next_due() == T0 + 500


def test_recovery_keeps_the_time_of_the_timeout():
    run = waiting(timeout_ms=500)
    run.now_ms += 400

    assert reissue(fold_state(run.state.graph, run.records)) == [AwaitResume("approve", 0, T0 + 500, None, Recorded(2))]


def test_record_of_a_wait_tells_what_was_asked_and_answered():
    run = waiting()
    run.now_ms += 60
    run.resume("approve", True)

    step = run.view.steps["approve"]

    assert (step.status, step.suspended_at_ms, step.resumed_at_ms) == (StepStatus.SUCCESS, T0, T0 + 60)
    assert (run.value(step.suspend_payload), run.value(step.resume_payload)) == ({"ask": 1}, True)
    assert run.value(step.output) is True


def test_record_of_a_wait_that_nobody_answered_has_no_answer():
    run = waiting(timeout_ms=500, default=("late",))
    run.time_out("approve")

    step = run.view.steps["approve"]

    assert (step.status, run.value(step.output)) == (StepStatus.SUCCESS, "late")
    assert (step.resumed_at_ms, step.resume_payload) == (None, None)


def test_resumer_adds_to_the_request_context():
    """21: the caller's entries win, the stored ones fill gaps."""
    run = SimulatedRun(a_graph(a_wait()))
    run.record(RunStarted(T0, {"tenant": "t", "user": "a"}), 7, has_payload=True)

    run.record(StepResumed(T0, "approve", {"user": "b"}), True, has_payload=True)

    assert run.view.request_context == {"tenant": "t", "user": "b"}


@pytest.mark.parametrize("event", [StepResumed(T0, "approve"), SuspensionTimedOut(T0, "approve")])
def test_wait_is_over_once(event):
    run = SimulatedRun(a_graph(a_wait(default=(1,), timeout_ms=1), a_wait("again")))
    run.start()
    run.record(event, 1, has_payload=True)

    assert run.open_paths == ["again"]


def test_wait_in_an_item_has_the_path_of_the_item():
    run = SimulatedRun(a_graph(a_foreach(a_workflow("each", a_wait()), concurrency=2)), [1, 2])

    assert paths(run.start()) == ["each[0].approve", "each[1].approve"]
