"""Rules 9.1 and 9.2: when a failed attempt is made again."""

from __future__ import annotations

import pytest

from outlast.core.backoff import retry_at
from outlast.core.commands import RunStep, StartTimer
from outlast.core.events import StepFailed, TimerFired
from outlast.core.ref import Recorded
from outlast.core.status import RunStatus
from outlast.failures import FailureInfo
from outlast.graph.retry import RetryRule
from simulated import BOOM, T0, SimulatedRun, a_graph, a_parallel, a_step

FINAL = FailureInfo(type="NonRetryableError", message="no", is_retryable=False)


def retried(*, limit: int, delay_ms: int = 0) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_step("a", limit=limit, delay_ms=delay_ms)))
    run.start()
    return run


@pytest.mark.parametrize(
    ("limit", "delay_ms", "attempt", "failure", "due"),
    [
        (0, 0, 0, BOOM, None),
        (1, 0, 0, BOOM, T0),
        (1, 250, 0, BOOM, T0 + 250),
        (1, 250, 1, BOOM, None),
        (3, 250, 2, BOOM, T0 + 250),
        (3, 250, 3, BOOM, None),
        (3, 250, 0, FINAL, None),
    ],
)
def test_due_time_follows_from_rule_attempt_and_failure(limit, delay_ms, attempt, failure, due):
    rule = RetryRule(limit=limit, delay_ms=delay_ms)

    found = retry_at(rule, run_id="r", path="a", attempt=attempt, first_at_ms=T0, at_ms=T0, failure=failure)

    assert found == due


def test_attempt_that_is_due_at_once_needs_no_timer():
    run = retried(limit=1)

    commands = run.fail("a")

    assert commands == [RunStep("a", "w/a", 1, Recorded(1))]


def test_attempt_that_is_due_later_sets_a_timer_and_nothing_else():
    run = retried(limit=1, delay_ms=500)

    commands = run.fail("a")

    assert commands == [StartTimer("a", T0 + 500)]
    assert run.state.status() is RunStatus.WAITING


def test_fired_timer_asks_for_the_next_attempt():
    run = retried(limit=1, delay_ms=500)
    run.fail("a")

    commands = run.record_one(TimerFired(T0 + 500, "a"))

    assert commands == [RunStep("a", "w/a", 1, Recorded(1))]


def test_step_is_tried_again_up_to_its_limit():
    run = retried(limit=2)

    attempts = []
    while not run.state.status().is_terminal:
        attempts.append(run.attempt_of("a"))
        run.fail("a")

    assert attempts == [0, 1, 2]
    assert run.state.status() is RunStatus.FAILED


def test_success_of_a_later_attempt_is_a_success():
    run = retried(limit=2)
    run.fail("a")

    run.succeed("a", 1)

    assert run.result == 1


def test_failure_that_cannot_be_retried_ends_retries_at_once():
    """9.2."""
    run = retried(limit=5)

    run.fail("a", FINAL)

    assert run.state.status() is RunStatus.FAILED


def test_recorded_decision_counts_and_not_the_rule_of_the_graph():
    """9.1: attempts and due times are recorded; a deploy that changes the rule changes nothing that has happened."""
    run = retried(limit=0)
    run.begin("a")

    commands = run.record_one(StepFailed(T0, "a", 0, BOOM, T0 + 9))

    assert commands == [StartTimer("a", T0 + 9)]


def test_each_attempt_gets_the_same_input():
    run = retried(limit=1)
    before = run.state.frame("a").input

    run.fail("a")

    assert run.state.frame("a").input == before


def test_next_due_is_the_earliest_timer():
    run = SimulatedRun(a_graph(a_parallel(a_step("a", limit=1, delay_ms=900), a_step("b", limit=1, delay_ms=400))))
    run.start()
    run.fail("a")
    run.fail("b")

    assert run.state.next_due() == T0 + 400


def test_next_due_is_none_without_timers():
    run = retried(limit=1, delay_ms=500)

    assert run.state.next_due() is None
