"""Rules 7.1, 7.6 and 7.7: suspended bodies, alone and in blocks."""

from __future__ import annotations

import pytest

from outlast.core.advance import reissue
from outlast.core.commands import AwaitResume, Cause, Resumption, RunStep
from outlast.core.events import StepSuspended
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state
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
    a_workflow,
    paths,
)


def one(*, limit: int = 0) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_step("a", limit=limit)), 7)
    run.start()
    return run


def both(*, limit: int = 0) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_parallel(a_step("a", limit=limit), a_step("b"))), 7)
    run.start()
    return run


def items(count: int, *, concurrency: int, is_collecting: bool = False) -> SimulatedRun:
    each = a_foreach(a_step("each"), concurrency=concurrency, is_collecting=is_collecting)
    run = SimulatedRun(a_graph(each, a_step("after")), list(range(count)))
    run.start()
    return run


def test_suspended_step_waits_to_be_resumed():
    run = one()
    run.begin("a")

    commands = run.record_one(StepSuspended(T0, "a", 0, "boss", T0 + 5), b'"why"')

    assert commands == [AwaitResume("a", 0, T0 + 5, "boss", Recorded(3))]
    assert run.state.status() is RunStatus.SUSPENDED


def test_resumed_step_runs_again_with_the_data_and_what_it_told():
    run = one()
    run.suspend("a", "why")

    commands = run.resume("a", "because")

    assert commands == [
        RunStep("a", "w/a", 0, Recorded(1), resumption=Resumption(suspend_payload=Recorded(3), resume_data=Recorded(4)))
    ]


def test_timed_out_suspension_runs_the_step_again_without_data():
    run = one()
    run.suspend("a", timeout_ms=5)

    commands = run.time_out("a")

    assert commands == [RunStep("a", "w/a", 0, Recorded(1), resumption=Resumption(Recorded(3), None))]


def test_each_suspension_of_a_step_has_the_next_number():
    run = one()

    numbers = []
    for _ in range(3):
        (command,) = run.suspend("a")
        assert isinstance(command, AwaitResume)
        numbers.append(command.number)
        run.resume("a")

    assert numbers == [0, 1, 2]


def test_recovery_keeps_the_number_of_a_suspension():
    run = one()
    run.suspend("a")
    run.resume("a")
    run.suspend("a")

    (command,) = reissue(fold_state(run.state.graph, run.records))

    assert isinstance(command, AwaitResume)
    assert command.number == 1


def test_suspension_uses_up_no_attempt():
    """9.1: a resume does not reset attempts either."""
    run = one(limit=1)
    run.fail("a")
    run.suspend("a")

    (command,) = run.resume("a")

    assert isinstance(command, RunStep)
    assert command.attempt == 1


def test_attempt_after_a_failed_resumption_keeps_the_data():
    run = one(limit=1)
    run.suspend("a")
    run.resume("a", "because")

    (command,) = run.fail("a")

    assert isinstance(command, RunStep)
    assert (command.attempt, command.resumption) == (1, Resumption(Recorded(3), Recorded(4)))


def test_siblings_go_on_while_a_child_is_suspended():
    run = both()
    run.suspend("a")

    assert run.state.status() is RunStatus.RUNNING
    run.succeed("b", 2)
    assert run.state.status() is RunStatus.SUSPENDED
    run.resume("a")
    run.succeed("a", 1)
    assert run.result == {"a": 1, "b": 2}


def test_several_suspensions_are_open_at_once_in_the_order_of_their_begin():
    run = both()
    run.suspend("b")
    run.suspend("a")

    assert [each.path for each in run.state.suspensions()] == ["b", "a"]


def test_suspended_child_of_a_branch_is_waited_for():
    run = SimulatedRun(a_graph(a_branch(a_step("small"), a_step("big"))))
    run.start()
    run.evaluate("route?small", 1)
    run.evaluate("route?big", 1)
    run.suspend("small")
    run.succeed("big", 2)

    assert run.open_paths == ["small"]


def test_suspended_item_keeps_its_place_in_the_window():
    run = items(3, concurrency=1)

    assert paths(run.suspend("each[0]")) == ["each[0]"]
    assert run.state.status() is RunStatus.SUSPENDED
    run.resume("each[0]")
    assert paths(run.succeed("each[0]")) == ["each[1]"]


def test_each_item_suspends_by_itself():
    run = items(2, concurrency=2)
    run.suspend("each[0]")
    run.suspend("each[1]")

    commands = run.resume("each[1]", 1)

    assert paths(commands) == ["each[1]"]
    assert run.open_paths == ["each[0]", "each[1]"]


def test_suspended_pass_of_a_loop_goes_on_where_it_was():
    run = SimulatedRun(a_graph(a_loop(a_step("poll"))))
    run.start()
    run.suspend("poll#1")

    assert paths(run.resume("poll#1")) == ["poll#1"]
    assert paths(run.succeed("poll#1")) == ["poll#1?condition"]


def test_block_with_a_failure_fails_without_waiting_for_the_suspended():
    """21."""
    run = both()
    run.suspend("b")

    run.fail("a")

    assert run.state.status() is RunStatus.FAILED
    assert run.view.failure == Cause("a", BOOM)


