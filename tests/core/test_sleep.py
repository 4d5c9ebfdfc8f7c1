"""Rule 11: durable pauses, whose due time is fixed once, from the time of the event that began them."""

from __future__ import annotations

import pytest

from outlast.core.advance import reissue
from outlast.core.commands import Cause, Evaluate, Sleep
from outlast.core.events import RunStarted, SleepStarted, TimerFired
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state
from simulated import BOOM, T0, SimulatedRun, a_graph, a_parallel, a_sleep, a_step, a_workflow, paths

LONG_MS = 400 * 24 * 3_600_000


def asleep(duration_ms: int = 90_000) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_sleep(duration_ms=duration_ms), a_step("after")), 7)
    run.start()
    return run


def test_due_time_of_a_length_counts_from_its_beginning():
    """11: not from the event before it, after which a run may wait for its turn."""
    run = SimulatedRun(a_graph(a_sleep(duration_ms=90_000)))

    (command,) = run.record_one(RunStarted(T0), b"7")
    run.now_ms += 5_000
    run.answer(command)

    assert command == Sleep("nap", None, 90_000)
    assert run.state.next_due() == T0 + 95_000


def test_instant_is_the_due_time_itself():
    run = SimulatedRun(a_graph(a_sleep(until_ms=T0 + 1, is_until=True)))

    commands = run.record_one(RunStarted(T0), b"7")

    assert commands == [Sleep("nap", T0 + 1)]


@pytest.mark.parametrize(("is_until", "purpose"), [(False, "duration"), (True, "until")])
def test_function_says_how_long_or_until_when(is_until, purpose):
    run = SimulatedRun(a_graph(a_sleep(function="w/nap", is_until=is_until)))

    commands = run.record_one(RunStarted(T0), b"7")

    assert commands == [Evaluate(f"nap?{purpose}", "nap", "w/nap", Recorded(1), purpose)]


def test_answer_of_the_function_is_the_due_time():
    run = SimulatedRun(a_graph(a_sleep(function="w/nap")))
    run.start()

    commands = run.evaluate("nap?duration", T0 + 77)

    assert commands == [Sleep("nap", T0 + 77)]


@pytest.mark.parametrize(("is_until", "purpose"), [(False, "duration"), (True, "until")])
def test_failing_function_fails_the_run_and_names_itself(is_until, purpose):
    run = SimulatedRun(a_graph(a_sleep(function="w/nap", is_until=is_until)))
    run.start()

    run.fail_evaluation(f"nap?{purpose}")

    assert run.view.failure == Cause(f"nap?{purpose}", BOOM)


def test_sleep_whose_function_failed_has_a_failed_record():
    run = SimulatedRun(a_graph(a_sleep(function="w/nap")), 7)
    run.start()
    run.fail_evaluation("nap?duration")

    step = run.view.steps["nap"]

    assert (step.status, step.failure, step.ended_at_ms) == (StepStatus.FAILED, BOOM, T0)


def test_recovery_keeps_the_due_time():
    run = asleep()

    assert reissue(fold_state(run.state.graph, run.records)) == [Sleep("nap", T0 + 90_000, was_started=True)]


def test_recovery_keeps_the_length_before_the_start_is_recorded():
    run = SimulatedRun(a_graph(a_sleep(duration_ms=90_000)))
    run.record_one(RunStarted(T0), b"7")

    assert reissue(fold_state(run.state.graph, run.records)) == [Sleep("nap", None, 90_000)]


def test_recovery_keeps_the_answer_of_the_function():
    run = SimulatedRun(a_graph(a_sleep(function="w/nap")))
    run.start()
    run.evaluate("nap?duration", T0 + 77)

    assert reissue(fold_state(run.state.graph, run.records)) == [Sleep("nap", T0 + 77, was_started=True)]


def test_start_of_a_sleep_does_not_end_it():
    run = SimulatedRun(a_graph(a_sleep(duration_ms=5)))
    run.record_one(RunStarted(T0), b"7")

    assert run.record_one(SleepStarted(T0, "nap", T0 + 5)) == []
    assert run.open_paths == ["nap"]


def test_input_passes_through():
    run = asleep()

    (command,) = run.record_one(TimerFired(T0 + 90_000, "nap"))

    assert (command.path, run.value(run.state.frame("after").input)) == ("after", 7)


def test_sleep_of_any_length_is_one_timer():
    run = asleep(LONG_MS)

    assert run.state.next_due() == T0 + LONG_MS


def test_run_that_only_sleeps_is_waiting():
    assert asleep().state.status() is RunStatus.WAITING


def test_due_time_in_the_past_is_kept_and_fires_at_once():
    run = SimulatedRun(a_graph(a_sleep(until_ms=1, is_until=True)))
    run.start()

    assert run.state.next_due() == 1


def test_sleeping_step_is_shown_as_waiting():
    step = asleep().view.steps["nap"]

    assert (step.status, step.started_at_ms, step.ended_at_ms) == (StepStatus.WAITING, T0, None)


def test_record_of_a_sleep_ends_with_the_timer():
    run = asleep()
    run.fire("nap")

    step = run.view.steps["nap"]

    assert (step.status, step.ended_at_ms, run.value(step.output)) == (StepStatus.SUCCESS, T0 + 90_000, 7)


def test_siblings_go_on_while_a_child_sleeps():
    child = a_workflow("child", a_sleep(duration_ms=9))
    run = SimulatedRun(a_graph(a_parallel(child, a_step("b"))))

    assert paths(run.start()) == ["b", "child.nap"]
    assert run.state.status() is RunStatus.RUNNING
    run.succeed("b", 1)
    assert run.state.status() is RunStatus.WAITING
