"""Rule 4: one table decides what a run is doing."""

from __future__ import annotations

import itertools

import pytest

from outlast.core.events import BlockOpened, RunStarted, StepSucceeded, TimerFired
from outlast.core.state import RunState
from outlast.core.status import RunStatus
from simulated import (
    T0,
    SimulatedRun,
    a_branch,
    a_foreach,
    a_graph,
    a_parallel,
    a_sleep,
    a_step,
    a_wait,
    a_workflow,
)

TWO = a_graph(a_parallel(a_step("a", limit=1, delay_ms=100), a_step("b", limit=1, delay_ms=200)))


def test_run_without_events_is_pending():
    assert RunState(TWO).status() is RunStatus.PENDING


def test_started_run_is_running():
    run = SimulatedRun(TWO)
    run.start()

    assert run.state.status() is RunStatus.RUNNING


def test_run_with_work_and_a_timer_is_running():
    run = SimulatedRun(TWO)
    run.start()

    run.fail("a")

    assert run.state.status() is RunStatus.RUNNING


def test_run_with_nothing_but_timers_is_waiting():
    run = SimulatedRun(TWO)
    run.start()
    run.fail("a")

    run.fail("b")

    assert run.state.status() is RunStatus.WAITING


def test_run_whose_timer_fired_is_running():
    run = SimulatedRun(TWO)
    run.start()
    run.fail("a")
    run.fail("b")

    run.record_one(TimerFired(T0 + 100, "a"))

    assert run.state.status() is RunStatus.RUNNING


def test_run_is_waiting_again_when_the_other_child_has_ended():
    run = SimulatedRun(TWO)
    run.start()
    run.fail("a")

    run.succeed("b")

    assert run.state.status() is RunStatus.WAITING


def test_run_whose_block_is_not_measured_yet_is_running():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))))

    run.record_one(RunStarted(T0), b"[]")

    assert run.state.status() is RunStatus.RUNNING


def test_run_whose_block_is_not_closed_yet_is_running():
    run = SimulatedRun(a_graph(a_foreach(a_step("each"))))
    run.record_one(RunStarted(T0), b"[]")

    run.record_one(BlockOpened(T0, "each", 0, 1))

    assert run.state.status() is RunStatus.RUNNING


def test_run_whose_end_is_not_recorded_is_running():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.begin("a")

    run.record_one(StepSucceeded(T0, "a", 0), b"1")

    assert run.state.status() is RunStatus.RUNNING


def test_item_that_waits_for_a_retry_makes_the_run_wait():
    child = a_workflow("each", a_step("x", limit=1, delay_ms=50))
    run = SimulatedRun(a_graph(a_foreach(child)), [1])
    run.start()

    run.fail("each[0].x")

    assert run.state.status() is RunStatus.WAITING


@pytest.mark.parametrize(
    ("status", "is_terminal", "is_rest"),
    [
        (RunStatus.PENDING, False, False),
        (RunStatus.RUNNING, False, False),
        (RunStatus.WAITING, False, False),
        (RunStatus.SUSPENDED, False, True),
        (RunStatus.PAUSED, False, True),
        (RunStatus.SUCCESS, True, True),
        (RunStatus.FAILED, True, True),
        (RunStatus.CANCELED, True, True),
    ],
)
def test_ends_are_terminal_and_every_wait_for_somebody_is_a_rest(status, is_terminal, is_rest):
    assert (status.is_terminal, status.is_rest) == (is_terminal, is_rest)


LEAVES = {
    "body": a_step("body"),
    "condition": a_workflow("condition", a_branch(a_step("x"))),
    "sleep": a_workflow("sleep", a_sleep(duration_ms=9)),
    "retry": a_step("retry", limit=1, delay_ms=9),
    "wait": a_workflow("wait", a_wait()),
    "wait with a timeout": a_workflow("late", a_wait(timeout_ms=5)),
    "suspension": a_step("suspension"),
}
RUNNING, WAITING = {"body", "condition"}, {"sleep", "retry"}


@pytest.mark.parametrize("names", [pair for n in (1, 2, 3) for pair in itertools.combinations(LEAVES, n)])
def test_running_comes_before_waiting_and_waiting_before_suspended(names):
    run = SimulatedRun(a_graph(a_parallel(*(LEAVES[name] for name in names))))
    run.start()
    if "retry" in names:
        run.fail("retry")
    if "suspension" in names:
        run.suspend("suspension")

    if RUNNING & set(names):
        expected = RunStatus.RUNNING
    else:
        expected = RunStatus.WAITING if WAITING & set(names) else RunStatus.SUSPENDED
    assert run.state.status() is expected


def test_deadline_alone_does_not_make_a_run_wait():
    run = SimulatedRun(a_graph(a_step("a")))
    run.record(RunStarted(T0, deadline_ms=T0 + 5), 1, has_payload=True)

    assert run.state.status() is RunStatus.RUNNING
    run.suspend("a")
    assert run.state.status() is RunStatus.SUSPENDED


def test_resumed_run_is_running():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()
    run.suspend("a")

    run.resume("a")

    assert run.state.status() is RunStatus.RUNNING