def test_block_that_failed_does_not_wait_for_what_is_suspended_later():
    run = both()
    run.fail("a")

    assert run.suspend("b", timeout_ms=5) == []
    assert run.state.status() is RunStatus.FAILED
    assert run.state.next_due() is None


def test_block_with_a_failure_still_waits_for_what_sleeps():
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_workflow("child", a_sleep(duration_ms=5)))))
    run.start()
    run.fail("a")

    assert run.open_paths == ["child.nap"]


def test_foreach_with_a_failure_fails_without_waiting_for_the_suspended():
    run = items(3, concurrency=2)
    run.suspend("each[0]")

    run.fail("each[1]")

    assert run.view.failure == Cause("each[1]", BOOM)


def test_collecting_foreach_waits_for_the_suspended_whatever_fails():
    run = items(2, concurrency=2, is_collecting=True)
    run.suspend("each[0]")
    run.fail("each[1]")

    assert run.open_paths == ["each[0]"]


def test_given_up_suspensions_leave_the_open_commands():
    inner = a_workflow("child", a_parallel(a_step("x"), a_step("y")))
    run = SimulatedRun(
        a_graph(a_foreach(a_workflow("each", a_parallel(a_step("a"), inner)), is_collecting=True)), [1, 2]
    )
    run.start()
    run.suspend("each[0].child.x")
    run.suspend("each[0].child.y")

    commands = run.fail("each[0].a")

    assert paths(commands) == ["each[1].a", "each[1].child.x", "each[1].child.y"]
    assert run.state.suspensions() == []


def test_given_up_steps_are_shown_as_canceled_at_once():
    each = a_workflow("each", a_parallel(a_step("a"), a_step("b")))
    run = SimulatedRun(a_graph(a_foreach(each, is_collecting=True)), [1, 2])
    run.start()
    run.suspend("each[0].b")
    run.now_ms += 5
    run.fail("each[0].a")

    step = run.view.steps["each[0].b"]

    assert (step.status, step.ended_at_ms) == (StepStatus.CANCELED, T0 + 5)


def test_nested_block_of_which_all_is_suspended_holds_up_the_block_around_it():
    """A foreach of workflows with a parallel inside: blocked is counted at each level."""
    body = a_workflow("each", a_parallel(a_step("a"), a_step("b")))
    run = SimulatedRun(a_graph(a_foreach(body, concurrency=2)), [1, 2])
    run.start()
    for path in ("each[0].a", "each[0].b", "each[1].a"):
        run.suspend(path)

    run.fail("each[1].b")

    assert run.view.failure == Cause("each[1].b", BOOM)
    assert run.state.status() is RunStatus.FAILED


def test_nested_block_that_was_resumed_is_waited_for():
    body = a_workflow("each", a_parallel(a_step("a"), a_step("b")))
    run = SimulatedRun(a_graph(a_foreach(body, concurrency=2)), [1, 2])
    run.start()
    run.suspend("each[0].a")
    run.suspend("each[0].b")
    run.resume("each[0].a")
    run.fail("each[1].a")

    run.fail("each[1].b")

    assert run.open_paths == ["each[0].b", "each[0].a"]
    run.suspend("each[0].a")
    assert run.state.status() is RunStatus.FAILED


def test_block_whose_last_active_child_ended_is_blocked():
    body = a_workflow("each", a_parallel(a_step("a"), a_step("b")))
    run = SimulatedRun(a_graph(a_foreach(body, concurrency=2)), [1, 2])
    run.start()
    run.suspend("each[0].a")
    run.fail("each[1].a")
    run.fail("each[1].b")

    run.succeed("each[0].b")

    assert run.state.status() is RunStatus.FAILED


@pytest.mark.parametrize("is_late", [False, True])
def test_nested_wait_that_is_over_counts_as_free(is_late):
    body = a_workflow("each", a_wait(timeout_ms=5, default=(1,)), a_step("x"))
    run = SimulatedRun(a_graph(a_foreach(body, concurrency=2)), [1, 2])
    run.start()
    _ = run.time_out("each[0].approve") if is_late else run.resume("each[0].approve")
    run.resume("each[1].approve")

    run.fail("each[1].x")

    assert run.open_paths == ["each[0].x"]


def test_record_of_a_suspended_step_tells_what_it_asks():
    run = one()
    run.now_ms += 5
    run.suspend("a", {"ask": 1})

    step = run.view.steps["a"]

    assert (step.status, step.suspended_at_ms, step.ended_at_ms) == (StepStatus.SUSPENDED, T0 + 5, None)
    assert run.value(step.suspend_payload) == {"ask": 1}


def test_record_of_a_resumed_step_is_running_with_what_it_was_told():
    run = one()
    run.suspend("a")
    run.now_ms += 5
    run.resume("a", {"yes": 1})

    step = run.view.steps["a"]

    assert (step.status, step.resumed_at_ms, step.attempts) == (StepStatus.RUNNING, T0 + 5, 1)
    assert run.value(step.resume_payload) == {"yes": 1}


def test_record_of_a_timed_out_suspension_names_no_resumer():
    run = one()
    run.suspend("a", timeout_ms=5)
    run.time_out("a")

    step = run.view.steps["a"]

    assert (step.status, step.resumed_at_ms, step.resume_payload) == (StepStatus.RUNNING, None, None)
